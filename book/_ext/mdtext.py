"""Text and tables as Markdown, for the pages that this book makes. It knows nothing of what they say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robustxai.plots.numbers import number

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


def table_block(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a named table, columns of words before columns of numbers; nothing for no rows."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    # A results file sorts its keys, so columns are put in order here: words first, then C=2 before C=10.
    digits = {
        key: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)] for key in keys
    }
    keys.sort(key=lambda key: (not any(isinstance(row.get(key), str) for row in rows), digits[key]))

    def cell(value: object) -> str:
        if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
            return plain(f"[{number(value[0])}, {number(value[1])}]")
        if isinstance(value, float):
            return plain(number(value))
        return "–" if value is None else plain(value)

    body = markdown_table(
        [plain(k.replace("_", " ")) for k in keys], ([cell(r.get(k)) for k in keys] for r in rows)
    )
    return [f"**{plain(name.replace('_', ' ').capitalize())}**", *body] if rows else []
