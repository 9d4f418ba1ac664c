"""The measure of a comparison: stored outputs are changed on purpose, and what it does not notice is counted.

    from robustxai.notebook.mutation import mutations, unnoticed
    changed = mutations("notebooks/ranking.ipynb", "double")
    len(unnoticed(changed)) / len(changed)

A number is changed where it stands, in one output: by a fifth, to its double, to the other sign; a figure is exchanged
for another one of the same notebook. Runs no code of a notebook.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustxai.notebook.cell_outputs import PICTURES, outputs_difference
from robustxai.notebook.closeness import NUMBER, Tolerances, tolerances
from robustxai.notebook.pictures import DATA_URI
from robustxai.notebook.writer import read_notebook, text


@dataclass(frozen=True)
class Mutation:
    """One change of an output: the cell (its index in the notebook) with its tolerances, the output, the MIME type of
    the text in it ("" for what is printed), from where to where that text changes, and into what.
    """

    cell: int
    allowed: Tolerances
    stored: dict[str, Any]
    kind: str
    start: int
    end: int
    written: str

    @property
    def changed(self) -> dict[str, Any]:
        """The output after the change."""
        old = _get(self.stored, self.kind)
        new = old[: self.start] + self.written + old[self.end :]
        if self.kind:
            return self.stored | {"data": self.stored["data"] | {self.kind: new}}
        return self.stored | {"text": new}

    @property
    def noticed(self) -> str | None:
        """What the comparison says of it, None where it passes. The changed output is the stored one, as it is what a
        hand or a bad merge would change.
        """
        return outputs_difference([self.changed], [self.stored], self.allowed)


def times(factor: float | int) -> Callable[[str], str]:
    """A number in writing, multiplied: with as many digits, an integer rounded and at least one away.

    >>> times(1.2)("0.50"), times(1.2)("2"), times(-1)("0.50"), times(2)("1e-07")
    ('0.60', '3', '-0.50', '2e-07')
    """

    def change(number: str) -> str:
        plain = number.replace("−", "-")
        if not re.search(r"[.eE]", plain):
            value = int(plain)
            moved = round(value * factor)
            return str(moved if moved != value or value == 0 else value + 1)
        digits, power, exponent = plain.lower().partition("e")
        places = len(digits.partition(".")[2])
        return f"{float(digits) * factor:.{places}f}{power}{exponent}"

    return change


CHANGES: dict[str, Callable[[str], str]] = {
    "by a fifth": times(1.2),
    "double": times(2),
    "other sign": times(-1),
}
"""How a number is changed. One of which no other text comes, such as 0, is left out."""


def mutations(path: Path | str, change: str) -> list[Mutation]:
    """Every number of a notebook's outputs that the change makes another one; each is a mutation of its own.

    change: a key of `CHANGES`. Numbers in standard error and inside pictures are none.
    """
    return [
        Mutation(index, allowed, output, kind, start, end, written)
        for index, output, allowed in _outputs(path)
        for kind in _kinds(output)
        for start, end, written in _changed(_get(output, kind), CHANGES[change])
    ]


def exchanged_figures(path: Path | str) -> list[Mutation]:
    """Every picture of a notebook, also those of a slider, in the place of each of its other figures that differs."""
    pictures = [(*one, *where) for one in _outputs(path) for where in _pictures(one[1])]
    found = []
    for index, output, allowed, kind, start, end in pictures:
        for _, other, _, their_kind, first, last in pictures:
            theirs = _get(other, their_kind)[first:last]
            if other is not output and theirs != _get(output, kind)[start:end]:
                found.append(Mutation(index, allowed, output, kind, start, end, theirs))
    return found


def unnoticed(changed: Sequence[Mutation]) -> list[Mutation]:
    """Those that pass."""
    return [mutation for mutation in changed if mutation.noticed is None]


def _outputs(path: Path | str) -> Iterator[tuple[int, dict[str, Any], Tolerances]]:
    for index, cell in enumerate(read_notebook(path)["cells"]):
        if cell["cell_type"] == "code":
            for output in cell.get("outputs", []):
                yield index, output, tolerances(cell["metadata"])


def _kinds(output: dict[str, Any]) -> list[str]:
    """The MIME types of the texts in an output; "" for what is printed."""
    printed = output["output_type"] == "stream" and output["name"] == "stdout"
    return [""] * printed + [kind for kind in output.get("data", {}) if kind.startswith("text/")]


def _pictures(output: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """The MIME type of each picture, and from where to where it stands in its text."""
    for kind, content in output.get("data", {}).items():
        if kind in PICTURES:
            yield kind, 0, len(text(content))
        elif kind == "text/html":
            for uri in DATA_URI.finditer(text(content)):
                yield kind, *uri.span(2)


def _get(output: dict[str, Any], kind: str) -> str:
    return text(output["data"][kind] if kind else output["text"])


def _changed(content: str, change: Callable[[str], str]) -> Iterator[tuple[int, int, str]]:
    """For each number of a text that becomes another: from where to where it stands, and what it becomes."""
    hidden = [uri.span() for uri in DATA_URI.finditer(content)]
    for number in NUMBER.finditer(content):
        if any(start <= number.start() < end for start, end in hidden):
            continue
        new = change(number[0])
        if new != number[0] and float(new) != float(number[0].replace("−", "-")):
            yield *number.span(), new
