"""CSV files to tables of numbers: numeric columns as they are, categories as codes with their names beside them.

Published files are parsed from bytes that were verified before, a user's own as pandas reads them (`sheet`, `NA`).
It knows columns and levels, and nothing about splits, scaling or models: encoding for a network is its user's
business.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zipfile
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

MISSING_CELLS = ("", "?")
"""What a missing cell of the published files holds."""
NA = frozenset({
    *MISSING_CELLS, "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""What a missing cell of a user's own file may hold: the list of pandas, and `?`."""
GZIP = b"\x1f\x8b"


def csv_rows(data: bytes, delimiter: str = ",") -> list[list[str]]:
    """The cells of a CSV file, gzipped or not, stripped of blanks; empty lines and `|` comments are left out.

    >>> csv_rows(b"|a comment\\n39, State-gov, ?\\n\\n")
    [['39', 'State-gov', '?']]
    """
    text = (gzip.decompress(data) if data.startswith(GZIP) else data).decode("utf-8")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return [[cell.strip() for cell in line] for line in lines if line and not line[0].startswith("|")]


class Sheet(NamedTuple):
    """A CSV file: the names of its columns, and its rows, one cell for each column."""

    header: list[str]
    rows: list[list[str]]


def sheet(data: bytes, *, name: str = "data", delimiter: str = ",") -> Sheet:
    """A CSV file with a header, gzipped or not, with or without a byte-order mark; blanks around cells and empty lines
    are left out.

    name: what sentences call it. Raises ValueError for a row with more or fewer cells than the header, a file without
    rows, text that is not UTF-8, and a delimiter that is not one character.

    >>> sheet(b"\\xef\\xbb\\xbfage, sex\\n39, F\\n")
    Sheet(header=['age', 'sex'], rows=[['39', 'F']])
    """
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise ValueError(f"delimiter must be one character, got {delimiter!r}")
    try:
        text = (gzip.decompress(data) if data.startswith(GZIP) else data).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if line]
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise ValueError(f"{name} must be a CSV file in UTF-8, gzipped or not: {error}") from error
    if len(lines) < 2:
        raise ValueError(f"{name} must have a header and one row or more, got {len(lines)} lines")
    header = lines[0][1]
    for at, line in lines[1:]:
        if len(line) != len(header):
            raise ValueError(
                f"{name} must have {len(header)} cells in every row, as its header, got {len(line)} in line {at}"
            )
    return Sheet(header, [line for _, line in lines[1:]])


def is_number(cell: str, missing: Collection[str] = MISSING_CELLS) -> bool:
    """Whether a cell can be read as a number, or is one of the `missing`."""
    try:
        float(cell)
    except ValueError:
        return cell in missing
    return "_" not in cell  # which Python reads in a number, and nobody else does


def numeric_cell(cell: str, missing: Collection[str] = MISSING_CELLS) -> float:
    """A numeric cell; nan for a `missing` one."""
    return math.nan if cell in missing else float(cell)


def column(
    cells: Sequence[str], levels: tuple[str, ...] | None = None, *, missing: Collection[str] = MISSING_CELLS
) -> tuple[list[float], tuple[str, ...]]:
    """One column as numbers, and the names of its levels (none: it is numeric); a missing cell is nan.

    `levels`: the names that codes 0, 1, ... stand for; None finds them: a column whose cells are all numbers
    is numeric, otherwise the levels are its different cells in alphabetical order. `missing`: cells that hold nothing.
    Raises ValueError for a cell that is none of the given levels.

    >>> column(["no", "yes", "?", "no"])
    ([0.0, 1.0, nan, 0.0], ('no', 'yes'))
    """
    if levels is None:
        numeric = all(is_number(cell, missing) for cell in cells)
        levels = () if numeric else tuple(sorted(set(cells) - set(missing)))
    if not levels:
        return [numeric_cell(cell, missing) for cell in cells], ()
    codes = dict.fromkeys(missing, math.nan) | {name: float(code) for code, name in enumerate(levels)}
    unknown = next((cell for cell in cells if cell not in codes), None)
    if unknown is not None:
        raise ValueError(f"cells must be of the levels {', '.join(levels)}, got {unknown!r}")
    return [codes[cell] for cell in cells], levels


def columns(
    lines: Sequence[Sequence[str]],
    levels: Sequence[tuple[str, ...]] | None = None,
    *,
    missing: Collection[str] = MISSING_CELLS,
) -> tuple[Float[Tensor, "n feature"], tuple[tuple[str, ...], ...]]:
    """All columns of a table: numbers and codes (n, feature) in float32, and the levels of every column."""
    cells = list(zip(*lines, strict=True))
    given = [None] * len(cells) if levels is None else levels
    done = [column(part, known, missing=missing) for part, known in zip(cells, given, strict=True)]
    x = torch.from_numpy(np.array([values for values, _ in done], np.float32).T.copy())
    return x, tuple(names for _, names in done)


def chosen(lines: Sequence[Sequence[str]], names: Sequence[str]) -> list[list[str]]:
    """The columns called `names`, in this order, of a table whose first line is its header; of columns with
    the same name the first.
    """
    places = [list(lines[0]).index(name) for name in names]
    return [[line[place] for place in places] for line in lines[1:]]


def labels(cells: Sequence[str], classes: Sequence[str]) -> Int64[Tensor, " n"]:
    """The position of every cell in `classes`."""
    return torch.tensor([classes.index(cell) for cell in cells], device="cpu")


def without(data: bytes, names: Sequence[str]) -> bytes:
    """A CSV file less the columns called `names`, all else unchanged."""
    lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
    keep = [place for place, name in enumerate(lines[0]) if name not in names]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([[line[i] for i in keep] for line in lines])
    return out.getvalue().encode("utf-8")


def member(data: bytes, name: str) -> bytes:
    """One file of a zip archive; ValueError if these bytes are no whole archive or do not have it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"data is not a whole zip archive with {name}") from error
