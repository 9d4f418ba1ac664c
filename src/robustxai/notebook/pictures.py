"""Pictures as a coarse grid of colours: two of them are close where each cell of the grid is.

A picture that is drawn again has other bytes wherever fonts or compression differ; another picture has other colours.
Knows nothing about what a picture shows.
"""

import base64
import io
import re

import numpy as np

COLUMNS = 24
"""Cells of the grid along the longer side."""
CELL, MEAN, SIZE = 0.1, 0.01, 0.03
"""What a cell of the grid may differ by, all of them on average (0 to 1), and the sides in relation to each other."""
DATA_URI = re.compile(r"data:(image/(?:png|jpeg|webp|gif));base64,([A-Za-z0-9+/=]+)")


def picture_grid(encoded: str) -> tuple[tuple[int, int], np.ndarray]:
    """(width, height) and the mean colours (rows, columns, 3) in [0, 1] of a picture in base64, on white.

    Raises ValueError for what is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(base64.b64decode("".join(encoded.split())))).convert("RGBA")
    except (UnidentifiedImageError, ValueError, OSError) as error:
        raise ValueError(f"an output must hold a picture, got {encoded[:20]!r}: {error}") from None
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image).convert("RGB")
    longer = max(flat.size)
    size = tuple(max(1, round(COLUMNS * side / longer)) for side in flat.size)
    small = flat.resize((size[0], size[1]), Image.Resampling.BOX)
    return flat.size, np.asarray(small, dtype=float) / 255


def picture_distance(stored: str, fresh: str) -> tuple[float, float, float]:
    """How far two pictures in base64 are apart: the largest difference of a cell, the mean one, and that of the sides,
    in relation to them. Cells of grids of different shape cannot be compared: 1 and 1.
    """
    (size, a), (other, b) = picture_grid(stored), picture_grid(fresh)
    sides = max(abs(s / o - 1) for s, o in zip(size, other, strict=True))
    if a.shape != b.shape:
        return 1.0, 1.0, sides
    return float(np.abs(a - b).max()), float(np.abs(a - b).mean()), sides


def picture_difference(stored: str, fresh: str) -> str | None:
    """What keeps two pictures in base64 apart, in one line, or None."""
    if stored == fresh or "".join(stored.split()) == "".join(fresh.split()):
        return None
    cell, mean, sides = picture_distance(stored, fresh)
    if cell <= CELL and mean <= MEAN and sides <= SIZE:
        return None
    return (
        f"picture differs: its sides by {sides:.1%} (at most {SIZE:.0%}), a cell of its coarse grid by {cell:.2f} "
        f"(at most {CELL:g}), all of them by {mean:.3f} (at most {MEAN:g})"
    )
