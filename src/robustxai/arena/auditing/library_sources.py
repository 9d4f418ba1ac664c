"""Networks of timm and Hugging Face transformers, from local files only; both are imported here and nowhere else.

Knows how these libraries say what a network expects; knows nothing about images or explanations.
"""

import json
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from robustxai.arena.auditing.source import (
    Source,
    classes_of,
    fill,
    name_and_options,
    read_weights,
    seeded,
    unweighted,
)


def from_timm(written: str, seed: int) -> Source:
    """A timm classifier, NAME?weights=FILE&classes=N, with timm's own normalisation and size. Raises ValueError."""
    timm = _library("timm")
    name, options = name_and_options(written, "timm", ("weights", "classes"))
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.3)
        raise ValueError(f"timm has no network {name!r}; near names are {', '.join(near) or 'none'}")
    state = None if "weights" not in options else read_weights(options["weights"])
    classes = int(options["classes"]) if "classes" in options else classes_of(state)
    with seeded(seed):
        net = timm.create_model(name, pretrained=False, num_classes=classes)
    fill(net, state, options.get("weights"))
    found = recognised(net.eval(), f"timm:{name}")
    assert found is not None
    return Source(net, found.name, found.mean, found.std, found.size, notes=unweighted(state))


def from_hugging_face(folder: str) -> Source:
    """A classifier that `save_pretrained` wrote into a local folder, and its preprocessor_config.json.

    Raises ValueError where the folder holds no image classifier.
    """
    transformers, path = _library("transformers"), Path(folder)
    if not (path / "config.json").is_file():
        raise ValueError(f"hf:FOLDER must be a folder with a config.json, got {folder}")
    pickled = sorted(path.glob("*.bin"))
    if pickled and not sorted(path.glob("*.safetensors")):
        raise ValueError(
            f"hf:FOLDER must hold safetensors, got {pickled[0].name}, a pickle, which can run any code when it is read"
        )
    try:
        net = transformers.AutoModelForImageClassification.from_pretrained(
            path, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        said = " ".join(str(error).split())[:160]
        raise ValueError(f"{folder} is no image classifier that transformers can read: {said}") from error
    return _hugging_face(net.eval(), f"hf:{path.name}", path)


def recognised(net: nn.Module, name: str) -> Source | None:
    """What a timm or Hugging Face object says of itself; None for other networks. Neither library is imported."""
    if "transformers" in sys.modules and isinstance(net, sys.modules["transformers"].PreTrainedModel):
        config: Any = net.config
        where = Path(str(config._name_or_path or ""))
        return _hugging_face(net, name, where if where.is_dir() else None)
    config = getattr(net, "pretrained_cfg", None)
    if "timm" not in sys.modules or config is None:
        return None
    data = import_module("timm.data").resolve_model_data_config(net)
    return Source(net, name, data["mean"], data["std"], data["input_size"][-1])


def _hugging_face(net: Any, name: str, folder: Path | None) -> Source:
    labels = net.config.id2label or {}
    names = tuple(str(labels[i]) for i in sorted(labels)) if len(labels) == net.config.num_labels else ()
    names = () if all(n == f"LABEL_{i}" for i, n in enumerate(names)) else names
    file = None if folder is None else folder / "preprocessor_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else None
    size = getattr(net.config, "image_size", None)
    size = size if isinstance(size, int) else None
    if said is None:
        note = (
            "No preprocessor_config.json was found: images are given to the network as they are, in [0, 1]."
        )
        return Source(net, name, None, None, size, names, (note,))
    wanted = said.get("do_normalize", "image_mean" in said)
    mean, std = (said.get("image_mean"), said.get("image_std")) if wanted else (None, None)
    mean, std = _scaled(said, mean, std)
    return Source(net, name, mean, std, _side(said) or size, names)


def _scaled(said: Mapping[str, Any], mean: Any, std: Any) -> tuple[Any, Any]:
    """Mean and std for images in [0, 1], where the folder's are for images multiplied by its `rescale_factor`."""
    factor = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
    scale = 255 * factor  # from [0, 1] to what its normalisation expects
    if abs(scale - 1) < 1e-6:
        return mean, std
    mean, std = mean or [0.0] * 3, std or [1.0] * 3
    return [m / scale for m in mean], [s / scale for s in std]


def _side(said: Mapping[str, Any]) -> int | None:
    """The side of the square images that a preprocessor makes, from the forms in which it may say so."""
    for key in ("crop_size", "size"):
        value = said.get(key)
        if key == "crop_size" and said.get("do_center_crop") is False:
            continue
        if isinstance(value, int):
            return value
        if isinstance(value, Mapping):
            side = value.get("height") or value.get("shortest_edge")
            if isinstance(side, int):
                return side
    return None


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{name}: networks need the package {name}, which is not installed: pip install {name}"
        ) from error
