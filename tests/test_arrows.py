"""The arrows between the rooms go one way: who may import whom inside the package, by syntax tree.

A `study/` holds what only its chapter's notebook needs: nothing outside it imports it. No modules import each other in
a circle, however late. A chapter's notebook imports no other chapter.
"""

from collections.abc import Container, Mapping
from pathlib import Path

import pytest
from fingerprint import imported_names, notebook_code

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
FREE = {"cli", "_cli", "notebook", "nbval"}
"""Programs and tools: they may import anything."""
SHARED = {
    "checks": set(),
    "shapes": set(),
    "scores": {"checks", "shapes"},
    "eval_mode": {"checks", "shapes"},
    "capture": {"checks", "shapes"},
    "options": {"checks", "shapes"},
    "models": {"capture", "checks", "eval_mode", "shapes"},
    "data": {"checks", "shapes"},
    "metrics": {"checks", "eval_mode", "models", "scores", "shapes"},
    "plots": set(),
    "records": {"checks", "metrics", "shapes"},
    "runtime": set(),
    "parts": {"runtime"},
    "nets": {
        "capture",
        "checks",
        "data",
        "eval_mode",
        "metrics",
        "models",
        "options",
        "runtime",
        "scores",
        "shapes",
    },
    "explainers": {"capture", "checks", "eval_mode", "metrics", "models", "nets", "scores", "shapes"},
    "attacks": {"checks", "eval_mode", "explainers", "metrics", "models", "nets", "scores", "shapes"},
    "claims": {"checks", "metrics", "plots", "runtime", "shapes"},
}
"""What each shared room may import besides itself."""
CHAPTER = {
    "shapes",
    "attacks",
    "capture",
    "checks",
    "data",
    "eval_mode",
    "explainers",
    "metrics",
    "models",
    "nets",
    "options",
    "parts",
    "records",
    "runtime",
    "scores",
}
"""What a chapter may import besides itself: never another chapter."""
CHAPTERS = ("diffgradcam", "ranking", "manifold_ig", "ace", "concepts")
ARENA = CHAPTER | {*CHAPTERS, "plots"}
"""What the arena may import besides itself: it holds chapters against each other, and draws the report of an audit."""
PROMISED = {"robustxai.ranking": {"robustxai.ranking.study.settings"}}
"""Studies that a chapter's `__init__` exports: `from robustxai.<chapter> import X` goes on working."""


def rooms() -> list[str]:
    """The modules and packages directly under `robustxai`, the programs left out."""
    paths = (SRC / "robustxai").iterdir()
    names = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return sorted(names - FREE - {"__init__"})


def files_of(room: str) -> list[Path]:
    """The Python files of a room."""
    folder = SRC / "robustxai" / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def rooms_imported_by(room: str) -> dict[str, str]:
    """The other rooms that a room imports, each with one file that does."""
    found = {}
    for file in files_of(room):
        package = ".".join(file.parent.relative_to(SRC).parts)
        for name in imported_names(file.read_text(encoding="utf-8"), package=package):
            parts = name.split(".")
            if len(parts) > 1 and parts[1] in rooms() and parts[1] != room:
                found[parts[1]] = file.relative_to(ROOT).as_posix()
    return found


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = (SRC / "robustxai").rglob("*.py")
    return {".".join(f.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def modules_imported_by(name: str, file: Path, known: Container[str]) -> set[str]:
    """The modules that one imports, also inside functions; `from package import module` is the module alone."""
    package = ".".join(file.parent.relative_to(SRC).parts)
    names = imported_names(file.read_text(encoding="utf-8"), package=package)
    found = {n for n in names if n in known and n != name}
    return {n for n in found if not any(other.startswith(f"{n}.") for other in found)}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of modules that import each other, directly or through others."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen, todo = set(), [start]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        reach[start] = seen
    found = {frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]}
    return sorted(map(sorted, found))


def test_no_modules_import_each_other() -> None:
    known = modules()
    assert not circles({name: modules_imported_by(name, file, known) for name, file in known.items()})


def test_a_circle_is_noticed() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]


def test_nothing_outside_a_study_imports_one() -> None:
    known, wrong = modules(), []
    for name, file in known.items():
        if ".study" not in name and name.split(".")[1:2] != ["_cli"]:
            studies = {n for n in modules_imported_by(name, file, known) if ".study" in n}
            wrong += [f"{name} imports {n}" for n in sorted(studies - PROMISED.get(name, set()))]
    assert not wrong, "move what both need out of the study"


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = ARENA if room == "arena" else SHARED.get(room, CHAPTER)
    forbidden = {name: file for name, file in rooms_imported_by(room).items() if name not in allowed}
    assert not forbidden, f"{room} may import {sorted(allowed) or 'nothing of ours'}"


def test_the_rooms_are_found() -> None:
    assert {"data", "metrics", "nets", "plots", "claims", "diffgradcam"} <= set(rooms())


def test_an_import_is_noticed() -> None:
    assert "runtime" in rooms_imported_by("claims")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_imports_no_other_chapter(chapter: str) -> None:
    names = imported_names(notebook_code(ROOT / "notebooks" / f"{chapter}.ipynb"))
    others = {n for n in names if n.split(".")[1:2] and n.split(".")[1] in set(CHAPTERS) - {chapter}}
    assert not others
