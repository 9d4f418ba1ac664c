"""Sphinx extension: how a chapter is read. Side rooms fold, and the box with the answer shows the verdicts and minutes.

A section whose heading begins with "Going deeper: " becomes a `<details>` that opens when something in it is asked for.
The first box of a chapter, "The answer first", gets two lines from the chapter itself and from its results: how long it
takes to read (220 words a minute, a minute a figure), and how many of the paper's claims have which verdict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from chapters import CHAPTERS, VERDICTS, badge
from docutils import nodes
from sphinx.application import Sphinx

DEEPER = "Going deeper: "
ANSWER = "The answer first"
WORDS_A_MINUTE = 220


class deeper(nodes.Element):
    """A folded section: `title` is what is seen of it."""


def fold(doctree: nodes.document) -> None:
    """Put the body of every section "Going deeper: ..." into a node of its own, below its heading."""
    for section in list(doctree.findall(nodes.section)):
        title = section.next_node(nodes.title)
        if title is None or title.parent is not section or not title.astext().startswith(DEEPER):
            continue
        body = deeper("", *section.children[1:])
        section.children = section.children[:1]
        section += body


def main_line(doctree: nodes.document) -> tuple[int, int]:
    """Words and figures that stand open on the page: not code, tables or what is folded."""
    words = figures = 0
    for node in doctree.findall(lambda n: isinstance(n, nodes.Text | nodes.image)):
        above = _ancestors(node)
        if any(isinstance(a, deeper) or "dropdown" in a.get("classes", ()) for a in above):
            continue
        output = any("cell_output" in a.get("classes", ()) for a in above)
        if isinstance(node, nodes.image):
            figures += output
        elif not output and not any(
            isinstance(a, nodes.literal_block | nodes.raw | nodes.comment) for a in above
        ):
            words += len(node.astext().split())
    return words, figures


def _ancestors(node: nodes.Node) -> list[nodes.Element]:
    found: list[nodes.Element] = []
    while isinstance(node.parent, nodes.Element):
        node = node.parent
        found.append(node)
    return found


def minutes(words: int, figures: int) -> int:
    """Of reading, at least one."""
    return max(1, round(words / WORDS_A_MINUTE + figures))


def verdict_bar(results: Mapping[str, Any], chapter: str) -> str:
    """How many claims have which verdict, the paper's apart from ours, with a link to the report."""
    lines = []
    for name, whose in (("The paper’s claims", {"paper"}), ("Our own", {"ours", "pilot"})):
        found = Counter(r["verdict"] for r in results["claims"] if r["whose"] in whose)
        if found:
            counts = " ".join(
                f'<span class="ea-nowrap">{badge(v)} {found[v]}</span>' for v in VERDICTS if found[v]
            )
            lines.append(f"<li><b>{name}</b> {counts}</li>")
    link = f'<a href="../book/replication/{escape(chapter)}.html">every claim, its rule and its number</a>'
    return f'<ul class="ea-bar">{"".join(lines)}<li>{link}</li></ul>'


def fill_answers(app: Sphinx, doctree: nodes.document) -> None:
    """After a page is read: fold it, then complete its box."""
    fold(doctree)
    chapter = app.env.docname.removeprefix("notebooks/")
    if chapter == app.env.docname or chapter not in CHAPTERS:
        return
    box = next(
        (
            a
            for a in doctree.findall(nodes.Admonition)
            if (title := a.next_node(nodes.title)) is not None and title.astext() == ANSWER
        ),
        None,
    )
    file = Path(app.srcdir) / "results" / "quick" / f"{chapter}.json"
    if box is None:
        return
    took = minutes(*main_line(doctree))
    said = f'<p class="ea-minutes">{took} minutes to read; what is folded comes on top.</p>'
    bar = verdict_bar(json.loads(file.read_text(encoding="utf-8")), chapter) if file.is_file() else ""
    box += nodes.raw("", bar + said, format="html")


def visit_deeper(self: Any, node: deeper) -> None:
    self.body.append('<details class="ea-deeper"><summary>Show this part</summary>\n')


def depart_deeper(self: Any, node: deeper) -> None:
    self.body.append("</details>\n")


def passed(self: Any, node: deeper) -> None:
    """Other writers show the section as it stands."""


def setup(app: Sphinx) -> dict:
    app.add_node(deeper, html=(visit_deeper, depart_deeper), text=(passed, passed), latex=(passed, passed))
    app.connect("doctree-read", fill_answers)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
