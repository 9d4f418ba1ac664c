"""Sphinx extension: write the leaderboard from the rows that lie in `results/<profile>/arena/`.

A page that holds the line `%% leaderboard` gets one table a profile in its place, as HTML that a small script beside
the page sorts and filters. It computes intervals and ranks from the stored values of each image, and measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from sphinx.application import Sphinx

from robustxai.arena.board import BoardEntry, load_board
from robustxai.arena.lines import BOARD_LEVELS, RANKED, BoardLine, board_lines
from robustxai.metrics import Interval
from robustxai.plots.numbers import number

MARK = "%% leaderboard"
SCRIPT = "leaderboard.js"
PROFILES = ("quick", "real", "gpu")
READOUTS = {"own": "as each map is", "grid": "on one coarse grid"}
EMPTY = "Not run yet: `robustxai arena run --profile {profile}` makes the rows of this table."
COLUMNS = (
    "Row", "Family", "State", "Rank", "A", *(f"P {level}" for level in BOARD_LEVELS), f"P grid {RANKED}",
    f"Excess {RANKED}",
    "Worst attack", "Transfer", "Faith", "Dep", "Mass", "Cost", "Flags",
)  # fmt: skip
TEXT = {"Row", "Family", "State", "Worst attack", "Flags"}
"""Columns that are sorted as words; the others as numbers, what has none last."""


def shown(value: Interval | None, mark: str = "") -> tuple[str, str]:
    """The sort key of a cell and its HTML: the value, below it its interval."""
    if value is None or math.isnan(value.value):
        return "", "–"
    ends = "" if math.isnan(value.low) else f"<small>{value.low:.2f}–{value.high:.2f}</small>"
    return f"{value.value:.6f}", f"{mark}{value.value:.2f}{ends}"


def overlap_cell(line: BoardLine, level: int) -> tuple[str, str]:
    """P at a level: a number, "at most" where the attack is weak, words where there is no number."""
    state = line.states.get(level)
    if state is None:
        return "", "–"
    if state == "proof":
        return "1", "1<small>proof</small>"
    if state in ("not attacked", "n/a"):
        return "", f'<span class="ea-quiet">{state}</span>'
    return shown(line.p.get(level), "≤ " if state == "weak" else "")


def rank_cell(line: BoardLine) -> tuple[str, str]:
    """The shared place, below it the rank interval; a dash for what has no rank."""
    s = line.standing
    if s is None:
        return "", "–"
    return f"{s.rank}", f"{s.place}<small>{s.rank_low:.0f}–{s.rank_high:.0f}</small>"


def counted(line: BoardLine) -> str:
    """On how many networks and images the ranked cells stand."""
    return f"{line.networks} network{'' if line.networks == 1 else 's'}, n {line.n}"


def cells(line: BoardLine) -> list[tuple[str, str]]:
    """The sort key and the HTML of every column."""
    fact = lambda name: (  # noqa: E731
        (f"{line.facts[name]:.6f}", f"{line.facts[name]:.2f}") if name in line.facts else ("", "–")
    )
    cost = line.forwards / line.n if line.n else math.nan
    word = lambda text: (text.lower(), escape(text) or "–")  # noqa: E731
    state = (
        f'<span class="ea-state ea-state-{line.state.replace(" ", "-").replace("/", "")}">{line.state}</span>'
    )
    title = f' title="{escape(line.reason)}"' if line.reason else ""
    return [
        (line.row.lower(), f"<strong>{escape(line.row)}</strong><small>{counted(line)}</small>"),
        word(line.family), (line.state, f"<span{title}>{state}</span>"), rank_cell(line), shown(line.area),
        *(overlap_cell(line, level) for level in BOARD_LEVELS), shown(line.grid), shown(line.excess),
        word(line.worst_attack), shown(line.transfer), fact("faith"), fact("dependence"), fact("mass"),
        ("", "–") if math.isnan(cost) else (f"{cost:.3f}", number(cost)), word(", ".join(line.flags)),
    ]  # fmt: skip


def body(lines: Sequence[BoardLine], readout: str, block: str) -> str:
    """One block of rows: those that depend on the network, or those that ignore it."""
    hidden = "" if readout == "own" else " hidden"
    rows = [f'<tbody data-readout="{readout}" data-block="{block}"{hidden}>']
    if block == "ignores" and lines:
        rows.append(
            f'<tr class="ea-divide"><th scope="rowgroup" colspan="{len(COLUMNS)}">These hardly depend on the network '
            "(Dep below .1): whatever they reach, they do not explain it. They have no rank.</th></tr>"
        )
    for line in lines:
        made = "".join(
            f'<th scope="row" data-key="{escape(key)}">{html}</th>'
            if i == 0
            else f'<td data-key="{escape(key)}">{html}</td>'
            for i, (key, html) in enumerate(cells(line))
        )
        rows.append(f'<tr data-family="{escape(line.family)}" data-state="{escape(line.state)}">{made}</tr>')
    return "\n".join([*rows, "</tbody>"])


def table(profile: str, entries: Sequence[BoardEntry]) -> str:
    """The table of a profile with its controls, as HTML."""
    found = {readout: board_lines(entries, readout=readout) for readout in READOUTS}
    families = sorted({line.family for line in found["own"]})
    head = "".join(
        f'<th scope="col" data-kind="{"text" if name in TEXT else "number"}"><button type="button">{name}</button></th>'
        for name in COLUMNS
    )
    bodies = "\n".join(
        body(
            [one for one in lines if one.ignores_network == ignores],
            readout,
            "ignores" if ignores else "depends",
        )
        for readout, lines in found.items()
        for ignores in (False, True)
    )
    option = lambda value, text: f'<option value="{escape(value)}">{escape(text)}</option>'  # noqa: E731
    choices = option("", "all") + "".join(option(f, f) for f in families)
    return "\n".join([
        f'<div class="ea-board" id="board-{profile}">', '<form class="ea-controls" role="search">',
        '<label>Find <input type="search" name="find" placeholder="row, attack, flag"></label>',
        f'<label>Family <select name="family">{choices}</select></label>',
        f'<label>Read <select name="readout">{"".join(option(k, v) for k, v in READOUTS.items())}</select></label>',
        '<label><input type="checkbox" name="ranked"> only rows with a rank</label>',
        '<output aria-live="polite"></output></form>',
        f'<div class="ea-scroll" tabindex="0" role="region" aria-label="Leaderboard, {profile}"><table>',
        f"<thead><tr>{head}</tr></thead>", bodies, "</table></div></div>",
    ])  # fmt: skip


def about(entries: Sequence[BoardEntry]) -> str:
    """One sentence on what the table was made with."""
    threats = {(e["threat"]["suite"], e["threat"]["version"], e["threat"]["steps"]) for e in entries}
    made = {(e["made"]["commit"], e["made"]["device_name"]) for e in entries}
    suites = ", ".join(f"suite {s} version {v}, {t} steps" for s, v, t in sorted(threats))
    where = ", ".join(f"commit `{c}` on {d}" for c, d in sorted(made))
    networks = sorted({name for e in entries for name in e["networks"]})
    return f"{len(entries)} rows on {', '.join(networks)}; {suites}; {where}."


def render(boards: Mapping[str, Sequence[BoardEntry]]) -> str:
    """All profiles as Markdown with HTML in it; a sentence in the place of a table that is not there yet."""
    wanted = [p for p in PROFILES if boards.get(p)] or ["quick"]
    lines: list[str] = []
    for profile in wanted:
        entries = boards.get(profile, ())
        lines += [f"## Profile {profile}", ""]
        if not entries:
            lines += [EMPTY.format(profile=profile), ""]
            continue
        lines += [about(entries), "", "```{raw} html", table(profile, entries), "```", ""]
    return "\n".join(lines)


def read_boards(results: Path) -> dict[str, list[BoardEntry]]:
    """The rows of every profile that has some. Raises ValueError, naming the file, for one that holds no row."""
    return {profile: load_board(results / profile / "arena") for profile in PROFILES}


def _insert(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, render(read_boards(Path(app.srcdir) / "results")))


def _script(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    if pagename.rpartition("/")[2] == "leaderboard":
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict:
    app.connect("source-read", _insert)
    app.connect("html-page-context", _script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
