"""The picture of the house: which room of `robustxai` imports which, read from syntax trees and drawn as one SVG.

An arrow that follows from others is left out (transitive reduction). Programs that may import anything are no rooms.
The same checkout gives the same bytes.

    python workflow/house.py book/_static/house.svg
"""

import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path

from fingerprint import imported_names, notebook_code
from layered import Drawing, drawn, reduced

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"cli", "_cli", "notebook", "nbval"}
"""They may import anything, so their arrows say nothing."""
NOTEBOOKS = "notebooks"
LETTER, BOX, STEP, MARGIN = 8.2, 30, 62, 8
"""Width of a letter, height of a box, distance of layers and margin, in units of the viewBox (pixels at full size)."""
STYLE = """
.house { --house-ink: var(--ea-ink, #1d2433); --house-line: var(--ea-quiet, #565d6d);
  --house-paper: var(--ea-paper, #fffdfa);
  --house-shared: var(--ea-ok, #0b655e); --house-shared-bg: var(--ea-ok-bg, #dff1ee);
  --house-chapter: var(--ea-no, #a1300f); --house-chapter-bg: var(--ea-no-bg, #fbe3da); }
@media (prefers-color-scheme: dark) {
  .house { --house-ink: var(--ea-ink, #e7e4dc); --house-line: var(--ea-quiet, #a9adb8);
    --house-paper: var(--ea-paper, #15171c);
    --house-shared: var(--ea-ok, #7fd8cd); --house-shared-bg: var(--ea-ok-bg, #12332f);
    --house-chapter: var(--ea-no, #ff9f7d); --house-chapter-bg: var(--ea-no-bg, #43200f); } }
.house text { font: 600 13.5px "JetBrains Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: var(--house-ink); text-anchor: middle; dominant-baseline: central; }
.house rect { fill: var(--house-shared-bg); stroke: var(--house-shared); stroke-width: 1.5; }
.house .chapter rect { fill: var(--house-chapter-bg); stroke: var(--house-chapter); }
.house .study rect { fill: var(--house-paper); stroke: var(--house-chapter); stroke-dasharray: 5 3; }
.house .notebooks rect { fill: var(--house-paper); stroke: var(--house-ink); }
.house path { fill: none; stroke: var(--house-line); stroke-width: 1.4; }
.house marker path { fill: var(--house-line); stroke: none; }
""".strip()


def chapters(root: Path = ROOT) -> list[str]:
    """The chapters in the order of the book."""
    toc = (root / "_toc.yml").read_text(encoding="utf-8")
    return [line.split("/")[-1] for line in toc.splitlines() if "file: notebooks/" in line]


def room_of(name: str, rooms: set[str], books: list[str]) -> str | None:
    """The room in which a dotted name lives: `checks`, `ranking`, `ranking/study`; None outside of all rooms."""
    parts = name.split(".")[1:]
    if not parts or parts[0] not in rooms:
        return None
    return f"{parts[0]}/study" if parts[0] in books and parts[1:2] == ["study"] else parts[0]


def imports_of_rooms(root: Path = ROOT) -> dict[str, set[str]]:
    """The other rooms that each room imports; the notebooks are one room.

    What a chapter exports from its own study (`PROMISED` in tests/test_arrows.py) is left out: it points up.
    """
    src, books = root / "src", chapters(root)
    inside = (src / "robustxai").iterdir()
    names = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").is_file()}
    rooms = names - PROGRAMS - {"__init__"}
    found: dict[str, set[str]] = {}
    for file in sorted((src / "robustxai").rglob("*.py")):
        module = ".".join(file.relative_to(src).with_suffix("").parts)
        if here := room_of(module, rooms, books):
            package = ".".join(file.parent.relative_to(src).parts)
            used = imported_names(file.read_text(encoding="utf-8"), package=package)
            found.setdefault(here, set()).update(known_rooms(used, rooms, books) - {here, f"{here}/study"})
    code = [notebook_code(root / "notebooks" / f"{book}.ipynb") for book in books]
    used = {name for text in code for name in imported_names(text)}
    return {**found, NOTEBOOKS: known_rooms(used, rooms, books)}


def known_rooms(names: set[str], rooms: set[str], books: list[str]) -> set[str]:
    """The rooms of some dotted names."""
    return {room for name in names if (room := room_of(name, rooms, books))}


def widths(graph: Mapping[str, set[str]], books: list[str]) -> dict[str, float]:
    """Of each box: its name and some air; the notebooks as wide as their row."""
    wide = {room: max(LETTER * len(room.split("/")[-1]) + 20, 72) for room in graph}
    return {**wide, NOTEBOOKS: sum(wide[book] + 16 for book in side_by_side(graph, books)) - 16}


def side_by_side(graph: Mapping[str, set[str]], books: list[str]) -> list[str]:
    """The chapters that import no other: they stand in one row, below those that do."""
    return [book for book in books if not graph.get(book, set()) & {*books}]


