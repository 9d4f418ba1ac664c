"""The digest of the data behind a figure, compared: mean, quantiles and coarse grid, in units of the data's range.

`robustxai.plots.show` stores it beside the figure. Knows nothing about pictures.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from robustxai.notebook.closeness import Tolerances

RANGE = 0.02
"""What a number of a digest may differ by, as a share of the range of the data, unless its cell says otherwise."""


def digest_difference(stored: Mapping[str, Any], fresh: Mapping[str, Any], allowed: Tolerances) -> str | None:
    """What keeps the digests of two figures apart, in one line, or None.

    A cell's tolerance with the label `data of <name>` takes the place of `RANGE`: its `rtol` is a share of the range.
    """
    if stored.keys() != fresh.keys():
        return f"a figure shows {', '.join(fresh)}, stored are {', '.join(stored)}"
    for name in stored:
        mine, theirs = (json.loads(side[name]) for side in (stored, fresh))
        if mine["shape"] != theirs["shape"]:
            return f"data of {name}: {mine['shape']} is stored, {theirs['shape']} came out"
        declared = allowed.labelled.get(f"data of {name}")
        share = declared.rtol if declared else RANGE
        for what, apart in digest_distances(mine, theirs):
            if not apart <= share:
                return f"data of {name}: the {what} moved by {apart:.3f} of the range (at most {share:g})"
    return None


def digest_distances(stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """How far each number of a digest moved, as a share of the data's range; nan where only one side has a number."""
    known = [abs(q) for q in stored["quantiles"] if q is not None]
    span = stored["quantiles"][-1] - stored["quantiles"][0] if known else 0.0
    unit = max(span, 1e-2 * max(known, default=0.0), 1e-6)
    for what in ("mean", "quantiles", "grid"):
        for a, b in zip(_list(stored[what]), _list(fresh[what]), strict=True):
            if a is None and b is None:
                continue
            yield what, float("nan") if a is None or b is None else abs(a - b) / unit


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
