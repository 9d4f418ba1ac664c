"""`CatalogEntry`: what the catalogue says of one data set."""

from dataclasses import dataclass

from .files import File


@dataclass(frozen=True)
class CatalogEntry:
    """One data set. `size`: bytes to download or to have in the prepared folder (0: computed or in
    scikit-learn).

    `shape`: of one sample. `files`: every file that may be read; empty if none is needed. `folder`: their
    place below a data folder. `any_of`: one of the files is enough, the first that is found, else the last.
    """

    name: str
    title: str
    licence: str
    url: str
    citation: str
    shape: tuple[int, ...]
    classes: int
    counts: dict[str, int]
    used_in: tuple[str, ...]
    care: str = ""
    files: tuple[File, ...] = ()
    folder: str = ""
    any_of: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """The accepted names of splits."""
        return tuple(self.counts)

    @property
    def size(self) -> int:
        """Bytes of the prepared files, or of the upstream ones where only those are listed."""
        return self.files[0].size if self.any_of else sum(f.size for f in self.files)

    @property
    def sha256(self) -> dict[str, tuple[str, ...]]:
        """Accepted SHA-256 sums by file name."""
        return {f.name: f.sha256 for f in self.files}

    @property
    def source(self) -> str:
        """How a reader gets it: "no file needed", "download", or "prepared folder only"."""
        if not self.files:
            return "no file needed"
        return "download" if any(f.urls for f in self.files) else "prepared folder only"
