"""What runs left in `build/`: which of it can be read. It knows nothing about when a chapter is stale otherwise.

An output is put in place whole, but a full disk, a power cut or a hand may leave one that is empty or cut short; its
time says that it is fresh. What cannot be read is removed, and so runs again.
"""

import json
from pathlib import Path


def unreadable(build: Path) -> list[Path]:
    """The results and executed notebooks below `build/` that do not hold a JSON object."""
    runs = [path for path in [*build.glob("*"), *build.glob("*/seed*-*")] if not path.name.startswith("site")]
    found = [path for run in runs for path in (*run.glob("results/*.json"), *run.glob("notebooks/*.ipynb"))]
    return sorted(path for path in found if not _holds_an_object(path))


def _holds_an_object(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except (ValueError, OSError):
        return False


def remove_unreadable(root: Path) -> list[str]:
    """Remove the outputs of a checkout that cannot be read, each with its other half; one sentence about each."""
    sentences = []
    for path in unreadable(root / "build"):
        run = path.parent.parent
        for output in (run / "results" / f"{path.stem}.json", run / "notebooks" / f"{path.stem}.ipynb"):
            output.unlink(missing_ok=True)
        sentences.append(f"{path.relative_to(root).as_posix()} cannot be read: its chapter runs again")
    return sentences
