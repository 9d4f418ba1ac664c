"""Sphinx extension: all that a page loads lies beside the page, so the book works from a folder,
offline.

It drops script and style files that the theme or a plugin would fetch from another site, removes such
tags from notebook outputs, ships MathJax out of an installed Python package, and afterwards reads every
page it wrote and fails on a remote resource. It knows nothing about claims, chapters or the look of the
book. Plain links (`<a href>`) are left alone: a reader follows them, a page does not need them.
"""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from importlib.metadata import distribution
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

MATHJAX_PACKAGE = "sphinx-mathjax-offline"
MATHJAX_FILE = "tex-svg-full.js"
"""SVG output carries its glyphs inside: no font files, which some browsers refuse to read from `file://`."""

REMOTE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
_LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "track": ("src",),
    "input": ("src",),
}
_LOADING_RELS = {
    "stylesheet",
    "icon",
    "shortcut",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
}
_REMOTE_TAG = re.compile(
    r"<script\b[^>]*\bsrc\s*=\s*[\"']?(?:https?:)?//[^>]*>.*?</script\s*>"
    r"|<link\b(?![^>]*\bcanonical\b)[^>]*\bhref\s*=\s*[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE | re.DOTALL,
)
_CSS_REMOTE = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\s\"')]+)", re.IGNORECASE)


class _Resources(HTMLParser):
    """Collects the remote addresses that a browser would fetch while showing a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        names = list(_LOADING.get(tag, ()))
        if tag == "link" and _LOADING_RELS & set(values.get("rel", "").lower().split()):
            names.append("href")
        candidates = [
            part.split()[0] for name in names for part in values.get(name, "").split(",") if part.split()
        ]
        self.found += [address for address in candidates if REMOTE.match(address)]
        self.found += _CSS_REMOTE.findall(values.get("style", ""))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self.found += _CSS_REMOTE.findall(data)


def remote_resources(html: str) -> list[str]:
    """Return the remote addresses that showing this HTML would fetch; plain links do not count."""
    parser = _Resources()
    parser.feed(html)
    return parser.found


def strip_remote_tags(html: str) -> str:
    """Return the HTML without the `<script src>` and `<link href>` tags that point to another site."""
    return _REMOTE_TAG.sub("", html)


def mathjax_folder() -> Path:
    """Return the folder with the MathJax bundles that the package in `MATHJAX_PACKAGE` installed."""
    installed = distribution(MATHJAX_PACKAGE)
    found = [f for f in installed.files or [] if f.name == MATHJAX_FILE]
    if not found:
        raise ExtensionError(
            f"{MATHJAX_PACKAGE} {installed.version} has no {MATHJAX_FILE}; accepted: version 0.0.2"
        )
    return Path(str(installed.locate_file(found[0]))).parent


def _is_remote(entry: object) -> bool:
    return bool(REMOTE.match(str(getattr(entry, "filename", None) or entry or "")))


def _clean_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Before a page is written: forget remote script and style files, and tags in its body."""
    for key in ("script_files", "css_files"):
        kept = [entry for entry in context.get(key, []) if not _is_remote(entry)]
        # Thebe (live cells on a remote kernel) is not offered, so its loader and its address are not needed.
        context[key] = [
            e for e in kept if "thebe" not in f"{getattr(e, 'filename', e)}{getattr(e, 'attributes', '')}"
        ]
    if "body" in context:
        context["body"] = strip_remote_tags(context["body"])


def _finish(app: Sphinx, exception: Exception | None) -> None:
    """After the build: put MathJax beside the pages and fail on any page that still needs another site."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    target = out / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(mathjax_folder() / MATHJAX_FILE, target / MATHJAX_FILE)
    guilty = [
        f"{page.relative_to(out).as_posix()} loads {address}"
        for page in sorted(out.rglob("*.html"))
        if "_static" not in page.relative_to(out).parts
        for address in remote_resources(page.read_text(encoding="utf-8"))
    ]
    if guilty:
        raise ExtensionError("the book must need no other site, but " + "; ".join(guilty))


def setup(app: Sphinx) -> dict:
    app.connect(
        "config-inited", lambda app, config: setattr(config, "mathjax_path", f"mathjax/{MATHJAX_FILE}")
    )
    app.connect("html-page-context", _clean_page, priority=900)
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
