"""What is read of the maps once the attacks are over: do they point at what the network uses, and which tie.

Also picks what the gallery shows. Knows explainers and maps; knows no attack.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robustxai.arena.auditing.findings import Shown
from robustxai.arena.auditing.network import OutOfTime
from robustxai.arena.auditing.rows import Line
from robustxai.arena.auditing.words import best_line, first_line
from robustxai.arena.standing import comparisons
from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import read
from robustxai.metrics import deletion, energy_inside
from robustxai.models import Network


def informed(
    line: Line,
    model: Network,
    maps: Tensor,
    x: Tensor,
    target: Tensor,
    masks: Tensor | None = None,
    batch_size: int = 16,
) -> Line:
    """A line with what its clean maps (n, 1, H, W) say: deletion area, and mass on the object where masks are given.

    Where the time is over before, the line stays.
    """
    try:
        removed = deletion(model, x, maps, target, batch_size=batch_size).auc
    except OutOfTime:
        return line
    mass = math.nan if masks is None else float(energy_inside(maps, masks[:, 0]).nanmean())
    return replace(line, deletion=float(removed.nanmean()), mass=mass)


def tied(lines: Sequence[Line]) -> tuple[str, ...]:
    """The best row of those that depend on the network and have a number, and all that tests cannot tell from it.

    Wilcoxon's signed ranks over images, Holm over all pairs of these rows.

    >>> tied([])
    ()
    """
    best = best_line(lines)
    if best is None:
        return ()
    rivals = {line.row: {"": line.by_image} for line in lines if line.counts and not line.ignores}
    apart = {frozenset((c.row, c.other)) for c in comparisons(rivals) if c.apart}
    return tuple(row for row in rivals if row == best.row or frozenset((row, best.row)) not in apart)


def shown_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines that the gallery shows: the one of the first sentence, and the recommended one."""
    chosen = [line for line in (first_line(lines), best_line(lines)) if line is not None and line.n]
    return list({line.row: line for line in chosen}.values())


def gallery_of(line: Line, explain: Explainer, clean: Tensor, attacked: Tensor, target: Tensor) -> Shown:
    """The median image of a line, the one that lost most and the one that lost least, with their maps after the attack.

    clean: maps (n, 1, H, W); attacked: the per-image worst inputs (n, C, H, W); target (n,).
    """
    order = line.by_image.nan_to_num(math.inf).argsort(stable=True)[: line.n].tolist()
    named = {
        line.median: "Median image",
        order[0]: "The image that lost most",
        order[-1]: "The image that lost least",
    }
    places = [*named]
    with torch.no_grad():
        maps = read(explain)(attacked[places], target[places])
    return Shown(
        line.row,
        tuple(places),
        tuple(named.values()),
        clean[places].cpu(),
        maps.cpu(),
        attacked[places].cpu(),
    )
