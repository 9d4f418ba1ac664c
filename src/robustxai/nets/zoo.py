"""The zoo: trained weights by name, checked against the manifest's sha256 whenever they are read.

Weights lie in safetensors files beside `manifest.json`, several networks in one file under `name/`. A
fine-tuned network may store only the tensors in which it differs from its `parent`. It knows files, and
nothing about training; what a manifest may say is in `entry`. No pickle.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from robustxai.checks import check_module
from robustxai.nets.checkpoint import save_tensors
from robustxai.nets.checksum import check_file
from robustxai.nets.entry import WeightsError, ZooEntry, ancestry, make
from robustxai.nets.storage import from_disk, to_disk

PACKAGE_WEIGHTS = Path(__file__).parent / "weights"


def zoo(weights_dir: str | Path | None = None) -> dict[str, ZooEntry]:
    """All networks by name; `weights_dir` is a folder with a manifest.json (default: the ones shipped).

    Raises WeightsError when the folder has no readable manifest.
    """
    path = _folder(weights_dir) / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files, nets = manifest["files"], manifest["nets"]
        return {n: ZooEntry(name=n, sha256=files[e["file"]]["sha256"], **e) for n, e in nets.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a readable weights manifest ({error})") from error


def holds(weights_dir: str | Path, name: str) -> bool:
    """Whether a weights folder has a network of this name; a folder without a manifest has none.

    Raises WeightsError for a manifest that cannot be read.
    """
    return (Path(weights_dir) / "manifest.json").exists() and name in zoo(weights_dir)


def pretrained(
    name: str | Path | WeightsEnum,
    *,
    weights_dir: str | Path | None = None,
    map_location: torch.device | str = "cpu",
    subfolder: str | None = None,
) -> nn.Module:
    """A trained network in eval mode, float32, its parameters trainable, on `map_location`.

    name: a name of `zoo()`; or, with a network connection, a torchvision weights enum (or its name, such as
    "ResNet18_Weights.DEFAULT") or a diffusers repository "owner/name"; or a folder saved by diffusers, with
    `subfolder` where the model is not at its top. Raises ValueError for an unknown name, with the near
    ones, and WeightsError (a ValueError) for a missing or altered file.
    """
    if isinstance(name, WeightsEnum) or (isinstance(name, str) and "_Weights." in name):
        from robustxai.nets import remote

        return remote.from_torchvision(name).float().to(map_location)
    entries = zoo(weights_dir)
    if isinstance(name, str) and name in entries:
        return rebuild(entries[name], entries, _folder(weights_dir)).to(map_location)
    if Path(name).is_dir() or (isinstance(name, str) and name.count("/") == 1):
        from robustxai.nets import remote

        return remote.from_diffusers(name, subfolder=subfolder).float().to(map_location)
    near = difflib.get_close_matches(str(name), entries, n=3, cutoff=0.4)
    hint = f"near: {', '.join(near)}" if near else f"known: {', '.join(sorted(entries)) or 'none'}"
    raise ValueError(f"name must be a network of the zoo, got {str(name)!r}; {hint}")


def rebuild(entry: ZooEntry, entries: Mapping[str, ZooEntry], folder: Path) -> nn.Module:
    """The network of `entry` with its weights from `folder`, in eval mode on the CPU.

    Raises WeightsError, naming the file, when the file is missing or altered or does not fit.
    """
    module = make(entry.architecture, entry.arguments).float()  # whatever torch's default is
    state = stored_state(entry, entries, folder)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{folder / entry.file} does not fit network {entry.name!r}: {error}") from error
    return module.eval()


def stored_state(entry: ZooEntry, entries: Mapping[str, ZooEntry], folder: Path) -> dict[str, Tensor]:
    """All tensors of `entry` as float32 (integers as they are), its parent's first and its own over them."""
    state: dict[str, Tensor] = {}
    for one in reversed(ancestry(entry, entries)):
        path = folder / one.file
        check_file(path, one.sha256)
        prefix = f"{one.prefix}/"
        try:
            with safe_open(path, framework="pt") as file:
                ours = {
                    key.removeprefix(prefix): file.get_tensor(key)
                    for key in file.keys()
                    if key.startswith(prefix)
                }
            state = from_disk(ours, state)
        except SafetensorError as error:
            raise WeightsError(f"weight file {path} is no safetensors file: {error}") from error
        except ValueError as error:
            raise WeightsError(f"{path} does not fit network {one.name!r}: {error}") from error
    return state


def save_weights(
    path: str | Path,
    modules: Mapping[str, nn.Module | Mapping[str, Tensor]],
    *,
    dtype: str = "fp16",
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write modules (or state dicts) to one safetensors file, atomically, tensors named `prefix/tensor`.

    dtype: "fp16" (default), "fp32", or "int8" (eight bits a weight, see `nets.storage`) for floating tensors; integers
    stay. Raises ValueError when a number is not finite or too large for fp16, and OSError, one sentence that names the
    file, on a full disk.
    """
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        state = module.state_dict() if isinstance(module, nn.Module) else module
        tensors |= to_disk({f"{prefix}/{key}": value for key, value in state.items()}, dtype)
    save_tensors(Path(path), tensors, record or {})


@torch.no_grad()
def round_weights(module: nn.Module, *, dtype: str = "fp16", parent: nn.Module | None = None) -> nn.Module:
    """Round every floating tensor, in place, to what storage keeps, so that metrics are those of the stored
    net.

    parent: the network whose difference is stored, itself as it is stored. Raises ValueError for another dtype, or a
    parent that does not have the same tensors.
    """
    check_module("module", module)
    if parent is not None:
        check_module("parent", parent)
    base = None if parent is None else parent.state_dict()
    kept = from_disk(to_disk(module.state_dict(), dtype, base), base)
    for key, value in module.state_dict().items():
        value.copy_(kept[key])
    return module


def _folder(weights_dir: str | Path | None) -> Path:
    return PACKAGE_WEIGHTS if weights_dir is None else Path(weights_dir)
