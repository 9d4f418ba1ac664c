"""Film strips: one row of images for each of several paths or methods, with the same steps below each other.

Knows nothing about what the images show.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from robustxai.plots.maps import _cell_size, _draw, _enlarge, _images
from robustxai.plots.style import WIDTH, style


def strips(
    rows: Mapping[str, Any],
    *,
    titles: Sequence[str] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """One row of images per name: `rows` maps it to a tensor (k, channel, height, width) in [0, 1], as many for all.

    `titles`: one for each column. `notes`: name to a line below each of its images. Raises ValueError where counts
    differ.
    """
    named = {name: _images(images) for name, images in rows.items()}
    counts = {len(x) for x in named.values()} | ({len(titles)} if titles is not None else set())
    counts |= {len(line) for line in (notes or {}).values()}
    if len(counts) != 1:
        raise ValueError(
            f"rows, titles and notes must have one number of pictures for all, got {sorted(counts)}"
        )
    wide = counts.pop()
    side = min(1.2, (WIDTH - 0.9) / wide)
    with style():
        figure = Figure(
            figsize=(min(WIDTH, side * wide + 0.9), len(named) * (side + (0.16 if notes else 0)) + 0.3)
        )
        axes = figure.subplots(len(named), wide, squeeze=False)
        for line, (name, x) in zip(axes, named.items(), strict=True):
            pictures = _enlarge(x, _cell_size(x), "bicubic").permute(0, 2, 3, 1).numpy()
            for k, (axis, picture) in enumerate(zip(line, pictures, strict=True)):
                _draw(axis, picture, None)
                if notes and name in notes:
                    axis.set_xlabel(notes[name][k], fontsize=8, labelpad=2)
            line[0].set_ylabel(name, fontsize=9)
        for axis, title in zip(axes[0], titles or (), strict=False):
            axis.set_title(title, fontsize=9)
    return figure
