"""Rows of tables and numbers with their interval: what a study hands to a notebook, and a notebook to the claims.

A number that depends on training is a mean over seeds with a t interval, never a single network; one that depends on
images alone has a bootstrap interval over them. Knows nothing about explainers, networks or tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isnan, nan
from typing import TypeVar

import torch
from torch import Tensor

from robustxai.metrics import Interval, bootstrap_interval, t_interval
from robustxai.metrics.statistics import crossed_interval

Row = dict[str, object]
"""One line of a table: column -> what stands in the cell."""
Rows = dict[str, dict[str, Tensor]]
"""What is compared, such as a method -> quantity -> one value an image (n,), nan where there is none."""
Triple = tuple[float, float, float]
"""(value, low, high)."""
R = TypeVar("R")


def triple(interval: Interval) -> Triple:
    """(value, low, high), as cells of tables and bars of figures take an interval.

    >>> triple(over_seeds([0.5, 0.5]))
    (0.5, 0.5, 0.5)
    """
    return interval.value, interval.low, interval.high


def over_seeds(values: Iterable[float | int]) -> Interval:
    """The mean of one value a seed with its 95 % t interval; nan left out, and bounds are nan for fewer than two.

    Raises ValueError for infinite values.

    >>> round(over_seeds(seed / 2 for seed in range(3)).high, 2)
    1.74
    """
    return t_interval(list(values))


def paired(values: Iterable[float | int], others: Iterable[float | int]) -> Interval:
    """The mean difference of two things, seed by seed, with its t interval.

    Raises ValueError when one has more seeds than the other.

    >>> paired([0.5, 1.0], [0.25, 0.75]).value
    0.25
    """
    return t_interval([a - b for a, b in zip(values, others, strict=True)])


def joined_rows(parts: list[Rows]) -> Rows:
    """The rows of several sets of images, or of several seeds, as one; names and quantities are those of the first.

    Raises KeyError when a later part lacks one of them, and IndexError when there is no part.

    >>> joined_rows([{"IG": {"gap": torch.zeros(2)}}, {"IG": {"gap": torch.ones(1)}}])["IG"]["gap"].tolist()
    [0.0, 0.0, 1.0]
    """
    return {
        name: {quantity: torch.cat([part[name][quantity] for part in parts]) for quantity in values}
        for name, values in parts[0].items()
    }


def select(records: Iterable[R], **values: object) -> list[R]:
    """The records whose attributes have these values, in order; None takes every value.

    Raises AttributeError for an attribute that a record lacks.

    >>> select([1 + 2j, 1 - 2j, 3j], real=1.0, imag=None)
    [(1+2j), (1-2j)]
    """
    return [r for r in records if all(v is None or getattr(r, name) == v for name, v in values.items())]


def over_images(rows: Mapping[str, Mapping[str, Tensor]], first: str = "method") -> list[Row]:
    """One line a row of values per image: its name under `first`, and (mean, low, high) of every quantity by bootstrap.

    Raises ValueError for infinite values.

    >>> over_images({"IG": {"gap": torch.full((3,), 0.5)}})
    [{'method': 'IG', 'gap': (0.5, 0.5, 0.5)}]
    """
    lines: list[Row] = []
    for name, values in rows.items():
        cells = {quantity: triple(bootstrap_interval(v)) for quantity, v in values.items()}
        lines.append(Row({first: name}) | cells)
    return lines


def as_claim(interval: Interval, *, n: int | None, seeds: int | None, **more: object) -> Row:
    """The arguments of `claims.check` for a measured value; bounds that are nan, as with one seed, decide nothing.

    n: images; seeds: trainings; more: kept with the claim.

    >>> as_claim(over_seeds([0.5, 0.5]), n=100, seeds=2)
    {'value': 0.5, 'interval': (0.5, 0.5), 'n': 100, 'seeds': 2}
    """
    return {
        "value": interval.value,
        "interval": (interval.low, interval.high),
        "n": n,
        "seeds": seeds,
        **more,
    }


def over_both(values: Tensor | Sequence[Sequence[float]]) -> Interval:
    """The mean of one value a network and image, (networks, images), with an interval over both.

    Every network has the same images; see `robustxai.metrics.statistics.crossed_interval`, also for its coverage.

    >>> over_both(torch.tensor([[0.0, 1.0], [0.0, 1.0]])).value
    0.5
    """
    return crossed_interval(values)


def extreme(cells: Mapping[str, Iterable[float | int]], *, least: bool = True) -> Interval:
    """The smallest (or largest) of several means over seeds, with an interval that holds for all of them together.

    Each of the k means has its t interval at 1 - 0.05 / k (Bonferroni), so all hold at once with 95 %, and with them
    the interval from the extreme of the lower to the extreme of the upper ends. The extreme of separate 95 % intervals
    holds less often the more cells there are.

    Raises ValueError for no cell.

    >>> found = extreme({"a": [0.1, 0.2, 0.3], "b": [0.5, 0.6, 0.7]})
    >>> round(found.value, 2), found.low < over_seeds([0.1, 0.2, 0.3]).low
    (0.2, True)
    """
    if not cells:
        raise ValueError("cells must map names to values, one or more, got none")
    found = [t_interval(list(v), confidence=1 - 0.05 / len(cells)) for v in cells.values()]
    pick = min if least else max
    value, low, high = (pick(getattr(i, end) for i in found) for end in ("value", "low", "high"))
    bounds = (nan, nan) if any(isnan(i.low) for i in found) else (low, high)
    n, skipped = (sum(getattr(i, count) for i in found) for count in ("n", "skipped"))
    return Interval(
        value, *bounds, n, skipped, f"{'least' if least else 'largest'} of {len(found)}, Bonferroni"
    )
