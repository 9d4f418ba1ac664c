"""What a cell shows: a figure with the digest of its data, or a table. Knows nothing about how figures are
drawn.

`show` prints the numbers behind the figure, for readers who cannot see it, and stores a digest of them beside it, by
which notebook tests see that other data were drawn. The alternative text of a figure stands in the cell's metadata
(`mystnb.image.alt`), where the site builder looks for it.
"""

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from robustxai.plots.numbers import DIGEST_TYPE, coarse, digest, interval, number
from robustxai.plots.style import picture, png


def show(figure: Figure, *, data: Any, label: str) -> None:
    """Display a figure and print one line about its data: `data behind <label>: 8x7x7, min ..., max ..., mean
    ...`.

    `data` is an array, a tensor, a number, or a mapping of names to those: what the figure is drawn from.
    `label` names the figure in a few words. The figure is closed.
    """
    line = digest_line(data, label=label)
    image = picture(figure)
    plt.close(figure)
    shown = base64.b64encode(png(image)).decode("ascii")
    width = round(figure.get_figwidth() * 96)  # at most this many pixels of the page; the file has more
    bundle = {"image/png": shown, "text/plain": f"Figure: {label}", DIGEST_TYPE: digests(data, label=label)}
    display(bundle, {"image/png": {"width": width}})
    print(line)


def digest_line(data: Any, *, label: str) -> str:
    """The line that `show` prints. Raises ValueError for an empty label and for data that are not numbers."""
    if not label.strip():
        raise ValueError("label must name the figure in a few words, got none")
    return f"data behind {label}: " + "; ".join(
        f"{name} {digest(v)}".strip() for name, v in _named(data).items()
    )


def digests(data: Any, *, label: str) -> dict[str, str]:
    """What a figure's output holds about its data: by name one line of JSON, as a notebook gives each number of a list
    a line of its own. Data without names go by the figure's label.
    """
    return {name or label: json.dumps(coarse(v)) for name, v in _named(data).items()}


def _named(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, Mapping) else {"": data}


def show_table(rows: Sequence[Mapping[str, Any]], *, caption: str = "") -> None:
    """Display rows as a table. Columns are the keys in order of appearance; the first one holds the row
    names.

    A cell is text, a number, None (a dash), or `(value, low, high)` and `(value, (low, high))` for an
    interval.
    """
    if not rows:
        raise ValueError("rows must hold at least one row, got none")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    display({"text/html": _html(columns, cells, caption), "text/plain": _plain(columns, cells, caption)}, {})


def display(bundle: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Hand a MIME bundle to the notebook; in a plain Python program nothing is shown."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display as show_bundle
    except ImportError:
        return  # the library works without IPython; only notebooks display
    if get_ipython() is not None:
        show_bundle(bundle, raw=True, metadata=metadata)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        middle, *bounds = value
        bounds = bounds[0] if len(bounds) == 1 else bounds
        if bounds is not None and len(bounds) != 2:
            raise ValueError(f"a cell must be a value or (value, low, high), got {len(value)} numbers")
        return interval(middle, bounds)
    return number(value)


def _numeric(text: str) -> bool:
    """Whether a cell is made of numbers only: `0.82 [0.78, 0.86]`, `1.2e-07`, `0.10 / 0.90`, a dash; not `28 of 49`."""
    return re.fullmatch(r"(nan|inf|\de[-+]\d|[-–+\d.,/\[\]%\s])+", text) is not None


def _html(columns: list[str], cells: list[list[str]], caption: str) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = []
    for first, *others in cells:
        align = [' style="text-align:right"' if _numeric(text) else "" for text in others]
        tds = "".join(f"<td{a}>{html.escape(text)}</td>" for a, text in zip(align, others, strict=True))
        body.append(f'<tr><th scope="row">{html.escape(first)}</th>{tds}</tr>')
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    rows = "\n".join(body)
    start = f'<table class="rx-table">{title}\n<thead><tr>{head}</tr></thead>'
    return f"{start}\n<tbody>\n{rows}\n</tbody></table>"


def _plain(columns: list[str], cells: list[list[str]], caption: str) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [[text.ljust(w) for text, w in zip(row, widths, strict=True)] for row in (columns, *cells)]
    return "\n".join(([caption] if caption else []) + ["  ".join(line).rstrip() for line in lines])
