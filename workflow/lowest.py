"""Write the lowest versions that pyproject.toml declares as pip constraints, to test that they are true.

Those of the library and of the extra `book`; the tools of the tests are as new as fits, since nobody but us installs
them. A requirement without a lower bound is refused: nobody could say what it means. It needs no package, and installs
nothing.

    python workflow/lowest.py lowest.txt
    python -m pip install --constraint lowest.txt --editable '.[book,test,dev]'
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest(requirement: str) -> str:
    """`name==version` of the lowest version that a requirement accepts. Raises ValueError if it names none, or two."""
    match = re.match(r"[\w.-]+", requirement)
    bounds = re.findall(r">=\s*([\w.]+)", requirement)
    if match is None or len(bounds) != 1:
        name = match[0] if match else "name"
        raise ValueError(f"{requirement!r} must have one lower bound, such as {name}>=1.0")
    return f"{match[0]}=={bounds[0]}"


def constraints(pyproject: Path) -> list[str]:
    """The lowest version of each requirement of the library and of the book."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [lowest(line) for line in project["dependencies"] + project["optional-dependencies"]["book"]]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(constraints(ROOT / "pyproject.toml")) + "\n", encoding="utf-8")
