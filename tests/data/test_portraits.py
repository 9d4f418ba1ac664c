"""The portraits world: reproducible, differentiable, its masks true, its labels and confounders as asked."""

import sys

import pytest
import torch

from robustxai.data.scenes import Scenes, portraits, render_portraits
from robustxai.data.scenes.portraits import FACTOR_NAMES, FACTORS, PARTS
from robustxai.data.scenes.portraits_canvas import view
from robustxai.data.scenes.portraits_factors import sample_factors


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(n: int, seed: int = 0) -> torch.Tensor:
    return sample_factors(n, generator=seeded(seed))[0]


def column(name: str) -> int:
    return FACTOR_NAMES.index(name)


def test_same_generator_same_pixels() -> None:
    first, second = portraits(6, generator=seeded(3)), portraits(6, generator=seeded(3))
    assert torch.equal(first.images, second.images) and torch.equal(first.masks, second.masks)
    assert not torch.equal(first.images, portraits(6, generator=seeded(4)).images)


def test_the_sample_can_be_rendered_again() -> None:
    scenes = portraits(5, size=48, label="glasses", generator=seeded())
    assert isinstance(scenes, Scenes) and scenes.classes == ("no glasses", "glasses")
    images, masks = render_portraits(scenes.factors, 48)
    assert torch.equal(images, scenes.images) and torch.equal(masks, scenes.masks)


@pytest.mark.parametrize("size", [32, 64, 97])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_ranges_and_partition(size: int, dtype: torch.dtype) -> None:
    scenes = portraits(9, size=size, dtype=dtype, generator=seeded(1))
    assert scenes.images.shape == (9, 3, size, size) and scenes.masks.shape == (9, len(PARTS), size, size)
    assert scenes.images.dtype == scenes.masks.dtype == scenes.factors.dtype == dtype
    for maps in (scenes.images, scenes.masks):
        assert maps.min() >= -1e-6 and maps.max() <= 1 + 1e-6
    assert torch.allclose(scenes.masks.sum(1), torch.ones(9, size, size, dtype=dtype), atol=1e-5)


def test_factors_fill_their_ranges() -> None:
    values = draws(4000)
    for i, row in enumerate(FACTORS):
        v = values[:, i]
        assert v.min() >= row.low and v.max() <= row.high
        assert v.max() - v.min() > 0.98 * (row.high - row.low)
        if row.kind == "discrete":
            counts = torch.bincount(v.long() - int(row.low), minlength=int(row.high - row.low) + 1)
            assert torch.equal(v, v.round()) and counts.min() > 0.8 * counts.float().mean()


def test_batch_equals_loop() -> None:
    values = draws(7).float()
    images, masks = render_portraits(values, 40)
    for i in range(7):
        image, mask = render_portraits(values[i : i + 1], 40)
        assert torch.allclose(image[0], images[i], atol=2e-6) and torch.allclose(mask[0], masks[i], atol=2e-6)


@pytest.mark.parametrize("size", [32, 64])
def test_windows_cut_nothing_off(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = draws(30, seed=4)
    low = torch.tensor([row.low for row in FACTORS], dtype=values.dtype)
    high = torch.tensor([row.high for row in FACTORS], dtype=values.dtype)
    corner = torch.rand(values.shape, generator=seeded(5)) < 0.5
    values[10:] = torch.where(corner, low, high)[10:]
    tight = [render_portraits(row[None], size) for row in values]
    module = sys.modules["robustxai.data.scenes.portraits"]
    monkeypatch.setattr(module, "view", lambda f, size, box: view(f, size))
    images, masks = render_portraits(values, size)
    assert torch.allclose(torch.cat([image for image, _ in tight]), images, atol=1e-9)
    assert torch.allclose(torch.cat([mask for _, mask in tight]), masks, atol=1e-9)


def test_gradient_against_finite_differences() -> None:
    values = draws(6, seed=11)
    values[:, column("glasses")] = torch.linspace(0.2, 0.8, 6, dtype=torch.float64)
    g = seeded(5)
    paint = torch.rand(6, 3, 24, 24, generator=g, dtype=torch.float64)
    cover = torch.rand(6, len(PARTS), 24, 24, generator=g, dtype=torch.float64)

    def score(v: torch.Tensor) -> torch.Tensor:
        images, masks = render_portraits(v, 24)
        return (images * paint).sum((1, 2, 3)) + (masks * cover).sum((1, 2, 3))

    leaf = values.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(leaf).sum(), leaf)
    assert torch.isfinite(slope).all()
    h = 1e-6
    for i, row in enumerate(FACTORS):
        if row.name == "hair_style":
            assert slope[:, i].abs().max() == 0
            continue
        step = torch.zeros_like(values)
        step[:, i] = h
        numeric = (score(values + step) - score(values - step)) / (2 * h)
        assert torch.allclose(slope[:, i], numeric, rtol=1e-3, atol=1e-3), row.name
        assert slope[:, i].abs().max() > 1e-3, f"{row.name} changes nothing"


