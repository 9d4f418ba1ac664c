"""Stored and fresh outputs of one cell, compared: texts by their numbers, pictures by a coarse grid, figures by the
digest of their data, claims by their own rule.

Works on outputs as notebooks store them and runs nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from robustxai.claims.ledger import Claim
from robustxai.notebook.claim_lines import misjudged
from robustxai.notebook.closeness import NUMBER, Tolerances, text_difference
from robustxai.notebook.figure_data import digest_difference
from robustxai.notebook.labels import (
    CLAIM_LINE,
    labels_of_html,
    labels_of_lines,
    labels_of_table,
    table_columns,
)
from robustxai.notebook.pictures import DATA_URI, picture_difference
from robustxai.notebook.writer import text
from robustxai.plots.numbers import DIGEST_TYPE

ROUGH = re.compile(r"(?:about \d+ [\w ]+|it is open how many) would decide")
TEXTS = ("text/html", "text/plain", "text/markdown", "text/latex")
PICTURES = ("image/png", "image/jpeg")
UNCOMPARED = ("image/gif", "image/webp", "application/vnd.jupyter.widget-view+json")


def outputs_difference(
    stored: Sequence[Mapping[str, Any]],
    fresh: Sequence[Mapping[str, Any]],
    allowed: Tolerances,
    claims: Mapping[str, Claim] | None = None,
) -> str | None:
    """What keeps the outputs of a cell apart, in one line, or None.

    What is printed is compared as one text, what is shown piece by piece; standard error is not compared. claims: by
    their names, where the fresh lines of claims are to be judged.
    """
    before, after = _printed(stored), _printed(fresh)
    shown = [[o for o in outputs if o["output_type"] != "stream"] for outputs in (stored, fresh)]
    if found := printed_difference(before, after, allowed, claims or {}):
        return found
    if len(shown[0]) != len(shown[1]):
        return f"{len(shown[0])} outputs are stored, {len(shown[1])} came out"
    for a, b in zip(*shown, strict=True):
        if found := shown_difference(a, b, allowed):
            return found
    return None


def printed_difference(
    stored: str, fresh: str, allowed: Tolerances, claims: Mapping[str, Claim]
) -> str | None:
    """What keeps two printed texts apart, or None; fresh lines of claims are judged by their rules.

    About how many samples would decide follows from the numbers before it in its line, and grows without bound near a
    rule's bound: it is compared where those are the same.
    """
    a, b = (ROUGH.sub("more would decide", one) for one in (stored, fresh))
    if found := text_difference(a, b, labels_of_lines, allowed):
        return found
    for old, new in zip(stored.splitlines(), fresh.splitlines(), strict=True):
        if old != new and ROUGH.sub("", old) == ROUGH.sub("", new):
            return f"what would decide differs: {old[-40:]!r} is stored, {new[-40:]!r} came out"
    for line in fresh.splitlines():
        match = CLAIM_LINE.match(line)
        if match and match[2] in claims and (found := misjudged(line, claims[match[2]])):
            return found
    return None


def shown_difference(stored: Mapping[str, Any], fresh: Mapping[str, Any], allowed: Tolerances) -> str | None:
    """What keeps two outputs apart that are no prints, or None."""
    if "error" in (stored["output_type"], fresh["output_type"]):
        names = [(o.get("ename"), o.get("evalue")) for o in (stored, fresh)]
        return None if names[0] == names[1] else f"error differs: {names[0]} is stored, {names[1]} came out"
    a, b = ({k: v for k, v in o["data"].items() if k not in UNCOMPARED} for o in (stored, fresh))
    if a.keys() != b.keys():
        return f"kinds of output differ: {', '.join(sorted(a))} is stored, {', '.join(sorted(b))} came out"
    for kind in a:
        if found := data_difference(kind, a[kind], b[kind], allowed, columns=_columns(a)):
            return found
    return None


def data_difference(
    kind: str, stored: Any, fresh: Any, allowed: Tolerances, *, columns: Sequence[str] = ()
) -> str | None:
    """What keeps two contents of one MIME type apart, or None. columns: heads of the table that a plain text shows."""
    if kind == DIGEST_TYPE:
        return digest_difference(stored, fresh, allowed)
    if not isinstance(stored, str | list) or not isinstance(fresh, str | list):
        return None if stored == fresh else f"{kind} differs"
    a, b = text(stored), text(fresh)
    if a == b:
        return None
    if kind in PICTURES:
        return picture_difference(a, b)
    if kind == "text/html":
        pictures = [[uri[2] for uri in DATA_URI.finditer(one)] for one in (a, b)]
        a, b = (DATA_URI.sub("data:masked", one) for one in (a, b))
        differences = (picture_difference(*pair) for pair in zip(*pictures, strict=False))
        if found := next((one for one in differences if one), None):
            return found
    return text_difference(a, b, lambda content: labels_of(kind, content, columns), allowed)


def labels_of(kind: str, content: str, columns: Sequence[str] = ()) -> list[str]:
    """The label of each number in a text of one MIME type, "" for what is printed. Pictures in it must be masked."""
    if kind == "text/html":
        return labels_of_html(content)
    return labels_of_table(content, list(columns)) if columns else labels_of_lines(content)


def labelled_numbers(outputs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Every number in the texts of a cell's outputs with its label, in the order in which they are compared.

    >>> labelled_numbers([{"output_type": "stream", "name": "stdout", "text": "0.5 of 3"}])
    [('', '0.5'), ('', '3')]
    """
    texts = [("", ROUGH.sub("more would decide", _printed(outputs)), [])]
    for output in outputs:
        data = output.get("data", {})
        texts += [
            (k, DATA_URI.sub("data:masked", text(v)), _columns(data)) for k, v in data.items() if k in TEXTS
        ]
    found = []
    for kind, content, columns in texts:
        numbers = (number[0] for number in NUMBER.finditer(content))
        found += zip(labels_of(kind, content, columns), numbers, strict=True)
    return found


def _columns(data: Mapping[str, Any]) -> list[str]:
    """The heads of the table that an output shows; none where it shows no table."""
    markup = text(data.get("text/html", ""))
    return table_columns(markup) if "<table" in markup else []


def _printed(outputs: Sequence[Mapping[str, Any]]) -> str:
    """What a cell printed, as a terminal shows it: a carriage return begins a line anew."""
    written = "".join(
        text(o["text"]) for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout"
    )
    return re.sub(r"[^\n]*\r(?!\n)", "", written)
