"""The chapter's numbers with their intervals, as `claims.check` takes them: over networks, random sets or test images.

A number that is the largest or smallest of several has one interval for all of them together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import nan

import torch
from torch import Tensor

from robustxai.metrics.statistics import share_interval
from robustxai.records import Row, as_claim, extreme, over_both, over_seeds


def of_networks(values: Iterable[float]) -> Row:
    """The mean of one value a network with its t interval; n is their number.

    >>> of_networks([0.5, 0.5])["interval"], of_networks([0.5, 0.5])["n"]
    ((0.5, 0.5), 2)
    """
    found = list(values)
    return as_claim(over_seeds(found), n=len(found), seeds=None)


def least_of(values: Mapping[str, Sequence[float]]) -> Row:
    """The smallest of several means over networks; n is the number of networks in each.

    >>> least_of({"a": [0.5, 0.5], "b": [1.0, 1.0]})["value"]
    0.5
    """
    return as_claim(extreme(values), n=min(map(len, values.values())), seeds=None)


def most_changed(changes: Mapping[str, Tensor]) -> Row:
    """The largest mean change in size, up or down, of several, each with one value a random set (runs,).

    Both signs of every change are among the numbers that the interval holds for; n is the number of random sets.

    >>> most_changed({"a": torch.tensor([-0.5, -0.5]), "b": torch.tensor([0.25, 0.25])})["value"]
    0.5
    """
    signed = {f"{name}, {sign:+d}": (sign * v).tolist() for name, v in changes.items() for sign in (1, -1)}
    found = extreme(signed, least=False)
    n = min(map(len, changes.values()))
    return {"value": found.value, "interval": (max(found.low, 0.0), found.high), "n": n}


def share_of_cells(hits: Sequence[Sequence[bool]]) -> Row:
    """The share of yes among answers (networks, sets), every network on the same sets; n is the number of networks.

    The interval is the wider one, to either side, of that over networks and sets and of the exact binomial one over
    all answers: where all answers are alike, the first has no width. nan for one network or set.

    >>> found = share_of_cells([[False] * 20, [False] * 20])
    >>> found["value"], found["n"], round(found["interval"][1], 2)
    (0.0, 2, 0.09)
    """
    table = torch.tensor([list(row) for row in hits], dtype=torch.float64, device="cpu")
    both, exact = over_both(table), share_interval(int(table.sum()), table.numel())
    low, high = min(both.low, exact[0]), max(both.high, exact[1])
    return {"value": both.value, "interval": (max(low, 0.0), min(high, 1.0)), "n": len(table)}


def least_share(groups: Sequence[tuple[int, int]]) -> Row:
    """The smallest share of several, each as (yes, of how many), with exact binomial intervals that hold for all
    of them together; groups without an answer are left out, and n is of the smallest group. nan where none is left.

    >>> found = least_share([(6, 6), (0, 0), (3, 6)])
    >>> found["value"], found["n"], tuple(round(v, 2) for v in found["interval"])
    (0.5, 6, (0.09, 0.91))
    """
    kept = [(hits, n) for hits, n in groups if n]
    if not kept:
        return {"value": nan, "interval": (nan, nan), "n": 0}
    ends = [share_interval(hits, n, confidence=1 - 0.05 / len(kept)) for hits, n in kept]
    low, high = (min(pair[i] for pair in ends) for i in (0, 1))
    return {
        "value": min(hits / n for hits, n in kept), "interval": (low, high), "n": min(n for _, n in kept)
    }  # fmt: skip


def setting_shares(settings: Mapping[str, Sequence[bool]]) -> Row:
    """The share of yes in every setting of a claim, with its exact binomial interval; n is of the smallest setting.

    Raises ValueError for a setting without answers.

    >>> found = setting_shares({"small": [False, False], "large": [True, True]})
    >>> found["value"], found["n"]
    ({'small': 0.0, 'large': 1.0}, 2)
    """
    return {
        "value": {name: sum(hits) / max(1, len(hits)) for name, hits in settings.items()},
        "interval": {name: share_interval(sum(hits), len(hits)) for name, hits in settings.items()},
        "n": min(map(len, settings.values())),
    }


def counted(answers: Sequence[bool]) -> tuple[int, int]:
    """(yes, of how many), as `least_share` takes them.

    >>> counted([True, False])
    (1, 2)
    """
    return sum(answers), len(answers)
