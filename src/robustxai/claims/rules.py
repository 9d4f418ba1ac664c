"""Rules: what a measured value must satisfy for a claim to count as reproduced, as data that anybody can
read.

A rule is written in the ledger before the run, e.g. `{kind: at_least, value: -0.02}`. It knows nothing about
papers, ledgers or files. `parse` turns the mapping into one of the small classes below; `verdicts` says what follows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from robustxai.claims.ranges import AtLeast, AtMost, Between, Equal, Rule, Sign, Within
from robustxai.claims.values import finite
from robustxai.plots.numbers import number


@dataclass(frozen=True)
class Ordering(Rule):
    """Named values in strictly decreasing order. Intervals of neighbours may not touch, and violate it where two of
    them stand apart in the other order.
    """

    kind = "ordering"
    named = intervals = True
    order: tuple[str, ...]

    def __post_init__(self):
        if len(self.order) < 2 or len(set(self.order)) < len(self.order):
            raise ValueError(f"order must be two or more different names, got {list(self.order)}")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Neighbours in the order."""
        return list(pairwise(self.order))

    def holds(self, value: Mapping[str, float]) -> bool:
        return all(value[a] > value[b] for a, b in self.pairs)

    def certain(self, interval: Mapping[str, tuple[float, float]]) -> bool:
        return all(interval[a][0] > interval[b][1] for a, b in self.pairs)

    def excluded(self, interval: Mapping[str, tuple[float, float]]) -> bool:
        return any(interval[a][1] < interval[b][0] for a, b in self.pairs)

    def margin(self, value: Mapping[str, float]) -> float:
        return min(value[a] - value[b] for a, b in self.pairs)

    def margins(
        self, value: Mapping[str, float], interval: Mapping[str, tuple[float, float]] | None
    ) -> tuple[float, float, float]:
        own = self.margin(value)
        if interval is None:
            return own, math.nan, math.nan
        low, high = (min(interval[a][i] - interval[b][1 - i] for a, b in self.pairs) for i in (0, 1))
        return own, low, high

    def distance(self, value: Mapping[str, float]) -> float:
        return math.nan  # each name has an interval of its own

    def words(self) -> str:
        return " > ".join(self.order)


@dataclass(frozen=True)
class RatioAtLeast(Rule):
    """value[of[0]] / value[of[1]] >= `value`. The interval is that of the ratio."""

    kind = "ratio_at_least"
    named = True
    of: tuple[str, ...]
    value: float

    def __post_init__(self):
        if len(self.of) != 2:
            raise ValueError(f"of must be exactly two names, first over second, got {list(self.of)}")

    @property
    def order(self) -> tuple[str, ...]:
        """The names the rule asks for."""
        return self.of

    def ratio(self, value: Mapping[str, float]) -> float:
        """The first over the second. Raises ValueError where the second is not positive."""
        top, bottom = (value[name] for name in self.of)
        if bottom <= 0:
            raise ValueError(
                f"{self.of[1]} must be positive, or the ratio means nothing, got {number(bottom)}."
            )
        return top / bottom

    def holds(self, value: Mapping[str, float]) -> bool:
        return self.ratio(value) >= self.value

    def certain(self, interval: tuple[float, float]) -> bool:
        return min(interval) >= self.value

    def excluded(self, interval: tuple[float, float]) -> bool:
        return max(interval) < self.value

    def margin(self, value: Mapping[str, float]) -> float:
        return self.ratio(value) - self.value

    def margins(
        self, value: Mapping[str, float], interval: tuple[float, float] | None
    ) -> tuple[float, float, float]:
        low, high = (
            (math.nan, math.nan) if interval is None else (end - self.value for end in sorted(interval))
        )
        return self.margin(value), low, high

    def words(self) -> str:
        return f"{self.of[0]} / {self.of[1]} at least {number(self.value)}"


RULE_KINDS: dict[str, type[Rule]] = {
    rule.kind: rule for rule in (AtLeast, AtMost, Between, Within, Equal, Sign, Ordering, RatioAtLeast)
}


def parse(spec: Any) -> Rule:
    """The rule a ledger mapping describes. Raises ValueError that names the field and what is accepted."""
    if not isinstance(spec, Mapping) or spec.get("kind") not in RULE_KINDS:
        raise ValueError(f"rule must be a mapping with one kind of {', '.join(RULE_KINDS)}, got {spec!r}.")
    rule = RULE_KINDS[spec["kind"]]
    wanted = {field.name: field.type for field in fields(rule)}  # pyright: ignore[reportArgumentType]
    given = {key: value for key, value in spec.items() if key != "kind"}
    if set(given) != set(wanted):
        raise ValueError(f"a rule of kind {rule.kind} must have {', '.join(wanted)}, got {sorted(given)}.")
    for name, value in given.items():
        if wanted[name] is float:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} in a rule of kind {rule.kind} must be a number, got {value!r}.")
            given[name] = finite(name, value)
        elif wanted[name] is not str:
            if isinstance(value, str) or not isinstance(value, (list, tuple)):
                raise ValueError(
                    f"{name} in a rule of kind {rule.kind} must be a list of names, got {value!r}."
                )
            given[name] = tuple(map(str, value))
    return rule(**given)
