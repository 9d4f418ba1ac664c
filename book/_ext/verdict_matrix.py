"""The first screen of the replication report, and its forest plots, as HTML: every claim a square, every value a bar.

Judges nothing: it shows the verdicts that runs recorded. Knows nothing about Sphinx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from chapters import CHAPTERS, VERDICTS, badge
from claim_blocks import Result

from robustxai.claims.badges import claim_anchor
from robustxai.claims.forest import ForestLine, forest_lines
from robustxai.claims.ledger import PROFILES, Claim
from robustxai.plots.forest import bar

GROUPS = (("the papers’ claims", {"paper"}), ("claims of our own", {"ours", "pilot"}))


def link(claim: Claim) -> str:
    """The address of a claim's block, from the report's page."""
    return f"replication/{claim.chapter}.html#{claim_anchor(claim.id)}"


def legend(claims: Mapping[str, Claim], results: Sequence[Result]) -> list[str]:
    """The verdicts with their counts of the papers' claims, profile by profile; one that was not run says so."""
    lines = ['<ul class="ea-legend">']
    for profile in PROFILES:
        found = Counter(
            record["verdict"]
            for result in results
            if result.profile == profile
            for name, record in result.records.items()
            if claims[name].whose == "paper"
        )
        counts = " ".join(f"{badge(v)}&nbsp;{found[v]}" for v in VERDICTS if found[v])
        lines.append(f"<li><b>{profile}</b> {counts or 'not run'}</li>")
    return [*lines, "</ul>"]


def square(claim: Claim, verdict: str) -> str:
    """One claim in one profile: its sign, with statement and verdict for the pointer and for those who listen."""
    sign, kind = VERDICTS[verdict]
    words = escape(f"{claim.statement} {verdict}", quote=True)
    return (
        f'<a class="ea-square ea-{kind}" href="{link(claim)}" title="{words}" aria-label="{words}">{sign}</a>'
    )


def matrix(claims: Mapping[str, Claim], results: Sequence[Result]) -> list[str]:
    """Chapters down, profiles below each other, a square a claim in the order of the ledger: HTML lines.

    The paper's claims stand before ours, with a gap between them.
    """
    lines = ['<div class="ea-matrix">']
    for chapter in (c for c in CHAPTERS if any(claim.chapter == c for claim in claims.values())):
        groups = [
            [c for c in claims.values() if c.chapter == chapter and c.whose in whose] for _, whose in GROUPS
        ]
        paper, ours = map(len, groups)
        counts = ", ".join(f"{n} of {whose}" for n, whose in ((paper, "the paper"), (ours, "our own")) if n)
        lines.append(f'<h3>{escape(CHAPTERS[chapter])} <span class="ea-quiet">{counts}</span></h3>')
        own = {result.profile: result for result in results if result.chapter == chapter}
        for profile in PROFILES:
            planned = sum(profile in c.profiles for mine in groups for c in mine)
            if profile in own:
                told = '<span class="ea-gap"></span>'.join(
                    _squares(mine, own[profile]) for mine in groups if mine
                )
            else:
                told = f"{planned} planned, not run"
            if profile in own or planned:
                label = f'<span class="ea-profile">{profile}</span>'
                lines.append(f'<div class="ea-row" role="group" aria-label="{profile}">{label}{told}</div>')
    return [*lines, "</div>"]


def _squares(claims: Sequence[Claim], result: Result) -> str:
    return "".join(
        square(c, result.records[c.id]["verdict"] if c.id in result.records else "not attempted")
        for c in claims
    )


def forest_table(claims: Mapping[str, Claim], result: Result) -> list[str]:
    """A row a value of one run: the claim, the bar, value and rule, the verdict; the paper's claims first."""
    lines = [
        '<table class="ea-forest">',
        "<thead><tr><th scope='col'>Claim</th><th scope='col'>violated ◂ bound ▸ satisfied</th>"
        "<th scope='col'>Ours, and the rule</th><th scope='col'>Verdict</th></tr></thead>",
    ]
    for title, whose in GROUPS:
        records = [r for name, r in result.records.items() if claims[name].whose in whose]
        rows = forest_lines(records)
        if rows:
            lines.append(
                f"<tbody><tr class='ea-group-row'><th colspan='4' scope='rowgroup'>{title}</th></tr>"
            )
            lines += [_row(claims[row.claim], row) for row in rows] + ["</tbody>"]
    return [*lines, "</table>"]


def _row(claim: Claim, row: ForestLine) -> str:
    setting = f' <span class="ea-setting">{escape(row.setting)}</span>' if row.setting else ""
    return (
        f'<tr><th scope="row"><a href="{link(claim)}">{escape(claim.statement)}</a>{setting}</th>'
        f"<td>{bar(row.bar, row.kind)}</td>"
        f'<td><span class="ea-nowrap">{escape(row.ours)}</span><br><span class="ea-rule">{escape(row.rule)}</span></td>'
        f"<td>{badge(row.verdict)}</td></tr>"
    )
