"""The sha256 of a weight file, and whether it is the one that was written down."""

import functools
import hashlib
from pathlib import Path

from robustxai.nets.entry import WeightsError


def check_file(path: Path, sha256: str) -> None:
    """Raise WeightsError unless the file's bytes have this sha256; one read a process while it is
    unchanged.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsError(f"weight file {path} is missing; install it again or train it") from error
    if sha256_of(path, mtime_ns=stat.st_mtime_ns, size=stat.st_size) != sha256:
        raise WeightsError(
            f"weight file {path} is altered: its sha256 is not the manifest's; install it again or train it"
        )


@functools.lru_cache(maxsize=256)
def sha256_of(path: Path, *, mtime_ns: int, size: int) -> str:
    """The sha256 of a file in hexadecimal; remembered for this time of change and size."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
