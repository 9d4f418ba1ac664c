"""Who stands above whom, and what cannot be told apart: intervals over networks and images, paired tests, ranks.

Values are row -> network -> one number an image (n,), higher is better, nan where there is none; all rows of a network
have the same images, so rows are compared image by image. Nobody wins here by a mean alone: `standings` gives each
row a rank interval and a place, and rows that the paired tests cannot tell from the best of their group share it.
Knows names and numbers only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy.stats import wilcoxon
from torch import Tensor

from robustxai.arena.cells import ArenaCell
from robustxai.arena.clusters import (
    RESAMPLES,
    RowValues,
    cluster_means,
    clustered_interval,
    clusters_of,
    resampled_means,
)
from robustxai.arena.measures import LEAST_IMAGES
from robustxai.checks import check_count
from robustxai.concepts.significance import corrected
from robustxai.metrics import Interval, spearman
from robustxai.metrics.inputs import wide
from robustxai.metrics.maps import average_ranks

LEVEL = 0.05


@dataclass(frozen=True)
class PairedRows:
    """One pair of rows on the images both have: the mean difference row - other with its interval, Wilcoxon's p, and p
    after Holm over all pairs of the table. nan p: fewer than 8 images, and nothing is told apart."""

    row: str
    other: str
    difference: Interval
    p: float | int
    adjusted: float | int

    @property
    def apart(self) -> bool:
        """Whether the two rows can be told apart at 5 %, after Holm."""
        return self.adjusted <= LEVEL


@dataclass(frozen=True)
class Standing:
    """A row's mean with its interval, its rank by the mean with a 95 % rank interval, and the place it shares."""

    row: str
    value: Interval
    rank: int
    rank_low: float | int
    rank_high: float | int
    place: int


@dataclass(frozen=True)
class OrderStability:
    """Spearman of the orders of rows, mean and least over pairs of networks."""

    mean: float | int
    least: float | int
    networks: int
    rows: int


def ranked_values(
    cells: Sequence[ArenaCell], eps: float | int, readout: str = "own", defence: str = "none"
) -> RowValues:
    """The worst P of the cells that have a rank: state attacked and 8 images or more.

    A cell of any other state has none ("not attacked" is no number, a proof is no measurement).
    """
    found: dict[str, dict[str, Tensor]] = {}
    for cell in cells:
        here = math.isclose(cell.eps, eps) and cell.readout == readout and cell.defence == defence
        if here and cell.state == "attacked" and cell.number is not None:
            found.setdefault(cell.row, {})[cell.network] = cell.worst
    return found


def comparisons(
    values: RowValues, *, images: Mapping[str, str] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> list[PairedRows]:
    """Every pair of rows: paired Wilcoxon over images, Holm over all pairs of the table, mean difference, interval.

    images: network -> the name of its set of images; the differences of networks on one set are averaged image by
    image before the test, since the same image twice is not two. By default every network has its own set.

    >>> a = torch.linspace(0, 1, 12)
    >>> found = comparisons({"A": {"s0": a + 0.2 + 0.01 * a}, "B": {"s0": a}})
    >>> found[0].apart, round(found[0].difference.value, 3)
    (True, 0.205)
    """
    pairs, tested = list(combinations(values, 2)), []
    for row, other in pairs:
        common = {n: wide(values[row][n]) - wide(values[other][n]) for n in values[row] if n in values[other]}
        difference = clustered_interval(common, resamples=resamples, seed=seed)
        tested.append((difference, signed_ranks(_by_image(common, images or {}))))
    adjusted = corrected([p for _, p in tested])
    return [
        PairedRows(row, other, difference, p, after)
        for (row, other), (difference, p), after in zip(pairs, tested, adjusted, strict=True)
    ]


def standings(
    values: RowValues, *, images: Mapping[str, str] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> list[Standing]:
    """The rows from the highest mean to the lowest, with rank intervals and shared places.

    Ranks are taken in every resample, in which all rows have the same networks and images. The first row and all that
    are not told apart from it (`comparisons`) share place 1; the first row below them opens the next place.

    >>> a = torch.linspace(0, 0.5, 12)
    >>> rows = standings({"low": {"s0": a}, "high": {"s0": a + 0.4 + 0.1 * a}, "tie": {"s0": a + 0.44 - 0.05 * a}})
    >>> [(r.row, r.place) for r in rows]
    [('tie', 1), ('high', 1), ('low', 3)]
    """
    names = list(values)
    if not names:
        return []
    pairs = comparisons(values, images=images, resamples=resamples, seed=seed)
    apart = {frozenset((c.row, c.other)) for c in pairs if c.apart}
    table = clusters_of(values)
    means, draws = (
        cluster_means(table),
        torch.from_numpy(resampled_means(table, check_count("resamples", resamples), seed)),
    )
    ranks = average_ranks(-draws.nan_to_num(-torch.inf)).numpy()
    low, high = np.percentile(ranks, [2.5, 97.5], axis=0)
    order = sorted(range(len(names)), key=lambda i: -means[i])
    places: dict[str, int] = {}
    for position, i in enumerate(order):
        if names[i] in places:
            continue
        rest = [names[j] for j in order[position:] if names[j] not in places]
        place = len(places) + 1
        places |= {other: place for other in rest if frozenset((names[i], other)) not in apart}
    return [
        Standing(
            names[i], clustered_interval(values[names[i]], resamples=resamples, seed=seed), rank,
            float(low[i]), float(high[i]), places[names[i]],
        )
        for rank, i in enumerate(order, 1)
    ]  # fmt: skip


def order_stability(values: RowValues) -> OrderStability:
    """How alike networks order the rows that all of them have; nan for fewer than two networks or three rows.

    >>> values = {r: {"s0": torch.tensor([v]), "s1": torch.tensor([2 * v])} for r, v in zip("abc", (1.0, 2.0, 3.0))}
    >>> round(order_stability(values).mean, 4)
    1.0
    """
    networks = sorted({n for by_network in values.values() for n in by_network})
    rows = [row for row, by_network in values.items() if set(by_network) == set(networks)]
    if len(networks) < 2 or len(rows) < 3:
        return OrderStability(math.nan, math.nan, len(networks), len(rows))
    means = torch.tensor(
        [[float(wide(values[r][n]).nanmean()) for r in rows] for n in networks],
        dtype=torch.float64,
        device="cpu",
    )
    found = [float(spearman(means[a : a + 1], means[b])) for a, b in combinations(range(len(networks)), 2)]
    return OrderStability(float(np.mean(found)), min(found), len(networks), len(rows))


def _by_image(differences: Mapping[str, Tensor], images: Mapping[str, str]) -> Tensor:
    sets: dict[str, list[Tensor]] = {}
    for network, difference in differences.items():
        sets.setdefault(images.get(network, network), []).append(difference)
    means = [torch.stack([d[: min(map(len, group))] for d in group]).nanmean(0) for group in sets.values()]
    return torch.cat(means) if means else torch.empty(0, dtype=torch.float64, device="cpu")


def signed_ranks(differences: Tensor) -> float:
    """Two-sided p of Wilcoxon's signed ranks of differences (n,); 1 where nothing differs, nan below `LEAST_IMAGES`.

    >>> signed_ranks(torch.zeros(8)), round(signed_ranks(torch.arange(1.0, 9)), 4)
    (1.0, 0.0078)
    """
    known = wide(differences[differences.isfinite()]).numpy()
    if len(known) < LEAST_IMAGES:
        return math.nan
    return float(np.asarray(wilcoxon(known))[1]) if known.any() else 1.0
