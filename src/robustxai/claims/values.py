"""Measured values before a rule judges them: finite numbers, and intervals whose ends are in order.

Knows of a rule only whether it compares named values, and which names.
"""

import math
from collections.abc import Mapping
from typing import Any

Value = float | dict[str, float]
IntervalLike = tuple[float, float] | dict[str, tuple[float, float]] | None


def as_value(rule: Any, value: Any, name: str = "value") -> Value:
    """A finite number, or one for each name that the rule asks for."""
    if not rule.named:
        if isinstance(value, Mapping):
            raise ValueError(f"{name} must be one number for the rule {rule.words()!r}, got a mapping.")
        return finite(name, value)
    names = rule.order
    if not isinstance(value, Mapping) or set(value) != set(names):
        raise ValueError(f"{name} must map exactly these names to numbers: {', '.join(names)}.")
    return {key: finite(f"{key} of {name}", value[key]) for key in names}


def as_interval(rule: Any, interval: Any, name: str = "interval") -> IntervalLike:
    """None, (low, high), or one pair per name for an ordering. Bounds that are both nan, as a single seed gives, are
    no interval.
    """
    if interval is None or (
        isinstance(interval, (tuple, list)) and interval and all(end != end for end in interval)
    ):
        return None
    if rule.intervals:
        names = rule.order
        if not isinstance(interval, Mapping) or set(interval) != set(names):
            raise ValueError(f"{name} must map these names to pairs: {', '.join(names)}.")
        return {key: _pair(name, interval[key]) for key in names}
    return _pair(name, interval)


def values_by_setting(
    claim: Any, value: Any, interval: Any
) -> tuple[dict[str, Value], dict[str, IntervalLike]]:
    """Values and intervals by setting of a claim, each checked; under "" where the ledger names no settings."""
    if not claim.settings:
        named = f"value of {claim.id}", f"interval of {claim.id}"
        return {"": as_value(claim.rule, value, named[0])}, {"": as_interval(claim.rule, interval, named[1])}
    for name, given in (("value", value), ("interval", {} if interval is None else interval)):
        if (
            not isinstance(given, Mapping)
            or not set(given) <= set(claim.settings)
            or (name == "value" and not given)
        ):
            raise ValueError(
                f"{name} of {claim.id} must map settings among these: {', '.join(claim.settings)}."
            )
    if missing := [s for s in claim.settings if s not in value]:
        raise ValueError(f"value of {claim.id} must map every setting, {missing[0]} is missing.")
    intervals = interval or {}
    return (
        {s: as_value(claim.rule, value[s], f"value of {claim.id}, {s}") for s in claim.settings},
        {
            s: as_interval(claim.rule, intervals.get(s), f"interval of {claim.id}, {s}")
            for s in claim.settings
        },
    )


def _pair(name: str, interval: Any) -> tuple[float, float]:
    try:
        pair = tuple(finite(name, end) for end in interval)
    except TypeError:
        pair = ()
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ValueError(f"{name} must be (low, high) with low <= high, got {interval!r:.80}.")
    return pair


def finite(name: str, value: Any) -> float:
    try:
        number_ = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{name} must be one finite number, got {value!r:.80}") from None
    if not math.isfinite(number_):
        raise ValueError(f"{name} must be a finite number, got {number_}; or use claims.skip")
    return number_


def json_value(value: Any) -> Any:
    """Values ready for JSON: six significant digits, no tensors, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(f"a {type(value).__name__} cannot be stored: use numbers, text, lists or mappings.")
