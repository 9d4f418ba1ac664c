"""A chapter as its readers see it: what only tests read is left out, and the line of a claim becomes a badge.

The stored notebook stays as it is; this is done to the copy from which the site is built. A badge links to the claim in
the replication report, and the report links back to the badge. Knows nothing about how claims are judged.
"""

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robustxai.claims.badges import badge_html, claim_anchor
from robustxai.notebook.labels import CLAIM_LINE, FIGURE_LINE
from robustxai.plots.numbers import DIGEST_TYPE

CLAIM_LIST = '<ul class="ea-claims">'


def claim_item(line: str, chapter: str) -> str:
    """One printed line of a claim as an item of a list: the badge, the statement, below it numbers and rule."""
    said = CLAIM_LINE.match(line)
    if said is None:
        raise ValueError(f"line must be that of a claim, got {line!r}")
    verdict, name = said.groups()
    statement, *rest = line[said.end() :].strip().split(" | ")
    where = f"../book/replication/{chapter}.html#{claim_anchor(f'{chapter}.{name}')}"
    numbers = " · ".join(html.escape(part) for part in rest)
    return (
        f'<li id="{claim_anchor(f"{chapter}.{name}", "measured")}">{badge_html(verdict.lower())} '
        f'<a href="{where}">{html.escape(statement)}</a><br><span class="ea-numbers">{numbers}</span></li>'
    )


def shown(output: Mapping[str, Any], chapter: str) -> Iterator[dict[str, Any]]:
    """What a reader sees of an output: text in its order, without the lines about figures, claims as lists."""
    if output.get("name") != "stdout":
        data = {k: v for k, v in output.get("data", {}).items() if k != DIGEST_TYPE}
        yield {**output, **({"data": data} if "data" in output else {})}
        return
    text: list[str] = []
    items: list[str] = []
    for line in [*"".join(output["text"]).splitlines(keepends=True), None]:
        claim = line is not None and CLAIM_LINE.match(line)
        if text and (claim or line is None):
            if "".join(text).strip():
                yield {**output, "text": "".join(text)}
            text = []
        if items and not claim:
            yield _html(f"{CLAIM_LIST}{''.join(items)}</ul>")
            items = []
        if claim:
            items.append(claim_item(str(line), chapter))
        elif line is not None and not FIGURE_LINE.match(line):
            text.append(line)


def _html(markup: str) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": markup}}


def cells_for_readers(cell: Mapping[str, Any], chapter: str) -> Iterator[dict[str, Any]]:
    """A cell as it is shown, and claims below a figure as a cell of their own: else they were part of the figure."""
    if cell["cell_type"] != "code":
        yield dict(cell)
        return
    outputs = [kept for output in cell.get("outputs", []) for kept in shown(output, chapter)]
    beside = [o for o in outputs if CLAIM_LIST in o.get("data", {}).get("text/html", "")]
    if not beside or "figure" not in cell["metadata"].get("mystnb", {}):
        yield {**cell, "outputs": outputs}
        return
    yield {**cell, "outputs": [o for o in outputs if o not in beside]}
    yield {
        **cell,
        "id": f"{cell['id'][:57]}-claims",
        "metadata": {"tags": ["remove-input"]},
        "source": "# the claims of the cell above",
        "outputs": beside,
    }


def for_readers(path: Path) -> None:
    """Rewrite a notebook, in the folder of a site that is being built, as its readers see it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"] = [kept for cell in notebook["cells"] for kept in cells_for_readers(cell, path.stem)]
    path.write_text(json.dumps(notebook), encoding="utf-8")
