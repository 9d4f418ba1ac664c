"""Deletion and insertion: models with a closed-form curve, and a slow twin with loops."""

import math

import pytest
import torch
from torch import nn

from robustxai.metrics import Curve, deletion, insertion
from robustxai.metrics.faithfulness import baseline_image


class MeanLogit(nn.Module):
    """Two classes with logits (scale * mean pixel, 0); counts the images of its largest batch."""

    def __init__(self, scale: float = 4.0):
        super().__init__()
        self.scale, self.largest = scale, 0

    def forward(self, x):
        self.largest = max(self.largest, len(x))
        z = self.scale * x.mean((1, 2, 3))
        return torch.stack((z, torch.zeros_like(z)), 1)


def convnet() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return net.eval()


def images(n: int = 3, side: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.rand(n, 3, side, side, generator=g), torch.randn(n, 1, side, side, generator=g)


def slow_deletion(model, x, maps, target, baseline, steps):
    """The definition, one image and one step at a time."""
    curves = []
    for image, m, c in zip(x, maps, target, strict=True):
        order = sorted(range(m.numel()), key=lambda i: -m.flatten()[i].item())
        curve = []
        for s in range(steps + 1):
            changed = image.clone().flatten(1)
            changed[:, order[: round(s * m.numel() / steps)]] = baseline
            curve.append(model(changed.reshape(1, *image.shape)).softmax(1)[0, c].item())
        curves.append(curve)
    return torch.tensor(curves)


def test_closed_form_on_a_mean_logit():
    x = torch.ones(2, 1, 4, 4)
    maps = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    share = torch.arange(17) / 16
    down = deletion(MeanLogit().eval(), x, maps, 0, baseline=0.0, n_steps=16)
    torch.testing.assert_close(down.share, share)
    torch.testing.assert_close(down.probability, torch.sigmoid(4 * (1 - share)).expand(2, 17))
    up = insertion(MeanLogit().eval(), x, maps, 0, baseline=0.0, n_steps=16)
    torch.testing.assert_close(up.probability, torch.sigmoid(4 * share).expand(2, 17))
    expected = torch.trapezoid(torch.sigmoid(4 * share), share)
    torch.testing.assert_close(up.auc, expected.expand(2))
    torch.testing.assert_close(down.auc, expected.expand(2))


def test_equals_the_slow_twin_and_chunks_change_nothing():
    model, (x, maps) = convnet(), images()
    target = torch.tensor([0, 4, 2])
    curve = deletion(model, x, maps, target, baseline=0.5, n_steps=16)
    torch.testing.assert_close(curve.probability, slow_deletion(model, x, maps[:, 0], target, 0.5, 16))
    for batch_size in (1, 7):
        torch.testing.assert_close(
            deletion(model, x, maps, target, baseline=0.5, n_steps=16, batch_size=batch_size).auc, curve.auc
        )


def test_memory_bound_is_kept():
    model = MeanLogit().eval()
    x, maps = images(9)
    deletion(model, x, maps, None, n_steps=20, batch_size=16)
    assert model.largest == 16


def test_insertion_is_deletion_backwards_with_the_order_reversed():
    model, (x, maps) = convnet(), images()
    down = deletion(model, x, maps, 1, baseline="mean", n_steps=64)
    up = insertion(model, x, -maps, 1, baseline="mean", n_steps=64)
    torch.testing.assert_close(up.probability, down.probability.flip(1))
    torch.testing.assert_close(up.auc, down.auc)


def test_the_true_order_beats_its_reverse():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, :3, :3] = 1
    model, good = MeanLogit(40.0).eval(), x[0]
    assert deletion(model, x, good, 0, baseline=0.0).auc < deletion(model, x, -good, 0, baseline=0.0).auc
    assert insertion(model, x, good, 0, baseline=0.0).auc > insertion(model, x, -good, 0, baseline=0.0).auc


def test_native_maps_are_resized_and_ends_are_image_and_baseline():
    model, (x, _) = convnet(), images(side=16)
    maps = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(2))
    target = model(x).argmax(1)
    curve = deletion(model, x, maps, baseline="blur")
    assert isinstance(curve, Curve) and curve.probability.shape == (3, 21)
    with torch.no_grad():
        full, none = model(x).softmax(1), model(baseline_image(x, "blur")).softmax(1)
    torch.testing.assert_close(curve.probability[:, 0], full.gather(1, target[:, None])[:, 0])
    torch.testing.assert_close(curve.probability[:, -1], none.gather(1, target[:, None])[:, 0])


def test_baselines():
    x, _ = images(2, 9)
    torch.testing.assert_close(baseline_image(x, "mean")[1, 2], x[1, 2].mean().expand(9, 9))
    blurred = baseline_image(x, "blur")
    assert blurred.shape == x.shape and (blurred.var((2, 3)) < x.var((2, 3))).all()
    assert baseline_image(x, 0.25).eq(0.25).all()
    colour = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    assert torch.equal(baseline_image(x, colour)[1], colour.expand(3, 9, 9))
    with pytest.raises(
        ValueError, match=r"^baseline must be one of mean, blur, a number or a tensor, got 'median'"
    ):
        baseline_image(x, "median")


def test_constant_and_broken_maps_order_nothing():
    model, (x, maps) = convnet(), images()
    maps[0], maps[1, 0, 0, 0] = 3.0, math.nan
    curve = deletion(model, x, maps, 0)
    assert curve.auc.isnan().tolist() == [True, True, False]
    assert curve.probability[0].isnan().all()


def test_a_single_logit_is_a_sigmoid():
    def one(x):
        return 4 * x.mean((1, 2, 3))[:, None] - 1

    x, maps = images()
    pos, neg = deletion(one, x, maps, 1), deletion(one, x, maps, 0)
    torch.testing.assert_close(pos.probability + neg.probability, torch.ones(3, 21))
    torch.testing.assert_close(deletion(one, x, maps).auc, pos.auc)


def test_the_model_is_left_as_it_was():
    model, (x, maps) = convnet(), images()
    before = [p.clone() for p in model.parameters()]
    insertion(model, x, maps)
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_bad_input_is_named():
    model, (x, maps) = convnet(), images()
    with pytest.raises(ValueError, match=r"^model must be in eval mode, got training mode \(1\)"):
        deletion(nn.Sequential(convnet(), nn.Dropout(0.5)), x, maps)
    deletion(convnet().train(), x, maps)  # nothing in it reads its mode
    with pytest.raises(ValueError, match=r"^target must be classes in \[0, 4\], got class 5"):
        deletion(model, x, maps, 5)
    with pytest.raises(ValueError, match=r"^n_steps must be an integer in \[1, 64\], .* got 65"):
        deletion(model, x, maps, n_steps=65)
    with pytest.raises(ValueError, match=r"^maps must hold one map for each of the 3 images, got 2"):
        deletion(model, x, maps[:2])
    with pytest.raises(
        ValueError, match=r"^model must return logits \(n, classes\), got shape \(1, 3, 8, 8\) for 1 samples"
    ):
        deletion(lambda v: v, x, maps, 0)
