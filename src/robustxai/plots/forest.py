"""A forest plot as SVG: short bars on one axis, the bound in its middle, so that many claims are seen at once.

SVG written here and not by matplotlib, because a page needs each bar by itself, with text that can be searched and
colours of the page. Knows nothing about claims: it is given numbers and words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

REACH = 5.0
"""Bars end at so many half widths from the bound; an arrow says that a value lies further out."""
MARK_COLOURS = {"ok": "#0b655e", "partly": "#7a4f00", "no": "#a1300f", "open": "#3a4f93", "none": "#565d6d"}
"""The kinds of a mark and their colour where no page gives another."""
LINE, LEFT, BAR, RIGHT = 22, 330, 200, 400
"""Height of a line, and widths of the names, the bars and the words of a whole plot, in pixels."""


@dataclass(frozen=True)
class Bar:
    """Distances from the bound in half widths: `value`, `low`, `high`.

    The last two are nan without an interval, or with one of no width.

    >>> Bar(2.0, 1.0, 3.0).words()
    'the whole interval satisfies the rule'
    """

    value: float | int
    low: float | int
    high: float | int

    def words(self) -> str:
        """What the bar shows, for those who do not see it."""
        if math.isnan(self.low):
            side = "satisfies" if self.value > 0 else "violates" if self.value < 0 else "lies on the bound of"
            return f"no interval, or one of no width; the value {side} the rule"
        if self.low < 0 < self.high:
            return "the interval contains the bound"
        return f"the whole interval {'satisfies' if self.low >= 0 else 'violates'} the rule"


def bar(one: Bar, kind: str, *, width: int = BAR, height: int = LINE) -> str:
    """One bar as an `<svg>` of its own: the axis, the bound, the interval as a line, the value as a dot.

    A value without an interval, or with one of no width, is a hollow diamond. kind: a key of `MARK_COLOURS`; a page may
    colour the class `rx-<kind>`.

    Raises ValueError for another kind.

    >>> bar(Bar(2.0, 1.0, 3.0), "ok").startswith('<svg class="rx-bar rx-ok"')
    True
    """
    if kind not in MARK_COLOURS:
        raise ValueError(f"kind must be one of {', '.join(MARK_COLOURS)}, got {kind!r}")
    head = f'<svg class="rx-bar rx-{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    words = escape(one.words())
    return f'{head} role="img" aria-label="{words}" style="color:{_colour(kind)}">{_marks(one, width, height)}</svg>'


def forest(title: str, lines: Sequence[tuple[str, str, str, Bar]]) -> str:
    """A whole plot as one SVG file: a line each of (name, words, kind, bar), with a legend of the axis.

    >>> picture = forest("Claims", [("a", "0.300 [0.100, 0.500], positive", "ok", Bar(1.5, 0.5, 2.5))])
    >>> picture.count("<circle"), picture.endswith("</svg>\\n")
    (1, True)
    """
    width, height = LEFT + BAR + RIGHT, LINE * (len(lines) + 3)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fffdfa"/>',
        _text(8, 0, title, "start", bold=True),
        _text(LEFT + BAR / 2, 1, "◂ violated · bound · satisfied ▸", "middle"),
    ]
    for row, (name, words, kind, one) in enumerate(lines, start=2):
        parts += [
            _text(LEFT - 10, row, _shortened(name, 50), "end"),
            f'<g transform="translate({LEFT} {row * LINE})" color="{_colour(kind)}">{_marks(one, BAR, LINE)}</g>',
            _text(LEFT + BAR + 10, row, _shortened(words, 62), "start"),
        ]
    note = f"distance from the bound in half widths of the interval; arrows: beyond {REACH:g}; ◇: exact, or no interval"
    return "\n".join([*parts, _text(8, len(lines) + 2, note, "start"), "</svg>"]) + "\n"


def _colour(kind: str) -> str:
    return f"var(--ea-{kind}, {MARK_COLOURS[kind]})"


def _text(x: float | int, row: int, words: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    y = row * LINE + LINE * 0.68
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#1d2433"{weight}>{escape(words)}</text>'


def _shortened(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def _marks(one: Bar, width: int, height: int) -> str:
    """Axis, bound, interval and value."""
    middle, y = width / 2, height / 2

    def place(distance: float | int) -> float:
        return middle + max(-REACH, min(REACH, distance)) / REACH * (middle - 8)

    x = place(one.value)
    parts = [
        f'<path d="M4 {y:g}H{width - 4}" stroke="currentColor" stroke-opacity=".22"/>',
        f'<path d="M{middle:g} 2V{height - 2}" stroke="currentColor" stroke-opacity=".6" stroke-dasharray="2 2"/>',
    ]
    if math.isnan(one.low):
        parts.append(
            f'<path d="M{x - 5:.1f} {y:g}l5 -5l5 5l-5 5z" fill="none" stroke="currentColor" stroke-width="1.6"/>'
        )
        return "".join(parts)
    low, high = place(one.low), place(one.high)
    parts.append(f'<path d="M{low:.1f} {y:g}H{high:.1f}" stroke="currentColor" stroke-width="2.4"/>')
    if abs(one.value) > REACH:
        side = math.copysign(1, one.value)
        parts.append(f'<path d="M{x + 5 * side:.1f} {y:g}l{-9 * side:g} -5v10z" fill="currentColor"/>')
    else:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:g}" r="4" fill="currentColor"/>')
    return "".join(parts)