def reach(room: str, plan: Drawing, wide: Mapping[str, float], left: float) -> tuple[float, float]:
    """The part of a box's edge that arrows may touch."""
    middle, half = plan.middle[room] - left, wide[room] / 2 - 12
    return middle - half, middle + half


def within(x: float, part: tuple[float, float]) -> float:
    """The place in a part that is nearest to x."""
    return min(max(x, part[0]), part[1])


def touching(upper: tuple[float, float], lower: tuple[float, float]) -> tuple[float, float]:
    """Where an arrow between neighbouring layers leaves and arrives: straight down where one box is over the other."""
    narrow, other = sorted((upper, lower), key=lambda part: part[1] - part[0])
    x = within(within(sum(narrow) / 2, other), narrow)
    return within(x, upper), within(x, lower)


def arrow(xs: list[float], top: int, height: int, ends: tuple[float, float]) -> str:
    """One arrow from a box of layer `top` down: straight beside boxes, bent only between layers."""
    first, last = ends
    middle = [height - MARGIN - BOX / 2 - STEP * (top - i) for i in range(len(xs))]
    points = [first, *xs[1:-1], last]
    path = f"M{points[0]:.0f},{middle[0] + BOX / 2:.0f}"
    for i in range(1, len(points)):
        start, end = middle[i - 1] + BOX / 2, middle[i] - BOX / 2
        final = i == len(points) - 1
        stop, half = end - (7 if final else 0), (start + end) / 2
        path += f"C{points[i - 1]:.0f},{half:.0f} {points[i]:.0f},{half:.0f} {points[i]:.0f},{stop:.0f}"
        path += "" if final else f"V{middle[i] + BOX / 2:.0f}"
    return f'<path d="{path}" marker-end="url(#house-arrow)"/>'


def kind(room: str, books: list[str]) -> str:
    """The class of a box in the style sheet."""
    if room == NOTEBOOKS:
        return "notebooks"
    return "study" if room.endswith("/study") else "chapter" if room in books else "shared"


def picture(graph: Mapping[str, set[str]], books: list[str]) -> str:
    """The SVG of the arrows between rooms."""
    arrows = reduced(graph)
    order = [*books, *(f"{book}/study" for book in books)]
    arrows = {
        room: arrows[room]
        for room in sorted(arrows, key=lambda r: (r not in order, order.index(r) if r in order else r))
    }
    wide = widths(arrows, books)
    beside = side_by_side(graph, books)
    plan = drawn(arrows, wide, rows=[beside, [f"{book}/study" for book in beside]], gap=14, lane=11)
    left = min(plan.middle[room] - wide[room] / 2 for room in arrows) - MARGIN
    left = min(left, *(min(xs) - MARGIN for xs in plan.arrows.values()))
    right = max(plan.middle[room] + wide[room] / 2 for room in arrows) + MARGIN
    right = max(right, *(max(xs) + MARGIN for xs in plan.arrows.values()))
    height = 2 * MARGIN + BOX + STEP * max(plan.layer.values())
    return svg(plan, wide, books, left, round(right - left), height)


def described(plan: Drawing) -> str:
    """The picture in words, for those who cannot see it."""
    below: dict[str, list[str]] = {}
    for a, b in plan.arrows:
        below.setdefault(a, []).append(b)
    rooms = sorted(below, key=lambda room: (-plan.layer[room], room))
    return "; ".join(f"{room} imports {', '.join(sorted(below[room]))}" for room in rooms) + "."


def svg(
    plan: Drawing, wide: Mapping[str, float], books: list[str], left: float, width: int, height: int
) -> str:
    """The text of the file: style, arrows, then boxes over them."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="house" viewBox="0 0 {width} {height}" width="{width}" '
        'role="img" aria-labelledby="house-title house-desc">',
        '<title id="house-title">Which room of robustxai imports which</title>',
        f'<desc id="house-desc">{escape(described(plan))}</desc>',
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="house-arrow" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.5L8,4L0,7.5z"/></marker></defs>',
    ]

    for (a, b), xs in plan.arrows.items():
        upper, lower = (reach(room, plan, wide, left) for room in (a, b))
        ends = (
            touching(upper, lower)
            if len(xs) == 2
            else (within(xs[1] - left, upper), within(xs[-2] - left, lower))
        )
        lines.append(arrow([x - left for x in xs], plan.layer[a], height, ends))
    for room, x in plan.middle.items():
        y = height - MARGIN - BOX - STEP * plan.layer[room]
        lines.append(
            f'<g class="{kind(room, books)}"><rect x="{x - left - wide[room] / 2:.0f}" y="{y}" '
            f'width="{wide[room]:.0f}" height="{BOX}" rx="8"/>'
            f'<text x="{x - left:.0f}" y="{y + BOX // 2}">{room.split("/")[-1]}</text></g>'
        )
    return "\n".join([*lines, "</svg>", ""])


def main(target: Path) -> None:
    """Write the picture of this checkout."""
    target.write_text(picture(imports_of_rooms(), chapters()), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
