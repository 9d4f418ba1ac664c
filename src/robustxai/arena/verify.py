"""An evaluation from elsewhere: computed again from its images, and taken only where it lowers a number of the board.

A submission is a JSON file that names row, network, norm, budget and read-out, says which P it reached, and names a
file .npz beside it with the attacked images `x`. Budget, 8 bits, class and P are computed here; nothing that the file
says is believed, and no submission can raise a number.
"""

import datetime
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai.arena.board import (
    BoardEntry,
    board_slug,
    find_cell,
    load_entry,
    number_of,
    rounded_values,
    save,
    tensor_of,
)
from robustxai.arena.catalogue import EXPLAINERS
from robustxai.arena.measures import overlap, overlap_grid
from robustxai.arena.plan import PITCHES
from robustxai.arena.readouts import explained_layer
from robustxai.arena.registry import Parts
from robustxai.attacks.budget import Budget
from robustxai.checks import check_images, check_name
from robustxai.explainers.input_gradient import same_class
from robustxai.explainers.reduce import read
from robustxai.models import logits_of

_FIELDS = {"row": str, "network": str, "norm": str, "eps": (int, float), "readout": str, "p": (int, float),
          "images": str, "who": str, "attack": str}  # fmt: skip
SAID, LOWER, SMALLEST = 0.005, 0.05, 1 / 255
"""By how much the stated P may be below the computed one; by how much less than our suite makes a cell weak; the least
budget at which images of 8 bits exist."""


@dataclass(frozen=True)
class Verified:
    """What an external evaluation did to a cell: its P before (None where it had no number) and after, on how many
    images it is lower, on how many it lost the class, and the cell's new state."""

    row: str
    network: str
    before: float | int | None
    after: float | int
    improved: int
    lost: int
    state: str

    def __str__(self) -> str:
        was = "no number" if self.before is None else f"{self.before:.3f}"
        return (
            f"{self.row} on {self.network}: P {was} -> {self.after:.3f}, lower on {self.improved} images, "
            f"the class lost on {self.lost}; state: {self.state}"
        )


