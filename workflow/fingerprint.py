"""One short hash per chapter that changes exactly when the chapter must run again.

It covers the notebook's cells (never its outputs), the `robustxai` modules the notebook imports, directly or
through others, the data files that lie beside those modules, the weights, the chapter's part of the ledger,
the chapter's parameters in the profile, and the lock. It reads files and syntax trees: nothing of the book is
imported, so it costs milliseconds. It knows nothing about Snakemake, papermill or what a chapter computes.
"""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

PACKAGE = "robustxai"


def notebook_cells(notebook: Path) -> list[dict[str, Any]]:
    """The cells of an .ipynb file as they are stored."""
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def notebook_code(notebook: Path) -> str:
    """The code of a notebook as one Python text, without IPython's `%` and `!` lines."""
    sources = ("".join(cell["source"]) for cell in notebook_cells(notebook) if cell["cell_type"] == "code")
    lines = (line for source in sources for line in source.splitlines())
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def shown_metadata(cell: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a cell that changes what is run or shown; tools' timings are left out."""
    return {key: cell["metadata"][key] for key in ("tags", "mystnb") if key in cell["metadata"]}


def imported_names(code: str, *, package: str = "", file: str = "notebook") -> set[str]:
    """Dotted names under `robustxai` that a text imports anywhere in it, also inside functions.

    `package` is the dotted package the text lives in, for relative imports. `from a.b import c` gives both
    `a.b` and `a.b.c`, because `c` may be a module.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(code, filename=file)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return {name for name in names if name.split(".")[0] == PACKAGE}


def module_files(src: Path, name: str) -> list[Path]:
    """The files that importing a dotted name runs: the module and the `__init__` of each package above it."""
    parts = name.split(".")
    inits = [src.joinpath(*parts[:i], "__init__.py") for i in range(1, len(parts) + 1)]
    return [path for path in [*inits, src.joinpath(*parts).with_suffix(".py")] if path.is_file()]


def imported_files(src: Path, code: str) -> set[Path]:
    """Every Python file under `src` that the code imports, directly or through other modules."""
    seen: set[Path] = set()
    todo = [file for name in imported_names(code) for file in module_files(src, name)]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        package = ".".join(file.parent.relative_to(src).parts)
        names = imported_names(file.read_text(encoding="utf-8"), package=package, file=str(file))
        todo += [found for name in names for found in module_files(src, name)]
    return seen


def data_files(files: set[Path]) -> set[Path]:
    """Files that are not Python beside the imported modules, such as a style sheet; hidden ones are tools' own."""
    beside = (path for folder in {file.parent for file in files} for path in folder.iterdir())
    return {p for p in beside if p.is_file() and p.suffix != ".py" and not p.name.startswith(".")}


def weights(root: Path, files: set[Path], chapter: str, chapters: list[str]) -> dict[str, Any]:
    """Digests and manifest entries of the weight files that a chapter may load; none without `nets`.

    A file whose name starts with another chapter's name is that chapter's; every other file is shared.
    """
    others = tuple(name for name in chapters if name != chapter)
    folder = root / "src" / PACKAGE / "nets" / "weights"
    if folder.parent / "__init__.py" not in files or not folder.is_dir():
        return {}
    stored = {path for path in folder.glob("*.safetensors") if not path.name.startswith(others)}
    nets = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["nets"]
    entries = {name: entry for name, entry in nets.items() if not entry["file"].startswith(others)}
    return {"files": digest_files(root, stored), "nets": entries}


def ledger_entries(claims: Path, chapter: str) -> Any:
    """The part of claims.yml that concerns one chapter; None when there is no ledger yet."""
    if not claims.is_file():
        return None
    return yaml.safe_load(claims.read_text(encoding="utf-8")).get(chapter)


def profile_parameters(root: Path, profile: str, chapter: str) -> dict[str, Any]:
    """The parameters that a profile gives to a chapter; empty when the profile does not name it."""
    file = root / "workflow" / "profiles" / f"{profile}.yaml"
    if not file.is_file():
        known = sorted(path.stem for path in file.parent.glob("*.yaml"))
        raise ValueError(f"profile {profile!r} is unknown: choose one of {', '.join(known)}")
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get(chapter) or {}


def digest_files(root: Path, files: set[Path]) -> dict[str, str]:
    """sha256 of each file, by its path below `root`."""
    return {path.relative_to(root).as_posix(): digest(path) for path in sorted(files)}


def digest(path: Path) -> str:
    """sha256 of a file; of a text file with the ends of lines of this project, whatever git made of them here."""
    data = path.read_bytes()
    if b"\0" not in data:
        data = data.replace(b"\r\n", b"\n")
    return hashlib.sha256(data).hexdigest()


def ingredients(root: Path, chapter: str, profile: str, chapters: list[str]) -> dict[str, Any]:
    """Everything a chapter's result depends on, as plain data; `fingerprint` hashes it."""
    notebook = root / "notebooks" / f"{chapter}.ipynb"
    code = imported_files(root / "src", notebook_code(notebook))
    files = code | data_files(code) | {root / "requirements.lock"}
    cells = notebook_cells(notebook)
    return {
        "cells": [[cell["cell_type"], "".join(cell["source"]), shown_metadata(cell)] for cell in cells],
        "files": digest_files(root, files),
        "ledger": ledger_entries(root / "claims.yml", chapter),
        "parameters": profile_parameters(root, profile, chapter),
        "weights": weights(root, code, chapter, chapters),
    }


def fingerprint(root: Path, chapter: str, profile: str, chapters: list[str]) -> str:
    """Sixteen hexadecimal digits over `ingredients`."""
    plain = json.dumps(ingredients(root, chapter, profile, chapters), sort_keys=True, default=str)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def joining(root: Path, chapter: str) -> str:
    """Sixteen digits over how a chapter's parts are joined: the command, and its part of the ledger."""
    how = [digest(root / "workflow" / "join.py"), ledger_entries(root / "claims.yml", chapter)]
    return hashlib.sha256(json.dumps(how, sort_keys=True, default=str).encode()).hexdigest()[:16]


SITE = (
    *("_config.yml", "_toc.yml", "claims.yml", "CITATION.cff", "pyproject.toml", "requirements.lock"),
    *("book", "results", "src", "workflow/build_site.py"),
)
"""What the site depends on besides the chapters that just ran; `build_site.PAGES` is part of it."""


def shown_files(folder: Path) -> set[Path]:
    """The files below a folder, without hidden ones and caches: those come and go when tests run."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        p
        for p in found
        if not any(x.startswith((".", "__")) for x in p.relative_to(folder).parts[:-1])
        and not p.name.startswith(".")
        and p.suffix not in (".pyc", ".part", ".lock")
    }


def fresh_results(root: Path) -> list[Path]:
    """The folders of results that runs left in `build/`, one for each profile that has some."""
    profiles = sorted(path.stem for path in (root / "workflow" / "profiles").glob("*.yaml"))
    return [folder for name in profiles if (folder := root / "build" / name / "results").is_dir()]


def site_fingerprint(root: Path) -> str:
    """Sixteen digits over what the site is made of besides the chapters that just ran.

    The pages, the two configuration files, the ledger, the project's own description, the results of other profiles and
    the docstrings in `src`.
    """
    paths = [root / name for name in SITE]
    folders = [path for path in paths if path.is_dir()]
    folders += [path for path in fresh_results(root) if path.parent.name != "quick"]
    files = {path for path in paths if path.is_file()} | {p for f in folders for p in shown_files(f)}
    return hashlib.sha256(json.dumps(digest_files(root, files)).encode()).hexdigest()[:16]
