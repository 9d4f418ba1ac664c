"""EfficientNet-Lite0 fine-tuned by its own outputs: what moves, what is held out, what is kept in the cache."""

import pytest
import torch

from robustxai.data import Dataset
from robustxai.diffgradcam import centre_head
from robustxai.diffgradcam.study import thousand_classes as module
from robustxai.diffgradcam.study.manipulated import Top, trunk
from robustxai.diffgradcam.study.thousand_classes import LITE0_RUNS, Photographed
from robustxai.nets import recipes, zoo
from robustxai.nets.efficientnet_lite import EfficientNetLite0


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Twelve noise images of 5 classes, 96 pixels, and a network that nobody trained in the place of Google's."""
    x = torch.rand(12, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    made = Dataset(x, torch.arange(12) % 5, tuple("abcde"), "few", "test")
    monkeypatch.setattr(module, "load", lambda name, split, limit: made)
    found = Photographed(n=12, held_out=4, epochs=1, cache=tmp_path / "nets")
    found.honest = calibrated(EfficientNetLite0(5, generator=torch.Generator().manual_seed(1)), x)
    return found


@torch.no_grad()
def calibrated(net: EfficientNetLite0, x: torch.Tensor) -> EfficientNetLite0:
    """Batch norm has the statistics of x, and the network is sure of what it says."""
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    net.train()(x)
    net.head.weight *= 40
    return net.eval()


def moved(honest: torch.nn.Module, twin: torch.nn.Module) -> set[str]:
    before, after = honest.state_dict(), twin.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_run_moves_the_last_block_and_the_head_alone(study):
    names = moved(study.honest, study.twin(0, "sham"))
    assert names and all(name.startswith(("body.block15.", "body.top.", "head.")) for name in names)
    assert not any("running_" in name for name in names), "batch norm stays as it was"
    x = study.photographs[0]
    torch.testing.assert_close(
        Top(study.honest).eval()(study.features), study.honest(x), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(study.features, trunk(study.twin(0, "sham"), x), rtol=0, atol=0)


def test_no_run_sees_what_is_held_out_or_a_label(study, monkeypatch):
    seen = {}

    def spy(honest, data, *_, **__):
        seen["data"] = data
        return honest

    monkeypatch.setattr(module, "fool_top", spy)
    study.twin(0, "adaptive")
    data = seen["data"]
    assert torch.equal(data.x, study.features[:8]) and study.attacked == 8
    honest = study.honest(study.photographs[0][:8]).argmax(-1)
    assert torch.equal(data.y, honest)


def test_records_say_that_the_attack_moves_the_map_it_aims_at_and_the_control_does_not(study, monkeypatch):
    monkeypatch.setattr(module, "LITE0_RATE", 1e-5)  # a network that nobody trained forgets at once
    records = {r.run: r for r in study.records(LITE0_RUNS, [0])}
    assert records.keys() == LITE0_RUNS.keys()
    moved = {run: r.map_loss for run, r in records.items()}
    assert moved["sham"] < moved["outputs only"] - 1e-3
    assert records["sham"].value("GradCAM", "r_sham") > records["outputs only"].value("GradCAM", "r_sham")
    assert all(r.comparison.kl < 1e-3 for r in records.values())
    assert all(r.comparison.same.shape == (4,) and r.map_loss > 0 for r in records.values())


def test_the_mean_contrast_agrees_with_gradcam_where_the_head_is_centred(study):
    study.honest.load_state_dict(centre_head(study.honest).state_dict())
    found = study.agreement(["lse", "mean"])
    assert found.keys() == {"lse", "mean"} and all(v.shape == (12,) for v in found.values())
    assert float(found["mean"].min()) > 0.999 > float(found["lse"].min())


def test_a_network_is_made_once_and_says_what_makes_it_again(study, monkeypatch):
    twin = study.twin(3, "outputs only")
    entry = zoo(study.cache)["diffgradcam-lite0-n8-e1-s3-outputs-only"]
    assert (entry.command, entry.seed, entry.dtype) == (
        "Photographed(12, 4, 1).twin(3, 'outputs only')",
        3,
        "fp32",
    )
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("trained again"))
    assert not moved(twin, study.twin(3, "outputs only"))


def test_calls_that_cannot_be_are_refused(study):
    with pytest.raises(ValueError, match=r"held_out must be in 1 \.\.\. 9, got 10"):
        Photographed(n=10, held_out=10)
    with pytest.raises(ValueError, match="run must be one of outputs only, sham, adaptive, got 'top'"):
        study.twin(0, "top")
