"""Entropy, energy and pointing: hand-computed maps, chance levels, resizing, dead maps."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import entropy as scipy_entropy

from robustxai.metrics import (
    border_mass,
    box_masks,
    dead,
    dead_share,
    energy_inside,
    entropy,
    pointing_game,
    resize,
)


def maps(seed: int = 0, n: int = 4, side: int = 7) -> torch.Tensor:
    return torch.randn(n, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("ones", [1, 24, 28, 49])
@pytest.mark.parametrize("height", [1e-30, 1.0, 1e30])
def test_entropy_of_a_binary_map_is_the_log_of_its_ones(ones, height):
    flat = torch.zeros(49)
    flat[:ones] = height
    assert entropy(flat.reshape(1, 1, 7, 7)).item() == pytest.approx(math.log(ones), abs=1e-5)


def test_entropy_equals_scipy_and_depends_on_the_normalisation():
    m = maps()
    expected = [scipy_entropy(x.relu().flatten().numpy()) for x in m]
    torch.testing.assert_close(entropy(m), torch.tensor(expected, dtype=torch.float64))
    shifted = [scipy_entropy((x - x.min()).flatten().numpy()) for x in m]
    torch.testing.assert_close(entropy(m, normalise="minmax"), torch.tensor(shifted, dtype=torch.float64))


@given(st.integers(0, 2**31 - 1), st.floats(1e-5, 1e5))
@settings(max_examples=15, deadline=None)
def test_entropy_knows_neither_scale_nor_place_and_is_bounded(seed, scale):
    m = maps(seed)
    h = entropy(m)
    assert (h >= 0).all() and (h <= math.log(49) + 1e-12).all()
    torch.testing.assert_close(entropy(m * scale), h)
    torch.testing.assert_close(entropy(m.flip(1, 2)), h)
    torch.testing.assert_close(entropy(3 * m + 7, normalise="minmax"), entropy(m, normalise="minmax"))


def test_border_mass_of_a_flat_map_is_chance():
    ring = torch.zeros(7, 7)
    ring[0] = ring[-1] = ring[:, 0] = ring[:, -1] = 1
    ring[1, 1] = ring[1, -2] = ring[-2, 1] = ring[-2, -2] = 1
    assert border_mass(torch.ones(2, 1, 7, 7), ring).tolist() == pytest.approx([28 / 49] * 2)
    assert border_mass(ring[None], ring).item() == 1
    assert border_mass((1 - ring)[None], ring.bool()).item() == 0
    assert border_mass(torch.stack([ring - 0.5, ring]), ring).tolist() == [1, 1]


def test_border_mass_resizes_nothing():
    with pytest.raises(ValueError, match=r"^mask must have the size of the maps, \(7, 7\), got \(14, 14\)"):
        border_mass(torch.ones(1, 7, 7), torch.ones(14, 14))


def test_energy_inside_resizes_to_the_mask():
    m = torch.zeros(2, 1, 4, 4)
    m[0, 0, 0, 0] = m[1, 0, 3, 3] = 1
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, :16, :16] = 1
    assert energy_inside(m, mask).tolist() == pytest.approx([1, 0], abs=1e-6)
    assert energy_inside(torch.ones(2, 4, 4), mask).tolist() == pytest.approx([0.25, 0.25])
    assert energy_inside(m, 0.5 * torch.ones(32, 32)).tolist() == pytest.approx([0.5, 0.5])


def test_energy_inside_without_resizing_is_border_mass():
    m, mask = maps(1), (maps(2) > 0)
    torch.testing.assert_close(energy_inside(m, mask), border_mass(m, mask))


def test_negative_values_carry_no_energy():
    m = maps(3)
    mask = maps(4) > 0
    torch.testing.assert_close(border_mass(m, mask), border_mass(m.relu(), mask))
    torch.testing.assert_close(energy_inside(m - 100 * (m < 0), mask), energy_inside(m, mask))


def test_pointing_game_hits_and_misses():
    m = torch.zeros(3, 8, 8)
    m[0, 2, 2] = m[1, 6, 6] = m[2, 4, 4] = 1
    mask = torch.zeros(8, 8)
    mask[:4, :4] = 1
    assert pointing_game(m, mask).tolist() == [1, 0, 0]
    assert pointing_game(m, mask, tolerance=1).tolist() == [1, 0, 1]
    assert pointing_game(m[:, None], mask.bool().expand(3, 1, 8, 8), tolerance=3).tolist() == [1, 1, 1]


def test_pointing_game_ties_give_the_expected_hit():
    mask = torch.zeros(8, 8)
    mask[:4, :4] = 1
    two = torch.zeros(1, 8, 8)
    two[0, 0, 0] = two[0, 7, 7] = 1
    assert pointing_game(two, mask).item() == 0.5


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
def test_a_constant_map_points_nowhere(value):
    m = maps(9)
    m[2] = value
    assert pointing_game(m, torch.eye(7)).isnan().tolist() == [False, False, True, False]


def test_pointing_game_at_the_resolution_of_the_mask():
    m = torch.zeros(1, 4, 4)
    m[0, 1, 1] = 1
    mask = torch.zeros(64, 64)
    mask[16:32, 16:32] = 1
    assert pointing_game(m, mask).item() == 1
    assert pointing_game(m, 1 - mask).item() == 0


@pytest.mark.parametrize(
    "measure", [entropy, lambda m: border_mass(m, m > 0), lambda m: energy_inside(m, m > 0)]
)
def test_dead_maps_are_nan_and_counted(measure):
    m = maps(5)
    m[1], m[2] = 0, -m[2].abs()
    assert measure(m).isnan().tolist() == [False, True, True, False]
    assert dead(m).tolist() == [False, True, True, False] and dead_share(m) == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_map_that_is_not_finite_gives_nan(bad):
    m, mask = maps(6), torch.ones(14, 14)
    m[0, 3, 3] = bad
    for value in (entropy(m), border_mass(m, mask[:7, :7]), energy_inside(m, mask), pointing_game(m, mask)):
        assert value.isnan().tolist() == [True, False, False, False]


def test_batch_equals_loop():
    m, mask = maps(7), torch.stack([torch.eye(14)] * 4)
    for measure in (energy_inside, pointing_game):
        together = measure(m, mask)
        torch.testing.assert_close(together, torch.cat([measure(m[i : i + 1], mask[i]) for i in range(4)]))


def test_box_masks_hold_both_ends():
    masks = box_masks(torch.tensor([[0.0, 1.0, 2.0, 1.0], [0.0, 0.0, 3.0, 2.0]]), (3, 4))
    assert masks.shape == (2, 3, 4)
    assert masks[0].int().tolist() == [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]] and masks[1].all()


def test_resize_keeps_what_fits_and_constants():
    m = maps(8)
    assert torch.equal(resize(m[:, None], (7, 7)), m)
    torch.testing.assert_close(resize(torch.full((1, 3, 3), 2.5), (8, 5)), torch.full((1, 8, 5), 2.5))


@pytest.mark.parametrize("shape", [(7, 7), (2, 3, 7, 7), (0, 7, 7)])
def test_wrong_ranks_are_named(shape):
    with pytest.raises(ValueError, match=r"^maps must be \(n, height, width\) .* got shape"):
        entropy(torch.zeros(shape))


def test_wrong_masks_and_options_are_named():
    with pytest.raises(ValueError, match=r"^mask must hold 1 mask or 4, .* got 3"):
        energy_inside(maps(), torch.ones(3, 7, 7))
    with pytest.raises(ValueError, match=r"^normalise must be one of relu, minmax, got 'max'"):
        entropy(maps(), normalise="max")
    with pytest.raises(ValueError, match=r"^tolerance must be an integer >= 0, got -1"):
        pointing_game(maps(), torch.ones(7, 7), tolerance=-1)
