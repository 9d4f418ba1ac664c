"""Verdicts: what follows from a rule, a measured value and its interval.

- reproduced: the value and its whole interval satisfy the rule
- contradicted: the whole interval violates it
- undecided: the interval contains the bound; `samples_needed` says about how many samples would decide
- partly: holds in some of the settings that were named beforehand and fails in others
- depends on an unknown: the paper does not say what was chosen, and the verdict turns with the choice
- not attempted: no data, no hardware, or the premise of the claim does not hold here

A quantity that varies with images, networks or draws has no verdict without an interval.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import t as student

from robustxai.claims.ranges import Rule
from robustxai.claims.values import as_interval, as_value
from robustxai.metrics.statistics import share_interval

VERDICTS = (
    "reproduced",
    "partly",
    "undecided",
    "depends on an unknown",
    "contradicted",
    "not attempted",
)
MOST = 10_000
"""More samples than this are not promised to decide anything."""


def judge(rule: Rule, value: Any, *, interval: Any = None, exact: bool = False) -> str:
    """The verdict on one measured value: "reproduced", "contradicted" or "undecided".

    exact: the quantity does not vary with images, networks or draws (an identity, an entropy of a fixed target); only
    then a value without an interval is judged. Raises ValueError for a value or an interval that is not finite, for
    low > high, and for other names than the rule's: none of them is a verdict.

    >>> from robustxai.claims.rules import parse
    >>> rule = parse({"kind": "at_least", "value": 0.9})
    >>> [judge(rule, v, interval=i) for v, i in ((0.95, (0.92, 1)), (0.95, (0.85, 1)), (0.8, (0.7, 0.89)))]
    ['reproduced', 'undecided', 'contradicted']
    """
    value, interval = as_value(rule, value), as_interval(rule, interval)
    if interval is None:
        if not exact:
            return "undecided"
        return "reproduced" if rule.holds(value) else "contradicted"
    if rule.holds(value) and rule.certain(interval):
        return "reproduced"
    return "contradicted" if not rule.holds(value) and rule.excluded(interval) else "undecided"


def over_settings(verdicts: Sequence[str], *, unknown: bool = False) -> str:
    """One verdict over the settings of a claim, or over the choices for what the paper does not say (`unknown`).

    It is partly, or depends on the choice, where one is reproduced and another contradicted.

    >>> over_settings(["reproduced", "contradicted"]), over_settings(["reproduced", "contradicted"], unknown=True)
    ('partly', 'depends on an unknown')
    """
    found = set(verdicts)
    if len(found) == 1:
        return found.pop()
    if not {"reproduced", "contradicted"} <= found:
        return "undecided"
    return "depends on an unknown" if unknown else "partly"


def samples_needed(rule: Rule, value: Any, interval: Any, n: int | None) -> int | None:
    """About how many samples like the present n would decide: the half width of a t interval falls as t / sqrt(n).

    None where nobody can say: no interval, fewer than two samples, a value on the bound, several names, or more than
    `MOST`. Rounded up to one digit, as it is a rough number: 5, 20, 300.

    >>> from robustxai.claims.rules import parse
    >>> samples_needed(parse({"kind": "sign", "sign": "positive"}), 0.1, (-0.1, 0.3), 3)
    5
    """
    if isinstance(interval, Mapping) or interval is None or n is None or n < 2:
        return None
    half, distance = (interval[1] - interval[0]) / 2, rule.distance(value)
    if not distance > 0 or not half > 0:
        return None
    spread = half * math.sqrt(n) / float(student.ppf(0.975, n - 1))
    more = n
    while more <= MOST and float(student.ppf(0.975, more - 1)) * spread / math.sqrt(more) >= distance:
        more += max(1, more // 50)
    return _rounded_up(more) if more <= MOST else None


def outcomes_needed(rule: Rule, hits: int, n: int) -> int | None:
    """About how many yes-or-no outcomes with the share of `hits` in n would decide, by their exact interval.

    None for no outcome, a share on the bound, and more than `MOST`. Rounded up to one digit.

    >>> from robustxai.claims.rules import parse
    >>> outcomes_needed(parse({"kind": "at_least", "value": 0.9}), 6, 6)  # 36, as 0.025 ** (1 / 36) > 0.9
    40
    """
    if n < 1 or not rule.distance(hits / n) > 0:
        return None
    more = n
    while more <= MOST:
        again = round(hits / n * more)
        if judge(rule, again / more, interval=share_interval(again, more)) != "undecided":
            return _rounded_up(more)
        more += max(1, more // 50)
    return None


def _rounded_up(count: int) -> int:
    unit = 10 ** (len(str(count)) - 1)
    return -(-count // unit) * unit
