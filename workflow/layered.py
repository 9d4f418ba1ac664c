"""A layered drawing of a directed graph without circles: where each box stands and how each arrow runs.

Arrows point down. One that passes layers runs through an empty place in each of them, so it crosses no box. Small
graphs only: places are found by sweeps over the layers, with sums that every machine rounds alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

Graph = Mapping[str, set[str]]
Place = str | tuple[str, str, int]
"""A box by its name, or the place where an arrow (from, to) passes a layer."""
SWEEPS = 24


@dataclass(frozen=True)
class Drawing:
    """`middle` of each box, its layer from the bottom, and the x of each arrow layer by layer, from top to bottom."""

    middle: dict[str, float]
    layer: dict[str, int]
    arrows: dict[tuple[str, str], list[float]]


def reached(graph: Graph, start: str, *, without: tuple[str, str] | None = None) -> set[str]:
    """What can be reached from a node, without one arrow."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        node = todo.pop()
        new = {other for other in graph[node] - seen if (node, other) != without}
        seen |= new
        todo += new
    return seen


def reduced(graph: Graph) -> dict[str, set[str]]:
    """The arrows that are not implied by others (transitive reduction); ValueError for a circle."""
    circles = sorted(node for node in graph if node in reached(graph, node))
    if circles:
        raise ValueError(f"graph must have no circles, got one through {', '.join(circles)}")
    return {a: {b for b in graph[a] if b not in reached(graph, a, without=(a, b))} for a in graph}


def layers_of(graph: Graph, rows: Iterable[Sequence[str]] = ()) -> dict[str, int]:
    """The layer of each node: above all that it points to; nodes of one row share a layer."""
    layer = dict.fromkeys(graph, 0)
    for _ in graph:
        for node, others in graph.items():
            layer[node] = max([layer[node], *(layer[other] + 1 for other in others)])
        for row in rows:
            layer.update(dict.fromkeys(row, max(layer[node] for node in row)))
    return layer


def spread(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places closest to the wanted ones (weighted squares) that keep their order and their gaps."""
    offset = [fsum(gaps[:i]) for i in range(len(wanted))]
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for w, weight, o in zip(wanted, weights, offset, strict=True):
        block = (w - o, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, more, length = blocks.pop()
            total = more + block[1]
            block = ((mean * more + block[0] * block[1]) / total, total, length + block[2])
        blocks.append(block)
    flat = [mean for mean, _, length in blocks for _ in range(length)]
    return [m + o for m, o in zip(flat, offset, strict=True)]


def chains(graph: Graph, layer: Mapping[str, int]) -> dict[tuple[str, str], list[Place]]:
    """Each arrow as the places it goes through, one a layer, from top to bottom."""
    return {
        (a, b): [a, *((a, b, i) for i in range(layer[a] - 1, layer[b], -1)), b]
        for a in graph
        for b in sorted(graph[a])
    }


def crossings(rows: Sequence[Sequence[Place]], links: Iterable[tuple[Place, Place]]) -> int:
    """How many pairs of links between neighbouring layers cross."""
    at = {place: (i, j) for i, row in enumerate(rows) for j, place in enumerate(row)}
    ends = sorted((at[b][0], at[a][1], at[b][1]) for a, b in links)
    return sum(
        p[0] == q[0] and (p[1] - q[1]) * (p[2] - q[2]) < 0 for i, p in enumerate(ends) for q in ends[i + 1 :]
    )


def ordered(rows: list[list[Place]], links: list[tuple[Place, Place]]) -> list[list[Place]]:
    """The places of each layer in the order with the fewest crossings that sweeps up and down find."""
    best, least = rows, crossings(rows, links)
    for sweep in range(SWEEPS):
        rows = [list(row) for row in rows]
        down = sweep % 2 == 0
        for i in range(len(rows) - 2, -1, -1) if down else range(1, len(rows)):
            beside = {place: j for j, place in enumerate(rows[i + 1 if down else i - 1])}
            mean = {}
            for j, place in enumerate(rows[i]):
                near = [beside[a if down else b] for a, b in links if (b if down else a) == place]
                mean[place] = sum(near) / len(near) if near else j
            rows[i].sort(key=mean.__getitem__)
        if (found := crossings(rows, links)) < least:
            best, least = rows, found
    return best


def pulls(links: Iterable[tuple[Place, Place]]) -> dict[tuple[Place, Place], float]:
    """How much each link wants to be straight: most inside a long arrow, much above what only one arrow leads to."""
    links = list(links)
    into = Counter(b for _, b in links)
    return {
        (a, b): 8.0
        if isinstance(a, tuple) and isinstance(b, tuple)
        else 6.0
        if into[b] == 1 and isinstance(b, str)
        else 1.0
        for a, b in links
    }


def drawn(
    graph: Graph,
    width: Mapping[str, float],
    *,
    rows: Iterable[Sequence[str]] = (),
    gap: float = 18,
    lane: float = 12,
) -> Drawing:
    """Where boxes of some widths stand: `gap` between boxes, `lane` from an arrow that passes to what is beside it."""
    layer = layers_of(graph, rows)
    paths = chains(graph, layer)
    links = [link for path in paths.values() for link in pairwise(path)]
    of_layer: list[list[Place]] = [
        [n for n in graph if layer[n] == i] for i in range(max(layer.values()) + 1)
    ]
    for path in paths.values():
        for place in path[1:-1]:
            assert isinstance(place, tuple)
            of_layer[place[2]].append(place)
    order = ordered(of_layer, links)
    x = straightened(order, pulls(links), width, gap, lane)
    arrows = {ends: [x[place] for place in path] for ends, path in paths.items()}
    return Drawing({node: x[node] for node in graph}, layer, arrows)


def straightened(
    order: Sequence[Sequence[Place]],
    pull: Mapping[tuple[Place, Place], float],
    width: Mapping[str, float],
    gap: float,
    lane: float,
) -> dict[Place, float]:
    """The x of each place: layer by layer as close to what it is linked to as its neighbours leave room."""
    near: dict[Place, list[tuple[Place, float]]] = {place: [] for row in order for place in row}
    for (a, b), strength in pull.items():
        near[a].append((b, strength))
        near[b].append((a, strength))
    gaps = [[between(a, b, width, gap, lane) for a, b in pairwise(row)] for row in order]
    x: dict[Place, float] = {}
    for row, apart in zip(order, gaps, strict=True):
        x.update(zip(row, spread([0.0] * len(row), [1.0] * len(row), apart), strict=True))
    for sweep in range(20 * SWEEPS):
        for row, apart in list(zip(order, gaps, strict=True))[:: 1 if sweep % 2 else -1]:
            weights = [fsum(s for _, s in near[place]) or 1.0 for place in row]
            wanted = [
                fsum(s * x[other] for other, s in near[place]) / weight if near[place] else x[place]
                for place, weight in zip(row, weights, strict=True)
            ]
            x.update(zip(row, spread(wanted, weights, apart), strict=True))
    return x


def between(a: Place, b: Place, width: Mapping[str, float], gap: float, lane: float) -> float:
    """From the middle of a place to that of the next."""
    half = [width[place] / 2 if isinstance(place, str) else 0.0 for place in (a, b)]
    return fsum(half) + (gap if isinstance(a, str) and isinstance(b, str) else lane)
