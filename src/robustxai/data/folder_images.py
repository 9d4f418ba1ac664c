"""A folder of image files as one batch, read as a person sees it: turned upright, on white where transparent.

    x = from_folder("stripes", size=64)          # (n, 3, 64, 64) in [0, 1]

Hidden files and folders, such as `._x.jpg` and `.ipynb_checkpoints`, are left out; files come in the order of their
names. Knows nothing about classes or concepts.
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

from robustxai.checks import check_count, check_name

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
FITS = ("crop", "squash")
MARGIN = 8 / 7  # the shorter side is scaled to this times the size before the crop: 256 for 224
BROKEN = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)
"""What PIL raises for a file that is no image, or not a whole one."""
TRANSPARENT = ("RGBA", "RGBa", "LA", "La", "PA")


def from_folder(
    path: Path | str, *, size: int = 224, fit: str = "crop", limit: int | None = None
) -> Float[Tensor, "n 3 size size"]:
    """The images of a folder, not of its subfolders, in [0, 1] on the uint8 grid, sorted by name.

    Args:
        path: a folder of image files (jpg, png, ppm, pgm, bmp, tif, webp); hidden ones are left out.
        size: of both sides, in pixels.
        fit: "crop" scales the shorter side to 8/7 size and takes the centre; "squash" scales both sides to size.
        limit: the first so many files; None is all.

    Raises ValueError where there is no such folder, no image in it, or one that cannot be read.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for level in (0, 255):
    ...     Image.new("RGB", (40, 30), (level, 0, 0)).save(folder / f"{level:03}.png")
    >>> x = from_folder(folder, size=16)
    >>> x.shape, x[:, 0].mean((1, 2))
    (torch.Size([2, 3, 16, 16]), tensor([0., 1.]))
    """
    size, files = check_count("size", size), image_files(path)
    if limit is not None:
        files = files[: check_count("limit", limit)]
    if not files:
        folders = [folder.name for folder in subfolders(path) if image_files(folder)]
        hint = f"; its subfolders have some, such as {folders[0]!r}" if folders else ""
        raise ValueError(f"path must hold images ({', '.join(SUFFIXES)}), got {path}, which has none{hint}")
    return read_images(files, size=size, fit=fit)


def image_files(path: Path | str) -> list[Path]:
    """The image files of a folder by their suffix, hidden ones left out, sorted by name. Raises ValueError."""
    return sorted(
        file for file in _folder(path).iterdir() if _shown(file) and file.suffix.lower() in SUFFIXES and file.is_file()
    )  # fmt: skip


def subfolders(path: Path | str) -> list[Path]:
    """The folders in a folder, hidden ones left out, sorted by name. Raises ValueError."""
    return sorted(folder for folder in _folder(path).iterdir() if _shown(folder) and folder.is_dir())


def read_images(
    files: Sequence[Path | str], *, size: int, fit: str = "crop"
) -> Float[Tensor, "n 3 size size"]:
    """Image files in [0, 1] on the uint8 grid, in this order; arguments as in `from_folder`. Raises ValueError."""
    size = check_count("size", size)
    check_name("fit", fit, FITS)
    if not len(files):
        raise ValueError("files must be one image file or more, got none")
    fitted = fitted_image(size, fit)
    return torch.stack([fitted(opened(file)) for file in files]).float() / 255


def opened(file: Path | str) -> Image.Image:
    """One image file as RGB: turned as its EXIF data says, transparent parts on white, 16 bits made 8.

    Raises ValueError for a file that is no image, or a broken one.
    """
    try:
        with Image.open(file) as image:
            return _seen(ImageOps.exif_transpose(image))
    except BROKEN as error:
        raise ValueError(
            f"file must be a whole image ({', '.join(SUFFIXES)}), got {file}, which cannot be read "
            f"({type(error).__name__}: {str(error).strip()})"
        ) from error


def _seen(image: Image.Image) -> Image.Image:
    if image.mode in TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I"):  # 16 bits; PIL would clip them at 255
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError(f"mode {image.mode} with levels from {levels.min()} to {levels.max()}")
        image = Image.fromarray((levels / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("mode F, floating-point pixels of unknown range")
    return image.convert("RGB")


def fitted_image(size: int, fit: str = "crop", *, mask: bool = False) -> v2.Compose:
    """From a picture of any size to uint8 pixels (channels, size, size), by the same geometry for images and masks.

    mask: values are picked, not mixed.

    >>> fitted_image(8, mask=True)(Image.new("L", (40, 30), 255)).unique()
    tensor([255], dtype=torch.uint8)
    """
    how = v2.InterpolationMode.NEAREST if mask else v2.InterpolationMode.BILINEAR
    if fit == "squash":
        return v2.Compose([v2.Resize((size, size), how, antialias=True), v2.PILToTensor()])
    scaled = v2.Resize(round(size * MARGIN), how, antialias=True)
    return v2.Compose([scaled, v2.CenterCrop(size), v2.PILToTensor()])


def _folder(path: Path | str) -> Path:
    if not isinstance(path, (str, Path)) or not (found := Path(path).expanduser()).is_dir():
        raise ValueError(f"path must be a folder of images, got {path}")
    return found


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")
