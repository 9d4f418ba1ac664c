"""Images beside the numbers that a method makes of them, in one figure: a frame of a slider.

Knows nothing about what the images show or the numbers mean.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from robustxai.plots.maps import _cell_size, _draw, _enlarge, _images
from robustxai.plots.style import INK, MUTED, PALETTE, WIDTH, style


def pictures_and_bars(
    rows: Mapping[str, Any],
    values: Mapping[str, float | int],
    *,
    xlabel: str,
    limits: tuple[float | int, float | int] = (0.0, 1.0),
    notes: Sequence[str] | None = None,
) -> Figure:
    """Rows of images on the left, one horizontal bar a row on the right, of the same height.

    rows: name to images (k, channel, height, width) in [0, 1], as many for all. values: name to the bar's length.
    limits: of the bars' axis, the same in every frame. notes: a word behind each bar. Raises ValueError where names
    or counts differ.
    """
    named = {name: _images(images) for name, images in rows.items()}
    if set(named) != set(values) or len({len(x) for x in named.values()}) != 1:
        raise ValueError(
            "rows and values must have the same names, and as many pictures for each, "
            f"got {', '.join(named)} and {', '.join(values)}"
        )
    wide = len(next(iter(named.values())))
    with style():
        figure = Figure(figsize=(WIDTH, 1.1 * len(named) + 0.5))
        axes = figure.subplots(len(named), wide + 1, squeeze=False, width_ratios=[1.0] * wide + [2.4])
        for k, (line, (name, x)) in enumerate(zip(axes, named.items(), strict=True)):
            pictures = _enlarge(x, _cell_size(x), "bicubic").permute(0, 2, 3, 1).numpy()
            for axis, picture in zip(line[:-1], pictures, strict=True):
                _draw(axis, picture, None)
            line[0].set_ylabel(name, fontsize=9)
            bar = line[-1]
            bar.barh([0], [values[name]], height=0.5, color=PALETTE[k % 7])
            bar.axvline((limits[0] + limits[1]) / 2, color=MUTED, linewidth=0.8, linestyle="--")
            bar.set(xlim=limits, ylim=(-0.5, 0.9), yticks=[])
            bar.grid(False, axis="y")
            words = f"{values[name]:.2f}" + (f"  {notes[k]}" if notes else "")
            bar.text(
                limits[0] + 0.02 * (limits[1] - limits[0]), 0.4, words, fontsize=9, color=INK, va="bottom"
            )
            bar.tick_params(labelbottom=k == len(named) - 1)
        axes[-1][-1].set_xlabel(xlabel)
    return figure
