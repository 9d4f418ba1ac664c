"""Write the versions installed beside this Python as pip constraints: names and exact versions, no addresses.

The file is used with `pip install --constraint`, so a line for a package that another platform does not need
does no harm there. It knows nothing about why a package is installed.

    python workflow/lock.py requirements.lock
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

HEADER = """\
# Exact versions for `make book` and `make test`; written by `make lock` and used as pip constraints.
"""
SKIPPED = {"robustxai", "pip", "setuptools", "wheel"}


def canonical(name: str) -> str:
    """A package name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def public(version: str) -> str:
    """A version without its local label, which other platforms do not have."""
    return version.partition("+")[0]


def constraints() -> list[str]:
    """One `name==version` for each installed package except this one and the installer itself."""
    found = {canonical(dist.metadata["Name"]): public(dist.version) for dist in distributions()}
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in SKIPPED]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(HEADER + "\n".join(constraints()) + "\n", encoding="utf-8")
