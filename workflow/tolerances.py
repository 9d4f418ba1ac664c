"""Tolerances from what runs on other kinds of processor differ by: measured, and written into the notebooks.

    python workflow/tolerances.py measure            # per column: build/processors/differences.json, and a summary
    python workflow/tolerances.py write ranking      # into the cells' metadata, in place of their tags
    python workflow/tolerances.py widen ranking      # beside what is declared already, which other machines measured

Reads the runs that `processors.py` left in `build/processors` and compares each with the committed notebook. A column
gets the relative and the absolute tolerance that forgive `MARGIN` times its largest difference and let the fewest of
its numbers change by a fifth; what the default forgives needs none. So does the data of a figure, in shares of its
range. Runs nothing.
"""

import argparse
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robustxai.notebook import read_notebook, write_notebook
from robustxai.notebook.cell_outputs import labelled_numbers, outputs_difference
from robustxai.notebook.closeness import TAG, Tolerance, Tolerances, tolerances
from robustxai.notebook.figure_data import RANGE, digest_distances
from robustxai.plots.numbers import DIGEST_TYPE

ROOT = Path(__file__).resolve().parents[1]
MARGIN = 1.5
RELATIVE = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)
Pair = tuple[str, str]
"""A number as it is stored and as it came out."""


def runs_of(chapter: str, build: Path) -> dict[str, Path]:
    """The executed notebooks of a chapter by the kind of processor."""
    found = sorted((build / "processors").glob(f"*/notebooks/{chapter}.ipynb"))
    return {path.parents[1].name: path for path in found}


def cells(path: Path) -> dict[str, dict[str, Any]]:
    """The code cells of a notebook that ran, by their ids, which follow from their code."""
    found = (c for c in read_notebook(path)["cells"] if c["cell_type"] == "code")
    return {c["id"]: c for c in found if c["execution_count"] is not None}


def pairs(stored: Path, fresh: Path) -> tuple[dict[tuple[str, str], list[Pair]], list[str]]:
    """The numbers of two runs by cell and label, and one sentence for each cell whose words differ."""
    found: dict[tuple[str, str], list[Pair]] = {}
    words, theirs = [], cells(fresh)
    for key, cell in cells(stored).items():
        if key not in theirs:
            words.append(f"{key}: its code did not run there")
            continue
        a, b = (labelled_numbers(c["outputs"]) for c in (cell, theirs[key]))
        if [label for label, _ in a] == [label for label, _ in b]:
            for (label, old), (_, new) in zip(a, b, strict=True):
                found.setdefault((key, label), []).append((old, new))
        loose = Tolerances(Tolerance(math.inf, math.inf, math.inf))
        if difference := outputs_difference(cell["outputs"], theirs[key]["outputs"], loose):
            words.append(f"{key}: {difference}")
    return found, words


def fitted(numbers: Sequence[Pair], margin: float = MARGIN) -> dict[str, float]:
    """The tolerance that forgives `margin` times what these numbers differ by, as metadata; empty: the default does.

    >>> fitted([("0.50", "0.50"), ("0.50", "0.53")]), fitted([("3", "4")])
    ({'rtol': 0.1}, {'count': 1.0})
    """
    whole = [pair for pair in numbers if not re.search(r"[.eE]", "".join(pair))]
    apart = [abs(int(_plain(a)) - int(_plain(b))) for a, b in whole]
    declared: dict[str, float] = {"count": float(max(apart))} if any(apart) else {}
    floats = [(float(_plain(a)), float(_plain(b))) for a, b in set(numbers) - set(whole)]
    if all(Tolerance().close(repr(a), repr(b)) for a, b in floats):
        return declared
    choices = []
    for relative in RELATIVE:
        rest = [margin * abs(a - b) for a, b in floats if margin * abs(a - b) > relative * abs(a) + 1e-12]
        absolute = _up(max(rest, default=0.0))
        passing = sum(absolute >= 0.2 * abs(a) for a, _ in floats if a)
        choices.append((passing, absolute > 0, relative, absolute))
    _, _, relative, absolute = min(choices)
    declared |= {"rtol": relative} if relative > RELATIVE[0] else {}
    return declared | ({"atol": absolute} if absolute else {})


