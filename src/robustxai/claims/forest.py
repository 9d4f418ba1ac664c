"""What a forest plot of claims shows: how far each value lies from the bound of its rule, in half widths of its
interval.

One scale for claims of any unit: 0 is the bound, right of it the rule is satisfied, and the interval reaches one half
width to either side, so that one that crosses 0 is undecided. Knows results as they are stored; draws nothing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from robustxai.claims.rules import parse
from robustxai.plots.forest import Bar
from robustxai.plots.numbers import interval as with_interval, number

MARKS = {
    "reproduced": "ok",
    "partly": "partly",
    "undecided": "open",
    "depends on an unknown": "open",
    "contradicted": "no",
    "not attempted": "none",
}
"""Verdicts to the kinds of mark that pages and pictures colour; see `robustxai.plots.forest.MARK_COLOURS`."""


@dataclass(frozen=True)
class ForestLine:
    """One value of one claim: `claim` its id, `setting` the name of the value where a claim has several, `ours` the
    value with its interval, `rule` in words, `verdict` and `whose` as stored, `bar` what is drawn.
    """

    claim: str
    setting: str
    ours: str
    rule: str
    verdict: str
    whose: str
    bar: Bar

    @property
    def kind(self) -> str:
        """How the verdict is drawn."""
        return MARKS[self.verdict]


def forest_lines(records: Iterable[Mapping[str, Any]]) -> list[ForestLine]:
    """The lines of stored claims, in order; a claim without a value, as one not attempted, has none.

    Raises ValueError for a rule that is none.

    >>> record = {"id": "a.b", "value": 0.3, "interval": [0.1, 0.5], "rule": {"kind": "sign", "sign": "positive"},
    ...           "rule_text": "positive", "verdict": "reproduced", "whose": "paper"}
    >>> (line,) = forest_lines([record])
    >>> line.ours, round(line.bar.value, 2), round(line.bar.low, 2), round(line.bar.high, 2)
    ('0.300 [0.100, 0.500]', 1.5, 0.5, 2.5)
    """
    return [line for record in records if record.get("value") is not None for line in _lines(record)]


def _lines(record: Mapping[str, Any]) -> list[ForestLine]:
    rule, value, bounds = parse(record["rule"]), record["value"], record.get("interval")
    whole = (record["id"], "", value, bounds)
    several = isinstance(value, Mapping) and not rule.named
    each = bounds if isinstance(bounds, Mapping) else {}
    parts = [(record["id"], name, value[name], each.get(name)) for name in value] if several else [whole]
    return [
        ForestLine(
            claim, setting, _ours(v, b), record["rule_text"], record["verdict"], record.get("whose", ""),
            _bar(*rule.margins(v, _known(b))),
        )
        for claim, setting, v, b in parts
    ]  # fmt: skip


def _known(bounds: Any) -> Any:
    """Bounds without those that a stored result holds as None, as with one seed."""
    ends = [end for pair in bounds.values() for end in pair] if isinstance(bounds, Mapping) else bounds
    return None if ends is None or any(end is None or math.isnan(end) for end in ends) else bounds


def _bar(margin: float | int, low: float | int, high: float | int) -> Bar:
    half = (high - low) / 2
    if not half > 0:  # no interval, or one of width 0: only the side is known
        return Bar(math.copysign(math.inf, margin) if margin else 0.0, math.nan, math.nan)
    return Bar(margin / half, low / half, high / half)


def _ours(value: Any, bounds: Any) -> str:
    if not isinstance(value, Mapping):
        return with_interval(value, bounds)
    return ", ".join(f"{name} {number(part)}" for name, part in value.items())
