"""Figures for the book: one style, a printed digest of the data behind each figure, and figures that move.

    figure = plots.maps_grid(images, {"GradCAM": a, "DiffGradCAM": b}, outlines=masks)
    plots.show(figure, data={"GradCAM": a, "DiffGradCAM": b}, label="two methods")

Imports nothing else of this package: plots take arrays or tensors and know nothing about methods or models.
"""

from robustxai.plots.charts import bars, lines
from robustxai.plots.interactive import slider, slider_html
from robustxai.plots.maps import maps_grid, maps_row, overlay
from robustxai.plots.matrix import matrix
from robustxai.plots.numbers import digest, interval, number
from robustxai.plots.output import digest_line, show, show_table
from robustxai.plots.panels import pictures_and_bars
from robustxai.plots.points import ranking, scatter
from robustxai.plots.strips import strips
from robustxai.plots.style import PALETTE, style

__all__ = [
    "PALETTE",
    "bars",
    "digest",
    "digest_line",
    "interval",
    "lines",
    "maps_grid",
    "maps_row",
    "matrix",
    "number",
    "overlay",
    "pictures_and_bars",
    "ranking",
    "scatter",
    "show",
    "show_table",
    "slider",
    "slider_html",
    "strips",
    "style",
]
