"""From a catalog entry's file to verified bytes: the folders looked in, the checksum, the download.

A file is used only if its checksum is one the catalog knows. A download is written under a temporary name
and gets its own name when the checksum fits; whatever goes wrong, nothing half-done stays, and what a killed
process left is removed by the next download. Knows nothing about what the bytes mean.
"""

import glob
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch
import requests
from filelock import FileLock, Timeout

from .catalog_entry import CatalogEntry
from .errors import ChecksumError, DownloadError, NotAvailable, offline_sets
from .files import File

VARIABLE = "ROBUSTXAI_DATA"
TIMEOUT = 30.0  # seconds without a byte before a download is given up


def folders(root: str | Path | None = None) -> list[Path]:
    """Where files are looked for, in order: `root`, the folder ROBUSTXAI_DATA names, the user's cache."""
    found = [] if root is None else [Path(root).expanduser()]
    if (named := named_folder()) is not None:
        if not named.is_dir():
            value = os.environ[VARIABLE]
            raise NotAvailable(
                f"{VARIABLE} names {value!r}, which is not a folder: there is none at {named}."
            )
        found.append(named)
    return [*found, cache()]


def named_folder() -> Path | None:
    """The folder that ROBUSTXAI_DATA names, as an absolute path, or None if it names none; it need not exist.

    `~` is the home folder. Blanks and quotes around the value, and the end of a line of Windows, are no part of it.
    """
    value = os.environ.get(VARIABLE, "").strip().strip("\"'").strip()
    if not value:
        return None
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:  # ~somebody who is not known here
        return Path(value).absolute()


def cache() -> Path:
    """The user's cache folder of this library, where downloads go."""
    return Path(pooch.os_cache("robustxai"))


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def locate(entry: CatalogEntry, file: File, root: str | Path | None = None) -> Path | None:
    """The first copy of a file in `folders`, unverified; None if there is none."""
    candidates = [folder / entry.folder / file.name for folder in folders(root)]
    return next((path for path in candidates if path.is_file()), None)


def wanted(entry: CatalogEntry, root: str | Path | None = None) -> tuple[File, ...]:
    """The files to read: all; of alternatives the one that is nearest, folder by folder, else the last."""
    if not entry.any_of:
        return entry.files
    found = ((folder / entry.folder / file.name, file) for folder in folders(root) for file in entry.files)
    return (next((file for path, file in found if path.is_file()), entry.files[-1]),)


def availability(entry: CatalogEntry, root: str | Path | None = None) -> str:
    """Whether a set can be read now: "built in", "here", or how it would come (`CatalogEntry.source`)."""
    if not entry.files:
        return "built in"
    here = all(locate(entry, file, root) is not None for file in wanted(entry, root))
    return "here" if here else entry.source


def read_file(
    entry: CatalogEntry, file: File, *, root: str | Path | None = None, download: bool = False
) -> bytes:
    """The verified bytes of a file, from the first folder that has it, or downloaded.

    Raises ChecksumError for an altered file, NotAvailable if there is none and `download` is false or
    impossible, DownloadError for a download that breaks off.
    """
    path = locate(entry, file, root)
    if path is not None:
        return verified(path.read_bytes(), file, str(path))
    if not file.urls:
        raise NotAvailable(
            f"{entry.name} has no public prepared download: it is read only from {entry.folder}/{file.name} "
            f"in the folder that {VARIABLE} names; {offline_sets()}."
        )
    if not download:
        raise NotAvailable(
            f"{entry.name} is not on this machine: pass download=True, run `robustxai data get {entry.name}` "
            f"or let {VARIABLE} name a folder that has {entry.folder}/{file.name}; {offline_sets()}."
        )
    return fetch(entry, file, Path(root).expanduser() if root is not None else cache())


def verified(data: bytes, file: File, where: str) -> bytes:
    """The bytes themselves if their SHA-256 is known for this file; ChecksumError, naming `where`, if not."""
    digest = sha256(data)
    if digest not in file.sha256:
        raise ChecksumError(
            f"{where} is altered or incomplete and was not used: its sha256 is {digest[:12]}..., expected "
            f"{' or '.join(s[:12] + '...' for s in file.sha256)}; delete it or replace it."
        )
    return data


def fetch(entry: CatalogEntry, file: File, root: Path, *, progress: bool = False) -> bytes:
    """Download a file into root/<folder> from the first address that answers, verify it, return its bytes."""
    folder = root / entry.folder
    folder.mkdir(parents=True, exist_ok=True)
    for position, url in enumerate(file.urls):
        with _part_of(folder / file.name) as part:
            try:
                data = _transfer(entry, file, url, part, progress)
                part.replace(folder / file.name)
                return data
            except (DownloadError, ChecksumError):
                if position == len(file.urls) - 1:
                    raise
    raise AssertionError("a file without addresses is refused before")


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """A new temporary name beside `target`, gone at the end; those of processes that died are removed first.

    A lock beside each part tells which downloads are alive.
    """
    for left in list(target.parent.glob(f".{glob.escape(target.name)}.*")):
        if left.suffix not in (".part", ".lock"):
            continue
        try:
            with FileLock(left.with_suffix(".lock"), timeout=0):
                left.with_suffix(".part").unlink(missing_ok=True)
                left.with_suffix(".lock").unlink(missing_ok=True)
        except Timeout:  # another process is downloading it
            continue
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    lock = FileLock(part.with_suffix(".lock"))
    try:
        with lock:
            yield part
    finally:
        part.unlink(missing_ok=True)
        part.with_suffix(".lock").unlink(missing_ok=True)


def _transfer(entry: CatalogEntry, file: File, url: str, part: Path, progress: bool) -> bytes:
    """One address to verified bytes, by way of the temporary file `part`."""
    try:
        pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)(url, str(part), None)
    except requests.RequestException as error:
        got = part.stat().st_size if part.exists() else 0
        if got not in _whole(file):
            if got:
                raise _truncated(file, url, got) from error
            raise DownloadError(
                f"{entry.name} is not on this machine and {url} could not be reached ({_reason(error)}): "
                f"let {VARIABLE} name a folder that has {entry.folder}/{file.name}; {offline_sets()}."
            ) from error
    data = part.read_bytes()
    if file.unpack is not None:
        try:
            data = file.unpack(data)
        except ValueError as error:
            raise DownloadError(f"the download of {file.name} from {url} cannot be read: {error}.") from error
        part.write_bytes(data)
    elif len(data) < file.upstream_size and len(data) not in _whole(file) and sha256(data) not in file.sha256:
        raise _truncated(file, url, len(data))
    return verified(data, file, url)


def _whole(file: File) -> set[int]:
    """The sizes of whole copies: one of these that has another checksum is altered and did not break off."""
    return {file.size, file.upstream_size} - {0}


def _truncated(file: File, url: str, got: int) -> DownloadError:
    return DownloadError(
        f"the download of {file.name} from {url} broke off after {got} of {file.upstream_size} bytes; "
        "nothing was kept, try again."
    )


def _reason(error: requests.RequestException) -> str:
    """What a reader needs of a network error: the status of an answer, or the kind of failure."""
    return f"status {error.response.status_code}" if error.response is not None else type(error).__name__