@pytest.mark.parametrize("part", PARTS)
def test_masks_agree_with_pixels_that_change_without_the_part(part: str) -> None:
    values = draws(24, seed=2)
    images, masks = render_portraits(values, 64)
    bare, rest = render_portraits(values, 64, without=(part,))
    change, mask = (images - bare).abs().amax(1), masks[:, PARTS.index(part)]
    assert rest[:, PARTS.index(part)].abs().max() == 0
    assert change[mask == 0].max() < 1e-9
    assert (change <= mask + 1e-9).all()
    assert (change[mask > 0.5] > 0.01).double().mean() > 0.97


LOCAL = {
    "smile": ("mouth",),
    "mouth_open": ("mouth",),
    "eye_open": ("eyes",),
    "eye_size": ("eyes",),
    "eye_colour": ("eyes",),
    "gaze_x": ("eyes",),
    "gaze_y": ("eyes",),
    "brow_height": ("brows",),
    "brow_angle": ("brows",),
    "glasses": ("glasses",),
    "hair_style": ("hair",),
    "hair_length": ("hair",),
    "hair_colour": ("hair", "brows"),
    "grey_hair": ("hair", "brows"),
    "age_lines": ("age_lines",),
    "background": ("background",),
    "gradient": ("background",),
    "clothes": ("clothes",),
}


@pytest.mark.parametrize("name", LOCAL)
def test_a_factor_shows_in_its_own_part_only(name: str) -> None:
    values, row = draws(12, seed=6), FACTORS[column(name)]
    low, high = values.clone(), values.clone()
    low[:, column(name)], high[:, column(name)] = row.low, row.high
    (before, a), (after, b) = render_portraits(low, 64), render_portraits(high, 64)
    own = sum(a[:, PARTS.index(p)] + b[:, PARTS.index(p)] for p in LOCAL[name])
    change = (after - before).abs().amax(1)
    assert change[own == 0].max() < 1e-9
    assert change.amax((1, 2)).max() > 0.05


def phi(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack((a.double(), b.double())))[0, 1])


@pytest.mark.parametrize("correlation", [-1.0, -0.6, 0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize(("label", "confounder"), [("smile", "glasses"), ("hair_style", "background")])
def test_confounder_has_the_asked_correlation(label: str, confounder: str, correlation: float) -> None:
    n = 8000
    values, labels = sample_factors(
        n, label=label, confounder=confounder, correlation=correlation, generator=seeded(8)
    )
    row = FACTORS[column(confounder)]
    other = values[:, column(confounder)] > (row.low + row.high) / 2
    spread = (1 - correlation**2) ** 0.5 / n**0.5  # phi is 2 p - 1, where p is the share of agreement
    assert abs(phi(labels, other) - correlation) <= 4 * max(spread, 1e-6)
    assert abs(labels.double().mean() - 0.5) < 4 * 0.5 / n**0.5
    assert abs(phi(labels, values[:, column("skin")] > 0.5)) < 4 / n**0.5


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("row", FACTORS, ids=lambda row: row.name)
def test_labels_are_the_thresholded_factor_with_its_margin(row, margin: float) -> None:
    values, labels = sample_factors(300, label=row.name, margin=margin, generator=seeded(9))
    v, middle = values[:, column(row.name)], (row.low + row.high) / 2
    assert torch.equal((v > middle).long(), labels)
    assert (v - middle).abs().min() >= margin * (row.high - row.low) / 2 * (row.kind == "continuous") - 1e-12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"label": "smirk"}, "label must be one of smile.*, got 'smirk'"),
        ({"confounder": "hat"}, "confounder must be one of smile.*, got 'hat'"),
        ({"confounder": "smile"}, "confounder must be another factor than the label, got 'smile'"),
        ({"confounder": "glasses", "correlation": 1.2}, r"correlation must be in \[-1, 1\], got 1.2"),
        (
            {"confounder": "glasses", "correlation": float("nan")},
            r"correlation must be in \[-1, 1\], got nan",
        ),
        ({"correlation": 0.5}, "correlation must be 0 without a confounder, got 0.5"),
        ({"margin": 1.0}, r"margin must be in \[0, 1\), got 1.0"),
        ({"n": 0}, "n must be an integer >= 1, got 0"),
        ({"size": 0}, "size must be an integer >= 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        portraits(**{"n": 2, **arguments})
    assert "\n" not in str(error.value) and not str(error.value).endswith(".")


def test_bad_factors_and_parts_are_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"factors must have 25 columns, .* got 3"):
        render_portraits(torch.zeros(2, 3), 16)
    with pytest.raises(ValueError, match=r"without must be parts among face.*, got 'hat'"):
        render_portraits(draws(2), 16, without=("hat",))


def test_a_subset_keeps_images_labels_factors_and_masks_together():
    whole = portraits(5, size=16, generator=torch.Generator().manual_seed(0))
    some = whole.subset(torch.tensor([3, 0]))
    assert len(some) == 2 and some.classes == whole.classes
    for name in ("images", "labels", "factors", "masks"):
        assert torch.equal(getattr(some, name), getattr(whole, name)[[3, 0]])
