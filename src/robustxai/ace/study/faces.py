"""Rendered faces from close up: the middle of a portrait, so that a mouth is ten pixels wide in an image of 32.

Knows how portraits are cropped and split into random streams; knows nothing about networks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.ace.metrics.changes import VISIBLE, changed_pixels
from robustxai.data.scenes import Scenes, portraits, render_portraits
from robustxai.data.scenes.portraits_factors import factor

SIZE = 32
WHOLE = 7 / 4  # a portrait is drawn at this many times the side, and the middle is kept
LOWER = 1 / 16  # the middle of the close-up lies this share of its side below that of the portrait
STREAMS = {"train": 1000, "oracle": 1500, "test": 2000, "ddpm": 3000, "check": 4000, "study": 5000}
IMAGES = {"train": 4000, "oracle": 4000, "test": 1000, "ddpm": 24_000, "check": 192, "study": 1000}
CONFOUNDER, CORRELATION = "glasses", 0.9
"""Glasses have a part of their own that no mouth overlaps, so that an edit of theirs can be told from a smile."""


def close_up(scenes: Scenes, size: int = SIZE) -> Scenes:
    """The same scenes, images and masks cut to `size` pixels around the face; everything else is unchanged.

    Raises ValueError when the scenes are smaller than `size`.
    """
    spare = scenes.images.shape[-1] - size
    if spare < 0:
        raise ValueError(f"size must be at most the scenes' {scenes.images.shape[-1]} pixels, got {size}")
    left, top = spare // 2, min(spare, spare // 2 + round(size * LOWER))
    rows, columns = slice(top, top + size), slice(left, left + size)
    return replace(
        scenes,
        images=scenes.images[..., rows, columns].contiguous(),
        masks=scenes.masks[..., rows, columns].contiguous(),
    )


def faces(
    split: str,
    n: int | None = None,
    *,
    size: int = SIZE,
    confounded: bool = False,
    margin: float = 0.2,
    generator: torch.Generator | None = None,
) -> Scenes:
    """n close-ups of a split of `STREAMS`, each its own random stream, labelled "frown" or "smile".

    confounded: glasses go along with the smile, with correlation `CORRELATION`. margin: as in `portraits`.
    generator: goes on with this stream instead. Raises ValueError for an unknown split.

    >>> faces("test", 2).images.shape
    torch.Size([2, 3, 32, 32])
    """
    if split not in STREAMS:
        raise ValueError(f"split must be one of {', '.join(STREAMS)}, got {split!r}")
    if generator is None:
        generator = torch.Generator().manual_seed(STREAMS[split])
    scenes = portraits(
        n or IMAGES[split],
        size=round(size * WHOLE),
        margin=margin,
        confounder=CONFOUNDER if confounded else None,
        correlation=CORRELATION if confounded else 0.0,
        generator=generator,
    )
    return close_up(scenes, size)


def unlabelled(n: int, *, size: int = SIZE, part: int = 2000) -> Tensor:
    """n images for the denoiser, all factors over their whole range, drawn in parts to save memory."""
    generator = torch.Generator().manual_seed(STREAMS["ddpm"])
    counts = [part] * (n // part) + [n % part] * (n % part > 0)
    return torch.cat([faces("ddpm", m, size=size, margin=0.0, generator=generator).images for m in counts])


def redrawn(scenes: Scenes, name: str, *, size: int = SIZE) -> Tensor:
    """The true counterfactuals of close-ups: each drawn once more with factor `name` mirrored to its other half.

    A frown becomes as strong a smile; all other factors stay. Raises ValueError for an unknown factor.
    """
    row = factor(name, argument="name")
    values = scenes.factors.clone()
    column = scenes.factor_names.index(name)
    values[:, column] = row.low + row.high - values[:, column]
    images, masks = render_portraits(values, round(size * WHOLE))
    return close_up(replace(scenes, images=images, masks=masks), size).images


def edit_region(
    scenes: Scenes, name: str, *, size: int = SIZE, above: float = VISIBLE
) -> Bool[Tensor, "n height width"]:
    """The pixels that change by more than `above` when factor `name` is mirrored: where an edit of it belongs."""
    return changed_pixels(scenes.images, redrawn(scenes, name, size=size), above=above)
