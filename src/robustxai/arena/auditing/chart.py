"""A chart for the report, as SVG text: what stays of each map, image by image. Knows lines; needs no library."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from robustxai.arena.auditing.rows import Line

STEP, TOP, BELOW = 34, 24, 34
"""Pixels: the height of a row, and of what stands above and below all of them."""


@dataclass(frozen=True)
class Frame:
    """Where things are on a drawing: its width and its margins, in pixels.

    >>> Frame().at(0.5)
    395.0
    """

    width: int = 640
    left: int = 170
    right: int = 20

    def at(self, share: float | int) -> float:
        """The place of a share of 0 to 1."""
        return self.left + (self.width - self.left - self.right) * min(max(share, 0.0), 1.0)


NARROW = Frame(width=350, left=150, right=24)
"""For phones."""


def kept_by_image(lines: Sequence[Line], frame: Frame | None = None) -> str:
    """One strip an explainer with a number: a dot an image, the interval of the mean as a bar, noise as a tick.

    >>> kept_by_image([])
    '<p>No explainer has a number.</p>'
    """
    frame = Frame() if frame is None else frame
    shown = [line for line in lines if line.state in ("attacked", "weak") and line.n]
    if not shown:
        return "<p>No explainer has a number.</p>"
    height = TOP + STEP * len(shown) + BELOW
    parts = [
        _scale(frame, height),
        *(_row(frame, line, TOP + STEP * (i + 0.5)) for i, line in enumerate(shown)),
    ]
    said = "; ".join(f"{line.row} {line.kept.value:.2f}, noise {line.noise:.2f}" for line in shown)
    label = html.escape(f"Share of the top that stays, one dot an image. Means: {said}.")
    opened = f'<svg viewBox="0 0 {frame.width} {height}" role="img" aria-label="{label}">'
    return "\n".join([opened, *parts, "</svg>"])


def _scale(frame: Frame, height: int) -> str:
    bottom = height - BELOW + 4
    parts = []
    for percent in (0, 50, 100):
        x = frame.at(percent / 100)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{percent} %</text>')
    return "\n".join(parts)


def _row(frame: Frame, line: Line, y: float | int) -> str:
    """Dots at fixed heights inside the strip, so that equal values do not hide each other."""
    kind = "aside" if line.ignores or line.state != "attacked" else "counted"
    values = [v for v in line.by_image.tolist() if v == v]
    parts = [f'<text x="{frame.left - 12}" y="{y + 4:.1f}" text-anchor="end">{html.escape(line.row)}</text>']
    for i, v in enumerate(values):
        parts.append(f'<circle cx="{frame.at(v):.1f}" cy="{y - 7 + 14 * ((7 * i) % 11) / 10:.1f}" r="2.6"/>')
    if line.kept.low == line.kept.low:  # not nan
        left, right = frame.at(line.kept.low), frame.at(line.kept.high)
        parts.append(
            f'<rect x="{left:.1f}" y="{y - 4:.1f}" width="{max(2.0, right - left):.1f}" height="8" rx="2"/>'
        )
    if line.noise == line.noise:
        x = frame.at(line.noise)
        parts.append(f'<line class="noise" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 11:.1f}" y2="{y + 11:.1f}"/>')
    return f'<g class="{kind}">{"".join(parts)}</g>'
