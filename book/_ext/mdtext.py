"""Text and tables as Markdown, for the pages that this book makes. It knows nothing of what they say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robustxai.plots.numbers import interval as with_interval, number

_KEPT = re.compile(r"(`[^`]+`|\$[^$\s][^$]*\$)")
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\*_[]<>|#{}$`"})


def plain(text: object) -> str:
    """Return text with Markdown's signs escaped, so that it is shown as written; code and math stay."""
    pieces = _KEPT.split(" ".join(str(text).split()))
    return "".join(
        piece if i % 2 else _MINUS.sub("−", piece).translate(_SPECIAL) for i, piece in enumerate(pieces)
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; cells are Markdown already."""
    lines = ["| " + " | ".join(header) + " |", "|" + " :-- |" * len(header)]
    return ["", *lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _is_word(value: object) -> bool:
    """Whether a cell is text that does not begin as a number does."""
    return isinstance(value, str) and not re.match(r"[-−+.]?\d", value)


def cell(value: Any) -> str:
    """Return a table cell: text, a number, [low, high], or a value with its interval from [value, low, high]."""
    if isinstance(value, list) and all(isinstance(v, int | float) for v in value):
        if len(value) == 3:
            return plain(with_interval(value[0], value[1:]))
        return plain("[" + ", ".join(map(number, value)) + "]")
    if isinstance(value, float):
        return plain(number(value))
    return "–" if value is None else plain(value)


def table_block(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a named table, columns of words before columns of numbers; nothing for no rows."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    # A results file sorts its keys, so columns are put in order here: words first, then C=2 before C=10.
    digits = {
        key: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)] for key in keys
    }
    keys.sort(key=lambda key: (not any(_is_word(row.get(key)) for row in rows), digits[key]))

    body = markdown_table(
        [plain(k.replace("_", " ")) for k in keys], ([cell(row.get(k)) for k in keys] for row in rows)
    )
    return [f"**{plain(name.replace('_', ' ').capitalize())}**", *body] if rows else []
