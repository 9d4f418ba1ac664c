"""Compute the cells of a plan that are not on the board yet, and store them: one file a row, written as it is done.

A cell is there already where its key is the one it would have now: same code, weights, images, threat model and suite.
"""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustxai import runtime
from robustxai.arena.board import (
    BoardEntry,
    board_slug,
    cell_record,
    find_cell,
    load_entry,
    new_entry,
    save,
    with_cell,
)
from robustxai.arena.catalogue import EXPLAINERS, find_rows
from robustxai.arena.cells import ArenaCell, Evaluation
from robustxai.arena.evaluate import evaluate
from robustxai.arena.informative import Faith, class_dependence, dependence, faith
from robustxai.arena.measures import chance
from robustxai.arena.plan import PITCHES, Block, Pitch, blocks, cell_key, digest_of
from robustxai.arena.readouts import explained_layer
from robustxai.arena.registry import ExplainerRow, Parts
from robustxai.arena.suite import VERSION
from robustxai.metrics import energy_inside
from robustxai.shapes import Images

_READ = ("own", "grid")
NORM = "linf"


def run_rows(
    profile: str,
    folder: Path,
    *,
    rows: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    on_cell: Callable[[ArenaCell], object] | None = None,
) -> list[str]:
    """The rows whose files in `folder` changed. rows, networks: names; None for all of the profile.

    Rows that are computed together meet each other's images; a row that is computed alone meets none, and its cells
    say so in `met`. Raises ValueError for unknown names.
    """
    if rows is not None:
        find_rows(list(rows))
    changed: list[str] = []
    for block in blocks(profile, rows, networks):
        pitch = PITCHES[block.pitch]
        data = pitch.data(block.n)
        todo = [row for row in block.rows if not _done(row, block, data, profile, folder)]
        if not todo:
            continue
        found = evaluate(
            pitch.network(), pitch.images(data)[0], rows=todo, eps=block.eps, norm=NORM, suite=profile, readout=_READ,
            network=pitch.name, on_cell=on_cell,
        )  # fmt: skip
        store(found, folder, pitch=pitch, data=data)
        changed += [name for name in todo if name not in changed]
    return changed


def store(found: Evaluation, folder: Path, *, pitch: Pitch, data: Mapping[str, Any]) -> None:
    """Put all cells of an evaluation on the board in `folder`, and what its rows' clean maps are worth.

    pitch: the network that was evaluated; its name stands on the board, whatever the evaluation called it. data: what
    the images are, see `Pitch.data`. Raises ValueError where the evaluation has other images.
    """
    x, _, masks = pitch.images(data)
    if x.shape != found.x.shape or not torch.allclose(x, found.x.cpu(), atol=1e-5):
        raise ValueError(f"data must name the images of the evaluation, got {dict(data)}")
    model, like, settings = pitch.network(), None, found.settings
    names = list(dict.fromkeys(cell.row for cell in found.cells))
    for name in names:
        entry = _entry(EXPLAINERS[name], folder, settings, pitch, data)
        cells = [replace(cell, network=pitch.name) for cell in found.cells if cell.row == name]
        for cell in cells:
            key = cell_key(
                pitch, data, eps=cell.eps, norm=cell.norm, readout=cell.readout, suite=str(settings["suite"]),
                version=str(settings["version"]),
            )  # fmt: skip
            entry = with_cell(entry, cell_record(cell, key=key, met=set(names) - {name}))
        key = digest_of(pitch, data, "clean")
        if name in found.clean and settings["defence"] == "none" and _fact_key(entry, pitch) != key:
            worth, like = clean_facts(
                EXPLAINERS[name], model, x, found.target.cpu(), found.clean[name].cpu(), masks,
                depends=cells[0].depends, like=like,
            )  # fmt: skip
            entry["clean"] |= {pitch.name: worth | {"key": key}}
        save(entry, folder)


def _fact_key(entry: BoardEntry, pitch: Pitch) -> str:
    return entry["clean"].get(pitch.name, {}).get("key", "")


def clean_facts(
    row: ExplainerRow,
    model: nn.Module,
    x: Images,
    target: Tensor,
    maps: Tensor,
    masks: Tensor,
    *,
    depends: Tensor | None = None,
    like: Faith | None = None,
) -> tuple[dict[str, Any], Faith]:
    """What clean maps are worth, as plain values: Faith with deletion and insertion areas, dependence on network and
    class, mass on the object beside its area; and the `Faith`, whose references serve other rows.

    depends: `dependence` of the maps (n,), where it is known already.
    """
    explain = row.explainer(model, Parts(layer=explained_layer(model, None), gap=True))
    found = faith(model, x, maps, target, masks=masks, like=like)
    depends = dependence(explain, x, target, maps) if depends is None else depends
    values = {
        "faith": found.value, "deletion": _mean(found.deletion), "insertion": _mean(found.insertion),
        "dependence": _mean(depends),
        "class_dependence": _mean(class_dependence(explain, x, target, maps)),
        "mass": _mean(energy_inside(maps, masks)), "object": float(masks.mean()), "chance": chance(maps),
    }  # fmt: skip
    plain = {name: None if math.isnan(v) else round(v, 4) for name, v in values.items()}
    return plain | {"n": len(x)}, found


def _mean(values: Tensor) -> float:
    return float(values.cpu().double().nanmean())


def _done(row: str, block: Block, data: Mapping[str, Any], suite: str, folder: Path) -> bool:
    file = folder / f"{board_slug(row)}.json"
    if row not in EXPLAINERS or not file.exists():
        return False
    entry, pitch = load_entry(file), PITCHES[block.pitch]
    keys = {
        (e, r): cell_key(pitch, data, eps=e, norm=NORM, readout=r, suite=suite, version=VERSION)
        for e in block.eps
        for r in _READ
    }
    return all(_has(entry, pitch.name, e, r, key) for (e, r), key in keys.items())


def _has(entry: BoardEntry, network: str, eps: float | int, readout: str, key: str) -> bool:
    place = {"network": network, "defence": "none", "eps": eps, "norm": NORM, "readout": readout}
    cell = find_cell(entry, place)
    return cell is not None and cell["key"] == key


def _entry(
    row: ExplainerRow, folder: Path, settings: Mapping[str, Any], pitch: Pitch, data: Mapping[str, Any]
) -> BoardEntry:
    """The row's stored file, or a new one, with what this evaluation is."""
    threat = {
        "surface": "input", "knowledge": "white box, adaptive", "norm": settings["norm"], "keeps": settings["keeps"],
        "scalar": settings["scalar"], "suite": settings["suite"], "version": settings["version"],
        "steps": settings["steps"], "shares": settings["shares"], "seed": settings["seed"],
    }  # fmt: skip
    run = runtime.environment()
    made = {k: run[k] for k in ("device", "device_name", "commit")}
    made["date"] = datetime.date.today().isoformat()
    file = folder / f"{board_slug(row.name)}.json"
    entry = load_entry(file) if file.exists() else new_entry(row.name, row.family, row.paper, threat, made)
    network = {
        "weights": pitch.weights, "sha256": pitch.sha256, "data": dict(data),
        "layer": None if settings["layer"] is None else str(settings["layer"]), "grid": settings["grid"],
    }  # fmt: skip
    return entry | {
        "threat": threat, "made": made, "clean": dict(entry["clean"]),
        "networks": entry["networks"] | {pitch.name: network},
    }  # fmt: skip