def _plain(number: str) -> str:
    return number.replace("−", "-")


def _up(value: float) -> float:
    """Rounded up to two digits."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.2g}")


def measured(
    chapter: str, build: Path, kinds: Iterable[str] | None = None
) -> dict[tuple[str, str], list[Pair]]:
    """The numbers of all runs of a chapter (or of some kinds), by cell and label."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for kind, path in runs_of(chapter, build).items():
        if kinds is None or kind in kinds:
            for key, numbers in pairs(ROOT / "notebooks" / f"{chapter}.ipynb", path)[0].items():
                found.setdefault(key, []).extend(numbers)
    return found


def figures(stored: Path, fresh: Path) -> dict[tuple[str, str], float]:
    """How far the data of figures moved, by cell and label, as the largest share of their range; nan beside a number
    counts as no distance, as no tolerance forgives it."""
    found, theirs = {}, cells(fresh)
    for key, cell in cells(stored).items():
        for a, b in zip(cell["outputs"], theirs.get(key, {"outputs": []})["outputs"], strict=False):
            mine, new = (o.get("data", {}).get(DIGEST_TYPE, {}) for o in (a, b))
            for name in mine.keys() & new.keys():
                sides = (json.loads(side[name]) for side in (mine, new))
                apart = [d for _, d in digest_distances(*sides) if d == d]
                found[key, f"data of {name}"] = max(apart, default=0.0)
    return found


def moved_figures(chapter: str, build: Path) -> dict[tuple[str, str], dict[str, float]]:
    """The tolerance of every figure whose data moved by more than `RANGE` allows in some run."""
    found: dict[tuple[str, str], float] = {}
    for path in runs_of(chapter, build).values():
        for key, apart in figures(ROOT / "notebooks" / f"{chapter}.ipynb", path).items():
            found[key] = max(found.get(key, 0.0), apart)
    return {key: {"rtol": _up(MARGIN * apart)} for key, apart in found.items() if MARGIN * apart > RANGE}


def outside(chapter: str, build: Path) -> dict[str, tuple[int, int]]:
    """For each kind: how many numbers the tolerances fitted to the other kinds do not forgive, of how many."""
    found = {}
    for kind in runs_of(chapter, build):
        fit = {
            k: fitted(v) for k, v in measured(chapter, build, set(runs_of(chapter, build)) - {kind}).items()
        }
        left = [(k, pair) for k, numbers in measured(chapter, build, {kind}).items() for pair in numbers]
        missed = sum(not Tolerance(**fit.get(k, {})).close(*pair) for k, pair in left)  # pyright: ignore[reportArgumentType]
        found[kind] = (missed, len(left))
    return found


def write(chapter: str, build: Path) -> int:
    """Put the fitted tolerances into a notebook's cells, in place of tags; how many columns have one. Cells that no run
    has stay as they are.
    """
    path = ROOT / "notebooks" / f"{chapter}.ipynb"
    notebook, fit = read_notebook(path), {k: fitted(v) for k, v in measured(chapter, build).items()}
    fit |= moved_figures(chapter, build)
    ran = {key for run in runs_of(chapter, build).values() for key in cells(run)}
    for cell in notebook["cells"]:
        if cell["id"] not in ran:
            continue
        tags = [tag for tag in cell["metadata"].pop("tags", []) if not TAG.fullmatch(tag)]
        table = {label: one for (key, label), one in fit.items() if key == cell["id"] and one}
        cell["metadata"].pop("nbval", None)
        cell["metadata"] |= ({"tags": tags} if tags else {}) | ({"nbval": table} if table else {})
    write_notebook(notebook, path)
    return sum(bool(one) for one in fit.values())


