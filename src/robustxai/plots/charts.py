"""Charts of numbers with their intervals: bars and lines. Knows nothing about what the numbers mean.

Series differ in colour and also in hatch, marker or dash, so that a chart survives a grey print.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from robustxai.plots.numbers import array
from robustxai.plots.style import CARD, DASHES, INK, MARKERS, MUTED, PALETTE, WIDTH, style

HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")


def _triple(value: Any) -> tuple[float, float, float]:
    """(value, low, high) of a number, (value, low, high) or (value, (low, high))."""
    if not isinstance(value, tuple | list):
        return float(value), float(value), float(value)
    middle, *bounds = value
    low, high = bounds[0] if len(bounds) == 1 else bounds
    return float(middle), float(low), float(high)


def bars(
    series: Mapping[str, Mapping[str, Any]], *, ylabel: str, line: float | None = None, line_label: str = ""
) -> Figure:
    """Grouped bars: one group per name, one bar per series, with its interval as a whisker.

    `series` maps a series to {name: value}; a value is a number or (value, low, high). `line` draws a level
    across.
    """
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    width = 0.8 / len(series)
    with style():
        figure = Figure(figsize=(WIDTH, 3.4))
        axis = figure.subplots()
        for k, (label, values) in enumerate(series.items()):
            at = [names.index(name) + (k - (len(series) - 1) / 2) * width for name in values]
            y, low, high = np.array([_triple(v) for v in values.values()]).T
            look: dict[str, Any] = {"color": PALETTE[k % 7], "hatch": HATCHES[k % 7], "edgecolor": CARD}
            axis.bar(at, y, 0.92 * width, label=label, linewidth=0.6, **look)
            if (low < high).any():
                measured = low < high  # the others are numbers without an interval
                whisker = np.where(measured, np.maximum([y - low, high - y], 0), np.nan)
                axis.errorbar(at, y, whisker, fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5)
        axis.axhline(0, color=MUTED, linewidth=0.8, linestyle="-", marker="")
        if line is not None:
            axis.axhline(line, color=INK, linewidth=1.0, linestyle="--", marker="", label=line_label or None)
        axis.set_xticks(range(len(names)), names, rotation=0 if sum(map(len, names)) < 90 else 20)
        axis.grid(False, axis="x")
        axis.set_ylabel(ylabel)
        if len(series) > 1 or line_label:
            figure.legend(loc="outside upper center", ncols=4)
    return figure


def lines(
    x: Any,
    series: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    line: float | None = None,
    line_label: str = "",
) -> Figure:
    """One curve per series over `x`; a series is an array like `x`, or three of them: (middle, low, high).

    `log` makes the x axis logarithmic. `line` draws a level across, named `line_label`.
    """
    at = array(x)
    with style():
        figure = Figure(figsize=(WIDTH, 3.4))
        axis = figure.subplots()
        for k, (label, values) in enumerate(series.items()):
            banded = isinstance(values, tuple)
            middle = array(values[0] if banded else values)
            if middle.shape != at.shape:
                raise ValueError(
                    f"series {label!r} must have the shape of x, {at.shape}, got shape {middle.shape}"
                )
            color = PALETTE[k % 7]
            axis.plot(at, middle, label=label, color=color, marker=MARKERS[k % 7], linestyle=DASHES[k % 7])
            if banded:
                low, high = array(values[1]), array(values[2])
                axis.fill_between(at, low, high, color=color, alpha=0.18, linewidth=0)
        if line is not None:
            axis.axhline(line, color=INK, linewidth=1.0, linestyle="--", marker="", label=line_label or None)
        if log:
            axis.set_xscale("log")
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        if len(series) > 1 or line_label:
            figure.legend(loc="outside upper center", ncols=4)
    return figure
