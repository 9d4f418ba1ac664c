"""Rows of the chapter's tables, from cells and outcomes: plain numbers, and (value, low, high) over networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import isnan
from statistics import median
from typing import Any

from robustxai.concepts.attacks import CONTROLS
from robustxai.concepts.study.cases import Case
from robustxai.concepts.study.defences import ATTACKS, CLEAN, Defended, restored
from robustxai.concepts.study.measures import (
    area,
    change,
    smallest_flip,
    turned_by,
)
from robustxai.concepts.study.outcomes import Flip, Outcome
from robustxai.concepts.study.transfer import LEVELS, Transferred
from robustxai.concepts.tcav_result import Cell, TCAVResult
from robustxai.records import Triple, over_seeds, triple

FEW = 3  # values that a t interval needs here: of two it is wider than any score


def over(values: Iterable[float]) -> Triple:
    """Mean over networks with a 95 % t interval."""
    return triple(over_seeds(values))


def mean_or_values(values: Iterable[float], *, bounds: bool = True) -> Triple | float | str:
    """As `over`, or the mean without its bounds; of fewer than `FEW` values, the values themselves."""
    found = list(values)
    if len(found) < FEW:
        return ", ".join(f"{v:.3f}" for v in found)
    return over(found) if bounds else over(found)[0]


def count_of(hits: Sequence[bool]) -> str:
    """Of how many: "4 of 6"; a dash where nothing counts."""
    return f"{sum(hits)} of {len(hits)}" if hits else "–"


def flipped_verdicts(outcomes: Iterable[Flip]) -> list[bool]:
    """Whether the verdict flipped, of those whose clean verdict leaves something to attack."""
    return [o.flipped for o in outcomes if o.counts]


def by_case(outcomes: Sequence[Outcome]) -> list[dict]:
    """One row a case: mean scores over networks, verdicts that flip by either test, the probes' held-out accuracy."""
    rows = []
    for name, found in grouped(outcomes):
        rows.append(
            {
                "case": name,
                "clean": over(o.clean.mean for o in found),
                "noise": over(o.noise.mean for o in found),
                "attacked": over(o.attacked.mean for o in found),
                "flipped": count_of(flipped_verdicts(found)),
                "by sets": count_of(flipped_verdicts(o.by_sets for o in found)),
                "to the other end": count_of([o.strong for o in found if o.counts]),
                "accuracy, clean": over(o.clean.accuracy for o in found),
                "accuracy, attacked": over(o.attacked.accuracy for o in found),
                "cos(v', v)": over(turned_by(o.clean.cavs, o.attacked.cavs) for o in found),
            }
        )
    return rows


def grouped(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """Outcomes by case, in the order of their names."""
    ordered = sorted(outcomes, key=lambda o: o.case.name)
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda o: o.case.name)]


def evidence(outcomes: Sequence[Outcome]) -> list[dict]:
    """What stands behind the verdicts; one row a case and "clean" or "attacked" exemplars.

    The median p over networks by either test, mean and standard deviation of the scores of random CAVs, the standard
    deviation of the concept's, its mean directional derivative over |g| |v|, and the cosine of its CAVs to those of
    the images that token pushing aims at.
    """
    rows = []
    for name, found in grouped(outcomes):
        for what in ("clean", "attacked"):
            cells = [o.cells[what] for o in found]
            rows.append(
                {
                    "case": name,
                    "exemplars": what,
                    "derivative": over(float(c.magnitude.mean()) for c in cells),
                    "p": median(c.p for c in cells),
                    "p by sets": median(c.p_sets for c in cells),
                    "random CAVs": over(float(c.random.mean()) for c in cells)[0],
                    "their sd": over(float(c.random.std()) for c in cells)[0],
                    "sd over CAVs": over(float(c.scores.std()) for c in cells)[0],
                    "cosine to the goal's": over(
                        turned_by(o.cells[what].cavs, o.cells["goal"].cavs) for o in found
                    ),
                }
            )
    return rows


