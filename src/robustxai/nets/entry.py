"""What a weights manifest may say of a network: fields of the right types, a class of ours, a line of parents.

A manifest is read, never obeyed: it names no function, no file outside its folder, and nothing to be downloaded. Knows
how to rebuild a module from its class and arguments; knows nothing about files.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustxai.nets.storage import DTYPES


class WeightsError(ValueError):
    """A weight file or its manifest is missing, altered, or does not fit the network.

    >>> issubclass(WeightsError, ValueError)
    True
    """


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo. `architecture` is "module.Class" inside robustxai.nets, rebuilt with `arguments`.

    prefix: its tensors are named `prefix/...` in `file`. parent: where the tensors come from that are not
    stored. metrics: what the recipe measured. dtype: "fp16", "fp32" or "int8" on disk (`nets.storage`); networks always
    load as float32. Raises WeightsError for fields of other types, and for a file that is not in the folder itself.

    >>> from robustxai.nets import zoo
    >>> entry = next(iter(zoo().values()))
    >>> entry.architecture.startswith("robustxai.nets.")
    True
    """

    name: str
    file: str
    sha256: str
    prefix: str
    architecture: str
    arguments: dict[str, Any]
    dataset: str
    command: str
    seed: int
    metrics: dict[str, Any]
    licence: str
    dtype: str
    parent: str | None = None

    def __post_init__(self) -> None:
        for name, kinds in FIELDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                kind = " or ".join(k.__name__ for k in kinds)
                raise WeightsError(f"{name} of network {self.name!r} must be {kind}, got {value!r}")
        if self.dtype not in DTYPES:
            raise WeightsError(
                f"dtype of network {self.name!r} must be {' or '.join(DTYPES)}, got {self.dtype!r}"
            )
        if Path(self.file).name != self.file:
            raise WeightsError(f"file of network {self.name!r} must be a file's name, got {self.file!r}")


FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("name", "file", "sha256", "prefix", "architecture", "dataset", "command", "licence", "dtype"), (str,)
    ),
    "arguments": (dict,),
    "metrics": (dict,),
    "seed": (int,),
    "parent": (str, type(None)),
}
"""The types of an entry's fields."""
INPUTS = ("weights", "generator")
"""Arguments of an architecture that are no part of it: a manifest never names files to read or seeds."""


def make(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A fresh module of class "robustxai.nets.module.Class"; the caller's random state is left as it was.

    Raises WeightsError for anything but a network that is written in a module of robustxai.nets, and for arguments that
    it does not take.
    """
    home, _, kind = architecture.rpartition(".")
    wrong = WeightsError(f"architecture {architecture!r} must be a class inside robustxai.nets, an nn.Module")
    if not home.startswith("robustxai.nets."):
        raise wrong
    try:
        found = getattr(import_module(home), kind, None)
    except ImportError as error:
        if (error.name or "").startswith("robustxai"):
            raise wrong from error
        raise WeightsError(
            f"architecture {architecture!r} needs {error.name}, which is not installed"
        ) from error
    if not inspect.isclass(found) or not issubclass(found, nn.Module) or found.__module__ != home:
        raise wrong
    if barred := [name for name in INPUTS if name in arguments]:
        raise WeightsError(f"arguments of {architecture!r} must describe the network, got {barred[0]!r}")
    try:
        with torch.random.fork_rng(devices=[]):
            return found(**arguments)
    except (TypeError, ValueError, RuntimeError, AttributeError, LookupError, ArithmeticError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"architecture {architecture!r} does not take its arguments: {said}") from error


def ancestry(entry: ZooEntry, entries: Mapping[str, ZooEntry]) -> list[ZooEntry]:
    """The network, its parent, and so on. Raises WeightsError for a parent that is missing or its own descendant."""
    line = [entry]
    while (parent := line[-1].parent) is not None:
        if parent not in entries:
            raise WeightsError(f"network {line[-1].name!r} needs its parent {parent!r}, which is not there")
        names = [one.name for one in line]
        if parent in names:
            raise WeightsError(
                f"network {entry.name!r} must not descend from itself: {' < '.join((*names, parent))}"
            )
        line.append(entries[parent])
    return line
