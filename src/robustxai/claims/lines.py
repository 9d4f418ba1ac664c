"""The parts of the line that a check prints: what is ours, the rule, and what would decide."""

from collections.abc import Mapping
from typing import Any

from robustxai.claims.ledger import Claim
from robustxai.claims.rules import RatioAtLeast
from robustxai.plots.numbers import interval as with_interval, number


def said(claim: Claim, values: Any, intervals: Any, n: int | None, seeds: int | None) -> tuple[str, str]:
    """Ours with the counts, and the rule."""
    if claim.volatile:
        ours = "volatile, see the results file"
    else:
        ours = "; ".join(f"{name} {_ours(claim, v, intervals[name])}".strip() for name, v in values.items())
    counts = [f"n={n} {claim.unit}"] * (n is not None) + [f"seeds={seeds}"] * (seeds is not None)
    return ", ".join([f"ours {ours}", *counts]), f"rule: {claim.rule.words()}"


def deciding(verdict: str, needs: int | None, seeds: int | None, claim: Claim) -> list[str]:
    """What would decide, for a claim that is undecided."""
    if verdict != "undecided" or claim.volatile:
        return []
    unit = "seeds" if seeds is not None and seeds > 1 else claim.unit
    return ["it is open how many would decide" if needs is None else f"about {needs} {unit} would decide"]


def _ours(claim: Claim, value: Any, interval: Any) -> str:
    if not isinstance(value, Mapping):
        return with_interval(value, interval)
    if isinstance(claim.rule, RatioAtLeast):
        top, bottom = (value[name] for name in claim.rule.of)
        return f"{with_interval(top / bottom, interval)} ({number(top)} / {number(bottom)})"
    bounds = interval or {}
    return ", ".join(f"{name} {with_interval(v, bounds.get(name))}" for name, v in value.items())


def as_answer(hit: Any) -> bool | None:
    """A yes or no as True or False, 1 and 0 among them; None for anything else."""
    hit = hit.item() if getattr(hit, "ndim", None) == 0 else hit  # of NumPy and torch
    return bool(hit) if isinstance(hit, int) and hit in (0, 1) else None
