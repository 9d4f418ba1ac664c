"""The lint: what a reader of a notebook, or whoever runs it next, would stumble over. Runs nothing.

Each check below looks at one thing and yields problems; `lint` gathers them. Checks read the notebook as it
is stored (alternative text, outputs, order of execution) and the syntax tree of its code (parameters, long
functions).
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from robustxai.notebook.bootstrap import bootstrap_cell
from robustxai.notebook.writer import dumps, read_notebook, text

ALT_WORDS = 8  # fewer do not describe a figure
FUNCTION_LINES = 10  # longer ones belong in the package
STREAM_LINES, CELL_BYTES, NOTEBOOK_BYTES = 120, 2_000_000, 6_000_000
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif", "image/webp")
ABSOLUTE = re.compile(
    r"(?<![\w.:/~])/(?:home|Users|root|tmp|var|opt|mnt|srv|usr|private|content)/[\w.-]+|[A-Z]:\\+Users"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


@dataclass(frozen=True)
class Problem:
    """One finding: the file, the cell counted from 1 (0 for the whole notebook), and what to do about it."""

    path: str
    cell: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}{f', cell {self.cell}' if self.cell else ''}: {self.message}"


def lint(path: Path | str) -> list[Problem]:
    """All problems of the notebook at `path`, in the order of its cells. Raises ValueError if it is no
    notebook.
    """
    notebook = read_notebook(path)
    found = [(0, message) for message in _whole(notebook, Path(path))]
    figure_names: set[str] = set()
    ran = 0
    for index, cell in enumerate(notebook["cells"], start=1):
        checks = [_paths]
        if cell["cell_type"] == "code":
            checks += [_errors, _figures, _html_images, _sizes, _functions]
            if text(cell["source"]).strip():
                ran += 1
                found += [(index, message) for message in _order(cell, ran)]
            name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
            if name in figure_names:
                found.append((index, f"mystnb.figure.name {name!r} is taken: each figure has its own."))
            figure_names |= {name} - {None}
        found += [(index, message) for check in checks for message in check(cell)]
    return [Problem(str(path), index, message) for index, message in sorted(found, key=lambda item: item[0])]


def _whole(notebook: dict[str, Any], path: Path) -> Iterator[str]:
    """Canonical form, bootstrap and parameters cells, size."""
    stored = path.read_text(encoding="utf-8")
    if stored != dumps(notebook):
        yield "not in canonical form: run `robustxai notebook format`."
    if len(stored.encode()) > NOTEBOOK_BYTES:
        yield f"{len(stored.encode())} bytes: keep a notebook below {NOTEBOOK_BYTES}."
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if not code or text(code[0]["source"]) != bootstrap_cell():
        yield "the first code cell is not the generated one: run `robustxai notebook bootstrap`."
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged `parameters`: exactly one holds the parameters."
    else:
        yield from _parameters(text(tagged[0]["source"]))


def _parameters(source: str) -> Iterator[str]:
    """Plain literals, each with a comment on its line."""
    written = source.splitlines()
    for node in ast.parse(source).body:
        line = written[node.lineno - 1]
        if not _literal(node):
            yield f"the parameters cell holds {line!r}: only `name = literal  # comment` can be overridden."
        elif "#" not in line + written[(node.end_lineno or node.lineno) - 1]:
            yield f"the parameter {line!r} has no comment: say what it sets, and its unit."


def _literal(node: ast.stmt) -> bool:
    """Whether a statement is `name = literal`."""
    if not isinstance(node, ast.Assign) or [type(target) for target in node.targets] != [ast.Name]:
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True


def _order(cell: dict[str, Any], ran: int) -> Iterator[str]:
    if cell.get("execution_count") is None:
        yield "was not executed: commit notebooks with their outputs."
    elif cell["execution_count"] != ran:
        yield f"ran as number {cell['execution_count']}, but stands at {ran}: run the notebook from the top."


def _errors(cell: dict[str, Any]) -> Iterator[str]:
    for output in cell["outputs"]:
        if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", []):
            yield f"ended with {output['ename']}: {output['evalue']}"


def _figures(cell: dict[str, Any]) -> Iterator[str]:
    """Alternative text, caption and name of a cell that shows an image."""
    if not any(mime in IMAGES for output in cell["outputs"] for mime in output.get("data", {})):
        return
    about = cell["metadata"].get("mystnb", {})
    if len(str(about.get("image", {}).get("alt", "")).split()) < ALT_WORDS:
        yield f"shows a picture: describe it in mystnb.image.alt in {ALT_WORDS} words or more."
    for key in ("caption", "name"):
        if not str(about.get("figure", {}).get(key, "")).strip():
            yield f"shows a picture: set mystnb.figure.{key}."


class _Images(HTMLParser):
    """Alternative texts of all images of a piece of HTML, and whether it loads anything from outside."""

    def __init__(self, markup: str):
        super().__init__()
        self.alts: list[str] = []
        self.loads: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.alts.append(values.get("alt") or "")
        source = values.get("src") or (values.get("href") if tag == "link" else None) or ""
        if source.startswith(("http:", "https:", "//")):
            self.loads.append(source)


def _html_images(cell: dict[str, Any]) -> Iterator[str]:
    for output in cell["outputs"]:
        page = _Images(text(output.get("data", {}).get("text/html", "")))
        if any(len(alt.split()) < ALT_WORDS for alt in page.alts):
            yield f"has an image in its HTML whose alt has fewer than {ALT_WORDS} words."
        if page.loads:
            yield f"loads {page.loads[0]} from the network: put everything into the page."


def _paths(cell: dict[str, Any]) -> Iterator[str]:
    """Absolute paths and memory addresses: they differ on the next machine."""
    for where, content in _texts(cell):
        match = ABSOLUTE.search(content)
        here = [folder for folder in (str(Path.home()), str(Path.cwd())) if f"{folder}/" in content]
        named = [match.group()] if match else here
        if named:
            yield f"{where} names the absolute path {named[0]}."
        if where == "output" and ADDRESS.search(content):
            yield "output shows a memory address: print something that stays."


def _texts(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "source", text(cell["source"])
    for output in cell.get("outputs", []):
        yield "output", text(output.get("text", ""))
        for mime, value in output.get("data", {}).items():
            if mime.startswith("text/"):
                yield "output", re.sub(r"base64,[\w+/=\s]+", "", text(value))


def _sizes(cell: dict[str, Any]) -> Iterator[str]:
    for output in cell["outputs"]:
        count = text(output.get("text", "")).count("\n")
        if count > STREAM_LINES:
            yield f"prints {count} lines: keep it below {STREAM_LINES}."
    values = [value for output in cell["outputs"] for value in output.get("data", {}).values()]
    size = sum(len(text(value)) for value in values if isinstance(value, str | list))
    if size > CELL_BYTES:
        yield f"has outputs of {size} bytes: keep a cell below {CELL_BYTES}."


def _functions(cell: dict[str, Any]) -> Iterator[str]:
    """Functions longer than ten lines, not counting the first line and the docstring."""
    written = text(cell["source"]).splitlines()
    source = "\n".join("" if line.startswith(("%", "!")) else line for line in written)
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"is not Python: {error.msg}, line {error.lineno}."
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0
            if length > FUNCTION_LINES:
                yield f"defines {node.name} in {length} lines (> {FUNCTION_LINES}): move it into the package."
