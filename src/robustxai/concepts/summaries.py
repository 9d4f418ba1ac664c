"""Rows of the chapter's tables, from cells and outcomes: plain numbers, and (value, low, high) over networks.

Knows nothing about attacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import isnan

import torch

from robustxai.concepts.experiments import Case
from robustxai.concepts.measures import (
    area,
    change,
    label_changes,
    remaining_distance,
    smallest_flip,
    turned_by,
)
from robustxai.concepts.results import Cell, TCAVResult
from robustxai.concepts.study import Outcome, Study
from robustxai.concepts.transfer import LEVELS, Transferred
from robustxai.metrics import t_interval

Triple = tuple[float, float, float]


def over(values: Iterable[float]) -> Triple:
    """Mean over networks with a 95 % t interval."""
    i = t_interval(list(values))
    return (i.value, i.low, i.high)


def share(hits: Sequence[bool]) -> str:
    """Of how many: "4 of 6"; a dash where nothing counts."""
    return f"{sum(hits)} of {len(hits)}" if hits else "–"


def flips(outcomes: Iterable[Outcome | Transferred]) -> list[bool]:
    """Whether the verdict flipped, of those whose clean verdict leaves something to attack."""
    return [o.flipped for o in outcomes if o.counts]


def by_case(outcomes: Sequence[Outcome]) -> list[dict]:
    """One row a case: mean scores over networks, verdicts that flip, the probes' held-out accuracy."""
    rows = []
    for name, group in groupby(sorted(outcomes, key=lambda o: o.case.name), key=lambda o: o.case.name):
        found = list(group)
        rows.append(
            {
                "case": name,
                "clean": over(o.clean.mean for o in found),
                "noise": over(o.noise.mean for o in found),
                "attacked": over(o.attacked.mean for o in found),
                "flipped": share(flips(found)),
                "to the other end": share([o.strong for o in found if o.counts]),
                "accuracy, clean": over(o.clean.accuracy for o in found),
                "accuracy, attacked": over(o.attacked.accuracy for o in found),
                "cos(v', v)": over(turned_by(o.clean.cavs, o.attacked.cavs) for o in found),
            }
        )
    return rows


@torch.no_grad()
def traces(outcomes: Sequence[Outcome], study: Study) -> list[dict]:
    """What the attack did in numbers that do not end at 0 and 1, and what it left in the exemplars; one row a case.

    Over networks: the mean directional derivative over |g| |v|, the share left of the squared distance to the goal's
    centroid, the share of exemplars with another label, the largest change in 255ths, PSNR in dB, and SSIM.
    """
    rows = []
    for name, group in groupby(sorted(outcomes, key=lambda o: o.case.name), key=lambda o: o.case.name):
        found = [(o, o.perturbed, study.network(o.network, o.seed)) for o in group]
        sizes = [change(p.clean, p.x) for _, p, _ in found]
        rows.append(
            {
                "case": name,
                "derivative, clean": over(float(o.clean.magnitude.mean()) for o, *_ in found),
                "derivative, attacked": over(float(o.attacked.magnitude.mean()) for o, *_ in found),
                "distance left": over(
                    remaining_distance(model, study.layer, p.clean, p.x, study.given.goal[o.case.towards])
                    for o, p, model in found
                ),
                "other label": over(label_changes(model, p.clean, p.x) for _, p, model in found),
                "largest change": max(s.linf for s in sizes),
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


def by_setting(cells: Sequence[dict], case_sign: int) -> list[dict]:
    """Settings (rows) of one-thing-changed tables; `cells`: per network, setting -> cell or (clean, attacked)."""
    rows = []
    for name in cells[0]:
        found = [c[name] for c in cells]
        pairs = [f if isinstance(f, tuple) else (None, f) for f in found]
        row: dict = {"setting": str(name)}
        if pairs[0][0] is not None:
            row["clean"] = over(clean.mean for clean, _ in pairs if clean is not None)
        hit = [_reached(attacked, case_sign) for _, attacked in pairs]
        rows.append(row | {"attacked": over(a.mean for _, a in pairs), "verdict as wanted": share(hit)})
    return rows


def _reached(cell: Cell, sign: int) -> bool:
    return (cell.state == "important") is (sign > 0)


def by_level(found: Sequence[Transferred]) -> list[dict]:
    """One row a knowledge level: scores, the strongest control, flips, and flips beyond all controls."""
    rows = []
    for level in LEVELS:
        here = [t for t in found if t.level == level]
        if here:
            rows.append(
                {
                    "judged on": level,
                    "clean": over(t.cells["clean"].mean for t in here),
                    "strongest control": over(t.strongest_control for t in here),
                    "attacked": over(t.cells["attacked"].mean for t in here),
                    "flipped": share(flips(here)),
                    "and beyond all controls": share([t.real for t in here if t.counts]),
                }
            )
    return rows
