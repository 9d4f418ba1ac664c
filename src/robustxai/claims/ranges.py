"""What every rule can say, and the rules that accept a range of numbers.

Knows nothing about papers, ledgers or files.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from robustxai.plots.numbers import number


class Rule:
    """What every rule can say: whether a value satisfies it, whether a whole interval does or none of it, and itself
    in words.
    """

    kind: ClassVar[str]
    named: ClassVar[bool] = False  # True: takes a mapping of names to numbers
    intervals: ClassVar[bool] = False  # True: takes a mapping of names to intervals

    def holds(self, value: Any) -> bool:
        """Whether the value satisfies the rule."""
        raise NotImplementedError

    def certain(self, interval: Any) -> bool:
        """Whether every value of the interval satisfies the rule."""
        raise NotImplementedError

    def excluded(self, interval: Any) -> bool:
        """Whether no value of the interval satisfies the rule."""
        raise NotImplementedError

    def margin(self, value: Any) -> float:
        """How far the value is on the right side of the nearest bound: 0 on it, negative where the rule is violated."""
        raise NotImplementedError

    def margins(self, value: Any, interval: Any) -> tuple[float, float, float]:
        """(margin of the value, least, largest) over its interval; the last two are nan without one."""
        own = self.margin(value)
        if interval is None:
            return own, math.nan, math.nan
        ends = sorted(map(self.margin, interval))
        return own, ends[0], max(own, ends[1])  # between two bounds the best value may lie inside

    def distance(self, value: Any) -> float:
        """How far the value is from the nearest bound of the rule, 0 on it; nan for rules without one number."""
        return abs(self.margin(value))

    def words(self) -> str:
        """The rule as a reader sees it."""
        raise NotImplementedError


class RangeRule(Rule):
    """A rule that accepts the numbers from `low` to `high`, with its ends unless it is `open`."""

    open: ClassVar[bool] = False

    @property
    def accepted(self) -> tuple[float, float]:
        """(low, high)."""
        raise NotImplementedError

    def holds(self, value: float | int) -> bool:
        low, high = self.accepted
        return low < value < high if self.open else low <= value <= high

    def certain(self, interval: tuple[float, float]) -> bool:
        return all(map(self.holds, interval))

    def excluded(self, interval: tuple[float, float]) -> bool:
        low, high = self.accepted
        below, above = interval
        return above <= low or below >= high if self.open else above < low or below > high

    def margin(self, value: float | int) -> float:
        low, high = self.accepted
        return min(value - low, high - value)


@dataclass(frozen=True)
class AtLeast(RangeRule):
    """value >= `value`."""

    kind = "at_least"
    value: float

    @property
    def accepted(self) -> tuple[float, float]:
        return self.value, math.inf

    def words(self) -> str:
        return f"at least {number(self.value)}"


@dataclass(frozen=True)
class AtMost(RangeRule):
    """value <= `value`."""

    kind = "at_most"
    value: float

    @property
    def accepted(self) -> tuple[float, float]:
        return -math.inf, self.value

    def words(self) -> str:
        return f"at most {number(self.value)}"


@dataclass(frozen=True)
class Between(RangeRule):
    """low <= value <= high."""

    kind = "between"
    low: float
    high: float

    def __post_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"low must be at most high={self.high:g}, got {self.low:g}")

    @property
    def accepted(self) -> tuple[float, float]:
        return self.low, self.high

    def words(self) -> str:
        return f"between {number(self.low)} and {number(self.high)}"


@dataclass(frozen=True)
class Within(RangeRule):
    """|value - target| <= tol: close to a number that was measured elsewhere, for instance the paper's."""

    kind = "within"
    target: float
    tol: float

    def __post_init__(self):
        _check_tolerance(self.tol)

    @property
    def accepted(self) -> tuple[float, float]:
        return self.target - self.tol, self.target + self.tol

    def words(self) -> str:
        return f"within {number(self.tol)} of {number(self.target)}"


@dataclass(frozen=True)
class Equal(Within):
    """|value - target| <= tol * max(1, |target|): the same number, where `tol` only covers rounding."""

    kind = "equal"

    @property
    def accepted(self) -> tuple[float, float]:
        reach = self.tol * max(1.0, abs(self.target))
        return self.target - reach, self.target + reach

    def words(self) -> str:
        return f"equal to {number(self.target)} up to rounding ({number(self.tol)})"


@dataclass(frozen=True)
class Sign(RangeRule):
    """The value is strictly positive or strictly negative."""

    kind = "sign"
    open = True
    sign: str

    def __post_init__(self):
        if self.sign not in ("positive", "negative"):
            raise ValueError(f"sign must be one of positive, negative, got {self.sign!r}")

    @property
    def accepted(self) -> tuple[float, float]:
        return (0.0, math.inf) if self.sign == "positive" else (-math.inf, 0.0)

    def words(self) -> str:
        return self.sign


def _check_tolerance(tol: float) -> None:
    if not tol >= 0:
        raise ValueError(f"tol must be a number from 0, got {tol:g}")
