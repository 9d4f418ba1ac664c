"""IMAGES of `robustxai audit`: a folder, a folder of folders, an .npz or .pt file, or a tensor, as one batch in [0, 1].

Files are turned as their EXIF data says, made RGB, resized and cropped; what could not be read is counted with the
reason. Knows files and tensors; knows nothing about networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai.checks import check_count, check_images
from robustxai.data.folder_images import fitted_image, image_files, opened, subfolders

IMAGE_KEYS = ("images", "x", "image", "arr_0")
LABEL_KEYS = ("labels", "y", "label", "target")


@dataclass(frozen=True)
class PictureSet:
    """Images (n, C, H, W) in [0, 1], and what is known of each.

    names: for the report. labels: the true class of each, by index or name, or None. skipped: (file, reason).
    files: where each came from, empty for tensors. masks: of the object (n, 1, H, W), where the file had them.

    >>> PictureSet(torch.zeros(1, 3, 2, 2), ("a",)).skipped
    ()
    """

    x: Tensor
    names: tuple[str, ...]
    labels: tuple[str | int, ...] | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    files: tuple[Path, ...] = ()
    masks: Tensor | None = None


def load_pictures(images: Any, *, n: int = 32, size: int = 224, seed: int = 0) -> PictureSet:
    """At most n images, drawn with `seed` where there are more; size: of both sides of what is read from files.

    images: a folder of image files or of folders of them, an .npz or .pt file, a tensor or array (n, C, H, W).
    Raises ValueError where no image can be read, and for pixels outside [0, 1].

    >>> load_pictures(torch.rand(5, 3, 8, 8), n=2).x.shape
    torch.Size([2, 3, 8, 8])
    """
    n, size = check_count("n", n), check_count("size", size)
    if not isinstance(images, (str, Path)):
        return _chosen(_from_arrays({"images": images}, "images"), n, seed)
    path = Path(images).expanduser()
    if path.is_dir():
        return _from_folder(path, n, size, seed)
    if not path.is_file():
        raise ValueError(
            f"IMAGES must be a folder, an .npz or .pt file, or a tensor, got {images}, which is not there"
        )
    return _chosen(_from_arrays(_arrays(path), path.name), n, seed)


def drawn_places(count: int, n: int, seed: int) -> list[int]:
    """All of `count` places in an order that `seed` draws; in their own order where no more than n are there.

    >>> drawn_places(3, 5, 0)
    [0, 1, 2]
    """
    if count <= n:
        return list(range(count))
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed), device="cpu").tolist()


def _from_folder(path: Path, n: int, size: int, seed: int) -> PictureSet:
    """Files of the folder itself, or of its sub-folders, whose names are then the labels."""
    files, inside = image_files(path), False
    if not files:
        files, inside = [file for folder in subfolders(path) for file in image_files(folder)], True
    folders = subfolders(path) if inside else [path]
    others = [
        f
        for folder in folders
        for f in folder.iterdir()
        if f.is_file() and f.name[0] != "." and f not in set(files)
    ]
    skipped = [(str(f.relative_to(path)), "is no image file") for f in sorted(others)]
    if not files:
        raise ValueError(f"IMAGES must hold image files, got {path}, which has none, also not in its folders")
    fit, found = fitted_image(size), dict[int, Tensor]()
    for i in drawn_places(len(files), n, seed):
        if len(found) == n:
            break
        try:
            found[i] = fit(opened(files[i])).float() / 255
        except ValueError as error:
            skipped.append((str(files[i].relative_to(path)), str(error).rpartition("which ")[2]))
    if not found:
        raise ValueError(
            f"IMAGES must hold images that can be read, got {path}, where {skipped[-1][0]} {skipped[-1][1]}"
        )
    chosen = [files[i] for i in sorted(found)]
    return PictureSet(
        torch.stack([found[i] for i in sorted(found)]),
        tuple(str(f.relative_to(path)) for f in chosen),
        tuple(f.parent.name for f in chosen) if inside else None,
        tuple(skipped),
        tuple(chosen),
    )


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of an .npz, .npy or .pt file; nothing pickled is made. Raises ValueError."""
    try:
        if path.suffix in (".pt", ".pth"):
            found = torch.load(path, map_location="cpu", weights_only=True)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as held:
                found = {key: held[key] for key in held.files}
        elif path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            raise ValueError("a file must end in .npz, .npy or .pt")
    except Exception as error:  # a broken file makes these readers fail in any way
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"IMAGES {path} cannot be read: {said}") from error
    return dict(found) if isinstance(found, dict) else {"images": found}


def _from_arrays(arrays: dict[str, Any], name: str) -> PictureSet:
    """Images, and labels and masks beside them; bytes become [0, 1], channels at the end come to the front."""
    key = next((k for k in IMAGE_KEYS if k in arrays), None)
    if key is None:
        raise ValueError(
            f"{name} must hold images under one of {', '.join(IMAGE_KEYS)}, got {', '.join(list(arrays)[:6])}"
        )
    x = as_images(arrays[key], name)
    label = next((k for k in LABEL_KEYS if k in arrays), None)
    labels = None if label is None else tuple(np.asarray(arrays[label]).reshape(-1).tolist())
    if labels is not None and len(labels) != len(x):
        raise ValueError(f"{name} must hold one label an image, got {len(labels)} for {len(x)}")
    masks = None if "masks" not in arrays else torch.as_tensor(np.asarray(arrays["masks"])).float()
    if masks is not None:
        masks = masks[:, None] if masks.ndim == 3 else masks
        if masks.shape != (len(x), 1, *x.shape[2:]):
            raise ValueError(
                f"masks must be of the size of the images, {tuple(x.shape[2:])}, got shape {tuple(masks.shape)}"
            )
    return PictureSet(x, tuple(f"image {i}" for i in range(len(x))), labels, masks=masks)


def as_images(values: Any, name: str = "images") -> Tensor:
    """A tensor or array of bytes or floats, channels first or last, as images (n, C, H, W) in [0, 1].

    Raises ValueError for other shapes and for pixels outside [0, 1].

    >>> as_images(np.full((1, 4, 4, 3), 255, dtype=np.uint8)).shape
    torch.Size([1, 3, 4, 4])
    """
    try:
        x = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be images (n, C, H, W), got {type(values).__name__}") from error
    if x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.permute(0, 3, 1, 2)
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float() if x.is_floating_point() else x
    return check_images(name, x.contiguous())


def _chosen(all_: PictureSet, n: int, seed: int) -> PictureSet:
    """n of the pictures, in their order."""
    keep = sorted(drawn_places(len(all_.x), n, seed)[:n])
    labels = None if all_.labels is None else tuple(all_.labels[i] for i in keep)
    masks = None if all_.masks is None else all_.masks[keep]
    return replace(all_, x=all_.x[keep], names=tuple(all_.names[i] for i in keep), labels=labels, masks=masks)


def class_indices(labels: Sequence[str | int] | None, classes: Sequence[str], count: int) -> Tensor | None:
    """Labels as class indices (n,): indices as they are, names by the network's names; None where they are neither.

    >>> class_indices(["dog", "cat"], ["cat", "dog"], 2)
    tensor([1, 0])
    """
    if labels is None:
        return None
    known = {name.lower(): i for i, name in enumerate(classes)}
    found = []
    for label in labels:
        written = str(label)
        index = int(written) if written.isdecimal() else known.get(written.lower())
        if index is None or not 0 <= index < max(count, 2):
            return None
        found.append(index)
    return torch.tensor(found, device="cpu")
