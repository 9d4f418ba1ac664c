"""Training recipes: what `robustxai train NAME` runs, and the one way its results get into a weights
folder.

A chapter lists its recipes in `robustxai/<chapter>/study/recipes.py` as `RECIPES: dict[str, Recipe]`. This module
knows no chapter; only the command line gathers them.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from robustxai.nets.checkpoint import Written, add_tensors, load_tensors
from robustxai.nets.checksum import check_file, sha256_of
from robustxai.nets.storage import from_disk, to_disk
from robustxai.nets.zoo import PACKAGE_WEIGHTS, holds, pretrained, zoo


@dataclass(frozen=True)
class Job:
    """What a recipe is given: seed, device, the folder that will hold its result, and a place for
    checkpoints.
    """

    name: str
    seed: int
    device: torch.device
    out: Path
    progress: bool = True

    def checkpoint(self, stage: str = "fit") -> Path:
        """The checkpoint file of one `fit` call; `stage` tells the calls of a recipe apart."""
        return self.out / ".checkpoints" / self.name / f"{stage}.safetensors"

    def pretrained(self, name: str) -> nn.Module:
        """A network of the `out` folder or, where that has none of this name, of the shipped zoo."""
        folder = self.out if holds(self.out, name) else PACKAGE_WEIGHTS
        return pretrained(name, weights_dir=folder, map_location=self.device)


@dataclass(frozen=True)
class Net:
    """One trained network to be stored. `module` is rebuilt from its class and its `arguments` attribute.

    parent: name of the network it was fine-tuned from, in the same weights folder; only what differs is
    stored. dtype: "fp16", "fp32" or "int8" on disk: call `round_weights` before measuring `metrics`, which must be
    JSON-able.
    """

    name: str
    module: nn.Module
    dataset: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    licence: str = "MIT"
    dtype: str = "fp16"


@dataclass(frozen=True)
class Recipe:
    """How to train some networks: `build(job)` trains and returns them, `file` is the weight file they go to.

    help: one line for `robustxai train --list`. seed: used when the command line gives none. command: what makes these
    networks again, where it is not `robustxai train NAME`.
    """

    name: str
    help: str
    build: Callable[[Job], Sequence[Net]]
    file: str
    seed: int = 0
    command: str = ""


def gather(*groups: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """All recipes of several `RECIPES` dicts by name. Raises ValueError when a name is used twice or
    wrongly.
    """
    recipes: dict[str, Recipe] = {}
    for group in groups:
        for name, recipe in group.items():
            if name != recipe.name or name in recipes:
                raise ValueError(f"recipe {name!r} must be unique and bear its own name, got {recipe.name!r}")
            recipes[name] = recipe
    return recipes


def find_recipe(name: str, recipes: Mapping[str, Recipe]) -> Recipe:
    """The recipe called `name`. Raises ValueError with the near names when there is none."""
    if name in recipes:
        return recipes[name]
    near = difflib.get_close_matches(name, recipes, n=3, cutoff=0.4)
    hint = f"near: {', '.join(near)}" if near else "`robustxai train --list` shows them all"
    raise ValueError(f"name must be a recipe, got {name!r}; {hint}")


def run(
    recipe: Recipe,
    *,
    out: Path,
    seed: int | None = None,
    device: torch.device | str = "cpu",
    fresh: bool = False,
    progress: bool = True,
) -> list[str]:
    """Train a recipe and store its networks in `out`; returns their names.

    A killed run goes on from its checkpoints unless `fresh`; they are removed when the result is stored.
    """
    seed = recipe.seed if seed is None else seed
    job = Job(recipe.name, seed, torch.device(device), Path(out), progress)
    folder = job.checkpoint().parent
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    nets = recipe.build(job)
    command = recipe.command or f"robustxai train {recipe.name} --seed {seed}"
    publish(nets, file=recipe.file, out=job.out, command=command, seed=seed)
    shutil.rmtree(folder, ignore_errors=True)
    return [net.name for net in nets]


def publish(nets: Sequence[Net], *, file: str, out: str | Path, command: str, seed: int) -> None:
    """Add or replace networks in the weight file `out/file` and in `out/manifest.json`; all others stay.

    The two files are written first and put in place together, so that a full disk leaves both as they were; a lock
    makes it safe for several processes at once. A network whose parent is not in `out` is stored in full. Raises
    ValueError for a bad name, a tensor that cannot be stored, or a network that changed although others are stored as
    differences from it; and OSError when a file cannot be written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    manifest_path, path = out / "manifest.json", out / file
    with FileLock(out / ".lock"):
        manifest: dict[str, Any] = {"files": {}, "nets": {}}
        if manifest_path.exists():
            zoo(out)  # refuses a broken manifest
            manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        tensors: dict[str, Tensor] = {}
        if file in manifest["files"]:
            check_file(path, manifest["files"][file]["sha256"])
            tensors = load_tensors(path)[0]
        fresh = {net.name: net for net in nets}
        for net in nets:
            parent = net.parent if net.parent in fresh or net.parent in manifest["nets"] else None
            state = to_disk(_on_cpu(net.module), net.dtype, _loaded(parent, fresh, out, below=(net.name,)))
            ours = {f"{net.name}/{key}": value for key, value in state.items()}
            theirs = {key: value for key, value in tensors.items() if key.startswith(f"{net.name}/")}
            _refuse_orphans(net, manifest, same=_equal(ours, theirs))
            tensors = {key: value for key, value in tensors.items() if key not in theirs} | ours
            manifest["nets"][net.name] = _entry(net, file=file, command=command, seed=seed, parent=parent)
        written = Written()
        temporary = add_tensors(written, path, tensors, {})
        stat = temporary.stat()
        digest = sha256_of(temporary, mtime_ns=stat.st_mtime_ns, size=stat.st_size)
        manifest["files"][file] = dict(sha256=digest, bytes=stat.st_size)
        manifest = {part: dict(sorted(manifest[part].items())) for part in ("files", "nets")}
        text = (json.dumps(manifest, indent=1) + "\n").encode()
        written.add(manifest_path, lambda to: to.write_bytes(text))
        written.commit()


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.cpu() for key, value in module.state_dict().items()}


