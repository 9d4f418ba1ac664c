"""Rows of the chapter's tables, from cells and outcomes: plain numbers, and (value, low, high) over networks.

Knows nothing about networks or attacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from robustxai.concepts.measures import change, turned_by
from robustxai.concepts.results import Cell, TCAVResult
from robustxai.concepts.study import Outcome
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


def visible(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Largest change of a pixel in 255ths, and mean PSNR in dB and SSIM of the attacked exemplars."""
    sizes = [change(o.perturbed.clean, o.perturbed.x) for o in outcomes]
    n = len(sizes)
    return {
        "linf": max(s.linf for s in sizes),
        "psnr": sum(s.psnr for s in sizes) / n,
        "ssim": sum(s.ssim for s in sizes) / n,
    }


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
