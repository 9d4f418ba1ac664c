"""Attacks that are finished, on disk, so that an audit that was stopped goes on where it was, however it was stopped.

A mapping from a string to what a search of the suite found, one file each, whole or absent. What it was made with
stands in the folder's name, so that other settings never find it. Knows files and tensors; knows no explainer.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.arena.suite import Crafted
from robustxai.nets.checkpoint import load_tensors, save_tensors, tensor_digest


class AttackStore(MutableMapping[str, Crafted]):
    """Finished searches in a folder, which is made with the first of them. device: where what is read is put.

    >>> import tempfile
    >>> store = AttackStore(Path(tempfile.mkdtemp()) / "attacks")
    >>> yes = torch.ones(1, dtype=torch.bool)
    >>> store["GradCAM"] = Crafted("topk", torch.zeros(1, 3, 2, 2), yes, yes)
    >>> len(store), store["GradCAM"].name
    (1, 'topk')
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu"):
        self.folder, self.device = folder, device

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"

    def __getitem__(self, key: str) -> Crafted:
        path = self._path(key)
        if not path.is_file():
            raise KeyError(key)
        tensors, record = load_tensors(path)
        return Crafted(record["name"], **{name: value.to(self.device) for name, value in tensors.items()})

    def __setitem__(self, key: str, found: Crafted) -> None:
        tensors = {"x": found.x, "followed": found.followed, "kept": found.kept}
        save_tensors(self._path(key), tensors, {"key": key, "name": found.name})

    def __delitem__(self, key: str) -> None:
        self._path(key).unlink()

    def __iter__(self) -> Iterator[str]:
        for path in sorted(self.folder.glob("*.safetensors")):
            yield load_tensors(path)[1]["key"]

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.safetensors")))

    def clear(self) -> None:
        """Remove the folder with all that is in it, and the one around it where nothing else is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.parent.is_dir() and not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()


def fingerprint(model: nn.Module, x: Tensor, settings: Mapping[str, Any]) -> str:
    """Sixteen letters for a network's weights, its images and the settings of an audit.

    Of each tensor shape and 65,536 numbers at most are read. Code is not: another version of the library is.

    >>> net, x = nn.Linear(2, 2), torch.zeros(1, 2)
    >>> fingerprint(net, x, {"eps": 1}) == fingerprint(net, x, {"eps": 2})
    False
    """
    state = model.state_dict()
    parts = [type(model).__name__, *state, tensor_digest(*state.values()), tensor_digest(x)]
    parts.append(json.dumps(settings, sort_keys=True, default=str))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
