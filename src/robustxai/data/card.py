"""A catalog entry as text for a person to read: the data card. Knows nothing about files on this machine."""

from .catalog import entry


def describe(name: str) -> str:
    """A data card as text: title, samples, licence, source, citation, care, files with their first
    checksum.
    """
    e = entry(name)
    rows = {
        "title": e.title,
        "samples": ", ".join(f"{n:,} {split}" for split, n in e.counts.items()),
        "sample": f"{' x '.join(map(str, e.shape))}, {e.classes} classes",
        "licence": e.licence,
        "source": f"{e.source}{', ' + e.url if e.url else ''}",
        "citation": e.citation,
        "used in": ", ".join(e.used_in),
        "care": e.care,
    }
    text = [f"{e.name}", *(f"  {k:<9} {v}" for k, v in rows.items() if v)]
    return "\n".join(
        text + [f"  file      {f.name}, {f.size:,} bytes, sha256 {f.sha256[0]}" for f in e.files]
    )
