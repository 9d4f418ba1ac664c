"""The catalogue of data sets: all of them in order of effort, or one by name."""

import difflib

from .catalog_entries import ENTRIES
from .catalog_entry import CatalogEntry
from .errors import UnknownDataset


def catalog() -> list[CatalogEntry]:
    """Every data set that `load` knows, in the order of effort: drawn, built in, downloadable, prepared
    folder only.
    """
    return list(ENTRIES)


def entry(name: str) -> CatalogEntry:
    """The entry of one set; UnknownDataset, with the nearest names, if there is none."""
    known = {e.name: e for e in ENTRIES}
    if name not in known:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
        raise UnknownDataset(f"there is no data set named {name!r}: {hint}")
    return known[name]
