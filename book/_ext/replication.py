"""Sphinx extension: write the replication report from the ledger and from whatever results lie in
`results/`.

A page that holds the line `%% replication` gets the report in its place, as Markdown. It shows what
chapters recorded and judges nothing: verdicts, rules and numbers come from `claims.yml` and
`results/<profile>/<chapter>.json`. A result for a claim that the ledger does not have stops the build,
because it was made by an older ledger.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chapters import CHAPTERS, VERDICTS, badge
from mdtext import markdown_table, plain, table_block
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from robustxai.claims.ledger import PROFILES, Claim, ledger
from robustxai.plots.numbers import interval as with_interval, number

MARK = "%% replication"
STALE_DAYS = 90
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


def anchor(identifier: str) -> str:
    """Return the page anchor of a claim."""
    return "claim-" + identifier.replace(".", "-").replace("_", "-")


def claim_block(claim: Claim, results: Sequence[Result]) -> list[str]:
    """Return one claim: its statement, what the paper says, what we measured, and the verdicts."""
    source = f"{plain(claim.paper)}, {plain(claim.where)}"
    lines = [f"({anchor(claim.id)})=", ":::{div} ea-claim", "", f"**{plain(claim.statement)}**", ""]
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
    lines += [f"Rule: {plain(claim.rule.words())}", "```", ""]
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


def glance(claims: Sequence[Claim], results: Sequence[Result]) -> list[str]:
    """Return one row per claim with its verdict in each profile, each a link to the claim's block."""
    rows = []
    for claim in claims:
        verdicts = [
            result.records[claim.id]["verdict"] if claim.id in result.records else "not attempted"
            for result in results
        ]
        rows.append([f"[{plain(claim.statement)}](#{anchor(claim.id)})", *map(badge, verdicts)])
    return markdown_table(["Claim", *(result.profile for result in results)], rows)


def runs_table(results: Sequence[Result], today: datetime.date) -> list[str]:
    """Return the table of runs: what each cost, where it ran and how old it is."""
    rows = []
    for result in results:
        run, timing, date = result.run, result.timing, result.timing["date"]
        days = (today - datetime.date.fromisoformat(date)).days
        kind = "ea-age ea-stale" if days > STALE_DAYS else "ea-age"
        memory = timing.get("peak_memory_mb")
        row = [
            f"{{chapter}}`{result.chapter}`",
            result.profile,
            plain(f"{run['device']}, {run['device_name']}"),
        ]
        row += [
            f"{timing['seconds']:.0f}",
            "–" if memory is None else f"{memory:.0f}",
            f"`{run['commit']}`",
            f'<span class="ea-nowrap">{date}</span>',
        ]
        rows.append([*row, f'<time class="{kind}" datetime="{date}">{days} days</time>'])
    header = ["Chapter", "Profile", "Device", "Seconds", "Peak memory, MiB", "Commit", "Date", "Age"]
    return markdown_table(header, rows)


def tally(claims: Mapping[str, Claim], results: Sequence[Result]) -> list[str]:
    """Return the number of claims of each verdict, a row per chapter and profile: the paper's claims, then ours."""
    lines = []
    for title, whose in (("The papers’ claims", {"paper"}), ("Claims of our own", {"ours", "pilot"})):
        rows = []
        for result in results:
            mine = [r["verdict"] for i, r in result.records.items() if claims[i].whose in whose]
            counts = Counter(mine)
            rows.append(
                [f"{{chapter}}`{result.chapter}`", result.profile, *(str(counts[v]) for v in VERDICTS)]
            )
        lines += [
            f"**{title}**",
            "",
            *markdown_table(["Chapter", "Profile", *(badge(v) for v in VERDICTS)], rows),
        ]
    return lines


def render(claims: Mapping[str, Claim], results: Sequence[Result], *, today: datetime.date) -> str:
    """Return the report as Markdown. Raises ExtensionError for a record without a ledger entry."""
    for result in results:
        unknown = sorted(set(result.records) - set(claims))
        if unknown:
            file = f"results/{result.profile}/{result.chapter}.json"
            raise ExtensionError(
                f"{file} judges {', '.join(unknown)}, not in claims.yml: run the chapter again"
            )
    lines = ["## Summary", ""]
    if not results:
        lines += ["No run is recorded yet. `make book` makes the first.", ""]
    else:
        lines += [
            *tally(claims, results),
            "## Runs",
            "",
            f"Ages are red after {STALE_DAYS} days.",
            *runs_table(results, today),
        ]
    for chapter in dict.fromkeys(claim.chapter for claim in claims.values()):
        own = [result for result in results if result.chapter == chapter]
        lines += [f"## {CHAPTERS[chapter]}", "", f"The measurements are made in {{chapter}}`{chapter}`.", ""]
        mine = [claim for claim in claims.values() if claim.chapter == chapter]
        lines += glance(mine, own) if own else []
        lines += ["### Claim by claim", ""]
        lines += [line for claim in mine for line in claim_block(claim, own)]
        for result in own:
            if result.tables:
                lines += [f"### Tables of the {result.profile} run", ""]
                lines += [line for name, rows in result.tables.items() for line in table_block(name, rows)]
        if own:
            versions = [[r.profile, ", ".join(f"{k} {v}" for k, v in r.run["versions"].items())] for r in own]
            lines += ["### Versions", "", *markdown_table(["Profile", "Packages"], versions)]
    return "\n".join(lines)


def _insert(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK not in source[0]:
        return
    root = Path(app.srcdir)
    if not (root / "claims.yml").is_file():
        raise ExtensionError(f"{docname} needs claims.yml beside _config.yml")
    today = datetime.datetime.now(datetime.UTC).date()
    source[0] = source[0].replace(
        MARK, render(ledger(root / "claims.yml"), read_results(root / "results"), today=today)
    )


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _insert)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
