"""Attacks that are finished, on disk, so that an audit that was stopped goes on where it was, however it was stopped.

A mapping from a string to an `Attacked`, one file each, whole or absent. What a file was made with stands in the
folder's name, so that other settings never find it. Knows files and tensors; knows nothing about explainers.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustxai.attacks.budget import Budget
from robustxai.attacks.result import Attacked
from robustxai.nets.checkpoint import load_tensors, save_tensors, tensor_digest

TENSORS = tuple(f.name for f in fields(Attacked) if f.name not in ("budget", "clean"))
"""Fields of a result that are written; the clean images are the audit's own."""


class AttackStore(MutableMapping[str, Attacked]):
    """Finished attacks in a folder. x: the clean images, by which all of them began.

    >>> import tempfile, torch
    >>> store = AttackStore(Path(tempfile.mkdtemp()) / "attacks", torch.zeros(2, 3, 4, 4))
    >>> len(store), "GradCAM" in store
    (0, False)
    """

    def __init__(self, folder: Path, x: Tensor):
        self.folder, self.x = folder, x
        self.written: list[str] = []

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"

    def __getitem__(self, key: str) -> Attacked:
        path = self._path(key)
        if not path.is_file():
            raise KeyError(key)
        tensors, record = load_tensors(path)
        said = record["budget"]
        budget = None if said is None else Budget(**{k: tuple(v) if isinstance(v, list) else v for k, v in said.items()})
        on = {name: value.to(self.x.device) for name, value in tensors.items()}
        return Attacked(clean=self.x, budget=budget, **on)

    def __setitem__(self, key: str, found: Attacked) -> None:
        if found.clean.shape != self.x.shape:
            raise ValueError(f"an attack must have the shape of the images, got {tuple(found.clean.shape)}")
        tensors = {name: getattr(found, name) for name in TENSORS}
        budget = None if found.budget is None else asdict(found.budget)
        save_tensors(self._path(key), tensors, {"key": key, "budget": budget})
        self.written.append(key)

    def __delitem__(self, key: str) -> None:
        self._path(key).unlink()

    def __iter__(self) -> Iterator[str]:
        for path in sorted(self.folder.glob("*.safetensors")):
            yield load_tensors(path)[1]["key"]

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.safetensors")))

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fingerprint(model: nn.Module, x: Tensor, settings: Mapping[str, Any]) -> str:
    """Sixteen letters for a network's weights, its images and the settings of an audit.

    Of each tensor shape and 65,536 numbers at most are read. Code is not: another version of the library is.

    >>> import torch
    >>> net, x = nn.Linear(2, 2), torch.zeros(1, 2)
    >>> fingerprint(net, x, {"eps": 1}) == fingerprint(net, x, {"eps": 2})
    False
    """
    state = model.state_dict()
    parts = [type(model).__name__, *state, tensor_digest(*state.values()), tensor_digest(x)]
    parts.append(json.dumps(settings, sort_keys=True, default=str))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
