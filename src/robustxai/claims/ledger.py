"""The ledger `claims.yml`: every claim of every paper that the book tests, read and checked.

Knows nothing about runs and results. The file maps a chapter to a list of entries; the comment at its top
explains the fields. It stands at the root of a checkout and travels in the wheel, so that a notebook alone
finds it too.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from robustxai import runtime
from robustxai.claims.ranges import Rule
from robustxai.claims.rules import parse

PROFILES = ("quick", "real", "gpu", "paper")
"""Runs that a claim may be planned for; what is planned for `gpu` is for `paper`, too, which has the paper's data."""
REQUIRED = (
    "id",
    "whose",
    "paper",
    "where",
    "statement",
    "paper_value",
    "measured",
    "unit",
    "rule",
    "profiles",
)
OPTIONAL = ("premise", "settings", "unknown", "history", "note", "volatile")
WHOSE = ("paper", "ours", "pilot")
EXACT = "exact"
"""The unit of a quantity that varies with nothing: no images, networks or draws. It needs no interval."""


@dataclass(frozen=True)
class Claim:
    """One entry: what the paper says and where, what is measured here, and the rule that decides.

    >>> next(iter(of_chapter("diffgradcam").values())).chapter
    'diffgradcam'
    """

    id: str
    whose: str
    paper: str
    where: str
    statement: str
    paper_value: str | float
    measured: str
    unit: str
    rule: Rule
    profiles: tuple[str, ...]
    rule_spec: dict[str, Any]
    premise: str = ""
    settings: tuple[str, ...] = ()
    unknown: str = ""
    history: tuple[str, ...] = ()
    note: str = ""
    volatile: bool = False

    @property
    def exact(self) -> bool:
        """Whether the quantity varies with nothing, so that it needs no interval."""
        return self.unit == EXACT

    @property
    def chapter(self) -> str:
        """The chapter the claim belongs to: the part of the id before the dot."""
        return self.id.partition(".")[0]


def ledger_path() -> Path:
    """The ledger of the checkout, or the one in the installed package."""
    root = runtime.checkout()
    places = ([root / "claims.yml"] if root else []) + [Path(__file__).parents[1] / "claims.yml"]
    for place in places:
        if place.is_file():
            return place
    raise ValueError("claims.yml is neither in the checkout nor in the package: install robustxai again.")


def ledger(path: Path | str | None = None) -> dict[str, Claim]:
    """All claims by id, in the order of the file. Raises ValueError that names the entry and the field at
    fault.
    """
    file = ledger_path() if path is None else Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ValueError(f"ledger {file} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} must map each chapter to a list of claims.")
    claims: dict[str, Claim] = {}
    for chapter, entries in content.items():
        if not isinstance(entries, (list, type(None))):
            raise ValueError(
                f"{file.name} must map each chapter to a list of claims, {chapter} to {entries!r:.80}."
            )
        for entry in entries or []:
            claim = _entry(entry, chapter=chapter, file=file.name)
            if claim.id in claims:
                raise ValueError(f"{file.name}: the id {claim.id} stands there twice.")
            claims[claim.id] = claim
    return claims


def of_chapter(chapter: str, path: Path | str | None = None) -> dict[str, Claim]:
    """The claims of one chapter. Raises ValueError when the ledger has none."""
    claims = {id: claim for id, claim in ledger(path).items() if claim.chapter == chapter}
    if not claims:
        raise ValueError(f"chapter={chapter!r} has no claim in the ledger claims.yml.")
    return claims


def _entry(entry: Any, *, chapter: str, file: str) -> Claim:
    """One checked entry."""
    name = entry.get("id", "without an id") if isinstance(entry, dict) else repr(entry)
    where = f"{file}, {chapter}, entry {name}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: an entry is a mapping with {', '.join(REQUIRED)}.")
    missing = [key for key in REQUIRED if key not in entry]
    unknown = [key for key in entry if key not in REQUIRED + OPTIONAL]
    if missing or unknown:
        raise ValueError(f"{where}: missing {missing}, unknown {unknown}.")
    if not re.fullmatch(rf"{re.escape(str(chapter))}\.[a-z0-9_]+", str(entry["id"])):
        raise ValueError(f'{where}: an id looks like "{chapter}.some_name".')
    if entry["whose"] not in WHOSE:
        raise ValueError(f"{where}: whose must be one of {', '.join(WHOSE)}, got {entry['whose']!r}.")
    for key in ("paper", "where", "statement", "measured", "unit", "premise", "unknown", "note"):
        if key in entry and not (isinstance(entry[key], str) and entry[key].strip()):
            raise ValueError(f"{where}: {key} must be text.")
    if isinstance(entry["paper_value"], bool) or not isinstance(entry["paper_value"], str | int | float):
        raise ValueError(f'{where}: paper_value must be text or a number, or "not stated".')
    profiles = entry["profiles"]
    if not isinstance(profiles, list) or not profiles or not set(profiles) <= set(PROFILES):
        raise ValueError(f"{where}: profiles must be a list out of {', '.join(PROFILES)}.")
    if not isinstance(entry.get("volatile", False), bool):
        raise ValueError(f"{where}: volatile must be true or false.")
    try:
        rule = parse(entry["rule"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    settings, history = (_texts(entry, key, where) for key in ("settings", "history"))
    if settings and (rule.named or len(settings) < 2):
        raise ValueError(f"{where}: settings are two or more names, for a rule on one number.")
    if "unknown" in entry and not settings:
        raise ValueError(f"{where}: unknown says what the paper does not, and settings names the choices.")
    words = ("paper", "where", "statement", "measured", "unit", "premise", "unknown", "note")
    text = {key: " ".join(str(entry.get(key, "")).split()) for key in words}
    return Claim(
        id=entry["id"],
        whose=entry["whose"],
        settings=settings,
        history=history,
        paper_value=entry["paper_value"],
        rule=rule,
        rule_spec=dict(entry["rule"]),
        profiles=tuple(p for p in PROFILES if p in profiles or (p == "paper" and "gpu" in profiles)),
        volatile=entry.get("volatile", False),
        **text,
    )


def _texts(entry: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A list of different texts; none where the entry has no such key."""
    found = entry.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise ValueError(f"{where}: {key} must be a list of texts.")
    if len(set(found)) < len(found):
        raise ValueError(f"{where}: {key} has the same text twice.")
    return tuple(" ".join(one.split()) for one in found)
