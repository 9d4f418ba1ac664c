"""The menagerie: deterministic, differentiable, and its masks and factors tell the truth."""

import pytest
import torch

from robustxai.data.scenes import menagerie, render_menagerie
from robustxai.data.scenes.animals import ANIMAL_PARTS, ANIMALS
from robustxai.data.scenes.base import uniform_factors
from robustxai.data.scenes.menagerie import COLOURS, FACTOR_NAMES, FACTORS, LABEL_SETS, PARTS
from robustxai.data.scenes.textures import TEXTURES

CONTINUOUS = [s.name for s in FACTORS if s.kind == "continuous"]

# Mean colour of the image, and mean of the object mask, of each animal in test_pixels_are_frozen.
FROZEN_MEANS = [
    [0.67517, 0.70885, 0.76596],
    [0.69802, 0.74119, 0.77199],
    [0.70076, 0.75496, 0.75777],
    [0.64927, 0.74193, 0.78156],
    [0.63677, 0.74137, 0.79677],
    [0.64595, 0.72892, 0.80761],
    [0.66609, 0.72766, 0.80437],
    [0.68469, 0.73230, 0.79869],
    [0.66834, 0.72777, 0.77557],
    [0.66317, 0.73714, 0.79492],
]
FROZEN_AREAS = [0.10356, 0.09325, 0.12154, 0.07456, 0.10798, 0.09503, 0.10324, 0.09513, 0.09483, 0.10282]


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(name: str) -> int:
    return FACTOR_NAMES.index(name)


def every_animal(copies: int = 1, seed: int = 0) -> torch.Tensor:
    """Random factor vectors, `copies` of each animal in turn."""
    factors = uniform_factors(FACTORS, copies * len(ANIMALS), generator=gen(seed))
    factors[:, column("animal")] = torch.arange(len(factors)) % len(ANIMALS)
    return factors


