"""The arrows between the rooms go one way: who may import whom inside the package, by syntax tree."""

from pathlib import Path

import pytest
from fingerprint import imported_names

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
FREE = {"cli", "_cli", "notebook", "_nbval"}
"""Programs and tools: they may import anything."""
SHARED = {
    "checks": set(),
    "capture": {"checks"},
    "models": {"capture", "checks"},
    "data": {"checks"},
    "metrics": {"checks", "models"},
    "plots": set(),
    "runtime": set(),
    "nets": {"capture", "checks", "data", "metrics", "models", "runtime"},
    "explainers": {"capture", "checks", "metrics", "models", "nets"},
    "claims": {"checks", "plots", "runtime"},
}
"""What each shared room may import besides itself."""
CHAPTER = {"capture", "checks", "data", "explainers", "metrics", "models", "nets", "runtime"}
"""What a chapter may import besides itself: never another chapter."""


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


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = SHARED.get(room, CHAPTER)
    forbidden = {name: file for name, file in rooms_imported_by(room).items() if name not in allowed}
    assert not forbidden, f"{room} may import {sorted(allowed) or 'nothing of ours'}"


def test_the_rooms_are_found() -> None:
    assert {"data", "metrics", "nets", "plots", "claims", "diffgradcam"} <= set(rooms())


def test_an_import_is_noticed() -> None:
    assert "runtime" in rooms_imported_by("claims")