def widen(chapter: str, build: Path) -> int:
    """Widen what a notebook's cells declare until it forgives these runs, too; how many columns have become wider.

    For runs of a machine of another kind: those that the declared tolerances came from need not be here.
    """
    path = ROOT / "notebooks" / f"{chapter}.ipynb"
    notebook, found, changed = read_notebook(path), measured(chapter, build), 0
    wanted = {k: fitted(v) for k, v in found.items()} | moved_figures(chapter, build)
    for cell in notebook["cells"]:
        declared = tolerances(cell["metadata"])
        for (key, label), new in wanted.items():
            if key != cell.get("id") or not new:
                continue
            old = (
                declared.labelled.get(label, Tolerance(rtol=RANGE)) if label.startswith("data of ") else None
            )
            if old is None:
                old = declared.of(label)
                if all(_forgives(old, *pair) for pair in found[key, label]):
                    continue
            elif new["rtol"] <= old.rtol:
                continue
            cell["metadata"].setdefault("nbval", {})[label] = _wider(old, new)
            changed += 1
    write_notebook(notebook, path)
    return changed


def _forgives(old: Tolerance, stored: str, fresh: str) -> bool:
    """Whether a tolerance has room for `MARGIN` times what two numbers differ by."""
    if not old.close(stored, fresh):
        return False
    a, b = (float(_plain(number)) for number in (stored, fresh))
    return a == b or bool(old.count) or old.near(a, a + MARGIN * (b - a))


def _wider(old: Tolerance, new: dict[str, float]) -> dict[str, float]:
    """The larger of each part, as metadata, without those that are the default."""
    count = max(old.count, old.atol if old.integers else 0.0, new.get("count", 0.0))
    parts = {
        "rtol": (max(old.rtol, new.get("rtol", 0.0)), Tolerance().rtol),
        "atol": (max(old.atol, new.get("atol", 0.0)), Tolerance().atol),
        "count": (count, 0.0),
    }
    return {name: value for name, (value, default) in parts.items() if value > default}


def largest(numbers: Sequence[Pair]) -> dict[str, float]:
    """How far a column's numbers moved: the largest amount, and the largest share of a number."""
    floats = [(float(_plain(a)), float(_plain(b))) for a, b in numbers]
    return {
        "numbers": len(floats),
        "moved": sum(a != b for a, b in floats),
        "amount": max(abs(a - b) for a, b in floats),
        "share": max((abs(a - b) / abs(a) for a, b in floats if a), default=0.0),
    }


def measure(chapters: Sequence[str], build: Path) -> None:
    """Write the differences of every column, and print what they add up to."""
    content: dict[str, Any] = {}
    for chapter in chapters:
        runs = runs_of(chapter, build)
        columns = measured(chapter, build)
        content[chapter] = {
            "kinds": sorted(runs),
            "words": {k: pairs(ROOT / "notebooks" / f"{chapter}.ipynb", p)[1] for k, p in runs.items()},
            "columns": [
                {"cell": cell, "column": label} | largest(numbers) | {"tolerance": fitted(numbers)}
                for (cell, label), numbers in columns.items()
                if any(a != b for a, b in numbers)
            ],
        }
        for kind, (missed, n) in outside(chapter, build).items():
            print(f"{chapter}, {kind}: {missed} of {n} numbers outside the tolerances of the other kinds")
        for kind, sentences in content[chapter]["words"].items():
            print(*(f"{chapter}, {kind}: {sentence}" for sentence in sentences), sep="\n")
    target = build / "processors" / "differences.json"
    target.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(target)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("measure", "write", "widen"))
    parser.add_argument("chapters", nargs="*", help="all that have runs, unless named")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    args = parser.parse_args()
    known = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    chapters = args.chapters or [name for name in known if runs_of(name, args.build)]
    if args.action == "measure":
        measure(chapters, args.build)
    elif args.action == "write":
        for chapter in chapters:
            print(f"{chapter}: {write(chapter, args.build)} columns have a tolerance of their own")
    else:
        for chapter in chapters:
            print(f"{chapter}: {widen(chapter, args.build)} columns are wider now")


if __name__ == "__main__":
    main()
