"""Parts of a long study, kept on disk: what was computed before an interruption is not computed again.

Knows rows of plain values, files and the commit; knows no study.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustxai.runtime import Stopwatch, commit

PartRow = Mapping[str, Any]
"""One line of a table, of values that JSON has: column -> what stands in the cell."""


@dataclass(frozen=True)
class KeptPart:
    """The rows of one part, the commit that computed them, and the seconds that it took."""

    rows: Sequence[PartRow]
    commit: str
    seconds: float | int


def part(
    folder: str | Path, name: str, make: Callable[[], Sequence[PartRow]], *, settings: Mapping[str, Any]
) -> KeptPart:
    """The part `name` of a study: read from `folder` if this commit computed it with these settings, else `make`.

    Written whole or not at all, so that a killed run leaves no half of a part. What a changed checkout computed is kept
    for nobody: it is computed again. Raises ValueError for a name that is no file name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = part(folder, "squares", lambda: [{"n": 3, "square": 9}], settings={"most": 3})
    >>> found.rows
    [{'n': 3, 'square': 9}]
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"name must be a file name, got {name!r}")
    path, now, wanted = Path(folder) / f"{name}.json", commit(), json.loads(json.dumps(dict(settings)))
    if path.is_file() and not now.endswith("-dirty"):
        old = json.loads(path.read_text(encoding="utf-8"))
        if old["settings"] == wanted and old["commit"] == now:
            return KeptPart(old["rows"], old["commit"], old["seconds"])
    with Stopwatch() as watch:
        rows = [dict(row) for row in make()]
    content = {"settings": wanted, "commit": now, "seconds": round(watch.seconds, 1), "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return KeptPart(rows, now, content["seconds"])
