"""Images and heat maps laid over them. Takes arrays or tensors; knows nothing about the method that made a
map.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch.nn.functional import interpolate

from robustxai.plots.numbers import array
from robustxai.plots.style import WIDTH, style

CELL_PIXELS = 168  # pixels of one drawn cell: small images are enlarged smoothly instead of showing blocks


def _images(images: Any) -> torch.Tensor:
    x = torch.as_tensor(array(images), dtype=torch.float32)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"images must be (n, 3, h, w) or (n, 1, h, w), got shape {tuple(x.shape)}")
    return x.expand(-1, 3, -1, -1)


def _maps(maps: Any, *, n: int, name: str) -> torch.Tensor:
    m = torch.as_tensor(array(maps), dtype=torch.float32)
    m = m[:, None] if m.ndim == 3 else m
    if m.ndim != 4 or m.shape[:2] != (n, 1):
        raise ValueError(
            f"maps of {name!r} must be ({n}, h, w) or ({n}, 1, h, w), got shape {tuple(m.shape)}"
        )
    return m


def _enlarge(x: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    return interpolate(x, size=size, mode=mode, align_corners=False).clamp(0, 1)


def _cell_size(x: torch.Tensor) -> tuple[int, int]:
    scale = max(1.0, CELL_PIXELS / max(x.shape[-2:]))
    return round(x.shape[-2] * scale), round(x.shape[-1] * scale)


def overlay(images: Any, maps: Any, *, top: Any = None) -> np.ndarray:
    """Heat maps over greyed images, (n, height, width, 3) in [0, 1]; each map's zero is clear and its maximum
    bright.

    `images` is (n, 3, h, w) in [0, 1], `maps` (n, h, w) or (n, 1, h, w) at any resolution; negative values
    count as zero. `top` is the value drawn brightest: a number, or one per image; by default each map's own
    maximum.
    """
    x = _images(images)
    m = _maps(maps, n=len(x), name="overlay").clamp_min(0)
    limit = m.amax((1, 2, 3)) if top is None else torch.as_tensor(array(top), dtype=torch.float32)
    m = m / limit.reshape(-1, 1, 1, 1).clamp_min(1e-12)
    size = _cell_size(x)
    x, m = _enlarge(x, size, "bicubic"), _enlarge(m, size, "bilinear")
    luma = x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = 0.25 * x + 0.75 * (x * luma).sum(1, keepdim=True)
    heat = torch.as_tensor(mpl.colormaps["inferno"](m[:, 0].numpy())[..., :3], dtype=torch.float32)
    alpha = (0.85 * m**0.8).permute(0, 2, 3, 1)
    return ((1 - alpha) * (0.15 + 0.85 * grey).permute(0, 2, 3, 1) + alpha * heat).clamp(0, 1).numpy()


def maps_grid(
    images: Any,
    maps: Mapping[str, Any],
    *,
    titles: Sequence[str] | None = None,
    outlines: Any = None,
    shared: bool = False,
    scale: bool = True,
) -> Figure:
    """One row per image: the image, then every map of `maps` (name to (n, h, w)) laid over it.

    `titles` name the rows. `outlines`, (n, h, w) masks in [0, 1], are drawn as a white line (where the object
    is). `shared` draws all maps of an image on one scale instead of each on its own; `scale` adds the colour
    bar.
    """
    x = _images(images)
    named = {name: _maps(m, n=len(x), name=name) for name, m in maps.items()}
    top = torch.stack([m.amax((1, 2, 3)) for m in named.values()]).amax(0) if shared and named else None
    columns = {"image": _enlarge(x, _cell_size(x), "bicubic").permute(0, 2, 3, 1).numpy()}
    columns |= {name: overlay(x, m, top=top) for name, m in named.items()}
    masks = _outlines(outlines, x)
    wide = len(columns)
    side = min(1.7, (WIDTH - 0.8) / wide)
    with style():
        height = len(x) * side * x.shape[-2] / x.shape[-1]
        figure = Figure(figsize=(min(WIDTH, side * wide + 0.8), height + 0.35))
        axes = figure.subplots(len(x), wide, squeeze=False)
        for column, (name, pictures) in enumerate(columns.items()):
            for row in range(len(x)):
                _draw(axes[row, column], pictures[row], masks[row])
            axes[0, column].set_title(name, fontsize=9)
        for row, title in enumerate(titles or ()):
            axes[row, 0].set_ylabel(title, fontsize=9)
        if scale and named:
            _scale(figure, axes)
    return figure


def maps_row(
    images: Any, maps: Any = None, *, titles: Sequence[str] | None = None, outlines: Any = None
) -> Figure:
    """One row of images, each with its map over it where `maps` (n, h, w) is given, and its title above."""
    x = _images(images)
    pictures = overlay(x, maps) if maps is not None else None
    if pictures is None:
        pictures = _enlarge(x, _cell_size(x), "bicubic").permute(0, 2, 3, 1).numpy()
    masks = _outlines(outlines, x)
    with style():
        side = min(1.7, (WIDTH - 0.8) / len(x))
        figure = Figure(figsize=(min(WIDTH, side * len(x) + 0.8), 0.35 + side * x.shape[-2] / x.shape[-1]))
        axes = figure.subplots(1, len(x), squeeze=False)
        for index, axis in enumerate(axes[0]):
            _draw(axis, pictures[index], masks[index])
            axis.set_title(titles[index] if titles else "", fontsize=9)
        if maps is not None:
            _scale(figure, axes)
    return figure


def _outlines(masks: Any, x: torch.Tensor) -> list[Any]:
    """One enlarged mask per image, or None for each."""
    if masks is None:
        return [None] * len(x)
    return list(_enlarge(_maps(masks, n=len(x), name="outlines"), _cell_size(x), "bilinear")[:, 0].numpy())


def _draw(axis: Any, picture: np.ndarray, mask: np.ndarray | None) -> None:
    axis.imshow(picture, interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    if mask is not None:
        axis.contour(mask, levels=[0.5], colors=["black"], linewidths=2.0, linestyles="-")
        axis.contour(mask, levels=[0.5], colors=["white"], linewidths=1.0, linestyles="-")


def _scale(figure: Figure, axes: Any) -> None:
    heat = ScalarMappable(cmap="inferno")
    bar = figure.colorbar(heat, ax=axes, fraction=0.02, aspect=30, pad=0.01, ticks=[0, 1])
    bar.ax.set_yticklabels(["none", "most"], fontsize=8)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
