"""Sphinx extension: write the data cards from the library's own table of data sets.

A page that holds the line `%% data cards` gets an overview and one card for each entry of
`robustxai.data.catalog()`. It loads no data.
"""

from __future__ import annotations

from collections.abc import Sequence

from mdtext import markdown_table, plain
from sphinx.application import Sphinx

from robustxai.data import CatalogEntry, catalog

MARK = "%% data cards"


def size(count: int) -> str:
    """Return a number of bytes as a reader says it; a dash for nothing to download."""
    if count == 0:
        return "–"
    return f"{count / 1e6:.1f}\u00a0MB" if count < 1e9 else f"{count / 1e9:.1f}\u00a0GB"


def overview(entries: Sequence[CatalogEntry]) -> list[str]:
    """Return the table of all sets, each name a link to its card."""
    rows = []
    for entry in entries:
        link = f"[{plain(entry.name)}](#data-{entry.name.replace('_', '-')})"
        samples = "<br>".join(f"{split}\u00a0{count:,}" for split, count in entry.counts.items())
        rows.append([link, plain(entry.title), str(entry.classes), samples, size(entry.size), entry.source])
    return markdown_table(["Name", "What it is", "Classes", "Samples", "Size", "Where from"], rows)


def card(entry: CatalogEntry) -> list[str]:
    """Return the card of one set."""
    shape = " × ".join(map(str, entry.shape))
    facts = [
        ("Sample", f"{shape}, {entry.classes} classes"),
        ("Licence", plain(entry.licence)),
        ("Source", f"<{entry.url}>" if entry.url else "drawn or shipped with a library"),
        ("Cite", plain(entry.citation) or "–"),
        ("Used in", ", ".join(f"{{chapter}}`{name}`" for name in entry.used_in) or "–"),
        ("Take care", plain(entry.care) or "–"),
    ]
    sums = [
        f"`{name}`: " + ", ".join(f"`{digest}`" for digest in accepted)
        for name, accepted in entry.sha256.items()
    ]
    lines = [f"(data-{entry.name.replace('_', '-')})=", f"## {plain(entry.title)}", ""]
    lines += [f'`load("{entry.name}")`', "", *(f"- **{name}.** {text}" for name, text in facts), ""]
    if sums:
        lines += ["```{dropdown} SHA-256 sums", *(f"- {line}" for line in sums), "```", ""]
    return lines


def render(entries: Sequence[CatalogEntry]) -> str:
    """Return the overview and all cards as Markdown."""
    return "\n".join([*overview(entries), *(line for entry in entries for line in card(entry))])


def _insert(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, render(list(catalog())))


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _insert)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
