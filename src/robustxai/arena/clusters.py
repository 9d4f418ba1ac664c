"""The bootstrap of the arena: networks, then the images of each, the same draw for all rows of a table.

Values are row -> network -> one number an image (n,), nan where there is none. Knows names and numbers only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustxai.checks import check_count, check_share
from robustxai.metrics import Interval
from robustxai.metrics.inputs import wide

RowValues = Mapping[str, Mapping[str, Tensor]]
"""row -> network -> (n,) values, such as the worst P or the area of each image."""
RESAMPLES = 2000


def clustered_interval(
    networks: Mapping[str, Tensor],
    *,
    confidence: float | int = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean over networks of the mean over images, by percentile bootstrap: networks, then images within each.

    Of one network the images alone vary. With few networks the interval is too short, as every bootstrap of few
    clusters is: show the networks as well. nan values are left out and counted; nan bounds below two values.

    >>> clustered_interval({"s0": torch.tensor([0.5, 0.5]), "s1": torch.tensor([0.5, float("nan")])})
    Interval(value=0.5, low=0.5, high=0.5, n=3, skipped=1, method='networks, then images')
    """
    confidence = check_share("confidence", confidence, open=True)
    if not networks:
        return Interval(math.nan, math.nan, math.nan, 0, 0, "none")
    table = clusters_of({"": networks})
    draws = resampled_means(table, check_count("resamples", resamples), seed)[:, 0]
    n, skipped = (
        int(np.isfinite(table.values).sum()),
        sum(int(wide(v).isnan().sum()) for v in networks.values()),
    )
    value = float(cluster_means(table)[0])
    if n < 2:
        return Interval(value, math.nan, math.nan, n, skipped, "none")
    low, high = np.nanpercentile(draws, [50 * (1 - confidence), 50 * (1 + confidence)])
    method = "networks, then images" if len(networks) > 1 else "percentile"
    return Interval(value, float(low), float(high), n, skipped, method)


@dataclass(frozen=True)
class Clusters:
    """values (rows, networks, images), padded with nan; sizes: images of each network.

    >>> clusters_of({"row": {"s0": torch.ones(3), "s1": torch.ones(2)}}).sizes
    [3, 2]
    """

    values: np.ndarray
    sizes: list[int]


def clusters_of(values: RowValues) -> Clusters:
    """A table of rows, networks and images; a row without a network has nan there."""
    networks = sorted({n for by_network in values.values() for n in by_network})
    sizes = [max(len(v[n]) for v in values.values() if n in v) for n in networks]
    table = np.full((len(values), len(networks), max(sizes, default=0)), np.nan)
    for i, by_network in enumerate(values.values()):
        for j, n in enumerate(networks):
            if n in by_network:
                table[i, j, : len(by_network[n])] = wide(by_network[n]).numpy()
    return Clusters(table, sizes)


def cluster_means(table: Clusters) -> np.ndarray:
    """(rows,): over networks of the mean over images."""
    tensor = torch.from_numpy(table.values)
    return tensor.nanmean(2).nanmean(1).numpy()


def resampled_means(table: Clusters, resamples: int, seed: int) -> np.ndarray:
    """(resamples, rows): the means of all rows on the same networks and images, drawn with replacement."""
    rng, networks = np.random.default_rng(seed), len(table.sizes)
    known, filled = np.isfinite(table.values), np.nan_to_num(table.values)
    total = np.zeros((resamples, len(table.values)))
    count = np.zeros_like(total)
    for _ in range(networks):
        chosen = rng.integers(networks, size=resamples) if networks > 1 else np.zeros(resamples, dtype=int)
        for j, size in enumerate(table.sizes):
            at = np.flatnonzero(chosen == j)
            often = rng.multinomial(size, np.full(size, 1 / size), size=len(at)).astype(float)
            weight = often @ known[:, j, :size].T
            some = weight > 0
            mean = (often @ filled[:, j, :size].T) / np.where(some, weight, 1)
            total[at] += np.where(some, mean, 0)
            count[at] += some
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
