"""A file takes the place of another in one step, or not at all. It knows nothing about what is in it."""

import os
import shutil
from pathlib import Path


def put(source: Path, target: Path) -> None:
    """Copy a file to `target` by way of a file beside it: whoever reads `target` sees the old one or the new one.

    Raises OSError, with nothing left behind, where the copy cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
