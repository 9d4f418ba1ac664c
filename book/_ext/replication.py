"""Sphinx extension: write the replication report from the ledger and from whatever results lie in
`results/`.

A page that holds the line `%% replication` gets the overview in its place: every claim as a square, forest plots, runs.
One that holds `%% replication of CHAPTER` gets that chapter's claims, one by one, and the tables of its runs. Both show
what chapters recorded and judge nothing. A result for a claim that the ledger does not have stops the build, because it
was made by an older ledger.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from chapters import CHAPTERS, badge
from claim_blocks import Result, claim_block, read_results
from mdtext import markdown_table, plain, table_block
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from verdict_matrix import forest_table, legend, matrix

from robustxai.claims.badges import claim_anchor
from robustxai.claims.ledger import Claim, ledger

MARK = re.compile(r"^%% replication(?: of (\w+))?$", re.MULTILINE)
STALE_DAYS = 90


def html(lines: Sequence[str]) -> list[str]:
    """Return lines of HTML as a block that Markdown leaves as it is."""
    return ["```{raw} html", *lines, "```", ""]


def check(claims: Mapping[str, Claim], results: Sequence[Result]) -> None:
    """Raise ExtensionError for a record without a ledger entry."""
    for result in results:
        unknown = sorted(set(result.records) - set(claims))
        if unknown:
            file = f"results/{result.profile}/{result.chapter}.json"
            raise ExtensionError(
                f"{file} judges {', '.join(unknown)}, not in claims.yml: run the chapter again"
            )


def glance(claims: Sequence[Claim], results: Sequence[Result]) -> list[str]:
    """Return one row per claim with its verdict in each profile, each a link to the claim's block."""
    rows = []
    for claim in claims:
        verdicts = [
            result.records[claim.id]["verdict"] if claim.id in result.records else "not attempted"
            for result in results
        ]
        rows.append([f"[{plain(claim.statement)}](#{claim_anchor(claim.id)})", *map(badge, verdicts)])
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


def overview(claims: Mapping[str, Claim], results: Sequence[Result], *, today: datetime.date) -> str:
    """Return the report's first page as Markdown: matrix, a forest plot a paper, runs."""
    check(claims, results)
    if not results:
        return "No run is recorded yet. `make book` makes the first.\n"
    lines = [*html([*legend(claims, results), *matrix(claims, results)]), "## Forest plots", ""]
    lines += [
        "One line a value. The dotted line is the bound of the claim’s rule, right of it the rule is satisfied, and a",
        "bar is as long as the 95 % interval. Distances are in half widths of that interval, so claims of any unit",
        "share one axis: a bar that crosses the dotted line decides nothing. Arrows lie further out; a hollow",
        "diamond has no interval, as it is exact.",
        "",
    ]
    for chapter, title in CHAPTERS.items():
        own = [result for result in results if result.chapter == chapter]
        for result in own:
            if result is own[0]:
                lines += [
                    f"### {title}",
                    "",
                    f"The {result.profile} run:",
                    *html(forest_table(claims, result)),
                ]
            else:
                summary = f"<details class='ea-more'><summary>The {result.profile} run</summary>"
                lines += html([summary, *forest_table(claims, result), "</details>"])
    lines += ["## Runs", "", f"Ages are red after {STALE_DAYS} days.", *runs_table(results, today)]
    return "\n".join(lines)


def chapter_page(claims: Mapping[str, Claim], results: Sequence[Result], chapter: str) -> str:
    """Return a chapter's claims, one by one, and the tables of its runs, as Markdown.

    Raises ExtensionError for a chapter without claims.
    """
    check(claims, results)
    mine = [claim for claim in claims.values() if claim.chapter == chapter]
    if not mine:
        raise ExtensionError(f"claims.yml has no claims of {chapter}")
    own = [result for result in results if result.chapter == chapter]
    lines = [f"The measurements are made in {{chapter}}`{chapter}`.", ""]
    lines += glance(mine, own) if own else ["No run is recorded yet.", ""]
    lines += ["## Claim by claim", ""]
    lines += [line for claim in mine for line in claim_block(claim, own)]
    for result in own:
        if result.tables:
            lines += [f"## Tables of the {result.profile} run", ""]
            lines += [line for name, rows in result.tables.items() for line in table_block(name, rows)]
    if own:
        versions = [[r.profile, ", ".join(f"{k} {v}" for k, v in r.run["versions"].items())] for r in own]
        lines += ["## Versions", "", *markdown_table(["Profile", "Packages"], versions)]
    return "\n".join(lines)


def _insert(app: Sphinx, docname: str, source: list[str]) -> None:
    found = MARK.search(source[0])
    if found is None:
        return
    root = Path(app.srcdir)
    if not (root / "claims.yml").is_file():
        raise ExtensionError(f"{docname} needs claims.yml beside _config.yml")
    claims, results = ledger(root / "claims.yml"), read_results(root / "results")
    today = datetime.datetime.now(datetime.UTC).date()
    chapter = found[1]
    text = chapter_page(claims, results, chapter) if chapter else overview(claims, results, today=today)
    source[0] = source[0][: found.start()] + text + source[0][found.end() :]


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _insert)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
