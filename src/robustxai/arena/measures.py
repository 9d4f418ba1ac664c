"""What is measured of a map under attack: how much of its top stays, and over which budgets.

Overlaps compare the clean maps `m` with the attacked ones `m2`, image by image; curve and area read them over budgets.
What a clean map says of its network is in `informative`; correlations, SSIM and mass on a mask are
`robustxai.metrics`. Knows no attack and no explainer.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robustxai.attacks.ghorbani import centre_of_mass
from robustxai.checks import (
    check_count,
    check_floats,
    check_length,
    check_positive,
    check_sequence,
    check_share,
)
from robustxai.metrics import topk_intersection
from robustxai.metrics.maps import constant, spatial
from robustxai.shapes import Maps, PerSample

SHARE, GRID_SHARE = 0.05, 0.2
"""Which share of the positions is the top of a map, at its own resolution and on the grid of a table."""
LEAST_IMAGES = 8
"""A cell of fewer images prints no number."""


def top_count(positions: int, share: float | int = SHARE) -> int:
    """k, the number of positions in the top `share` of a map, at least one.

    >>> top_count(3136), top_count(49, 0.2)
    (157, 10)
    """
    return max(1, round(check_share("share", share, open=True) * check_count("positions", positions)))


def chance(maps: Maps, share: float | int = SHARE) -> float:
    """k/d: what a map without any relation to these keeps of their top.

    >>> round(chance(torch.zeros(1, 1, 56, 56)), 4)
    0.0501
    """
    positions = spatial(maps)[0].numel()
    return top_count(positions, share) / positions


def overlap(m: Maps, m2: Maps, share: float | int = SHARE) -> PerSample:
    """P = |T(m) and T(m2)| / k in [0, 1], T the top `share` of a map (Ghorbani et al. 2019).

    A constant or dead attacked map orders nothing and counts as chance, k/d (`constant_maps` counts them); a constant
    clean map has no top: nan. nan also where a map is not finite. Raises ValueError for maps of other shapes.

    >>> m = torch.arange(40.0).reshape(1, 1, 5, 8)
    >>> overlap(m, m), overlap(m, -m), overlap(m, 0 * m), overlap(0 * m, m)
    (tensor([1.]), tensor([0.]), tensor([0.0500]), tensor([nan]))
    """
    a, b = spatial(m, "m"), spatial(m2, "m2")
    check_share("share", share, open=True)
    kept = topk_intersection(a, b, share)
    lost = constant_maps(b) & ~constant_maps(a) & a.flatten(1).isfinite().all(1)
    return torch.where(lost, chance(a, share), kept)


def constant_maps(maps: Maps) -> Tensor:
    """Which maps (n,) have one value everywhere, as dead ones do: they order nothing.

    >>> constant_maps(torch.stack((torch.zeros(2, 2), torch.eye(2))))
    tensor([ True, False])
    """
    return constant(spatial(maps).flatten(1))


def pooled(maps: Maps, grid: int) -> Float[Tensor, "n 1 grid grid"]:
    """U_g: means over areas, on a grid of `grid` x `grid`. Raises ValueError for a map that is coarser.

    >>> pooled(torch.ones(2, 1, 56, 56), 7).shape
    torch.Size([2, 1, 7, 7])
    """
    native = spatial(maps)
    if check_count("grid", grid) > min(native.shape[1:]):
        raise ValueError(
            f"grid must be at most the shorter side of the maps, {min(native.shape[1:])}, got {grid}"
        )
    return F.adaptive_avg_pool2d(native[:, None], grid)


def overlap_grid(m: Maps, m2: Maps, grid: int, share: float | int = GRID_SHARE) -> PerSample:
    """P_g: `overlap` of both maps as means over the `grid` x `grid` areas, the one resolution all rows have.

    >>> m = torch.zeros(1, 1, 8, 8)
    >>> m[..., 2:4, ::2] = 1 + torch.arange(4.0)
    >>> moved = m.roll(1, 3)
    >>> overlap(m, moved, 0.125), overlap_grid(m, moved, 4, 0.25)
    (tensor([0.]), tensor([1.]))
    """
    return overlap(pooled(m, grid), pooled(m2, grid), share)


def overlap_tolerant(m: Maps, m2: Maps, share: float | int = SHARE) -> PerSample:
    """P_tol: `overlap` after a box blur of a side of an eleventh, odd: a shift that nobody sees costs little
    (after Kamath et al. 2023).

    >>> m = torch.rand(1, 1, 56, 56, generator=torch.Generator().manual_seed(0))
    >>> bool(overlap_tolerant(m, m.roll(1, 3)) > overlap(m, m.roll(1, 3)) + 0.3)
    True
    """
    return overlap(_blurred(spatial(m, "m")), _blurred(spatial(m2, "m2")), share)


def _blurred(maps: Tensor) -> Tensor:
    width = 2 * round((min(maps.shape[1:]) / 11 - 1) / 2) + 1
    if width <= 1:
        return maps
    return F.avg_pool2d(maps[:, None], width, 1, width // 2, count_include_pad=False)[:, 0]


def centre_moved(m: Maps, m2: Maps) -> PerSample:
    """How far the centre of mass moved, as a share of the map's longer side; nan for a dead map.

    >>> m = torch.zeros(1, 1, 4, 4); m[..., 0, 0] = 1
    >>> centre_moved(m, m.roll(2, 3))
    tensor([0.5000])
    """
    a, b = spatial(m, "m")[:, None], spatial(m2, "m2")[:, None]
    far = (centre_of_mass(a) - centre_of_mass(b)).norm(dim=1) / max(a.shape[2:])
    empty = (a.abs().sum((1, 2, 3)) == 0) | (b.abs().sum((1, 2, 3)) == 0)
    return far.masked_fill(empty, torch.nan)


def above_chance(p: Float[Tensor, "*cells"], by_chance: float | int) -> Float[Tensor, "*cells"]:
    """Q = (P - k/d) / (1 - k/d): 1 for a map that keeps its top, 0 for one that keeps what chance keeps.

    >>> above_chance(torch.tensor([1.0, 0.05]), 0.05)
    tensor([1., 0.])
    """
    by_chance = check_share("by_chance", by_chance, open=True)
    return (p - by_chance) / (1 - by_chance)


def excess(noise: Float[Tensor, "*cells"], attacked: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """P under noise of the attack's realised size, minus P under the attack: what the search adds to the size.

    >>> excess(torch.tensor([0.75]), torch.tensor([0.5]))
    tensor([0.2500])
    """
    return noise - attacked


def curve_area(eps: Sequence[float | int], q: Float[Tensor, "budgets ..."]) -> Float[Tensor, "..."]:
    """A: the trapezoid of q over log2 eps, divided by its length, for each image; never shown without its curve.

    eps: rising budgets, two or more (1/255 to 8/255 have length 3). nan where a budget has none.

    >>> curve_area([1 / 255, 2 / 255, 8 / 255], torch.tensor([[1.0], [0.5], [0.0]]))
    tensor([0.4167])
    """
    check_sequence("eps", eps, "budgets", least=2)
    check_length("q", check_floats("q", q), "eps", len(eps))
    at = torch.tensor([math.log2(check_positive("eps", e)) for e in eps], dtype=torch.float64, device="cpu")
    if not (at.diff() > 0).all():
        raise ValueError(f"eps must rise, got {[round(float(e), 5) for e in eps]}")
    return (torch.trapezoid(q.cpu().double(), at, dim=0) / float(at[-1] - at[0])).to(q)
