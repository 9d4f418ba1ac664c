"""Labels: where each number of an output stands, which is what its tolerance belongs to.

- in a table, as HTML or in plain text: the column's head, `P@k`
- between brackets after a value: `bounds of P@k`
- in the line of a claim: `claim <name>`, and `bounds of claim <name>`; `WORDS` in its statement and its rule
- in the line about a figure: `data behind <what>`
- in any other line: none

Knows nothing about tolerances.
"""

import html
import re

from robustxai.notebook.closeness import NUMBER, WORDS

CLAIM_LINE = re.compile(
    r"(REPRODUCED|PARTLY|UNDECIDED|DEPENDS ON AN UNKNOWN|CONTRADICTED|NOT ATTEMPTED) +(\w+) \| "
)
OURS = re.compile(r" \| ours (.*?)(?:, n=.*?)?(?:, seeds=\d+)? \| rule: ")
FIGURE_LINE = re.compile(r"(data behind .*?): ")
BOUNDS = "bounds of "
MARK = re.compile(rf"<table|<tr|<t[hd]\b|{NUMBER.pattern}")


def claim_names(text: str) -> list[str]:
    """The names of the claims whose lines stand in a printed text."""
    matches = (CLAIM_LINE.match(line) for line in text.splitlines())
    return [match[2] for match in matches if match]


def labels_of_lines(text: str) -> list[str]:
    """The label of each number in printed lines.

    >>> labels_of_lines("REPRODUCED   gate | It holds. | ours 0.5 [0.4, 0.6] | rule: at least 0.3")
    ['claim gate', 'bounds of claim gate', 'bounds of claim gate', 'words']
    """
    found = []
    for line in text.splitlines(keepends=True):
        claim, figure = CLAIM_LINE.match(line), FIGURE_LINE.match(line)
        label = f"claim {claim[2]}" if claim else figure[1] if figure else ""
        ours = OURS.search(line) if claim else None
        start, end = ours.span() if ours else (0, 0 if claim else len(line))
        for number, inner in zip(NUMBER.finditer(line), _inside_brackets(line), strict=True):
            measured = start <= number.start() < end
            found.append((BOUNDS + label if inner and label else label) if measured else WORDS)
    return found


def labels_of_html(markup: str) -> list[str]:
    """The label of each number in HTML: the head of its column where it stands in a table.

    >>> labels_of_html("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2 [1, 3]</td></tr></table>")
    ['a', 'b', 'bounds of b', 'bounds of b']
    """
    names, column, row, found = [], -1, -1, []
    brackets = iter(_inside_brackets(markup))
    for mark in MARK.finditer(markup):
        if mark[0] == "<table":
            names, row = table_columns(markup[mark.start() :]), -1
        elif mark[0] == "<tr":
            row, column = row + 1, -1
        elif mark[0].startswith("<t"):
            column += 1
        else:
            label = names[column] if row > 0 and 0 <= column < len(names) else ""
            found.append(BOUNDS + label if next(brackets) and label else label)
    return found


def table_columns(markup: str) -> list[str]:
    """The heads of the first table's columns, as text."""
    head = re.search(r"<tr.*?</tr>", markup, flags=re.DOTALL)
    cells = re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", head[0], flags=re.DOTALL) if head else []
    return [html.unescape(re.sub(r"<[^>]*>", "", cell)).strip() for cell in cells]


def labels_of_table(text: str, columns: list[str]) -> list[str]:
    """The label of each number in a table in plain text, whose columns two spaces or more keep apart.

    >>> labels_of_table("caption of 3\\na  b\\n1  0.5 [0.4, 0.6]", ["a", "b"])
    ['', 'a', 'b', 'bounds of b', 'bounds of b']
    """
    found, starts = [], []
    for line in text.splitlines(keepends=True):
        inside = _inside_brackets(line)
        if not starts and [c for c in re.split(r"\s{2,}", line.strip()) if c] == [c for c in columns if c]:
            starts = _starts(line, columns)
            found += [""] * len(inside)
            continue
        cells = [cell.start() for cell in re.finditer(r"(?:(?<=\s\s)|^)\S", line)]
        places = cells if len(cells) == len(columns) else starts
        for number, inner in zip(NUMBER.finditer(line), inside, strict=True):
            index = sum(place <= number.start() for place in places) - 1 if starts else -1
            label = columns[index] if 0 <= index < len(columns) else ""
            found.append(BOUNDS + label if inner and label else label)
    return found


def _starts(line: str, columns: list[str]) -> list[int]:
    """Where each head begins in the line of heads."""
    starts, at = [], 0
    for column in columns:
        at = line.index(column, at)
        starts.append(at)
        at += len(column)
    return starts


def _inside_brackets(text: str) -> list[bool]:
    """For each number whether it is a bound: `[0.4, 0.6]` after a value."""
    parts, found, low = NUMBER.split(text), [], False
    for before in parts[0:-1:2]:
        inside = before.endswith("[") or (low and before == ", ")
        low = before.endswith("[")
        found.append(inside)
    return found
