"""The deterministic writer: a notebook's bytes depend on its cells and outputs and on nothing else.

Keys are sorted; cell ids come from the cells' content; execution counts are those of a run from the top;
whatever a tool leaves behind (papermill's paths and times, its injected cell, widget state, editor state, PNG
comments, progress on stderr) is dropped. Writing twice gives the same bytes. Knows nothing about what is good
style: that is `lint`.
"""

import base64
import hashlib
import json
import os
import re
import struct
from pathlib import Path
from typing import Any

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
}
CELL_METADATA = (
    "cellView",
    "mystnb",
    "nbval",
    "tags",
)  # the keys that mean something to the book, nbval or Colab
FOREIGN_TAGS = {"injected-parameters", "papermill-error-cell-tag"}  # cells that papermill adds
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # what an image needs


def read_notebook(path: Path | str) -> dict[str, Any]:
    """The notebook at `path` as plain JSON. Raises ValueError when the file is not a notebook of format 4."""
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError(f"{path} is not a notebook: it does not hold JSON.") from None
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or "cells" not in notebook:
        raise ValueError(f"{path} is not a notebook of format 4.")
    return notebook


def write_notebook(notebook: dict[str, Any], path: Path | str) -> bool:
    """Write the canonical form, whole or not at all; False when the file already held exactly that."""
    file, text = Path(path), dumps(notebook)
    if file.is_file() and file.read_bytes() == text.encode():
        return False
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return True


def dumps(notebook: dict[str, Any]) -> str:
    """The text of the canonical form."""
    return json.dumps(canonical(notebook), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def canonical(notebook: dict[str, Any]) -> dict[str, Any]:
    """The canonical form of a notebook; the argument is left as it was."""
    cells = [cell for cell in notebook["cells"] if not FOREIGN_TAGS & set(cell["metadata"].get("tags", []))]
    seen: dict[str, int] = {}
    result, count = [], 0
    for cell in cells:
        source = text(cell.get("source", ""))
        clean = {
            "cell_type": cell["cell_type"],
            "metadata": _cell_metadata(cell),
            "source": stored_lines(source),
        }
        key = hashlib.sha256(f"{cell['cell_type']}\n{source}".encode()).hexdigest()[:12]
        seen[key] = seen.get(key, 0) + 1
        clean["id"] = key if seen[key] == 1 else f"{key}-{seen[key]}"
        if cell["cell_type"] == "code":
            ran = cell.get("execution_count") is not None
            count += ran
            clean["execution_count"] = count if ran else None
            clean["outputs"] = _outputs(cell.get("outputs", []), count if ran else None)
        result.append(clean)
    return {"cells": result, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def text(value: str | list[str]) -> str:
    """A source or an output as one string; notebooks store either a string or a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def stored_lines(value: str) -> list[str]:
    """A string as notebooks store it: a list of lines that keep their ends."""
    return value.splitlines(keepends=True)


def _cell_metadata(cell: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in cell.get("metadata", {}).items() if key in CELL_METADATA and value}
    if "tags" in kept:
        kept["tags"] = sorted(set(kept["tags"]))
    return kept


def _outputs(outputs: list[dict[str, Any]], count: int | None) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            if output["name"] == "stderr":
                continue  # progress bars and library chatter; errors are outputs of their own kind
            written = text(output["text"])
            if result and result[-1]["output_type"] == "stream":
                written = result.pop()["text"] + written
            result.append({"output_type": "stream", "name": "stdout", "text": written})
        elif kind == "error":
            result.append({key: output[key] for key in ("output_type", "ename", "evalue", "traceback")})
        else:
            data = {mime: _data(mime, value) for mime, value in output["data"].items()}
            clean = {"output_type": kind, "data": data, "metadata": _output_metadata(output)}
            result.append(clean | ({"execution_count": count} if kind == "execute_result" else {}))
    for output in result:
        if output["output_type"] == "stream":
            output["text"] = stored_lines(
                re.sub(r"[^\n]*\r(?!\n)", "", output["text"])
            )  # as a terminal shows it
    return result


def _data(mime: str, value: Any) -> Any:
    if mime == "image/png":
        return base64.b64encode(strip_png(base64.b64decode(text(value)))).decode("ascii")
    if mime.startswith("image/") and mime != "image/svg+xml":
        return "".join(text(value).split())
    return stored_lines(text(value)) if isinstance(value, str | list) else value


def _output_metadata(output: dict[str, Any]) -> dict[str, Any]:
    """Only the size at which an image is drawn."""
    sizes = {}
    for mime, values in output.get("metadata", {}).items():
        size = {key: values[key] for key in ("width", "height") if isinstance(values, dict) and key in values}
        if size:
            sizes[mime] = size
    return sizes


def strip_png(data: bytes) -> bytes:
    """The same image without its comments: date, software, resolution. Raises ValueError when it is not a
    PNG.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("an output of type image/png does not hold a PNG.")
    kept, at = [data[:8]], 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if name in PNG_CHUNKS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)
