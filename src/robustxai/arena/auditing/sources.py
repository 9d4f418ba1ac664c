"""MODEL of `robustxai audit`: from `file.py:factory`, `torchvision:NAME`, `zoo:NAME` and others to a network.

Knows where networks come from and what their makers say about size and normalisation; knows nothing about images or
explanations. timm and Hugging Face stand in `library_sources`.
"""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torchvision
from torch import nn

from robustxai.arena.auditing import library_sources
from robustxai.arena.auditing.source import (
    Source,
    classes_of,
    fill,
    name_and_options,
    read_weights,
    seeded,
    unweighted,
)
from robustxai.nets import pretrained, zoo

SOURCE_KINDS = ("file.py:factory", "torchvision:NAME", "timm:NAME", "hf:FOLDER", "zoo:NAME")


def load_source(model: str, *, seed: int = 0) -> Source:
    """The network that MODEL names, in eval mode except where the user's own code says otherwise.

    model: `file.py:factory` (runs that file), `torchvision:resnet18?weights=w.pth`, `timm:NAME?weights=w.safetensors`,
    `hf:FOLDER`, `zoo:NAME`. Nothing is downloaded. seed: of the weights where none are given. Raises ValueError.

    >>> load_source("zoo:diffgradcam-animals4-s0-clean").name
    'zoo:diffgradcam-animals4-s0-clean'
    """
    kind, colon, rest = model.partition(":")
    if kind in ("torchvision", "timm", "hf", "zoo") and rest:
        return _libraries()[kind](rest, seed)
    if not colon or not model.rpartition(":")[0].endswith(".py"):
        hint = ""
        if model.endswith((".pth", ".pt", ".pkl", ".ckpt", ".bin")):
            hint = "; a pickled network is refused, since reading it can run any code: write a file.py with a factory"
        raise ValueError(f"MODEL must be one of {', '.join(SOURCE_KINDS)}, got {model!r}{hint}")
    path, _, factory = model.rpartition(":")
    return from_file(Path(path), factory)


def _libraries() -> dict[str, Callable[[str, int], Source]]:
    return {
        "torchvision": torchvision_source, "zoo": lambda name, seed: from_zoo(name),
        "timm": library_sources.from_timm, "hf": lambda folder, seed: library_sources.from_hugging_face(folder),
    }  # fmt: skip


def from_file(path: Path, factory: str) -> Source:
    """The network that a function without arguments returns; the file is run. Raises ValueError.

    The network may say `mean`, `std`, `size` and `classes` itself, as attributes.
    """
    if not path.is_file():
        raise ValueError(f"MODEL must name a file that exists, got {path}")
    module = _run(path)
    make = getattr(module, factory, None)
    if not callable(make):
        functions = [n for n, v in vars(module).items() if inspect.isroutine(v) or inspect.isclass(v)]
        near = get_close_matches(factory, functions, n=3, cutoff=0.3) or functions[:3]
        raise ValueError(f"{path} has no factory {factory!r}; it has {', '.join(near) or 'no function'}")
    with _own_code(path, factory):
        net = make()
    if not isinstance(net, nn.Module):
        raise ValueError(f"{path}:{factory} must return a network (nn.Module), got {type(net).__name__}")
    return from_module(net, name=f"{path.name}:{factory}")


def from_module(net: nn.Module, *, name: str | None = None) -> Source:
    """A network in Python: a Hugging Face or timm object brings its own normalisation, others may say `mean` and `std`.

    >>> net = nn.Linear(3, 2)
    >>> net.classes = ("cat", "dog")
    >>> from_module(net).classes
    ('cat', 'dog')
    """
    name = type(net).__name__ if name is None else name
    known = library_sources.recognised(net, name)
    if known is not None:
        return known
    said = {key: getattr(net, key, None) for key in ("mean", "std", "size", "classes")}
    mean, std = (v if isinstance(v, (list, tuple)) else None for v in (said["mean"], said["std"]))
    size = said["size"] if isinstance(said["size"], int) else None
    classes = said["classes"] if isinstance(said["classes"], (list, tuple)) else ()
    return Source(net, name, mean, std, size, tuple(map(str, classes)))


def torchvision_source(written: str, seed: int) -> Source:
    """A torchvision classifier with weights from a local file, or random ones, said in a note. Raises ValueError."""
    name, options = name_and_options(written, "torchvision", ("weights", "classes"))
    if name not in torchvision.models.list_models(torchvision.models):
        near = get_close_matches(name, torchvision.models.list_models(torchvision.models), n=3, cutoff=0.3)
        raise ValueError(
            f"torchvision has no classifier {name!r}; near names are {', '.join(near) or 'none'}"
        )
    state = None if "weights" not in options else read_weights(options["weights"])
    classes = int(options["classes"]) if "classes" in options else classes_of(state)
    with seeded(seed):
        net = torchvision.models.get_model(name, weights=None, num_classes=classes)
    fill(net, state, options.get("weights"))
    enum = torchvision.models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    made: Any = enum.transforms()
    known = tuple(enum.meta["categories"]) if classes == len(enum.meta["categories"]) else ()
    size = made.crop_size[0]
    return Source(net.eval(), f"torchvision:{name}", made.mean, made.std, size, known, unweighted(state))


def from_zoo(name: str) -> Source:
    """A trained network that comes with this library; it normalises inside. Raises ValueError with near names."""
    net = pretrained(name)
    said = re.search(r"\b(\d+) px\b", zoo()[name].dataset) if name in zoo() else None
    return Source(net, f"zoo:{name}", size=int(said[1]) if said else None)


def _run(path: Path) -> ModuleType:
    """A Python file as a module; its folder is importable meanwhile, and no compiled copy is left beside it."""
    spec = importlib.util.spec_from_file_location(f"_audited_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up
    with _own_code(path, "the file"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _own_code(path: Path, part: str):
    """Inside the block the user's code runs; what it raises becomes one sentence that says so."""
    folder, silent = str(path.resolve().parent), sys.dont_write_bytecode
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    try:
        yield
    except Exception as error:
        said = (str(error).strip() or "no message").splitlines()[0]
        raise ValueError(f"{path}: {part} raised {type(error).__name__}: {said}") from error
    finally:
        sys.dont_write_bytecode = silent
        sys.path.remove(folder)
