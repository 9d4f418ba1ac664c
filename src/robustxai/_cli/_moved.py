"""Which claims' values are no longer the committed ones, by the tolerances of the notebooks that print them.

A chapter's notebook declares what its claims may move by, as metadata of the cells that check them; without a notebook
the default holds. Knows nothing about verdicts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustxai.notebook.closeness import Tolerance, Tolerances, tolerances
from robustxai.notebook.labels import BOUNDS, claim_names
from robustxai.notebook.writer import read_notebook, text
from robustxai.plots.numbers import number


def moved_values(
    fresh: Mapping[str, Mapping[str, Any]],
    committed: Mapping[str, Mapping[str, Any]],
    notebooks: Path,
    *,
    ignore: set[str],
) -> list[str]:
    """One sentence for each claim that both sides have and whose value, interval or n is not close to what it was.

    fresh, committed: what was recorded of each claim, by its id. notebooks: the folder of the chapters' notebooks.
    """
    sentences, known = [], {}
    for claim in sorted((fresh.keys() & committed.keys()) - ignore):
        chapter, _, name = claim.partition(".")
        if chapter not in known:
            known[chapter] = tolerances_of_claims(notebooks / f"{chapter}.ipynb")
        allowed = known[chapter].get(name, Tolerances())
        sentences += [f"{claim}: {one}" for one in _moved(fresh[claim], committed[claim], allowed, name)]
    return sentences


def tolerances_of_claims(notebook: Path) -> dict[str, Tolerances]:
    """The tolerances of the cell that checks each claim, by the claim's name; none where there is no such notebook."""
    found: dict[str, Tolerances] = {}
    for cell in read_notebook(notebook)["cells"] if notebook.is_file() else []:
        printed = "".join(text(output.get("text", "")) for output in cell.get("outputs", []))
        found |= {name: tolerances(cell["metadata"]) for name in claim_names(printed)}
    return found


def _moved(now: Mapping[str, Any], then: Mapping[str, Any], allowed: Tolerances, name: str) -> list[str]:
    value, bounds = allowed.of(f"claim {name}"), allowed.of(f"{BOUNDS}claim {name}")
    for what, tolerance in (("value", value), ("interval", bounds)):
        a, b = (flat(side.get(what)) for side in (then, now))
        if a.keys() != b.keys():
            return [f"its {what} has other parts than the committed one"]
        for key, old in a.items():
            if not tolerance.near(_printed(old), _printed(b[key])):
                part = f" of {key}" if key else ""
                return [f"the {what}{part} is {b[key]:g}, the committed one is {old:g} ({tolerance.words()})"]
    for what in ("n", "seeds"):
        if not _same_count(then.get(what), now.get(what), value):
            return [f"{what} is {now.get(what)}, the committed one is {then.get(what)}"]
    return []


def _printed(value: float) -> float:
    """A number as a chapter prints it: what a tolerance belongs to is the number in writing."""
    return float(number(value))


def _same_count(old: int | None, new: int | None, tolerance: Tolerance) -> bool:
    if old is None or new is None:
        return old == new
    return tolerance.close(str(old), str(new))


def flat(value: Any, path: str = "") -> dict[str, float]:
    """Every number in what was recorded, by its path: names of settings and values, low and high of an interval.

    >>> flat({"a": [0.1, 0.3]}), flat(0.5), flat(None)
    ({'a 0': 0.1, 'a 1': 0.3}, {'': 0.5}, {})
    """
    if value is None:
        return {}
    if isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {k: v for key, part in items for k, v in flat(part, f"{path} {key}".strip()).items()}
    return {path: float(value)}
