"""Charts of single things: named points of a scatter plot, the bars of a ranking with its top k. Knows no meaning."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from robustxai.plots.numbers import array
from robustxai.plots.style import BLUE, GRID, INK, MARKERS, MUTED, PALETTE, VERMILION, WIDTH, style


def scatter(
    series: Mapping[str, tuple[Any, Any]],
    *,
    xlabel: str,
    ylabel: str,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """One cloud of points per series, (x, y) of equal length; series differ in colour and marker.

    `names` writes a name beside each point of a series. Raises ValueError when the lengths do not fit.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 3.8))
        axis = figure.subplots()
        for k, (label, (x, y)) in enumerate(series.items()):
            x, y = array(x), array(y)
            if x.shape != y.shape or x.ndim != 1:
                raise ValueError(
                    f"series {label!r} must have x and y of one shape, got {x.shape} and {y.shape}"
                )
            many = len(x) > 60
            look: dict[str, Any] = {"s": 12 if many else 36, "alpha": 0.5 if many else 1.0}
            axis.scatter(x, y, color=PALETTE[k % 7], marker=MARKERS[k % 7], label=label, linewidths=0, **look)
            for text, at_x, at_y in zip((names or {}).get(label, ()), x, y, strict=False):
                axis.annotate(text, (at_x, at_y), (4, 3), textcoords="offset points", fontsize=7.5, color=INK)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        if len(series) > 1:
            figure.legend(loc="outside upper center", ncols=4)
    return figure


def ranking(
    panels: Mapping[str, Any], names: Sequence[str], *, k: int, reference: Mapping[str, Any] | None = None
) -> Figure:
    """One panel of horizontal bars per explanation: its top k filled, the rest pale; scores relative to the largest.

    panels: name to scores (d,). names: of the d features, drawn in this order from the top. reference: name to the
    scores before a change; features that have left its top k are marked by a cross, those that have come in by a plus.
    Raises ValueError when the lengths do not fit.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 0.7 + 0.19 * len(names)))
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (title, scores) in zip(axes, panels.items(), strict=True):
            scores = array(scores)
            if scores.shape != (len(names),):
                raise ValueError(
                    f"panel {title!r} must have one score for each of the {len(names)} names, got shape {scores.shape}"
                )
            top = _top(scores, k)
            before = _top(array(reference[title]), k) if reference else top
            size = scores / max(float(scores.max()), 1e-12)
            colors = np.where(top, np.where(before, BLUE, VERMILION), GRID)
            axis.barh(range(len(names)), size, color=colors.tolist(), height=0.74)
            for i in np.flatnonzero(top != before):
                gone = bool(before[i])
                axis.text(size[i] + 0.02, i, "× left" if gone else "+ new", va="center", fontsize=7.5,
                          color=MUTED if gone else VERMILION)  # fmt: skip
            axis.set_yticks(range(len(names)), names, fontsize=8)
            axis.set_ylim(len(names) - 0.4, -0.6)
            axis.set_xlim(0, 1.22)
            axis.set_xticks([0, 0.5, 1])
            axis.grid(False, axis="y")
            axis.set_title(f"{title}: {int((top & before).sum())} of {k} kept" if reference else title)
    return figure


def _top(scores: np.ndarray, k: int) -> np.ndarray:
    """True for the k largest; ties: the lower index."""
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[np.argsort(-scores, kind="stable")[:k]] = True
    return chosen
