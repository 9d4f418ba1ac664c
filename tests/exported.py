"""What `from robustxai.<room> import X` gives: `__all__`, and what a chapter goes on exporting beside it."""

import inspect
from types import ModuleType
from typing import Any

CHAPTERS = {f"robustxai.{c}" for c in ("diffgradcam", "ranking", "manifold_ig", "ace", "concepts")}


def exported(room: ModuleType) -> dict[str, Any]:
    """Classes and functions of ours by name; a room without `__all__` exports what it defines."""
    if room.__name__ in CHAPTERS:  # an `__init__` that only imports
        names = {
            n for n, v in vars(room).items() if str(getattr(v, "__module__", "")).startswith("robustxai.")
        }
    else:
        own = [n for n, v in vars(room).items() if getattr(v, "__module__", None) == room.__name__]
        names = {*getattr(room, "__all__", own)}
    found = {n: getattr(room, n) for n in sorted(names) if not n.startswith("_")}
    again = {
        n for n, v in found.items() if getattr(v, "__name__", n) != n and v.__name__ in found
    }  # second names
    return {n: v for n, v in found.items() if (inspect.isclass(v) or inspect.isroutine(v)) and n not in again}
