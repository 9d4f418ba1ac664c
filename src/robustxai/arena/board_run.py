"""Compute the cells of a plan that are not on the board yet, and store them: one file a row, written as it is done.

A cell is there already where its key is the one it would have now: same code, weights, images, threat model and suite.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
from robustxai.arena.plan import PITCHES, Block, Pitch, blocks, cell_key
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
    references: dict[tuple[str, int], Faith] = {}
    for block in blocks(profile, rows, networks):
        pitch = PITCHES[block.pitch]
        todo = [row for row in block.rows if not _done(row, block, pitch, profile, folder)]
        if not todo:
            continue
        model, (x, _, masks) = pitch.network(), pitch.images(block.n)
        found = evaluate(
            model, x, rows=todo, eps=block.eps, norm=NORM, suite=profile, readout=_READ, network=pitch.name,
            on_cell=on_cell,
        )  # fmt: skip
        for name in todo:
            row = EXPLAINERS[name]
            entry = _entry(row, folder, found, pitch, block)
            for cell in found.cells:
                if cell.row == name:
                    key = _key(pitch, block, cell.eps, cell.readout, profile)
                    entry = with_cell(entry, cell_record(cell, key=key, met=set(todo) - {name}))
            if name in found.clean:
                worth, like = clean_facts(
                    row, model, x, found.target, found.clean[name], masks,
                    depends=next(c.depends for c in found.cells if c.row == name),
                    like=references.get((pitch.name, block.n)),
                )  # fmt: skip
                references[pitch.name, block.n] = like
                entry["clean"] |= {pitch.name: worth}
            save(entry, folder)
            changed += [name] if name not in changed else []
    return changed


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


def _key(pitch: Pitch, block: Block, eps: float, readout: str, suite: str) -> str:
    return cell_key(pitch, block.n, eps=eps, norm=NORM, readout=readout, suite=suite, version=VERSION)


def _done(row: str, block: Block, pitch: Pitch, suite: str, folder: Path) -> bool:
    file = folder / f"{board_slug(row)}.json"
    if row not in EXPLAINERS or not file.exists():
        return False
    entry = load_entry(file)
    places = ((eps, readout) for eps in block.eps for readout in _READ)
    return all(_has(entry, pitch.name, eps, r, _key(pitch, block, eps, r, suite)) for eps, r in places)


def _has(entry: BoardEntry, network: str, eps: float, readout: str, key: str) -> bool:
    place = {"network": network, "defence": "none", "eps": eps, "norm": NORM, "readout": readout}
    cell = find_cell(entry, place)
    return cell is not None and cell["key"] == key


def _entry(row: ExplainerRow, folder: Path, found: Evaluation, pitch: Pitch, block: Block) -> BoardEntry:
    """The row's stored file, or a new one, with what this evaluation is."""
    settings = found.settings
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
        "weights": pitch.weights, "sha256": pitch.sha256, "data": pitch.data(block.n),
        "layer": _plain(settings["layer"]), "grid": settings["grid"],
    }  # fmt: skip
    return entry | {
        "threat": threat, "made": made, "clean": dict(entry["clean"]),
        "networks": entry["networks"] | {pitch.name: network},
    }  # fmt: skip


def _plain(layer: object) -> str | None:
    return None if layer is None else str(layer)
