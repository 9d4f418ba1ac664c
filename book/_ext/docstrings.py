"""Sphinx extension: the library's docstrings are plain sentences with `code` in backticks; show them as such.

autodoc reads a docstring as reStructuredText, where a lone star, bar or trailing underscore is markup. Outside code and
doctests these are escaped here, so that `a * b` or `|x|` in a sentence is no broken emphasis. It also writes shapes the
way the source does. It knows nothing about which names are public.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_CODE = re.compile(r"(``.+?``|`[^`]+`|:[a-z:]+:`[^`]+`)")
_MARKUP = re.compile(r"(?<!\\)([*|])|(?<=\w)_(?=\W|$)")
_JAXTYPING = re.compile(r"~?(?:jaxtyping\.)?(\w+)\[(?:~?torch\.)?(Tensor|ndarray), (?:'([^']*)'|\"([^\"]*)\")\]")


def escape(line: str) -> str:
    """Return the line with reST markup characters escaped outside inline code."""
    parts = _CODE.split(line)
    return "".join(
        part if i % 2 else _MARKUP.sub(lambda m: "\\" + m.group(0), part) for i, part in enumerate(parts)
    )


def escape_docstring(lines: list[str]) -> list[str]:
    """Return the docstring's lines, escaped outside doctests and literal blocks."""
    out, verbatim = [], False
    for i, line in enumerate(lines):
        if line.lstrip().startswith(">>>"):
            verbatim = True
        elif not line.strip():
            verbatim = False
        literal = i > 1 and line.startswith(("    ", "\t")) and not lines[i - 1].strip()
        out.append(line if verbatim or literal else escape(line))
    return out


def readable(signature: str) -> str:
    """Return the signature with each array type as in the source: `Float[Tensor, "batch channel"]`."""
    return _JAXTYPING.sub(lambda m: f'{m[1]}[{m[2]}, "{(m[3] or m[4] or "").strip()}"]', signature)


def setup(app: Sphinx) -> dict:
    def docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
        lines[:] = escape_docstring(lines)

    def signature(app, what, name, obj, options, arguments, returns):  # noqa: ANN001, ANN202 - Sphinx's own order
        return (arguments and readable(arguments), returns and readable(returns))

    app.connect("autodoc-process-docstring", docstring, priority=900)
    app.connect("autodoc-process-signature", signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
