"""The denoiser and the recipes: shapes, storage, what the loss is, and that training lowers it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from robustxai.ace.study import recipes
from robustxai.ace.study.denoiser_training import (
    TRAINED_STEPS,
    denoising_error,
    denoising_loss,
    noised,
    train_denoiser,
)
from robustxai.nets import fit, pretrained, zoo
from robustxai.nets.recipes import Job, Net, publish
from robustxai.nets.unet import CompactUNet

TINY = {"size": 8, "widths": (8, 8)}


def tiny(seed: int = 0, **options) -> CompactUNet:
    return CompactUNet(generator=torch.Generator().manual_seed(seed), **(TINY | options)).eval()


def job(tmp_path: Path, seed: int = 0) -> Job:
    return Job("ace-test", seed, torch.device("cpu"), tmp_path, False)


@pytest.mark.parametrize("patch", [1, 2])
def test_the_network_keeps_the_shape_and_uses_the_timestep(patch):
    unet, z = tiny(patch=patch), torch.randn(2, 3, 8, 8)
    early = unet(z, torch.tensor([0, 0])).sample
    assert early.shape == z.shape
    assert not torch.equal(early, unet(z, torch.tensor([300, 300])).sample)


def test_a_generator_decides_the_weights_and_the_global_state_is_left():
    before = torch.get_rng_state()
    a, b, c = tiny(1), tiny(1), tiny(2)
    assert torch.equal(before, torch.get_rng_state())
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert not torch.equal(a.conv_in.weight, c.conv_in.weight)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"widths": ()}, "widths"), ({"widths": (8, 12)}, "widths"), ({"size": 6}, "size"), ({"patch": 0}, "size"),
     ({"trained_steps": 1001}, "trained_steps")],
)  # fmt: skip
def test_sizes_that_do_not_fit(as_shipped, options, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        tiny(**options)


def test_the_schedule_is_linear_and_mixes_signal_and_noise():
    unet, x = tiny(), torch.rand(2, 3, 8, 8)
    kept = unet.scheduler.alphas_cumprod
    expected = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    torch.testing.assert_close(kept, expected)
    t, noise = torch.tensor([0, 120]), torch.randn(2, 3, 8, 8)
    z = noised(unet, x, t, noise)
    torch.testing.assert_close(z[1], kept[120].sqrt() * (2 * x[1] - 1) + (1 - kept[120]).sqrt() * noise[1])


class Knows(nn.Module):
    """A denoiser of a constant grey image: it subtracts what it knows."""

    trained_steps = 50

    def __init__(self):
        super().__init__()
        self.scheduler = tiny().scheduler
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z, t):
        kept = self.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)

        class Out:
            sample = self.weight * z / (1 - kept).sqrt()

        return Out()


def test_the_loss_is_zero_for_a_denoiser_that_knows_the_image():
    grey = torch.full((6, 3, 8, 8), 0.5)
    assert float(denoising_loss(Knows(), grey, grey).detach()) < 1e-9
    assert denoising_error(Knows(), grey, grey) < 1e-9
    assert denoising_error(Knows(), grey + 0.1, grey) > 0.1


def test_training_lowers_the_error_of_an_untrained_network():
    unet, x = tiny(trained_steps=301, widths=(16, 16)), torch.full((32, 3, 8, 8), 0.4)
    before = denoising_error(unet, x, x)
    options = {"epochs": 20, "batch_size": 8, "lr": 1e-2, "progress": False}
    fit(unet, x, torch.zeros(32), loss=denoising_loss, measure=denoising_error, **options)
    assert denoising_error(unet, x, x) < 0.5 * before


def test_the_denoiser_comes_back_from_a_weights_folder(tmp_path):
    unet = train_denoiser(
        torch.rand(8, 3, 8, 8), torch.rand(4, 3, 8, 8), job(tmp_path), epochs=1, widths=(8, 8)
    )
    publish([Net("ace-tiny", unet, "noise")], file="ace.safetensors", out=tmp_path, command="none", seed=0)
    loaded = pretrained("ace-tiny", weights_dir=tmp_path)
    assert isinstance(loaded, CompactUNet)
    assert loaded.trained_steps == TRAINED_STEPS
    assert zoo(tmp_path)["ace-tiny"].arguments["widths"] == [8, 8]


def test_the_confounded_faces_have_their_correlation_and_the_splits_differ():
    scenes = recipes.faces("train", 400, confounded=True)
    glasses = scenes.factor(recipes.CONFOUNDER) > 0.5
    assert float((glasses == scenes.labels.bool()).float().mean()) == pytest.approx(0.95, abs=0.03)
    plain = recipes.faces("test", 4)
    assert plain.images.shape == (4, 3, 32, 32)
    assert not torch.equal(plain.factors, recipes.faces("oracle", 4).factors)
    with pytest.raises(ValueError, match=r"split must be one of .* got 'valid'"):
        recipes.faces("valid")


def test_unlabelled_faces_come_in_the_number_asked_for():
    assert len(recipes.unlabelled(5, part=2)) == 5


def test_the_classifier_recipe_makes_all_kinds(tmp_path):
    nets = recipes.build_classifiers(job(tmp_path), n=64, epochs=1)
    assert [net.name for net in nets] == [
        recipes.zoo_name(k) for k in ("smile", "confounded", "oracle", "factors")
    ]
    assert {type(net.module).__name__ for net in nets} == {"CompactResNet", "CompactVGG"}
    assert set(nets[3].metrics["test_r2"]) == set(recipes.faces("test", 1).factor_names)


def test_factor_targets_fill_the_range_from_minus_one_to_one():
    targets = recipes.factor_targets(recipes.faces("test", 300))
    assert targets.abs().max() <= 1 + 1e-6
    assert (targets.amax(0) > 0.9).all() and (targets.amin(0) < -0.9).all()


def test_r_squared_is_one_for_the_truth_and_zero_for_the_mean():
    y = torch.randn(50, 2)
    torch.testing.assert_close(recipes.r_squared(nn.Identity(), y, y), torch.ones(2))
    mean = y.mean(0)
    flat = recipes.r_squared(nn.Sequential(nn.Threshold(1e9, 0.0)), y, y - mean)
    torch.testing.assert_close(flat, torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "size", "channels"), [("cifar", 32, 3), ("smiles", 64, 1)])
def test_the_photograph_recipes_make_three_networks_of_two_classes(
    tmp_path, monkeypatch, name, size, channels
):
    from robustxai.ace.study import photographs
    from robustxai.data import Dataset

    generator = torch.Generator().manual_seed(0)
    pair = photographs.PAIRS[name]
    names = ("other", pair.classes[0], "more", pair.classes[1])

    def load(source, split, *, limit=None):
        x = torch.rand(64, channels, size, size, generator=generator)
        boxes = torch.tensor([[8.0, 10.0, 23.0, 13.0]]).repeat(64, 1)
        boxes[1] = torch.nan
        return Dataset(x, torch.arange(64) % 4, names, source, split, note="lossy", boxes=boxes)

    monkeypatch.setattr(photographs, "load", load)
    found = photographs.pick(pair, "train")
    assert found.x.shape == (32, channels, 32, 32) and found.y.tolist() == [0, 1] * 16
    assert found.note == "lossy" and found.region is not None
    k = size // 32
    assert found.region.sum((1, 2)).tolist() == [0] + [16 // k * (4 // k)] * 31
    with pytest.raises(ValueError, match="classes must be two of"):
        photographs.pick(replace(pair, classes=("cat", "more")), "train")
    quick = replace(pair, epochs=1, classifier_epochs=1, denoiser={"widths": (8, 8)})
    monkeypatch.setitem(photographs.PAIRS, name, quick)
    nets = recipes.RECIPES[f"ace-{name}"].build(job(tmp_path))
    again = recipes.RECIPES[f"ace-{name}"].build(job(tmp_path / "again", seed=1))
    assert [net.name for net in again] == [f"ace-pair-{name}-s1", f"ace-oracle-{name}-s1"]
    assert [net.name for net in nets] == [f"ace-{kind}-{name}-s0" for kind in ("ddpm", "pair", "oracle")]
    assert "32 px, 32 images, lossy" in nets[0].dataset and "16 images, lossy" in nets[1].dataset


def test_photographs_are_made_smaller_by_the_mean_of_squares(monkeypatch):
    from robustxai.ace.study import photographs
    from robustxai.data import Dataset

    x = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    data = Dataset(x, torch.arange(4) % 2, ("no smile", "smile"), "smiles64", "test")
    monkeypatch.setattr(photographs, "load", lambda *_, **__: data)
    small = photographs.pick(photographs.PAIRS["smiles"], "test").x
    torch.testing.assert_close(small[1, 0, 3, 5], x[1, 0, 6:8, 10:12].mean())
