"""Rules: what a measured value must satisfy for a claim to count as reproduced, as data that anybody can
read.

A rule is written in the ledger before the run, e.g. `{kind: at_least, value: -0.02}`. It knows nothing about
papers, ledgers or files. `parse` turns the mapping into one of the small classes below; `judge` gives the
verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from robustxai.claims.values import as_interval, as_value, finite
from robustxai.plots.numbers import number


class Rule:
    """What every rule can say: whether a value satisfies it, whether a whole interval does, and itself in
    words.
    """

    kind: ClassVar[str]
    named: ClassVar[bool] = False  # True: takes a mapping of names to numbers
    intervals: ClassVar[bool] = False  # True: takes a mapping of names to intervals

    def holds(self, value: Any) -> bool:
        """Whether the value satisfies the rule."""
        raise NotImplementedError

    def certain(self, value: Any, interval: Any) -> bool:
        """Whether every value of the interval does. Both ends are enough: the accepted sets have no holes."""
        return self.holds(interval[0]) and self.holds(interval[1])

    def words(self) -> str:
        """The rule as a reader sees it."""
        raise NotImplementedError


@dataclass(frozen=True)
class AtLeast(Rule):
    """value >= `value`."""

    kind = "at_least"
    value: float

    def holds(self, value: float | int) -> bool:
        return value >= self.value

    def words(self) -> str:
        return f"at least {number(self.value)}"


@dataclass(frozen=True)
class AtMost(Rule):
    """value <= `value`."""

    kind = "at_most"
    value: float

    def holds(self, value: float | int) -> bool:
        return value <= self.value

    def words(self) -> str:
        return f"at most {number(self.value)}"


@dataclass(frozen=True)
class Between(Rule):
    """low <= value <= high."""

    kind = "between"
    low: float
    high: float

    def __post_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"low must be at most high={self.high:g}, got {self.low:g}")

    def holds(self, value: float | int) -> bool:
        return self.low <= value <= self.high

    def words(self) -> str:
        return f"between {number(self.low)} and {number(self.high)}"


@dataclass(frozen=True)
class Within(Rule):
    """|value - target| <= tol: close to a number that was measured elsewhere, for instance the paper's."""

    kind = "within"
    target: float
    tol: float

    def __post_init__(self):
        _check_tolerance(self.tol)

    def holds(self, value: float | int) -> bool:
        return abs(value - self.target) <= self.tol

    def words(self) -> str:
        return f"within {number(self.tol)} of {number(self.target)}"


@dataclass(frozen=True)
class Equal(Rule):
    """|value - target| <= tol * max(1, |target|): the same number, where `tol` only covers rounding."""

    kind = "equal"
    target: float
    tol: float

    def __post_init__(self):
        _check_tolerance(self.tol)

    def holds(self, value: float | int) -> bool:
        return abs(value - self.target) <= self.tol * max(1.0, abs(self.target))

    def words(self) -> str:
        return f"equal to {number(self.target)} up to rounding ({number(self.tol)})"


@dataclass(frozen=True)
class Sign(Rule):
    """The value is strictly positive or strictly negative."""

    kind = "sign"
    sign: str

    def __post_init__(self):
        if self.sign not in ("positive", "negative"):
            raise ValueError(f"sign must be one of positive, negative, got {self.sign!r}")

    def holds(self, value: float | int) -> bool:
        return value > 0 if self.sign == "positive" else value < 0

    def words(self) -> str:
        return self.sign


@dataclass(frozen=True)
class Ordering(Rule):
    """Named values in strictly decreasing order. Intervals, where given, may not touch between neighbours."""

    kind = "ordering"
    named = intervals = True
    order: tuple[str, ...]

    def __post_init__(self):
        if len(self.order) < 2 or len(set(self.order)) < len(self.order):
            raise ValueError(f"order must be two or more different names, got {list(self.order)}")

    def holds(self, value: Mapping[str, float]) -> bool:
        return all(value[a] > value[b] for a, b in zip(self.order, self.order[1:], strict=False))

    def certain(self, value: Any, interval: Mapping[str, tuple[float, float]]) -> bool:
        return all(interval[a][0] > interval[b][1] for a, b in zip(self.order, self.order[1:], strict=False))

    def words(self) -> str:
        return " > ".join(self.order)


@dataclass(frozen=True)
class RatioAtLeast(Rule):
    """value[of[0]] / value[of[1]] >= `value`. An interval, where given, is that of the ratio."""

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

    def holds(self, value: Mapping[str, float]) -> bool:
        top, bottom = (value[name] for name in self.of)
        if bottom <= 0:
            raise ValueError(
                f"{self.of[1]} must be positive, or the ratio means nothing, got {number(bottom)}."
            )
        return top / bottom >= self.value

    def certain(self, value: Any, interval: tuple[float, float]) -> bool:
        return min(interval) >= self.value

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


def judge(rule: Rule, value: Any, *, interval: Any = None, partly: Rule | None = None) -> str:
    """The verdict on a measured value: "reproduced", "partly" or "contradicted".

    Reproduced: the value satisfies the rule, and so does its whole interval where there is one. Partly: the
    value does but its interval reaches past the bound, or the value only satisfies the looser rule that the
    ledger named beforehand. Contradicted: everything else. Raises ValueError for a value or an interval that is not
    finite, for low > high, and for other names than the rule's: none of them is a verdict.

    >>> judge(parse({"kind": "at_least", "value": 0.9}), 0.95, interval=(0.85, 1.0))
    'partly'
    """
    value, interval = as_value(rule, value), as_interval(rule, interval)
    if rule.holds(value):
        return "reproduced" if interval is None or rule.certain(value, interval) else "partly"
    return "partly" if partly is not None and partly.holds(value) else "contradicted"


def _check_tolerance(tol: float) -> None:
    if not tol >= 0:
        raise ValueError(f"tol must be a number from 0, got {tol:g}")
