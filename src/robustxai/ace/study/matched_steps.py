"""The chapter's experiment E6 (spec 9.3): attacks beside PGD, each with the step that changes images as much as PGD.

Returns `Rows` as `filter_experiments` does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from robustxai.ace import metrics as M
from robustxai.ace.attacks import ATTACKS, PGD, Attack
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.study.filter_experiments import NOTHING, Known, changed, explained_parts
from robustxai.ace.study.measures import Judges
from robustxai.records import Rows
from robustxai.shapes import Images


def attacks(
    judges: Judges,
    x: Images,
    filter: DiffusionFilter,
    *,
    pgd: PGD,
    probe: int = 8,
    rounds: int = 6,
    search: str = "full",
    known: Known = NOTHING,
    **options: Any,
) -> tuple[Rows, dict[str, Attack]]:
    """E6: PGD, GD and C&W, the last two with the step at which `probe` images change as much on average as by PGD.

    Also the attacks that were used. search: route of the gradient while the steps of the others are matched;
    "one-step" saves passes. `options` go to `explained` beside the attack.
    """  # fmt: skip
    rows: Rows = {}
    few, results = x[:probe], dict(known)
    if "pgd" not in results:
        results["pgd"] = explained_parts(judges, x, filter=filter, attack=pgd, **options)
    goal = float(M.mean_change(few, results["pgd"].pre[:probe]).mean())
    used: dict[str, Attack] = {"pgd": pgd}
    settings: dict[str, Any] = dict(
        steps=pgd.steps, distance=pgd.distance, lam=pgd.lam, schedule=pgd.schedule, route=search
    )
    for name in ("gd", "cw"):
        tried = matched(judges, few, filter, ATTACKS[name](**settings), goal, rounds=rounds, **options)
        used[name] = replace(tried, route=pgd.route)
    for name, attack in used.items():
        found = results.get(name) or explained_parts(judges, x, filter=filter, attack=attack, **options)
        rows[name] = changed(judges, found)
    return rows, used


def matched(
    judges: Judges,
    x: Images,
    filter: DiffusionFilter,
    attack: Attack,
    goal: float,
    *,
    rounds: int = 6,
    low: float = 1e-4,
    high: float = 10.0,
    **options: Any,
) -> Attack:
    """The attack with the step in [low, high] whose mean |change| comes nearest `goal`, after `rounds` trials.

    From the middle on, each trial assumes that the change is a power of the step, with the exponent that the last two
    trials had (1 at first, and always from 1/2 to 2).
    """
    best, gap, power = attack, float("inf"), 1.0
    step, last = (low * high) ** 0.5, None
    for _ in range(rounds):
        tried = replace(attack, step=step)
        found = explained_parts(judges, x, filter=filter, attack=tried, **options)
        change = max(float(M.mean_change(x, found.pre).mean()), 1e-12)
        off = math.log(goal / change)
        if abs(off) < gap:
            best, gap = tried, abs(off)
        if last is not None and step != last[0]:
            slope = math.log(change / last[1]) / math.log(step / last[0])
            power = min(max(slope, 0.5), 2.0)
        last = (step, change)
        step = min(max(step * math.exp(off / power), low), high)
    return best