def read_submission(file: Path) -> dict[str, Any]:
    """What a submission says. ValueError of one sentence for what is none."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{file.name} must hold JSON, got something else or part of it") from None
    if not isinstance(said, dict):
        raise ValueError(f"{file.name} must hold one evaluation, got {type(said).__name__}")
    for name, kind in _FIELDS.items():
        if not isinstance(said.get(name), kind) or isinstance(said[name], bool):
            raise ValueError(f"{file.name} must have the field {name}, got {said.get(name)!r}")
    return {"defence": "none"} | said


def saved_images(file: Path, like: Tensor) -> Tensor:
    """The attacked images of a file .npz, one for each of the clean ones, as floats in [0, 1]."""
    try:
        with np.load(file, allow_pickle=False) as held:
            values = held["x"]
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{file.name} must be a file .npz with the images x, got none or another") from None
    if values.shape != tuple(like.shape):
        raise ValueError(
            f"x must have the shape of the clean images, {tuple(like.shape)}, got {values.shape}"
        )
    return check_images(
        "x", torch.from_numpy(values / np.float32(255 if values.dtype == np.uint8 else 1)).float()
    )


def check_change(x: Tensor, clean: Tensor, eps: float | int, norm: str) -> None:
    """Every image is inside the budget, and every value that changed is one of 8 bits, where such values exist."""
    outside = ~Budget(eps, norm).contains(x, clean)
    if outside.any():
        far = (x - clean).flatten(1)
        size = float((far.norm(dim=1) if norm == "l2" else far.abs().amax(1)).max())
        raise ValueError(
            f"x must stay within {eps:.5f} in {norm}, got {int(outside.sum())} images outside, the farthest {size:.5f}"
        )
    levels = x * 255
    stored = ((levels - levels.round()).abs() < 1e-2) | (x == clean)
    if eps >= SMALLEST - 1e-6 and not stored.all():
        raise ValueError(
            f"x must be images of 8 bits, got {int((~stored).sum())} values that are none and were changed"
        )


def verify(file: Path, folder: Path, *, write: bool = True) -> Verified:
    """Compute a submission again and, with `write`, replace the cell of the board in `folder`.

    Each image keeps the lower of its two P; one that lost its class keeps the old. ValueError, and nothing is written,
    for images outside the budget or not of 8 bits, a P that is not as low as said, and one that lowers nothing.
    """
    said = read_submission(file)
    entry, cell = _cell_of(said, folder)
    pitch = PITCHES[said["network"]]
    if entry["networks"][pitch.name]["sha256"] != pitch.sha256:
        raise ValueError(f"{pitch.weights} has other weights than the board: run the arena again first")
    clean = pitch.images(entry["networks"][pitch.name]["data"] | {"n": len(cell["worst"])})[0]
    x = saved_images(file.parent / Path(said["images"]).name, clean)
    check_change(x, clean, float(said["eps"]), said["norm"])
    found, kept = _overlaps(said, x, clean, int(entry["networks"][pitch.name]["grid"]))
    here = found[said["readout"]].masked_fill(~kept, torch.nan)
    old, new = tensor_of(cell["worst"]), here.cpu().double().round(decimals=4)
    reached = float(new.nanmean())
    if not kept.any() or reached > said["p"] + SAID:
        raise ValueError(f"p must be what is computed again, {reached:.4f}, or more, got {said['p']}")
    better = (new < old.nan_to_num(torch.inf)) & kept
    worst = torch.where(better, new, old)
    before = number_of(cell)
    if not better.any() or (before is not None and not float(worst.nanmean()) < before - 1e-6):
        raise ValueError(
            f"x must lower P, {float(old.nanmean()):.4f} on the board, got {reached:.4f} and no image that is lower"
        )
    grid = torch.where(better, found["grid"].cpu().double(), tensor_of(cell["grid"]))
    after = cell | {
        "worst": rounded_values(worst),
        "grid": rounded_values(grid),
        "n": int(worst.isfinite().sum()),
    }
    after |= _state(cell, float(old.nanmean()), float(worst.nanmean()), said["attack"], int(better.sum()))
    if write:
        save(_replaced(entry, cell, after, said, before), folder)
    return Verified(
        entry["row"], pitch.name, before, float(worst.nanmean()), int(better.sum()), int((~kept).sum()), after["state"]
    )  # fmt: skip


def _cell_of(said: dict[str, Any], folder: Path) -> tuple[BoardEntry, dict[str, Any]]:
    check_name("network", said["network"], PITCHES)
    check_name("row", said["row"], EXPLAINERS)
    path = folder / f"{board_slug(said['row'])}.json"
    if not path.is_file():
        raise ValueError(
            f"row must be on the board of this profile, got {said['row']!r}, which has no file there"
        )
    entry = load_entry(path)
    cell = find_cell(entry, said)
    if cell is None or cell["state"] == "n/a":
        raise ValueError(
            f"the board must have the cell, got none of {said['row']} on {said['network']} at eps {said['eps']:.5f} "
            f"in {said['norm']}, read-out {said['readout']}"
        )
    return entry, cell


def _overlaps(said: dict[str, Any], x: Tensor, clean: Tensor, grid: int) -> tuple[dict[str, Tensor], Tensor]:
    """P by read-out, and where the class is kept, by our own network and explainer."""
    model = PITCHES[said["network"]].network()
    explain = read(
        EXPLAINERS[said["row"]].explainer(model, Parts(layer=explained_layer(model, None), gap=True))
    )
    with torch.no_grad():
        target = logits_of(model, clean).argmax(1)
        kept = same_class(logits_of(model, x), target)
        before, after = explain(clean, target).detach(), explain(x, target).detach()
    return {"own": overlap(before, after), "grid": overlap_grid(before, after, grid)}, kept


def _state(
    cell: dict[str, Any], before: float | int, after: float | int, attack: str, images: int
) -> dict[str, Any]:
    """The cell's state when others went lower: weak where our own suite misses much of it."""
    attacks = {attack: images} | {k: v for k, v in cell["worst_attack"].items() if k != attack}
    flags = sorted(
        {*cell["flags"], "external", *(("proof contradicted",) if cell["state"] == "proof" else ())}
    )
    weak = cell["state"] != "attacked" or math.isnan(before) or after < before - LOWER
    reason = "An evaluation from elsewhere goes lower than our own attacks." if weak else cell["reason"]
    return {
        "state": "weak" if weak else "attacked", "reason": reason, "flags": flags, "worst_attack": attacks
    }  # fmt: skip


def _replaced(
    entry: BoardEntry,
    cell: dict[str, Any],
    after: dict[str, Any],
    said: dict[str, Any],
    before: float | int | None,
) -> BoardEntry:
    kept = ("network", "defence", "norm", "eps", "readout", "who", "attack")
    record = {k: said[k] for k in kept} | {
        "before": before, "after": number_of(after), "date": datetime.date.today().isoformat(), "stale": False
    }  # fmt: skip
    cells = [after if c is cell else c for c in entry["cells"]]
    flags = sorted({flag for c in cells for flag in c["flags"]})
    return entry | {"cells": cells, "flags": flags, "external": [*entry["external"], record]}
