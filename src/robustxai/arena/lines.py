"""The board as people read it: one line a row, over all networks, with intervals, ranks and flags.

Rows are ranked at 2/255, the one budget that every row meets, by the worst P of their own read-out; rows that ignore
the network stand in a block of their own, below, whatever they reach. Knows the stored files only.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustxai.arena.board import BoardEntry, number_of, tensor_of
from robustxai.arena.cells import CELL_STATES
from robustxai.arena.clusters import clustered_interval
from robustxai.arena.entries import IGNORES
from robustxai.arena.measures import SHARE, above_chance, curve_area
from robustxai.arena.standing import Standing, standings
from robustxai.metrics import Interval

BOARD_LEVELS = (1, 2, 4, 8)
RANKED = 2
"""Budgets of the curve, in units of 1/255, and that at which rows are ranked."""


@dataclass(frozen=True)
class BoardLine:
    """One row. p: level -> worst P with its interval, where the state gives it a number. states: level -> state, the
    worse of the networks'. area: over the networks that have the whole curve, None where there is none; grid, excess,
    transfer: at the ranked level. facts: faith, dependence, class_dependence, mass. standing: rank, None where there is
    none. forwards: of the ranked cells. reason: why one of these has no number, or a weak one.
    """

    row: str
    family: str
    networks: int
    n: int
    p: Mapping[int, Interval]
    states: Mapping[int, str]
    area: Interval | None
    grid: Interval | None
    excess: Interval | None
    transfer: Interval | None
    worst_attack: str
    forwards: int
    facts: Mapping[str, float | int] = field(default_factory=dict)
    standing: Standing | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""

    @property
    def ignores_network(self) -> bool:
        """Whether the row stands in the block below: its map hardly depends on the network."""
        return self.facts.get("dependence", math.nan) < IGNORES or "ignores the network" in self.flags

    @property
    def state(self) -> str:
        """At the ranked level."""
        return self.states.get(RANKED, "n/a")


def board_lines(
    entries: Sequence[BoardEntry], *, readout: str = "own", norm: str = "linf"
) -> list[BoardLine]:
    """All rows, undefended: first those that depend on the network, from the best rank; then those that ignore it.

    Ranks are among the rows of the first block alone. Rows without a number come last in their block.
    """
    found = [_line(entry, readout, norm) for entry in entries]
    serious = [line.row for line in found if not line.ignores_network]
    values = {
        entry["row"]: {
            c["network"]: tensor_of(c["worst"]) for c in _cells(entry, RANKED, readout, norm) if _ranked(c)
        }
        for entry in entries
        if entry["row"] in serious
    }
    ranked = {s.row: s for s in standings({row: v for row, v in values.items() if v}, images=_sets(entries))}
    lines = [BoardLine(**{**vars(line), "standing": ranked.get(line.row)}) for line in found]
    return sorted(lines, key=lambda one: (one.ignores_network, _order(one)))


def _order(line: BoardLine) -> tuple[int, float | int]:
    if line.standing is not None:
        return 0, line.standing.rank
    value = line.p[RANKED].value if RANKED in line.p else math.nan
    return (1, -value) if value == value else (2, 0.0)


def _ranked(cell: Mapping[str, Any]) -> bool:
    return cell["state"] == "attacked" and number_of(cell) is not None


def _cells(entry: BoardEntry, level: int, readout: str, norm: str) -> list[dict[str, Any]]:
    return [
        c for c in entry["cells"]
        if math.isclose(c["eps"], level / 255, rel_tol=1e-6) and c["readout"] == readout
        and c["norm"] == norm and c["defence"] == "none"
    ]  # fmt: skip


def _sets(entries: Sequence[BoardEntry]) -> dict[str, str]:
    """network -> its set of images: networks of one set share them."""
    return {name: net["data"]["set"] for entry in entries for name, net in entry["networks"].items()}


def _line(entry: BoardEntry, readout: str, norm: str) -> BoardLine:
    cells = {level: _cells(entry, level, readout, norm) for level in BOARD_LEVELS}
    here = cells[RANKED]
    attacks = sum((Counter(c["worst_attack"]) for c in here), Counter[str]())
    stale = any(one.get("stale") for one in entry["external"])
    return BoardLine(
        row=entry["row"], family=entry["family"], networks=len({c["network"] for c in here}),
        n=sum(c["n"] for c in here),
        p={level: _over(some, "worst") for level, some in cells.items() if any(number_of(c) is not None for c in some)},
        states={level: _worse(some) for level, some in cells.items() if some},
        area=_area(entry, cells), grid=_shown(here, "grid"), excess=_excess(here), transfer=_shown(here, "transfer"),
        worst_attack=attacks.most_common(1)[0][0] if attacks else "",
        forwards=sum(c["forwards"] for c in here), facts=_facts(entry),
        flags=(*entry["flags"], *(["external evaluation to be verified again"] if stale else [])),
        reason=next((c["reason"] for c in here if c["reason"]), ""),
    )  # fmt: skip


def _worse(cells: Sequence[Mapping[str, Any]]) -> str:
    """One state for several networks: whatever keeps a number from being one is said first."""
    order = ("not attacked", "weak", "n/a", "proof", "attacked")
    assert set(order) == set(CELL_STATES)
    return min((c["state"] for c in cells), key=order.index)


def _over(cells: Sequence[Mapping[str, Any]], what: str) -> Interval:
    """The mean over networks and images of a quantity of the cells that have a number."""
    return clustered_interval({c["network"]: tensor_of(c[what]) for c in cells if number_of(c) is not None})


def _shown(cells: Sequence[Mapping[str, Any]], what: str) -> Interval | None:
    found = _over(cells, what)
    return None if math.isnan(found.value) else found


def _excess(cells: Sequence[Mapping[str, Any]]) -> Interval | None:
    gaps = {
        c["network"]: tensor_of(c["noise"]) - tensor_of(c["worst"]) for c in cells if number_of(c) is not None
    }
    found = clustered_interval(gaps)
    return None if math.isnan(found.value) else found


def _area(entry: BoardEntry, cells: Mapping[int, Sequence[Mapping[str, Any]]]) -> Interval | None:
    """The area under Q of the networks where every level was attacked, or has a proof; None where none was."""
    by_network: dict[str, Tensor] = {}
    for name in {c["network"] for some in cells.values() for c in some}:
        curve = [c for level in BOARD_LEVELS for c in cells[level] if c["network"] == name]
        fine = all(c["state"] in ("attacked", "proof") and number_of(c) is not None for c in curve)
        if len(curve) == len(BOARD_LEVELS) and fine:
            by_chance = entry["clean"].get(name, {}).get("chance") or SHARE
            p = torch.stack([tensor_of(c["worst"]) for c in curve])
            by_network[name] = curve_area([level / 255 for level in BOARD_LEVELS], above_chance(p, by_chance))
    return clustered_interval(by_network) if by_network else None


def _facts(entry: BoardEntry) -> dict[str, float]:
    """Means over networks of what clean maps are worth; what no network has is left out."""
    names = ("faith", "dependence", "class_dependence", "mass")
    held = {name: [f[name] for f in entry["clean"].values() if f.get(name) is not None] for name in names}
    return {name: sum(v) / len(v) for name, v in held.items() if v}
