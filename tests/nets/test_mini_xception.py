"""The network of facial expressions: its probabilities, its part of the face, and its weights where they are."""

import os

import pytest
import torch

from robustxai.data import NotAvailable, load
from robustxai.nets import WeightsError
from robustxai.nets.mini_xception import (
    EXPRESSIONS,
    FILE,
    MiniXception,
    SmileOfExpressions,
    smile_of_expressions,
)

MIRROR = os.environ.get("ROBUSTXAI_DATA")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return SmileOfExpressions(MiniXception()).eval()


def test_the_two_probabilities_are_those_of_happy_and_of_the_rest(net):
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    seven = []
    net.expressions.head.register_forward_hook(lambda _m, _i, out: seven.append(out.mean((2, 3)).softmax(1)))
    two = net(x).softmax(1)
    torch.testing.assert_close(two[:, 1], seven[0][:, EXPRESSIONS.index("happy")])
    torch.testing.assert_close(two.sum(1), torch.ones(3))


def test_only_the_middle_of_the_face_is_seen(net):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    left, top, right, bottom = 12, 15, 52, 55
    other = x.clone()
    other[:, :, :top] = other[:, :, bottom:] = 0
    other[:, :, :, :left] = other[:, :, :, right:] = 0
    torch.testing.assert_close(net(other), net(x))
    other[:, :, 40:44, 30:34] = 0
    assert (net(other) - net(x)).abs().max() > 1e-6


def test_weights_that_are_not_there_or_altered_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path))
    with pytest.raises(NotAvailable, match=f"{FILE} is read only from ROBUSTXAI_DATA"):
        smile_of_expressions()
    (tmp_path / "fer_minixception").mkdir()
    (tmp_path / "fer_minixception" / FILE).write_bytes(b"something else")
    with pytest.raises(WeightsError, match=FILE):
        smile_of_expressions()


@pytest.mark.mirror
@pytest.mark.skipif(MIRROR is None, reason="ROBUSTXAI_DATA is not set")
def test_happy_agrees_with_the_smiles_of_faces_it_has_not_seen():
    faces = load("celebahq128", "test", size=64, limit=300)
    with torch.no_grad():
        right = (smile_of_expressions()(faces.x).argmax(1) == faces.y).double().mean()
    assert right > 0.84  # 89 % of 600 at this size
