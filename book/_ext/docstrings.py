"""Sphinx extension: the library's docstrings are plain sentences with `code` in backticks; show them as
such.

autodoc reads a docstring as reStructuredText, where a lone star, bar or trailing underscore is markup.
Outside code and doctests these are escaped here, so that `a * b` or `|x|` in a sentence is no broken
emphasis. It also writes shapes the way the source does, and links a type to the page of its public name.
It knows nothing about which names are public.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_CODE = re.compile(r"(``.+?``|`[^`]+`|:[a-z:]+:`[^`]+`)")
_MARKUP = re.compile(r"(?<!\\)([*|])|(?<=\w)_(?=\W|$)")
_ARRAY = re.compile(r"~?(?:jaxtyping\.)?(\w+)\[(?:~?torch\.)?(Tensor|ndarray), (?:'([^']*)'|\"([^\"]*)\")\]")


def escape(line: str) -> str:
    """Return the line with reST markup characters escaped outside inline code."""
    parts = _CODE.split(line)
    return "".join(
        part if i % 2 else _MARKUP.sub(lambda hit: "\\" + hit.group(0), part) for i, part in enumerate(parts)
    )


def escape_docstring(lines: list[str]) -> list[str]:
    """Return the docstring's lines, escaped outside doctests and indented blocks."""
    out, verbatim = [], False
    for i, line in enumerate(lines):
        if line.lstrip().startswith(">>>"):
            verbatim = True
        elif not line.strip():
            verbatim = False
        indented = line.startswith(("    ", "\t")) and i > 1 and not lines[i - 1].strip()
        verbatim = verbatim or indented
        out.append(line if verbatim else escape(line))
    return out


def readable(signature: str) -> str:
    """Return the signature with each array type as in the source: `Float[Tensor, "batch channel"]`."""
    return _ARRAY.sub(lambda hit: f'{hit[1]}[{hit[2]}, "{(hit[3] or hit[4] or "").strip()}"]', signature)


def _docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = escape_docstring(lines)


def _signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    arguments: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    return arguments and readable(arguments), returns and readable(returns)


def _public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Resolve `robustxai.nets.resnet.CompactResNet` to where it is shown: `robustxai.nets.CompactResNet`."""
    target = str(node.get("reftarget", ""))
    parts = target.split(".")
    if node.get("refdomain") != "py" or parts[0] != "robustxai" or len(parts) < 4:
        return None
    short = ".".join([*parts[:2], parts[-1]])
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", short, node, content)


def setup(app: Sphinx) -> dict:
    app.connect("autodoc-process-docstring", _docstring, priority=900)
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _public_name)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
