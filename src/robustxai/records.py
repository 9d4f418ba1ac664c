"""Rows of tables and numbers with their interval: what a study hands to a notebook, and a notebook to the claims.

A number that depends on training is a mean over seeds with a t interval, never a single network; one that depends on
images alone has a bootstrap interval over them. Knows nothing about explainers, networks or tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from typing import TypeVar

import torch
from torch import Tensor

from robustxai.metrics import Interval, bootstrap_interval, t_interval

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
    """The arguments of `claims.check` for a measured value; no interval where it has no bounds, as with one seed.

    n: images; seeds: trainings; more: kept with the claim.

    >>> as_claim(over_seeds([0.5, 0.5]), n=100, seeds=2)
    {'value': 0.5, 'interval': (0.5, 0.5), 'n': 100, 'seeds': 2}
    """
    bounds = None if isnan(interval.low) else (interval.low, interval.high)
    return {"value": interval.value, "interval": bounds, "n": n, "seeds": seeds, **more}
