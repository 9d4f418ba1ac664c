"""Where the object is, and what it is: `--masks`, `--boxes` and `--labels` beside a folder of images.

Masks and boxes go through the same resize and crop as their images. Knows files; knows nothing about networks.
"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from robustxai.arena.auditing.pictures import PictureSet
from robustxai.data.folder_images import BROKEN, SUFFIXES, fitted_image, opened


def masks_from_folder(folder: Path | str, pictures: PictureSet, size: int) -> Tensor:
    """Masks (n, 1, size, size) of 0 and 1 from files with the stems of the images, white where the object is.

    Raises ValueError for images without a mask, and a mask whose size is not that of its image.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"--masks must be a folder, got {folder}")
    found, missing = [], []
    for file, name in zip(pictures.files, pictures.names, strict=True):
        mask = _beside(path, name)
        if mask is None:
            missing.append(name)
        else:
            found.append(_fitted_mask(_read_mask(mask), file, mask, size))
    if missing or not found:
        raise ValueError(
            f"--masks must have one for every image, got none for {len(missing) or len(pictures.names)} of "
            f"{len(pictures.names)}, such as {(missing or list(pictures.names))[0]}"
        )
    return torch.stack(found)


def masks_from_boxes(file: Path | str, pictures: PictureSet, size: int) -> Tensor:
    """Masks (n, 1, size, size) from a JSON file {image: [x0, y0, x1, y1]}, or a list of such boxes, in pixels of the
    upright image. Raises ValueError for images without a box, and boxes that are no box."""
    boxes = _json(Path(file))
    found = []
    for path, name in zip(pictures.files, pictures.names, strict=True):
        said = next((boxes[key] for key in (name, path.name, path.stem) if key in boxes), None)
        if said is None:
            raise ValueError(f"--boxes must have one for every image, got none for {name}")
        image = opened(path)
        mask = Image.new("L", image.size, 0)
        for box in said if said and isinstance(said[0], list) else [said]:
            ImageDraw.Draw(mask).rectangle(_box(box, name, image.size), fill=255)
        found.append((fitted_image(size, mask=True)(mask) > 127).float())
    return torch.stack(found)


def labels_from_csv(file: Path | str, pictures: PictureSet) -> tuple[str | int, ...]:
    """The true class of every image from lines `image,label`; a first line that names no image is a heading.

    Raises ValueError for images without a label.
    """
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            said = {row[0].strip(): row[1].strip() for row in csv.reader(lines) if len(row) > 1}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"--labels {file} cannot be read: {error}") from error
    labels = []
    for name in pictures.names:
        label = next((said[key] for key in (name, Path(name).name, Path(name).stem) if key in said), None)
        if label is None:
            raise ValueError(f"--labels must have a line for every image, got none for {name}")
        labels.append(label)
    return tuple(labels)


def _beside(folder: Path, name: str) -> Path | None:
    """The mask of an image: the same stem, in the same sub-folder or in the folder itself."""
    stems = (folder / Path(name).with_suffix(""), folder / Path(name).stem)
    return next(
        (f for stem in stems for s in SUFFIXES if (f := stem.with_name(stem.name + s)).is_file()), None
    )


def _read_mask(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).convert("L")
    except BROKEN as error:
        raise ValueError(f"--masks: {file.name} cannot be read ({type(error).__name__})") from error


def _fitted_mask(mask: Image.Image, file: Path, name: Path, size: int) -> Tensor:
    image = opened(file)
    if mask.size != image.size:
        raise ValueError(
            f"--masks: {name.name} must be of the size of its image, {image.size}, got {mask.size}"
        )
    return (fitted_image(size, mask=True)(mask) > 127).float()


def _box(box: Any, name: str, size: tuple[int, int]) -> tuple[float | int, ...]:
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)
    if not numbers or not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(
            f"--boxes must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got {box!r:.60} for {name}"
        )
    if box[0] >= size[0] or box[1] >= size[1] or box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"--boxes must lie in the image, {size[0]} x {size[1]}, got {box} for {name}")
    return box[0], box[1], box[2] - 1, box[3] - 1


def _json(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"--boxes {file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"--boxes {file} must hold an object {{image: box}}, got a {type(found).__name__}")
    return found
