"""Write the lowest versions that pyproject.toml declares as pip constraints, to test that they are true.

A requirement without a lower bound is refused: nobody could say what it means. It installs nothing and knows nothing
about what is tested with the versions.

    python workflow/lowest.py lowest.txt
    python -m pip install --constraint lowest.txt --editable '.[book,test]'
"""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("book", "test")


def lowest(requirement: str) -> str:
    """`name==version` of the lowest version that a requirement accepts. Raises ValueError if it names none."""
    wanted = Requirement(requirement)
    bounds = [part.version for part in wanted.specifier if part.operator in (">=", "~=", "==")]
    if len(bounds) != 1:
        raise ValueError(f"{requirement!r} must have one lower bound, such as {wanted.name}>=1.0")
    return f"{wanted.name}=={bounds[0]}"


def constraints(pyproject: Path) -> list[str]:
    """The lowest version of each requirement of the library and of the extras that its tests need."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [lowest(line) for line in project["dependencies"] + [r for name in EXTRAS for r in extras[name]]]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(constraints(ROOT / "pyproject.toml")) + "\n", encoding="utf-8")
