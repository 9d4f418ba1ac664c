"""How far two texts may be apart: their words are the same, and each number is close by its own tolerance.

A number carries a label, such as the column of its table or the claim whose line it stands in, and the label has the
tolerance. Knows nothing about what outputs look like, which `labels` does.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

NUMBER = re.compile(r"((?:(?<![\w.)])[-+−])?(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
TAG = re.compile(r"nbval-(rtol|atol)-(\d+(?:\.\d+)?(?:e-?\d+)?)")
ANY = "*"
"""The label of every number that has none of its own in a cell's table of tolerances."""


WORDS = "words"
"""The label of numbers that are part of a sentence: they are the same, whatever a cell asks for."""


@dataclass(frozen=True)
class Tolerance:
    """What one number may differ by: a share of itself, or an amount if that is more; integers by a count.

    rtol, atol: from 0. count: how far a number without a point may move, also the k of `k of n`. integers: whether rtol
    and atol hold for those, too.

    >>> Tolerance().close("0.500", "0.504"), Tolerance().close("0.500", "0.520"), Tolerance().close("3", "4")
    (True, False, False)
    >>> Tolerance(atol=1 / 40).close("0.500", "0.520"), Tolerance(count=1).close("3", "4")
    (True, True)
    """

    rtol: float | int = 1e-2
    atol: float | int = 1e-6
    count: float | int = 0.0
    integers: bool = False

    def close(self, stored: str, fresh: str) -> bool:
        """Whether two numbers in writing are close."""
        a, b = (number.replace("−", "-") for number in (stored, fresh))
        if not self.integers and not re.search(r"[.eE]", a + b):
            return abs(int(a) - int(b)) <= self.count
        return self.near(float(a), float(b))

    def near(self, stored: float | int, fresh: float | int) -> bool:
        """Whether two numbers are close that are no counts."""
        return math.isclose(stored, fresh, rel_tol=self.rtol, abs_tol=self.atol)

    def words(self) -> str:
        """The tolerance as a report says it."""
        counts = f", integers {self.count:g}" if self.count else ""
        return f"rtol {self.rtol:g}, atol {self.atol:g}{counts}"


@dataclass(frozen=True)
class Tolerances:
    """The tolerances of one cell by label; `default` is for all others."""

    default: Tolerance = Tolerance()
    labelled: Mapping[str, Tolerance] = field(default_factory=dict)

    def of(self, label: str) -> Tolerance:
        """The tolerance of a number with this label."""
        if label == WORDS:
            return Tolerance(rtol=0.0, atol=0.0)
        return self.labelled.get(label) or self.labelled.get(ANY) or self.default


def tolerances(metadata: Mapping[str, Any]) -> Tolerances:
    """What a cell's metadata ask for: a table `nbval` of labels, and tags for the whole cell.

    The table maps a label to any of `rtol`, `atol`, `count` and `of`: {"P@k": {"of": 300}} says that the numbers of the
    column P@k are shares of 300 and may move by one of them. A tag `nbval-rtol-1e-1` or `nbval-atol-0.02` holds for
    every number of the cell, integers included. Raises ValueError for what is not understood.

    >>> tolerances({"nbval": {"P@k": {"of": 50}}}).of("P@k")
    Tolerance(rtol=0.01, atol=0.02, count=0.0, integers=False)
    """
    default = Tolerance()
    for tag in metadata.get("tags", []):
        if tag.startswith(("nbval-rtol", "nbval-atol")):
            match = TAG.fullmatch(tag)
            if match is None:
                raise ValueError(f"tag {tag!r} is not understood: write nbval-rtol-1e-1 or nbval-atol-0.02.")
            default = replace(default, integers=True, **{match[1]: float(match[2])})
    table = metadata.get("nbval", {})
    if not isinstance(table, Mapping):
        raise ValueError(f"nbval in a cell's metadata must map labels to tolerances, got {table!r:.80}")
    return Tolerances(default, {label: _declared(label, given) for label, given in table.items()})


def _declared(label: str, given: Any) -> Tolerance:
    """The tolerance of one label in a cell's metadata."""
    names = ("rtol", "atol", "count", "of")
    numbers = isinstance(given, Mapping) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and v >= 0 for v in given.values()
    )
    if (
        not numbers
        or not given
        or not set(given) <= set(names)
        or given.get("of", 1) < 1
        or {"atol", "of"} <= set(given)
    ):
        raise ValueError(
            f"nbval of {label!r} must map rtol, atol, count, or of in place of atol, to numbers, got {given!r:.80}"
        )
    default = Tolerance()
    return Tolerance(
        rtol=float(given.get("rtol", default.rtol)),
        atol=1 / given["of"] if "of" in given else float(given.get("atol", default.atol)),
        count=float(given.get("count", default.count)),
    )


def text_difference(
    stored: str, fresh: str, labels: Callable[[str], Sequence[str]], allowed: Tolerances
) -> str | None:
    """What keeps two texts apart, in one line, or None. labels: from a text to one label for each of its numbers; it is
    called with `stored`, where a number differs.

    >>> text_difference("a 0.50", "a 0.60", lambda text: ["x"], Tolerances())
    'number differs (x): 0.50 is stored, 0.60 came out (rtol 0.01, atol 1e-06)'
    """
    if stored == fresh:
        return None
    mine, theirs = NUMBER.split(stored), NUMBER.split(fresh)
    known: Sequence[str] = ()
    for index, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a == b:
            continue
        if index % 2 == 0 and unpadded(a) != unpadded(b):
            return f"text differs: {unpadded(a)[:80]!r} is stored, {unpadded(b)[:80]!r} came out"
        if index % 2 == 1:
            known = known or labels(stored)
            label = known[index // 2]
            tolerance = allowed.of(label)
            if not tolerance.close(a, b):
                where = f" ({label})" if label else ""
                return f"number differs{where}: {a} is stored, {b} came out ({tolerance.words()})"
    if len(mine) != len(theirs):
        return f"{len(mine) // 2} numbers are stored, {len(theirs) // 2} came out"
    return None


def unpadded(text: str) -> str:
    """Text without the padding that changes with the width of the numbers around it."""
    return re.sub(r"[ \t]+", " ", text).strip(" ")
