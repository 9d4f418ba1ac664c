"""Sphinx extension: roles that name a chapter, say whether it is ready, and show a verdict as a badge.

`{chapter}` links to a chapter if the book has its notebook and prints its title if not, so that pages
can name chapters that are still being written. `{verdict}` shows a word and a sign, so that colour is
never the only carrier. It knows nothing about the ledger or its results.
"""

from __future__ import annotations

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxRole

from robustxai.claims.badges import SIGNS, badge_html
from robustxai.claims.forest import MARKS

CHAPTERS = {
    "diffgradcam": "DiffGradCAM and SHAM",
    "ranking": "Stable rankings with R2ET",
    "manifold_ig": "Integrated gradients on the manifold",
    "ace": "Adversarial counterfactuals",
    "concepts": "Attacks on concepts",
    "arena": "The arena",
}
VERDICTS = {verdict: (SIGNS[verdict], kind) for verdict, kind in MARKS.items()}
"""Verdict -> (sign, kind of mark)."""
ALWAYS_READ_AGAIN = {
    "book/intro",
    "book/replication",
    "book/data",
    *(f"book/replication/{c}" for c in CHAPTERS),
}
"""Pages that show what exists elsewhere: read at every build."""


def badge(verdict: str) -> str:
    """Return the HTML of a verdict badge; raises ExtensionError for a word that is not a verdict."""
    try:
        return badge_html(verdict)
    except ValueError as error:
        raise ExtensionError(str(error)) from error


def chapter_document(name: str) -> str:
    """Return the document name of a chapter; raises ExtensionError for a name that is no chapter."""
    if name not in CHAPTERS:
        raise ExtensionError(f"chapter {name!r} is not known; accepted: {', '.join(CHAPTERS)}")
    return f"notebooks/{name}"


class Chapter(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        document, title = chapter_document(self.text), CHAPTERS[self.text]
        if document not in self.env.found_docs:
            return [nodes.strong(title, title)], []
        reference = addnodes.pending_xref(
            "",
            nodes.strong(title, title),
            refdomain="std",
            reftype="doc",
            reftarget=f"/{document}",
            refdoc=self.env.docname,
            refexplicit=True,
            refwarn=True,
        )
        return [reference], []


class ChapterState(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        ready = chapter_document(self.text) in self.env.found_docs
        word = "ready" if ready else "in preparation"
        html = f'<span class="ea-badge ea-{"ok" if ready else "none"}">{word}</span>'
        return [nodes.raw("", html, format="html")], []


class Verdict(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.raw("", badge(self.text), format="html")], []


def setup(app: Sphinx) -> dict:
    app.add_role("chapter", Chapter())
    app.add_role("chapter-state", ChapterState())
    app.add_role("verdict", Verdict())
    app.connect(
        "env-get-outdated", lambda app, env, added, changed, removed: ALWAYS_READ_AGAIN & env.found_docs
    )
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
