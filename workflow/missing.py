"""What an environment lacks of the library and some of its extras, one requirement a line.

Versions are compared as the requirement says. It installs nothing and asks nobody.

    python workflow/missing.py book test
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    from packaging.requirements import Requirement
except ModuleNotFoundError:  # a bare environment has pip alone
    from pip._vendor.packaging.requirements import Requirement


def missing(pyproject: Path, extras: list[str]) -> list[str]:
    """Requirements of the project and of the extras that nothing installed fulfils. Raises ValueError for no extra."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    known = project["optional-dependencies"]
    if unknown := [extra for extra in extras if extra not in known]:
        raise ValueError(f"extras must be among {', '.join(known)}, got {unknown[0]!r}")
    lines = [*project["dependencies"], *(line for extra in extras for line in known[extra])]
    return [line for line in lines if not _there(Requirement(line))]


def _there(requirement: Requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    print("\n".join(missing(Path(__file__).resolve().parents[1] / "pyproject.toml", sys.argv[1:])))
