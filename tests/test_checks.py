"""The contracts that chapters share: what they accept, and one sentence that names the argument otherwise."""

import math

import jaxtyping
import pytest
import torch
from torch import nn

from robustxai.checks import as_target, check_count, check_name, check_number, check_positive
from robustxai.eval_mode import check_calm


@pytest.fixture
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_what_is_accepted_comes_back():
    check_name("mode", "fast", ("strict", "fast"))
    assert check_number("eps", 0) == 0.0 and check_positive("eps", 0.5) == 0.5
    assert check_count("steps", 3) == 3 and check_count("tau", 0, 0) == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: check_name("mode", "slow", ("strict", "fast")), "mode is 'slow'; accepted are strict, fast"),
        (lambda: check_number("eps", -1), "eps is -1; accepted are finite numbers from 0"),
        (lambda: check_number("eps", math.nan), "eps is nan; accepted are finite numbers from 0"),
        (lambda: check_number("eps", True), "eps is True; accepted are finite numbers from 0"),
        (lambda: check_positive("eps", 0), "eps is 0; accepted are finite numbers above 0"),
        (lambda: check_positive("eps", math.inf), "eps is inf; accepted are finite numbers above 0"),
        (lambda: check_count("k", 0), "k is 0; accepted are whole numbers from 1"),
        (lambda: check_count("k", 2.0), "k is 2.0; accepted are whole numbers from 1"),
        (lambda: check_count("k", True), "k is True; accepted are whole numbers from 1"),
    ],
)
def test_one_sentence_names_the_argument(as_shipped, call, sentence):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == sentence


def test_a_network_whose_samples_depend_on_each_other():
    norm, drop = nn.BatchNorm2d(1), nn.Dropout(0.5)
    net = nn.Sequential(nn.Conv2d(1, 1, 1), norm, nn.Sequential(drop, nn.Dropout(0.0)))
    with pytest.raises(
        ValueError, match=r"unet is in training mode \(1 and 1 more\).*accepted is unet\.eval\(\)"
    ):
        check_calm("unet", net)
    norm.eval()
    with pytest.raises(ValueError, match=r"^model is in training mode \(2\.0\)"):
        check_calm("model", net)
    drop.eval()
    check_calm("model", net)
    with pytest.raises(ValueError, match=r"^model is in training mode \(BatchNorm2d\)"):
        check_calm("model", nn.BatchNorm2d(1))


def test_targets_become_classes():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    assert as_target(None, logits).tolist() == [1, 0]
    assert as_target(2, logits).tolist() == [2, 2]
    given = torch.tensor([0, 2])
    found = as_target(given, logits)
    found[0] = 1
    assert given.tolist() == [0, 2]
    assert as_target(None, torch.tensor([[-1.0], [1.0]])).tolist() == [0, 1]
    assert as_target(1, torch.tensor([[-1.0], [1.0]])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (3, "target holds class 3; accepted are 0 to 2"),
        (torch.tensor([-1, 0]), "target holds class -1; accepted are 0 to 2"),
        (torch.tensor([0.0, 1.0]), r"target has shape \(2,\) and dtype torch.float32; accepted are an int"),
        (torch.tensor([0, 1, 2]), r"target has shape \(3,\)"),
        (torch.tensor([True, False]), "dtype torch.bool"),
    ],
)
def test_targets_that_are_none(as_shipped, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_target(target, torch.zeros(2, 3))


def test_logits_of_another_shape(as_shipped):
    with pytest.raises(ValueError, match=r"classifier returned shape \(2,\); accepted are logits"):
        as_target(None, torch.zeros(2), model="classifier")
