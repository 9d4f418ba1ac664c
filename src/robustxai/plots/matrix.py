"""Tables of numbers as coloured cells: what was not measured is hatched, and every number stands in its cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from robustxai.plots.numbers import array
from robustxai.plots.style import INK, MUTED, WIDTH, style


def matrix(
    values: Any,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    limits: tuple[float | int, float | int] = (0.0, 1.0),
    dots: Any = None,
    missing: str = "not attacked",
) -> Figure:
    """Numbers (rows, columns) as cells, dark where low; nan is hatched, which the legend calls `missing`.

    `limits` are the ends of the colour scale, named `label`; `dots`, booleans of the same shape, mark cells, such as
    ties with noise. Raises ValueError when names and numbers do not fit.
    """
    table = array(values)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(f"values must have shape {(len(rows), len(columns))}, got {table.shape}")
    marks = np.zeros(table.shape, dtype=bool) if dots is None else array(dots)
    with style():
        figure = Figure(figsize=(min(WIDTH, 2.4 + 0.62 * len(columns)), 1.1 + 0.27 * len(rows)))
        axis = figure.subplots()
        image = axis.imshow(table, cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="auto")
        middle = sum(limits) / 2
        for (i, j), value in np.ndenumerate(table):
            if np.isnan(value):
                axis.add_patch(
                    Rectangle(
                        (j - 0.5, i - 0.5),
                        1,
                        1,
                        facecolor="#E4E1D9",
                        edgecolor=MUTED,
                        hatch="////",
                        linewidth=0,
                    )
                )
                continue
            ink = "white" if value < middle else INK
            text = f"{round(float(value), 2) + 0.0:.2f}"
            text = text.replace("0.", ".", 1) if abs(value) < 0.995 else text
            axis.text(
                j, i, text + (" •" if marks[i, j] else ""), ha="center", va="center", color=ink, fontsize=7.5
            )
        axis.set_xticks(range(len(columns)), columns, rotation=40, ha="left", fontsize=8)
        axis.set_yticks(range(len(rows)), rows, fontsize=8)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axis, fraction=0.04, aspect=24, pad=0.02)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        if np.isnan(table).any():
            axis.set_xlabel(f"hatched: {missing}", fontsize=8)
    return figure
