"""What is measured of a map under attack: cases solved by hand, and the undefined ones."""

import math

import pytest
import torch
from torch import Tensor

from robustxai.arena.measures import (
    _blurred,
    above_chance,
    centre_moved,
    chance,
    constant_maps,
    curve_area,
    excess,
    overlap,
    overlap_grid,
    overlap_tolerant,
    pooled,
    top_count,
)


def noise(seed: int, n: int = 3, side: int = 20) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(seed))


def test_overlap_by_hand() -> None:
    m = torch.zeros(1, 1, 10, 10)
    m[0, 0, 0, :5] = torch.arange(5.0, 0, -1)
    other = torch.zeros_like(m)
    other[0, 0, 0, 2:7] = 1 + torch.arange(5.0)
    assert overlap(m, other).tolist() == pytest.approx([3 / 5])
    assert overlap(m, other, 0.02).tolist() == [0.0]
    assert overlap(m, 7 * m).tolist() == [1.0]


def test_unrelated_maps_overlap_as_chance_does() -> None:
    a, b = noise(0, 200), noise(1, 200)
    assert float(overlap(a, b).mean()) == pytest.approx(chance(a), abs=0.02)
    assert float(overlap_grid(a, b, 5).mean()) == pytest.approx(0.2, abs=0.03)
    assert float(above_chance(overlap(a, b), chance(a)).mean()) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("measure", [overlap, lambda a, b: overlap_grid(a, b, 5), overlap_tolerant])
def test_a_dead_or_constant_attacked_map_counts_as_chance(measure) -> None:
    m = noise(0)
    by_chance = 5 / 25 if measure not in (overlap, overlap_tolerant) else chance(m)
    for gone in (torch.zeros_like(m), torch.full_like(m, 0.7)):
        assert measure(m, gone).tolist() == pytest.approx([by_chance] * 3)
        assert constant_maps(gone).all()


@pytest.mark.parametrize("measure", [overlap, lambda a, b: overlap_grid(a, b, 5), overlap_tolerant])
def test_a_constant_clean_map_and_nan_have_no_overlap(measure) -> None:
    m = noise(0)
    spoiled = m.clone()
    spoiled[1, 0, 3, 3] = torch.nan
    assert measure(0 * m, m).isnan().all() and measure(0 * m, 0 * m).isnan().all()
    for found in (measure(spoiled, m), measure(m, spoiled), measure(spoiled, 0 * m)):
        assert found.isnan().tolist() == [False, True, False]


def test_pooling_takes_means_over_areas() -> None:
    m = noise(2, side=56)
    assert torch.allclose(pooled(m, 7), m.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)))
    with pytest.raises(ValueError, match=r"^grid must be at most the shorter side of the maps, 56, got 57$"):
        pooled(m, 57)


def test_the_blur_is_five_of_fifty_six_and_nothing_on_a_coarse_map() -> None:
    dot = torch.zeros(1, 1, 56, 56)
    dot[..., 28, 28] = 1
    spread = _blurred(dot[:, 0])
    assert int((spread > 0).sum()) == 25 and float(spread.sum()) == pytest.approx(1)
    coarse = noise(0, side=7)
    assert torch.equal(overlap_tolerant(coarse, coarse.roll(1, 3)), overlap(coarse, coarse.roll(1, 3)))


def test_a_local_shift_costs_less_with_tolerance() -> None:
    m = noise(3, 8, 56)
    shifted = m.roll(1, 3)
    assert float(overlap_tolerant(m, shifted).mean()) > float(overlap(m, shifted).mean()) + 0.3


def test_the_centre_moves_by_shares_of_the_side() -> None:
    m = torch.zeros(2, 1, 8, 8)
    m[:, 0, 1, 1] = 1
    assert centre_moved(m, m.roll((3, 4), (2, 3))).tolist() == pytest.approx([5 / 8] * 2)
    assert centre_moved(m, 0 * m).isnan().all()


def test_area_by_hand_and_with_a_missing_budget() -> None:
    eps = [e / 255 for e in (1, 2, 4, 8)]
    q = torch.tensor([[1.0, 1.0], [0.6, 1.0], [0.2, 1.0], [0.0, math.nan]])
    found = curve_area(eps, q)
    assert float(found[0]) == pytest.approx((0.8 + 0.4 + 0.1) / 3) and bool(found[1].isnan())
    assert float(curve_area(eps, torch.ones(4))) == pytest.approx(1)
    for bad in ([0.1, 0.1], [0.2, 0.1], [0.0, 0.1]):
        with pytest.raises(ValueError, match=r"^eps must "):
            curve_area(bad, torch.ones(2))
    with pytest.raises(ValueError, match=r"^q must have one entry for each of the 4 of eps, got 3$"):
        curve_area(eps, torch.ones(3))


@pytest.mark.usefixtures("as_shipped")
def test_counts_excess_and_bad_shares() -> None:
    assert top_count(3136) == 157 and top_count(49, 0.2) == 10 and top_count(3) == 1
    assert excess(torch.tensor([0.9, math.nan]), torch.tensor([0.5, 0.1]))[0] == pytest.approx(0.4)
    for bad in (0, 1, -0.1, math.nan, "half"):
        with pytest.raises(ValueError, match=r"^share must be a number in \(0, 1\)"):
            overlap(noise(0), noise(1), bad)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^b must have the shape of a"):
        overlap(noise(0), noise(1, side=21))
