"""A chart for the report, as SVG text: what stays of each map, image by image. Knows lines; needs no library."""

import html
from collections.abc import Sequence

from robustxai.arena.auditing.rows import Line

WIDTH, LEFT, RIGHT, STEP, TOP = 640, 170, 20, 34, 30
"""Pixels of the drawing: its width, its margins, the height of a row and of what stands above them."""


def kept_by_image(lines: Sequence[Line]) -> str:
    """One strip an explainer with a number: a dot an image, the interval of the mean as a bar, noise as a tick.

    >>> kept_by_image([])
    '<p>No explainer has a number.</p>'
    """
    shown = [line for line in lines if line.state in ("attacked", "weak") and line.n]
    if not shown:
        return "<p>No explainer has a number.</p>"
    height = TOP + STEP * len(shown) + 34
    parts = [_scale(height)]
    for i, line in enumerate(shown):
        parts.append(_row(line, TOP + STEP * (i + 0.5)))
    said = "; ".join(f"{line.row} {line.kept.value:.2f}, noise {line.noise:.2f}" for line in shown)
    label = html.escape(f"Share of the top that stays, one dot an image. Means: {said}.")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _at(share: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)


def _scale(height: int) -> str:
    bottom = height - 30
    parts = []
    for percent in (0, 25, 50, 75, 100):
        x = _at(percent / 100)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{percent} %</text>')
    return "\n".join(parts)


def _row(line: Line, y: float) -> str:
    """Dots at fixed heights inside the strip, so that equal values do not hide each other."""
    kind = "aside" if line.ignores or line.state != "attacked" else "counted"
    values = [v for v in line.by_image.tolist() if v == v]
    dots = [
        f'<circle cx="{_at(v):.1f}" cy="{y - 7 + 14 * ((7 * i) % 11) / 10:.1f}" r="2.6"/>'
        for i, v in enumerate(values)
    ]
    left, right, at = _at(line.kept.low), _at(line.kept.high), _at(line.noise)
    bar = f'<rect x="{left:.1f}" y="{y - 4:.1f}" width="{max(2.0, right - left):.1f}" height="8" rx="2"/>'
    noise = f'<line class="noise" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 11:.1f}" y2="{y + 11:.1f}"/>'
    bar = "" if line.kept.low != line.kept.low else bar
    name = f'<text x="{LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{html.escape(line.row)}</text>'
    return f'<g class="{kind}">{name}{"".join(dots)}{bar}{noise if line.noise == line.noise else ""}</g>'