def pool(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(images, 2)


def test_same_generator_same_pixels():
    a, b, c = (menagerie(12, size=32, generator=gen(s)) for s in (3, 3, 4))
    assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
    assert not torch.equal(a.images, c.images)


def test_no_global_seed_is_touched():
    before = torch.get_rng_state()
    menagerie(2, size=8, generator=gen())
    assert torch.equal(before, torch.get_rng_state())


def test_images_are_a_function_of_the_factors():
    s = menagerie(7, size=32, generator=gen())
    images, masks = render_menagerie(s.factors, 32)
    assert torch.equal(images, s.images) and torch.equal(masks, s.masks)
    shuffled = torch.randperm(7, generator=gen())
    torch.testing.assert_close(render_menagerie(s.factors[shuffled], 32)[0], s.images[shuffled])


def test_batch_equals_single_renders():
    factors = every_animal().double()
    images, masks = render_menagerie(factors, 24)
    singles = [render_menagerie(row[None], 24) for row in factors]
    torch.testing.assert_close(images, torch.cat([i for i, _ in singles]), atol=1e-12, rtol=0)
    torch.testing.assert_close(masks, torch.cat([m for _, m in singles]), atol=1e-12, rtol=0)


def test_ranges_shapes_and_masks():
    s = menagerie(40, size=48, generator=gen())
    assert s.images.shape == (40, 3, 48, 48) and s.masks.shape == (40, len(PARTS), 48, 48)
    assert s.images.min() >= 0 and s.images.max() <= 1 and s.images.std() > 0.1
    assert s.masks.min() > -1e-5 and s.masks.max() < 1 + 1e-5
    torch.testing.assert_close(s.mask("object") + s.mask("background"), torch.ones(40, 48, 48))
    torch.testing.assert_close(sum(s.mask(p) for p in ANIMAL_PARTS), s.mask("object"), atol=1e-5, rtol=0)
    assert (s.mask("texture") <= s.mask("object") + 1e-5).all()
    plain = s.factor("texture") == 0
    assert plain.any() and not s.mask("texture")[plain].any()
    assert (s.mask("texture")[~plain].sum((1, 2)) > 5).all()


def test_sampled_factors_stay_in_their_ranges_and_fill_them():
    factors = uniform_factors(FACTORS, 4000, generator=gen())
    for spec, values in zip(FACTORS, factors.T, strict=True):
        assert spec.low <= values.min() and values.max() <= spec.high, spec.name
        assert values.min() < spec.low + 0.02 * (spec.high - spec.low) + 1e-6, spec.name
        assert values.max() > spec.high - 0.02 * (spec.high - spec.low) - 1e-6, spec.name
        if spec.kind == "discrete":
            assert values.unique().tolist() == list(range(int(spec.low), int(spec.high) + 1)), spec.name
    for classes in LABEL_SETS:
        drawn = menagerie(120, size=1, classes=classes, generator=gen()).factors
        for spec, values in zip(FACTORS, drawn.T, strict=True):
            assert spec.low <= values.min() and values.max() <= spec.high, (classes, spec.name)


def test_factor_table_is_complete():
    assert len(set(FACTOR_NAMES)) == len(FACTOR_NAMES)
    assert all(s.low < s.high and s.meaning for s in FACTORS)
    assert (FACTORS[0].high, FACTORS[1].high, FACTORS[2].high) == (
        len(ANIMALS) - 1,
        len(TEXTURES) - 1,
        len(COLOURS) - 1,
    )


def test_animal_is_inside_the_image_at_the_corners_of_the_pose_ranges():
    corners = []
    for x in (0, 1):
        for y in (0, 1):
            for r in (0, 1):
                factors = every_animal(seed=8 * x + 2 * y + r)
                for name, side in (("x", x), ("y", y), ("rotation", r), ("scale", 1), ("head_size", 1)):
                    spec = FACTORS[column(name)]
                    factors[:, column(name)] = spec.high if side else spec.low
                factors[:, column("leg_length")] = 1.0
                corners.append(factors)
    mask = render_menagerie(torch.cat(corners), 64)[1][:, PARTS.index("object")]
    assert mask[:, 0].max() + mask[:, -1].max() + mask[:, :, 0].max() + mask[:, :, -1].max() == 0


def test_animal_takes_a_good_part_of_the_width():
    mask = menagerie(200, size=56, generator=gen()).mask("object") > 0.5
    width = mask.any(1).float().sum(1) / 56
    assert 0.35 < width.quantile(0.25) and width.quantile(0.9) < 0.65
    assert width.min() > 0.25


def test_gradient_against_finite_differences():
    # Random cotangents on images and masks; central differences in every continuous factor of all animals.
    factors = every_animal(seed=7).double()
    factors[:, column("texture")] = torch.arange(10).double() % 5 + 1
    weights = [torch.randn(1, c, 20, 20, generator=gen(1), dtype=torch.float64) for c in (3, len(PARTS))]

    def score(f: torch.Tensor) -> torch.Tensor:
        return sum((w * t).sum((1, 2, 3)) for w, t in zip(weights, render_menagerie(f, 20), strict=True))

    factors.requires_grad_()
    (grad,) = torch.autograd.grad(score(factors).sum(), factors)
    factors = factors.detach()
    index = torch.tensor([column(name) for name in CONTINUOUS])
    step = 1e-6 * torch.tensor([FACTORS[k].high - FACTORS[k].low for k in index], dtype=torch.float64)
    shift = torch.zeros(len(index), 1, len(FACTORS), dtype=torch.float64)
    shift[torch.arange(len(index)), 0, index] = step
    above, below = (score((factors + sign * shift).flatten(0, 1)).unflatten(0, (-1, 10)) for sign in (1, -1))
    numeric = (above - below) / (2 * step[:, None])
    assert torch.isfinite(grad).all()
    torch.testing.assert_close(grad[:, index].T, numeric, rtol=2e-4, atol=2e-4)
    assert (grad[:, index].abs().amax(0) > 1e-3).all()
    discrete = [k for k in range(len(FACTORS)) if k not in index]
    assert not grad[:, discrete].any()


def test_every_continuous_factor_changes_the_image():
    # From the low end of its range to the middle: several factors are angles, whose two ends are the same.
    factors = every_animal(seed=2)
    factors[:, column("texture")] = torch.arange(10) % 5 + 1
    low, middle = (factors.repeat(len(CONTINUOUS), 1, 1) for _ in range(2))
    for k, spec in enumerate(s for s in FACTORS if s.kind == "continuous"):
        low[k, :, column(spec.name)] = spec.low
        middle[k, :, column(spec.name)] = (spec.low + spec.high) / 2
    change = (
        render_menagerie(low.flatten(0, 1), 16)[0] - render_menagerie(middle.flatten(0, 1), 16)[0]
    ).abs()
    change = change.amax((1, 2, 3)).unflatten(0, (-1, 10)).median(1).values
    assert change.min() > 2 / 255, CONTINUOUS[int(change.argmin())]  # two grey levels; the weakest is sky_hue


def test_pixels_are_frozen():
    # Shipped weights were trained on exactly these pixels: a change here means training them again.
    middle = torch.tensor([(s.low + s.high) / 2 if s.kind == "continuous" else 0.0 for s in FACTORS])
    factors = middle.double().repeat(10, 1)
    for name, values in (("animal", range(10)), ("texture", [1, 2, 3, 4, 5] * 2), ("colour", range(10))):
        factors[:, column(name)] = torch.tensor(list(values), dtype=torch.float64)
    images, masks = render_menagerie(factors, 32)
    torch.testing.assert_close(images.mean((2, 3)), torch.tensor(FROZEN_MEANS).double(), atol=2e-5, rtol=0)
    areas = torch.tensor(FROZEN_AREAS).double()
    torch.testing.assert_close(masks[:, 0].mean((1, 2)), areas, atol=2e-5, rtol=0)


@pytest.mark.parametrize("part", ANIMAL_PARTS)
def test_mask_is_where_pixels_change_when_the_part_is_left_out(part: str):
    factors = every_animal(2, seed=5).double()
    factors[:, column("texture")] = 0
    full, masks = render_menagerie(factors, 64)
    rest, rest_masks = render_menagerie(factors, 64, without=(part,))
    mask = masks[:, PARTS.index(part)]
    change = (full - rest).abs().amax(1)
    assert change[mask == 0].max() < 1e-12  # nothing changes outside the part
    assert not rest_masks[:, PARTS.index(part)].any()
    # Where the landscape appears in its place, the part is seen to go.
    uncovered = (mask > 0.99) & (rest_masks[:, PARTS.index("background")] > 0.99)
    assert change[uncovered].min() > 0.005
    assert mask.sum() > 20 and uncovered.any()


def test_texture_mask_is_where_pixels_change_without_texture():
    factors = every_animal(seed=6).double()
    factors[:, column("texture")] = torch.arange(10).double() % 5 + 1
    full, masks = render_menagerie(factors, 64)
    rest, _ = render_menagerie(factors, 64, without=("texture",))
    change, mask = (full - rest).abs().amax(1), masks[:, PARTS.index("texture")]
    assert change[mask == 0].max() < 1e-12
    assert (change[mask > 0.5] > 1e-3).all()


def test_without_object_leaves_the_landscape():
    factors = every_animal()
    full, masks = render_menagerie(factors, 48, without=("shadow",))
    empty, empty_masks = render_menagerie(factors, 48, without=("object",))
    clear = (masks[:, PARTS.index("background")] == 1)[:, None].expand_as(full)
    torch.testing.assert_close(full[clear], empty[clear])
    assert (empty_masks[:, PARTS.index("background")] == 1).all()
    other = factors.clone()
    other[:, column("animal")] = (other[:, column("animal")] + 1) % 10
    torch.testing.assert_close(empty, render_menagerie(other, 48, without=("object",))[0])


def test_small_render_is_the_average_of_a_large_one():
    factors = every_animal(4, seed=9)
    small, small_masks = render_menagerie(factors, 56)
    large, large_masks = render_menagerie(factors, 112)
    assert (pool(large) - small).abs().mean() < 0.01
    assert (pool(large_masks) - small_masks).abs().mean() < 0.01
    assert ((pool(large) - small).abs().amax(1) > 0.25).float().mean() < 0.005


@pytest.mark.parametrize(
    ("classes", "count"),
    [
        ("animals2", 2),
        ("animals4", 4),
        ("animals10", 10),
        ("animal_texture60", 60),
        ("animal_colour100", 100),
    ],
)
def test_classes_are_balanced_and_decided_by_their_factors(classes: str, count: int):
    s = menagerie(2 * count + 1, size=8, classes=classes, generator=gen())
    counts = torch.bincount(s.labels, minlength=count)
    assert len(s.classes) == count == len(set(s.classes)) and counts.min() == 2 and counts.max() == 3
    for label, row in zip(s.labels.tolist(), s.factors, strict=True):
        assert s.classes[label].split()[-1] == ANIMALS[int(row[column("animal")])]
        if classes == "animal_texture60":
            assert s.classes[label].split()[0] == TEXTURES[int(row[column("texture")])]
        if classes == "animal_colour100":
            assert s.classes[label].split()[0] == list(COLOURS)[int(row[column("colour")])]
            assert row[column("texture_strength")] <= 0.3
    assert not torch.equal(s.labels, s.labels.sort().values)


def test_classes_from_pairs():
    pairs = (("horse", "striped"), ("horse", "plain"), ("corgi", "honeycombed"))
    s = menagerie(9, size=16, classes=pairs, generator=gen())
    assert s.classes == ("striped horse", "plain horse", "honeycombed corgi")
    want = {(0, 0, 1), (1, 0, 0), (2, 1, 3)}
    assert {(int(y), int(f[0]), int(f[1])) for y, f in zip(s.labels, s.factors, strict=True)} == want


def test_nothing_but_the_animal_depends_on_the_label():
    s = menagerie(2000, size=1, generator=gen())
    y = s.labels.double()
    for spec, values in list(zip(FACTORS, s.factors.T, strict=True))[1:]:
        r = torch.corrcoef(torch.stack((y, values.double())))[0, 1]
        assert r.abs() < 0.09, spec.name  # four standard errors


def test_dtype_and_size_one():
    s = menagerie(3, size=1, generator=gen(), dtype=torch.float64)
    assert s.images.dtype == s.masks.dtype == s.factors.dtype == torch.float64
    assert torch.isfinite(s.images).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cpu_generator_draws_the_same_scenes_on_the_gpu():
    here, there = (menagerie(20, size=32, generator=gen(), device=d) for d in ("cpu", "cuda"))
    assert there.images.device.type == there.labels.device.type == "cuda"
    assert torch.equal(here.labels, there.labels.cpu())
    torch.testing.assert_close(here.images, there.images.cpu(), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: menagerie(0), "n and size must be integers >= 1, got 0 and 64"),
        (lambda: menagerie(4, size=0), "n and size must be integers >= 1, got 4 and 0"),
        (lambda: menagerie(4, classes="dogs"), "classes must be one of animals2, animals4.*, got 'dogs'"),
        (lambda: menagerie(4, classes=(("zebra", "plain"),)), "classes must be pairs of an animal \\(horse"),
        (lambda: menagerie(4, classes=(("horse", "tartan"),)), "a texture \\(plain, striped"),
        (
            lambda: menagerie(4, classes=()),
            r"classes must hold at least one \(animal, texture\) pair, got none",
        ),
        (
            lambda: render_menagerie(torch.zeros(2, 3), 8),
            "factors must have the 52 columns of FACTOR_NAMES, got 3",
        ),
        (
            lambda: render_menagerie(torch.zeros(1, len(FACTORS)), 8, without=("wheel",)),
            "without must be names among object.*, got 'wheel'",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