def traces(outcomes: Sequence[Outcome]) -> list[dict]:
    """What the attack left in the exemplars, and what a collector could notice; one row a case.

    Over networks: the share left of the squared distance to the goal's centroid, the share of exemplars with another
    label, the largest change in 255ths, the mean length of a change (of pixels in [0, 1]), PSNR in dB, and SSIM.
    """
    rows = []
    for name, found in grouped(outcomes):
        sizes = [change(o.perturbed.clean, o.perturbed.x) for o in found]
        rows.append(
            {
                "case": name,
                "distance left": over(o.distance_left for o in found),
                "other label": over(o.other_label for o in found),
                "largest change": max(s.linf for s in sizes),
                "L2": over(s.l2 for s in sizes),
                "PSNR": over(s.psnr for s in sizes),
                "SSIM": over(s.ssim for s in sizes),
            }
        )
    return rows


def by_budget(swept: Mapping[Case, Sequence[Sequence[Cell]]], levels: Sequence[float | int]) -> list[dict]:
    """One row a case: the smallest budget, in 255ths, at which each network's verdict differs from that without an
    attack (a dash where none does), and the area under the score. swept: per network a cell a level, 0 first."""
    rows = []
    for case, networks in swept.items():
        flips = [smallest_flip(list(levels), [c.state for c in cells], cells[0].state) for cells in networks]
        rows.append(
            {
                "case": case.name,
                "smallest budget": ", ".join("–" if isnan(f) else f"{f:g}" for f in flips),
                "without attack": over(cells[0].mean for cells in networks),
                "area under the score": over(
                    area(list(levels), [c.mean for c in cells]) for cells in networks
                ),
            }
        )
    return rows


def truth(tables: Sequence[dict[str, TCAVResult]], concepts: Sequence[str], layer: str) -> list[dict]:
    """Score of every concept (columns) for every class (rows) at a layer, mean over networks."""
    return [
        {"class": c} | {name: over(t[c][name, layer].mean for t in tables) for name in concepts}
        for c in tables[0]
    ]


def by_setting(found: Sequence[Mapping[Any, Flip]]) -> list[dict]:
    """Settings (rows) of one-thing-changed tables; found: per network, an outcome a setting."""
    rows = []
    for name in found[0]:
        here = [f[name] for f in found]
        rows.append(
            {
                "setting": str(name),
                "clean": over(o.clean.mean for o in here),
                "attacked": over(o.attacked.mean for o in here),
                "verdict as wanted": count_of(flipped_verdicts(here)),
            }
        )
    return rows


def by_level(found: Sequence[Transferred]) -> list[dict]:
    """One row a knowledge level: scores, every control and the strongest, flips, and flips beyond all controls."""
    rows = []
    for level in LEVELS:
        here = [t for t in found if t.level == level]
        if here:
            counted = [t for t in here if t.counts]
            rows.append(
                {"judged on": level, "clean": mean_or_values(t.clean.mean for t in here)}
                | {name: mean_or_values([t.control(name) for t in here], bounds=False) for name in CONTROLS}
                | {
                    "strongest": mean_or_values(t.strongest_control for t in here),
                    "attacked": mean_or_values(t.attacked.mean for t in here),
                    "flipped": count_of(flipped_verdicts(here)),
                    "by sets": count_of(flipped_verdicts(t.by_sets for t in here)),
                    "and beyond all controls": count_of([t.real for t in counted]),
                }
            )
    return rows


def by_defence(found: Sequence[Mapping[str, Defended]]) -> list[dict]:
    """One row a defence: scores of clean and attacked exemplars, on how many networks the clean verdict is the true
    one, and of the attacks that removed it, how many are undone.

    found: per network, by name; a defence may be missing for some of them.
    """
    rows = []
    for name in dict.fromkeys(name for f in found for name in f):
        here = [f[name] for f in found if name in f]
        rows.append(
            {"defence": name}
            | {what: over(d.score[what] for d in here) for what in (CLEAN, *ATTACKS)}
            | {"keeps the clean verdict": count_of([d.state[CLEAN] == "important" for d in here])}
            | {f"restores it, {a}": count_of(restored(found, name, [a])) for a in ATTACKS}
        )
    return rows
