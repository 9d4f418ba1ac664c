"""SIC and AIC: a slow twin, curves that are known, images without a curve, bad input."""

import numpy as np
import pytest
import torch
from scipy.interpolate import griddata
from torch import nn

from robustxai.metrics import information_curves, median_curve
from robustxai.metrics.information import THRESHOLDS, interpolated, webp_bytes


class Spot(nn.Module):
    """Two classes; the logit of class 0 is high when the middle of the image is bright."""

    def forward(self, x):
        z = 14 * (x[:, :, 6:10, 6:10].mean((1, 2, 3)) - 0.5)
        return torch.stack((z, torch.zeros_like(z)), 1)


def pictures(n=3):
    """A bright spot on dark noise."""
    x = 0.3 * torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    x[:, :, 5:11, 5:11] += 0.65
    return x


def good_map(n=3):
    row = (torch.arange(16) - 7.5).abs()
    return (16 - row[:, None] - row[None]).expand(n, 16, 16).contiguous()


def slow(model, image, order, t, mask):
    """The definition, for one image."""
    known = np.argwhere(mask)

    def shown(keep):
        points = np.argwhere(keep)
        grid = np.stack(np.meshgrid(np.arange(16), np.arange(16), indexing="ij"), -1).reshape(-1, 2)
        channels = [
            griddata(points, c[tuple(points.T)], grid, method="linear").reshape(16, 16) for c in image
        ]
        return np.where(keep, image, np.stack(channels))

    def measure(picture):
        p = torch.from_numpy(picture)[None]
        return webp_bytes(p[0]), float(model(p).softmax(1)[0, t]), float(model(p).argmax(1)[0] == t)

    assert len(known)
    whole, blurred = measure(image), measure(shown(mask))
    rows = [(0.0, 0.0, 0.0)]
    for threshold in THRESHOLDS:
        keep = (order >= np.quantile(order, 1 - threshold)) | mask
        values = measure(shown(keep))
        rows.append(
            tuple(
                np.clip((v - b) / (w - b), 0, 1) if w > b else np.nan
                for v, w, b in zip(values, whole, blurred, strict=True)
            )
        )
    rows = np.array([*sorted(rows), (1.0, 1.0, 1.0)])
    grid = np.linspace(0, 1, 1001)
    return [np.interp(grid, rows[:, 0], np.maximum.accumulate(rows[:, k])) for k in (1, 2)]


def test_equals_the_slow_twin():
    x, maps, model = pictures().double(), good_map().double(), Spot().eval()
    maps = maps + torch.rand(maps.shape, generator=torch.Generator().manual_seed(2)).double()
    seed = torch.zeros(256, dtype=torch.bool)
    seed[torch.randperm(256, generator=torch.Generator().manual_seed(0))[:3]] = True
    seed = seed.reshape(16, 16)
    seed[::15, ::15] = True
    found = information_curves(model, x, maps, 0)
    for i in range(3):
        sic, aic = slow(model, x[i].numpy(), maps[i].numpy(), 0, seed.numpy())
        np.testing.assert_allclose(found.sic.probability[i], sic, atol=1e-6)
        np.testing.assert_allclose(found.aic.probability[i], aic, atol=1e-6)


def test_a_good_order_beats_a_bad_one_and_curves_rise_from_0_to_1():
    x, model = pictures(4), Spot().eval()
    good = information_curves(model, x, good_map(4)[:, None])
    bad = information_curves(model, x, -good_map(4))
    for a, b in zip(good, bad, strict=True):
        assert (a.auc > b.auc + 0.1).all() and a.probability.shape == (4, 1001)
        assert (a.probability.diff(dim=1) >= 0).all()
        assert (a.probability[:, 0] >= 0).all() and (a.probability[:, -1] == 1).all()
    assert ((good.aic.probability == 0) | (good.aic.probability > 0)).all()
    alone = information_curves(model, x[1:2], good_map(1))
    torch.testing.assert_close(alone.sic.auc[0], good.sic.auc[1])
    middle = median_curve(good.sic)
    assert middle.probability.shape == (1, 1001)
    assert good.sic.auc.min() <= middle.auc[0] <= good.sic.auc.max()


def test_images_without_a_curve_are_nan():
    x, maps, model = pictures(4), good_map(4), Spot().eval()
    x[0] = x[0, :, :1, :1]  # one colour: the seeds tell everything
    x[1, :, 5:11, 5:11] = 0.5  # not confident
    maps[2] = 1.0
    found = information_curves(model, x, maps, 0)
    assert found.sic.auc.isnan().tolist() == [True, True, True, False]
    assert torch.equal(found.sic.auc.isnan(), found.aic.auc.isnan())
    assert median_curve(found.sic).auc.isfinite().all()
    with pytest.raises(ValueError, match="curve must have at least one row without nan"):
        median_curve(information_curves(model, x[:1], maps[:1], 0).sic)


def test_fill_is_exact_for_planes_and_keeps_what_is_known():
    r, c = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    plane = torch.stack((0.1 * r + 0.2 * c, 1 - 0.1 * r))
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[::7, ::7] = True
    torch.testing.assert_close(interpolated(plane, known), plane)
    assert torch.equal(interpolated(plane, torch.ones_like(known)), plane)
    known[0, 0] = False  # outside the hull: the mean
    torch.testing.assert_close(interpolated(plane, known)[:, 0, 0], plane.mean((1, 2)))


def test_webp_counts_information():
    flat, noise = torch.full((3, 16, 16), 0.5), torch.rand(3, 16, 16)
    assert webp_bytes(flat) < webp_bytes(noise[:1]) < webp_bytes(noise)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(thresholds=(0.0, 0.5)), "thresholds must be one or more shares"),
        (dict(seeds=1), "seeds must be a share below 1, got 1"),
        (dict(maps=good_map(2)), "maps must hold one map for each of the 3 images, got 2"),
        (
            dict(model=nn.Sequential(Spot(), nn.Dropout(0.5))),
            r"model must be in eval mode, got training mode \(1\)",
        ),
        (dict(x=2 * pictures()), r"x must be images in \[0, 1\], got pixels"),
    ],
)
def test_bad_input(options, words):
    given = dict(model=Spot().eval(), x=pictures(), maps=good_map()) | options
    with pytest.raises(ValueError, match=words):
        information_curves(**given)
