"""Coverage: whether a notebook checks exactly the claims that the ledger lists for its chapter, each with an interval
where its quantity varies. Runs nothing.

Reads the code cells of a notebook and collects the calls of `claims.check`, `claims.share` and `claims.skip`, whose ids
are literal text.
"""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

from robustxai.claims.ledger import of_chapter

CALLS = ("claims.check", "claims.share", "claims.skip")


@dataclass(frozen=True)
class Coverage:
    """Ids in the ledger that the notebook never checks, ids it checks that the ledger does not have, and ids of
    quantities that vary and are checked without an interval.

    >>> Coverage(unchecked=("toy.a",), unknown=()).complete
    False
    """

    unchecked: tuple[str, ...]
    unknown: tuple[str, ...]
    unbounded: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all lists are empty."""
        return not (self.unchecked or self.unknown or self.unbounded)


def checked_ids(notebook: Path | str) -> tuple[str, ...]:
    """The ids in all calls of a notebook such as `claims.check("...")`, in order, as `calls`."""
    return tuple(calls(notebook))


def calls(notebook: Path | str) -> dict[str, bool]:
    """The ids in all calls of a notebook such as `claims.check("...")`, in order, and whether each may be given an
    interval: by name, or in what is unpacked; a share has its own, and what is skipped needs none.

    Raises ValueError for a call whose id is not literal text: nobody could find it by searching; and for what is no
    notebook.
    """
    try:
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"notebook {notebook} cannot be read as a notebook: {error}") from error
    found: dict[str, bool] = {}
    for index, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        lines = "".join(cell["source"]).splitlines()
        source = "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) not in CALLS:
                continue
            id = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "id"), None)
            if not (isinstance(id, ast.Constant) and isinstance(id.value, str)):
                where = f"{Path(notebook).name}, cell {index}"
                raise ValueError(f"{where}: write the id of a claim as literal text.")
            bounded = ast.unparse(call.func) != "claims.check" or any(
                k.arg in (None, "interval") for k in call.keywords
            )
            found[id.value] = found.get(id.value, True) and bounded
    return found


def coverage(
    notebook: Path | str, *, chapter: str | None = None, ledger: Path | str | None = None
) -> Coverage:
    """Compare a notebook with the ledger entries of its chapter (the notebook's name unless given)."""
    known = of_chapter(chapter or Path(notebook).stem, ledger)
    checked = calls(notebook)
    return Coverage(
        unchecked=tuple(id for id in known if id not in checked),
        unknown=tuple(id for id in checked if id not in known),
        unbounded=tuple(i for i, given in checked.items() if i in known and not (given or known[i].exact)),
    )
