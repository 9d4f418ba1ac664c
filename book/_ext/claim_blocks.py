"""A claim of the ledger as Markdown: statement, what the paper says, rule, what was measured, verdict, history.

Judges nothing: verdicts, rules and numbers come from `claims.yml` and the results files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chapters import badge
from mdtext import markdown_table, plain

from robustxai.claims.badges import claim_anchor
from robustxai.claims.ledger import PROFILES, Claim
from robustxai.plots.numbers import interval as with_interval, number

RECORD_FIELDS = {
    "id", "verdict", "whose", "unit", "rule", "rule_text", "value", "interval", "n", "seeds", "needs", "settings",
    "reason", "earlier",
}  # fmt: skip
WHOSE = {"paper": "the paper’s", "ours": "ours", "pilot": "ours, the bound is a pilot run’s"}


@dataclass(frozen=True)
class Result:
    """One results file: the records of its claims by id, its tables, its environment and its cost."""

    chapter: str
    profile: str
    records: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    run: Mapping[str, Any]
    timing: Mapping[str, Any]


def read_results(folder: Path) -> list[Result]:
    """Return every `<profile>/<chapter>.json` under a folder, in the order of the profiles."""
    results = []
    for profile in PROFILES:
        for file in sorted((folder / profile).glob("*.json")):
            content = json.loads(file.read_text(encoding="utf-8"))
            records = {record["id"]: record for record in content["claims"]}
            results.append(
                Result(file.stem, profile, records, content["tables"], content["run"], content["timing"])
            )
    return results


def measured(record: Mapping[str, Any]) -> str:
    """Return our value with its interval: one number, a ratio with both its parts, or one value per name."""
    value, bounds = record.get("value"), record.get("interval")
    if value is None:
        return plain(record.get("reason", ""))
    if not isinstance(value, Mapping):
        return plain(with_interval(value, bounds))
    if record["rule"]["kind"] == "ratio_at_least":
        top, bottom = (value[name] for name in record["rule"]["of"])
        return plain(f"{with_interval(top / bottom, bounds)} ({number(top)} / {number(bottom)})")
    names = record["rule"].get("order", value)
    each = bounds if isinstance(bounds, Mapping) else {}
    return "<br>".join(plain(f"{name} {with_interval(value[name], each.get(name))}") for name in names)


def counted(record: Mapping[str, Any]) -> str:
    """Return what the value was measured on: so many images, seeds, or a dash; and what would decide."""
    unit = record.get("unit", "images")
    parts = [f"{record[key]} {word}" for key, word in (("n", unit), ("seeds", "seeds")) if record.get(key)]
    more = ""
    if record.get("needs"):
        more = f"; about {record['needs']} {'seeds' if (record.get('seeds') or 0) > 1 else unit} would decide"
    return plain((", ".join(parts) or "–") + more)


def claim_block(claim: Claim, results: Sequence[Result]) -> list[str]:
    """Return one claim: its statement, what the paper says, what we measured, and the verdicts."""
    source = f"{plain(claim.paper)}, {plain(claim.where)}"
    lines = [f"({claim_anchor(claim.id)})=", ":::{div} ea-claim", "", f"**{plain(claim.statement)}**", ""]
    lines += [
        "```{div} ea-meta",
        f"`{claim.id}` · {source}  ",
        f"Whose claim: {WHOSE[claim.whose]}  ",
        f"Paper’s value: {plain(claim.paper_value)}  ",
    ]
    lines += [f"Measured here: {plain(claim.measured)}  "]
    if claim.premise:
        lines += [f"Premise, checked first: {plain(claim.premise)}  "]
    if claim.settings:
        word = f"Choices, as the paper does not say {claim.unknown}" if claim.unknown else "Settings"
        lines += [f"{plain(word)}: {plain(', '.join(claim.settings))}  "]
    lines += [f"Rule: {plain(claim.rule.words())}"]
    quick = next((r.records[claim.id] for r in results if r.profile == "quick" and claim.id in r.records), {})
    if quick.get("value") is not None:  # what was not attempted need not be printed
        cell = f"../../notebooks/{claim.chapter}.html#{claim_anchor(claim.id, 'measured')}"
        lines[-1] += f'  \n<a href="{cell}">Where the chapter measures it</a>'
    lines += ["```", ""]
    rows, remarks = [], []
    for result in results:
        record = result.records.get(claim.id)
        if record is None:
            rows.append([result.profile, "not in this run", "–", badge("not attempted")])
            continue
        rows.append([result.profile, measured(record), counted(record), badge(record["verdict"])])
        if record["rule"] != claim.rule_spec:
            remarks.append(
                f"The {result.profile} run was judged by an older rule: {plain(record['rule_text'])}."
            )
        also = {
            k: v for k, v in record.items() if k not in RECORD_FIELDS and isinstance(v, str | int | float)
        }
        if also:
            told = ", ".join(
                f"{k.replace('_', ' ')} {v if isinstance(v, str) else number(v)}" for k, v in also.items()
            )
            remarks.append(f"Also recorded in the {result.profile} run: {plain(told)}.")
    lines += (
        markdown_table(["Profile", "Ours", "Measured on", "Verdict"], rows)
        if rows
        else ["No run is recorded yet.", ""]
    )
    remarks = [*map(plain, filter(None, (claim.note, *claim.history))), *remarks]
    return [*lines, *(line for remark in remarks for line in (remark, "")), ":::", ""]
