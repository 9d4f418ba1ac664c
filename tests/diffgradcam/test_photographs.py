"""A study of real photographs: its networks are trained on first use and kept, to the last bit, in a cache folder."""

import pytest
import torch

from robustxai.data import Dataset
from robustxai.diffgradcam.study import study as module
from robustxai.diffgradcam.study.manipulated import Data, train_honest
from robustxai.diffgradcam.study.study import REAL, Photographs, Study
from robustxai.nets import recipes, zoo

TINY = {"widths": (4, 4, 6, 6)}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of 24 photographs of 2 classes and 32 pixels, which nobody trained yet."""
    x = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made = Dataset(x, torch.arange(24) % 2, ("cat", "dog"), "few", "train")
    monkeypatch.setattr(module, "load", lambda name, split, limit: made)
    monkeypatch.setitem(REAL, "few", Photographs("few", 2, 24, 1, TINY))
    return Study("few", n_test=8, cache=tmp_path / "nets")


def test_networks_are_trained_once_and_kept_to_the_last_bit(study, monkeypatch):
    honest = study.honest(1)
    expected = train_honest(Data(study.train.x, study.train.y, 2), seed=1, epochs=1, network=TINY).eval()
    assert torch.equal(honest(study.x), expected(study.x)) and not honest.training
    twin = study.twin(1, "sham-top")
    assert not torch.equal(twin(study.x), honest(study.x))
    assert torch.equal(twin(study.x), study.attack(1, module.PROTOCOLS["sham-top"]).eval()(study.x))
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("trained again"))
    again = Study("few", n_test=8, cache=study.cache)
    assert torch.equal(again.honest(1)(study.x), honest(study.x))
    assert torch.equal(again.twin(1, "sham-top")(study.x), twin(study.x))


def test_the_manifest_says_what_makes_them_again(study):
    study.twin(2, "sham-top")
    entries = zoo(study.cache)
    assert {name: entry.command for name, entry in entries.items()} == {
        "diffgradcam-few-s2-clean": "Study('few').honest(2)",
        "diffgradcam-few-s2-sham-top": "Study('few').twin(2, 'sham-top')",
    }
    assert {(e.dtype, e.dataset, e.seed) for e in entries.values()} == {("fp32", "few, 24 images", 2)}


def test_a_menagerie_network_that_is_not_shipped_is_refused(tmp_path):
    study = Study("animals4", cache=tmp_path / "nets")
    with pytest.raises(ValueError, match="got 'diffgradcam-animals4-s7-clean'; near"):
        study.honest(7)
    assert not (tmp_path / "nets").exists()