def _loaded(
    name: str | None, fresh: Mapping[str, Net], out: Path, *, below: tuple[str, ...]
) -> dict[str, Tensor] | None:
    """The state of a parent as it will be loaded: of this call's networks rounded as it is stored, else from `out`."""
    if name is None:
        return None
    if name in below:
        raise ValueError(f"network {below[0]!r} must not descend from itself: {' < '.join((*below, name))}")
    if name not in fresh:
        return dict(pretrained(name, weights_dir=out).state_dict())
    net = fresh[name]
    known = net.parent in fresh or (net.parent is not None and holds(out, net.parent))
    base = _loaded(net.parent if known else None, fresh, out, below=(*below, name))
    return from_disk(to_disk(_on_cpu(net.module), net.dtype, base), base)


def _entry(net: Net, *, file: str, command: str, seed: int, parent: str | None) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", net.name):
        raise ValueError(f"network name must be of a-z, 0-9, '_', '.' and '-', got {net.name!r}")
    kind = type(net.module)
    return dict(
        file=file, prefix=net.name, architecture=f"{kind.__module__}.{kind.__qualname__}",
        arguments=net.module.arguments, dataset=net.dataset, command=command, seed=seed,
        metrics=dict(net.metrics), licence=net.licence, dtype=net.dtype, parent=parent,
    )  # fmt: skip


def _refuse_orphans(net: Net, manifest: Mapping[str, Any], *, same: bool) -> None:
    children = sorted(name for name, entry in manifest["nets"].items() if entry["parent"] == net.name)
    if children and not same:
        raise ValueError(
            f"network {net.name!r} would change, and {', '.join(children)} are differences from it; "
            "use another `out`, or an empty one"
        )


def _equal(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
