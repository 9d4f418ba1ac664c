"""Files that are whole or absent: tensors in safetensors, and the state of a training run in one of them.

A reader sees the old file or the new one, never half of one. It knows how to put a model and an optimizer
back to the same bits, and nothing about losses or data. No pickle.
"""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

KEY = "robustxai"


class Written:
    """Files written beside the ones they replace; `commit` puts all of them in place, `discard` removes them.

    So several files change together, and a disk that is full changes none of them.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[Path, Path]] = []

    def add(self, path: Path, write: Callable[[Path], object]) -> Path:
        """Call `write` with a temporary file for `path` and flush it to the disk; returns the temporary file.

        Raises OSError, one sentence that names `path`, when it cannot be written; then nothing is left of it.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        self._pairs.append((temporary, path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        except BaseException as error:
            self.discard()
            if isinstance(error, (OSError, SafetensorError)):
                raise OSError(f"{path} could not be written, and is as it was: {_reason(error)}") from error
            raise
        return temporary

    def commit(self) -> None:
        """Put every file in its place."""
        for temporary, path in self._pairs:
            os.replace(temporary, path)
        self._pairs.clear()

    def discard(self) -> None:
        """Remove what was written and not put in place."""
        for temporary, _ in self._pairs:
            with suppress(FileNotFoundError):
                temporary.unlink()
        self._pairs.clear()


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).strip().splitlines()[0]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-able `record` into one safetensors file, atomically. Raises OSError, one
    sentence that names `path`, on a full disk; then `path` is as it was."""
    written = Written()
    add_tensors(written, path, tensors, record)
    written.commit()


def add_tensors(
    written: Written, path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]
) -> Path:
    """Write a safetensors file to be put in place with others; returns the temporary file."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return written.add(path, lambda to: save_file(plain, to, metadata={KEY: json.dumps(record)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: the tensors on the CPU, and the record."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata.get(KEY, "{}"))


def tensor_digest(*tensors: Tensor) -> str:
    """Shapes and a checksum of at most 65,536 elements of each tensor: enough to notice another data set."""
    parts = []
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 65536)].cpu().contiguous()
        parts.append(f"{tuple(tensor.shape)}:{zlib.crc32(sample.numpy().tobytes()):08x}")
    return " ".join(parts)


class Checkpoint:
    """The state of a training run in one file, or nowhere when `path` is None.

    settings: what must be the same for the run to go on. seconds: least time between two writes.
    """

    def __init__(
        self,
        path: str | Path | None,
        settings: Mapping[str, Any],
        *,
        seconds: float,
        model: nn.Module,
        average: nn.Module | None,
        rule: Optimizer,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.settings, self.seconds = settings, seconds
        self.model, self.average, self.rule = model, average, rule
        self.saved = time.monotonic()

    def save_if_due(self, done: int, summed: float, history: Any, *, now: bool = False) -> None:
        """Write the run after `done` steps, `summed` being the loss so far in this epoch; `now` does not
        wait.
        """
        if self.path is None or not (now or time.monotonic() - self.saved > self.seconds):
            return
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"ema/{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self.rule.state_dict()["state"].items():
            tensors |= {f"rule/{index}/{key}": v for key, v in state.items() if isinstance(v, Tensor)}
        record = dict(settings=self.settings, done=done, summed=summed, history=asdict(history))
        save_tensors(self.path, tensors, record)
        self.saved = time.monotonic()

    def load(self) -> tuple[int, float, dict[str, Any]]:
        """Put the stored state back; returns (steps done, loss summed in this epoch, history), or (0, 0.0,
        {}).

        Raises ValueError when the file was made with other settings.
        """
        if self.path is None or not self.path.exists():
            return 0, 0.0, {}
        tensors, record = load_tensors(self.path)
        was = record.get("settings", {})
        for key, value in self.settings.items():
            if was.get(key) != value:
                raise ValueError(
                    f"checkpoint {self.path} was made with {key}={was.get(key)!r}, not {value!r}; "
                    "remove it or name another file"
                )
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "rule": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = tensor
        self.model.load_state_dict(groups["model"])
        if self.average is not None:
            self.average.load_state_dict(groups["ema"])
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["rule"].items():
            index, _, key = name.partition("/")
            parameter = self.rule.param_groups[0]["params"][int(index)]
            if tensor.shape == parameter.shape:  # fused kernels need the parameter's own memory order
                tensor = torch.empty_like(parameter).copy_(tensor)
            states.setdefault(int(index), {})[key] = tensor
        groups_now = self.rule.state_dict()["param_groups"]
        self.rule.load_state_dict({"state": states, "param_groups": groups_now})
        return record["done"], record["summed"], record["history"]
