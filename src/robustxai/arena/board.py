"""The board: one JSON file a row, with its cells, what its clean maps are worth, and all that the numbers depend on.

Files lie in `results/<profile>/arena/`. A cell keeps one value an image, so that intervals, ranks and external
evaluations are computed from the file. Knows no network and no explainer.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustxai.arena.cells import CELL_STATES, ArenaCell
from robustxai.arena.clusters import RowValues
from robustxai.arena.measures import LEAST_IMAGES
from robustxai.checks import check_name

SCHEMA = 1
NAMED = {
    "row",
    "family",
    "paper",
    "schema",
    "cells",
    "networks",
    "clean",
    "threat",
    "flags",
    "made",
    "external",
}
CELL_FIELDS = {
    "key", "network", "defence", "eps", "norm", "readout", "state", "reason", "n", "worst", "noise", "transfer", "grid",
    "worst_attack", "followed", "dropped", "dead", "flags", "forwards", "backwards", "met",
}  # fmt: skip
"""Of one cell. worst, noise, transfer, grid: P of each image, null where there is none. met: the rows whose images it
read. key: what it depends on, see `robustxai.arena.plan.cell_key`."""

BoardEntry = dict[str, Any]
"""A row of the board as its file holds it."""


def board_slug(row: str) -> str:
    """The name of a row's file.

    >>> board_slug("DiffGradCAM++ (lse)")
    'diffgradcam-plus-plus-lse'
    """
    return re.sub(r"[^a-z0-9]+", "-", row.lower().replace("+", "-plus")).strip("-")


def cell_record(cell: ArenaCell, *, key: str = "", met: Iterable[str] = ()) -> dict[str, Any]:
    """A cell as plain values; P is rounded to four digits."""
    attacks = Counter(name for name, p in zip(cell.worst_attack, cell.worst.tolist(), strict=True) if p == p)
    return {
        "key": key, "network": cell.network, "defence": cell.defence, "eps": cell.eps, "norm": cell.norm,
        "readout": cell.readout, "state": cell.state, "reason": cell.reason, "n": cell.n,
        "worst": rounded_values(cell.worst),
        "noise": rounded_values(cell.noise), "transfer": rounded_values(cell.transfer),
        "grid": rounded_values(cell.by_grid),
        "worst_attack": dict(attacks.most_common()), "followed": int(cell.followed.sum()), "dropped": cell.dropped,
        "dead": cell.dead, "flags": list(cell.flags), "forwards": cell.forwards, "backwards": cell.backwards,
        "met": sorted(met),
    }  # fmt: skip


def rounded_values(values: Tensor) -> list[float | None]:
    """Values (n,) as they are stored: four digits, None for nan.

    >>> rounded_values(torch.tensor([0.12345, math.nan]))
    [0.1235, None]
    """
    return [None if v != v else round(v, 4) for v in values.cpu().double().tolist()]


def tensor_of(values: Iterable[float | None]) -> Tensor:
    """Stored values as (n,), nan where there is none.

    >>> tensor_of([0.5, None])
    tensor([0.5000,    nan], dtype=torch.float64)
    """
    return torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64, device="cpu")


def new_entry(
    row: str, family: str, paper: str, threat: Mapping[str, Any], made: Mapping[str, Any]
) -> BoardEntry:
    """A row without cells. threat: norm, scalar, what is kept, suite with its version; made: commit, device, date."""
    return {
        "schema": SCHEMA, "row": row, "family": family, "paper": paper, "threat": dict(threat), "networks": {},
        "cells": [], "clean": {}, "flags": [], "external": [], "made": dict(made),
    }  # fmt: skip


def with_cell(entry: BoardEntry, record: Mapping[str, Any]) -> BoardEntry:
    """The entry with a cell in the place of the one of the same network, defence, budget, norm and read-out.

    What an external evaluation had lowered there is lowered no longer, as the new cell is another measurement; its
    record stays, marked stale: it has to be verified again.
    """
    same = lambda other: where(other) == where(record)  # noqa: E731
    cells = [c for c in entry["cells"] if not same(c)] + [dict(record)]
    external = [one | {"stale": True} if same(one) else one for one in entry["external"]]
    flags = sorted({flag for cell in cells for flag in cell["flags"]})
    return entry | {"cells": sorted(cells, key=where), "external": external, "flags": flags}


def where(cell: Mapping[str, Any]) -> tuple[str, str, str, float | int, str]:
    """Which cell it is: network, defence, norm, budget, read-out."""
    return cell["network"], cell["defence"], cell["norm"], round(float(cell["eps"]), 8), cell["readout"]


def find_cell(entry: BoardEntry, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The cell at a place, None where the row has none there."""
    return next((c for c in entry["cells"] if where(c) == where(wanted)), None)


def number_of(cell: Mapping[str, Any]) -> float | int | None:
    """The mean worst P of a stored cell, None where its state or its images forbid one: as `ArenaCell.number`."""
    if cell["state"] not in ("attacked", "weak", "proof") or cell["n"] < LEAST_IMAGES:
        return None
    return float(tensor_of(cell["worst"]).nanmean())


def stored_values(
    entries: Iterable[BoardEntry], eps: float | int, readout: str = "own", what: str = "worst"
) -> RowValues:
    """row -> network -> (n,) of undefended, attacked cells with a number at a budget: those that have a rank."""
    found: dict[str, dict[str, Tensor]] = {}
    for entry in entries:
        for cell in entry["cells"]:
            here = math.isclose(cell["eps"], eps, rel_tol=1e-6) and cell["readout"] == readout
            if (
                here
                and cell["defence"] == "none"
                and cell["state"] == "attacked"
                and number_of(cell) is not None
            ):
                found.setdefault(entry["row"], {})[cell["network"]] = tensor_of(cell[what])
    return found


def save(entry: BoardEntry, folder: Path) -> Path:
    """Write the row's file, whole or not at all; ValueError for what is no entry."""
    check_entry(entry, entry.get("row", "entry"))
    folder.mkdir(parents=True, exist_ok=True)
    file, draft = folder / f"{board_slug(entry['row'])}.json", folder / f".{board_slug(entry['row'])}.tmp"
    draft.write_text(json.dumps(entry, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(file)
    return file


def load_board(folder: Path) -> list[BoardEntry]:
    """The rows of a folder by name of file; none where there is no folder. ValueError, naming the file, for others."""
    return [load_entry(file) for file in sorted(folder.glob("*.json"))]


def load_entry(file: Path) -> BoardEntry:
    """One row. ValueError, naming the file, where it holds none or one of another schema."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{file.name} must hold JSON, got something else or part of it") from None
    check_entry(entry, file.name)
    return entry


def check_entry(entry: Any, name: str) -> None:
    """An entry of this schema with all its fields; ValueError that names the first thing wrong."""
    if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
        got = entry.get("schema") if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"{name} must be a row of schema {SCHEMA}, got {got}")
    if missing := sorted(NAMED - entry.keys()):
        raise ValueError(f"{name} must have the field {missing[0]}, got none")
    for cell in entry["cells"]:
        if missing := sorted(CELL_FIELDS - cell.keys()):
            raise ValueError(f"{name} must have the field {missing[0]} in every cell, got none")
        check_name("state", cell["state"], CELL_STATES)
        if {len(cell[key]) for key in ("noise", "transfer", "grid")} != {len(cell["worst"])}:
            raise ValueError(f"{name} must have one value an image in every cell, got other numbers of them")
