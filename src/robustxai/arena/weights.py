"""The table of attacks on weights: the honest network's maps against those of a manipulated one, and against those of
an honest second network, which is the control.

Two honest networks do not have the same maps either, so an attack is a hit only where it keeps less than the control
does, image by image. The exact attacks (one number added to all logits) are checked in float64: no probability moves.
Knows explainers as rows of the registry; trains nothing.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor, nn

from robustxai.arena.catalogue import find_rows
from robustxai.arena.clusters import clustered_interval
from robustxai.arena.measures import overlap
from robustxai.arena.readouts import explained_layer, grid_of
from robustxai.arena.registry import ExplainerRow, Parts
from robustxai.arena.standing import LEVEL, signed_ranks
from robustxai.checks import check_images, check_sequence
from robustxai.concepts.significance import corrected
from robustxai.diffgradcam import ShiftAttack, border
from robustxai.explainers.precision import as_double
from robustxai.explainers.reduce import read
from robustxai.metrics import Interval, accuracy, agreement
from robustxai.models import logits_of
from robustxai.records import Row, triple
from robustxai.shapes import Images, PerSample

LEAST_AGREEMENT, MOST_LOSS = 0.95, 0.02
"""What an attacker on weights must keep on held-out images: the predictions, and the accuracy up to 2 points."""


@dataclass(frozen=True, kw_only=True)
class WeightCell:
    """One row, one manipulated network.

    fooled, control: P of the honest map against the manipulated network's, and against that of the honest second
    network which keeps least (n,), nan where either has another class on the image; `dropped` counts these. difference:
    fooled - control with its interval; adjusted: Wilcoxon's p after Holm over the table. within: whether the attack
    keeps agreement and accuracy.
    """

    row: str
    network: str
    attack: str
    fooled: PerSample
    control: PerSample
    control_name: str
    dropped: int
    agreement: float | int
    accuracy_lost: float | int
    difference: Interval
    p: float | int
    adjusted: float | int = float("nan")

    @property
    def within(self) -> bool:
        """Whether the attacker kept to the threat model; without labels the accuracy is not judged."""
        return self.agreement >= LEAST_AGREEMENT and not self.accuracy_lost > MOST_LOSS

    @property
    def hit(self) -> bool:
        """Whether the attack moves the map further than an honest second training does."""
        return self.within and self.difference.value < 0 and self.adjusted <= LEVEL

    def line(self) -> Row:
        """The cell as a line of a table."""
        by_image = {"P fooled": self.fooled, "P other honest": self.control}
        return {
            "row": self.row, "network": self.network, "attack": self.attack,
            **{name: triple(clustered_interval({"": v})) for name, v in by_image.items()},
            "difference": triple(self.difference), "p": self.adjusted, "hit": self.hit, "n": self.difference.n,
            "dropped": self.dropped, "agreement": self.agreement, "within": self.within,
        }  # fmt: skip


def weight_cells(
    rows: Sequence[str | ExplainerRow],
    honest: nn.Module,
    manipulated: Mapping[str, nn.Module],
    controls: Mapping[str, nn.Module],
    x: Images,
    *,
    labels: Int[Tensor, " n"] | None = None,
    network: str = "model",
) -> list[WeightCell]:
    """The table of one honest network: every row against every manipulated network, on images x for the class that the
    honest one predicts.

    controls: honest second networks by name, such as other seeds or fine-tunings with the labels alone. Networks name
    their own `gap_layer`. Holm goes over the whole table. Raises ValueError without a control.
    """
    check_sequence("rows", rows, "rows")
    check_sequence("controls", list(controls), "honest second networks")
    check_images("x", x)
    with torch.no_grad():
        logits = {name: logits_of(net, x) for name, net in {"": honest, **manipulated, **controls}.items()}
    target = logits[""].argmax(1)
    kept = {name: z.argmax(1) == target for name, z in logits.items()}
    table: list[WeightCell] = []
    for row in find_rows(list(rows)):
        clean = _maps(row, honest, x, target)
        p = {
            name: overlap(clean, _maps(row, net, x, target)).masked_fill(~kept[name], torch.nan)
            for name, net in {**manipulated, **controls}.items()
        }
        least = min(controls, key=lambda name: float(p[name].nanmean()))
        for name in manipulated:
            gap = p[name] - p[least]
            lost = 0.0
            if labels is not None:
                lost = accuracy(logits[""], labels) - accuracy(logits[name], labels)
            table.append(WeightCell(
                row=row.name, network=network, attack=name, fooled=p[name], control=p[least], control_name=least,
                dropped=int((~kept[name]).sum()), agreement=agreement(logits[""], logits[name]), accuracy_lost=lost,
                difference=clustered_interval({"": gap}), p=signed_ranks(gap),
            ))  # fmt: skip
    adjusted = corrected([cell.p for cell in table])
    return [replace(cell, adjusted=p) for cell, p in zip(table, adjusted, strict=True)]


def _maps(row: ExplainerRow, model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    explain = row.explainer(model, Parts(layer=explained_layer(model, None), gap=True))
    with torch.no_grad():
        return read(explain)(x, target).detach()


@dataclass(frozen=True)
class ExactShift:
    """What one channel that all classes share does: the largest change of a probability, and of a map relative to its
    largest value, over images (n,)."""

    row: str
    probability: float | int
    change: PerSample


def exact_shift(
    row: str | ExplainerRow, model: nn.Module, x: Images, *, strength: float | int = 10.0
) -> ExactShift:
    """The maps of a network with the shift channel (`robustxai.diffgradcam.ShiftAttack`, a border) against its own, in
    float64. Raises ValueError for a network without a layer that enters global pooling.
    """
    (found,) = find_rows([row])
    double, images = as_double(deepcopy(model)), as_double(check_images("x", x))
    layer = explained_layer(double, None)
    if layer is None:
        raise ValueError(f"model must name the layer that enters pooling, {type(model).__name__} names none")
    side, _ = grid_of(double, layer, images)
    shifted = ShiftAttack(double, border(side, side).to(images), strength, layer=layer).eval()
    with torch.no_grad():
        before, after = logits_of(double, images), logits_of(shifted, images)
    target = before.argmax(1)
    clean, moved = _maps(found, double, images, target), _maps(found, shifted, images, target)
    top = clean.flatten(1).amax(1).clamp_min(torch.finfo(clean.dtype).tiny)
    change = (moved - clean).abs().flatten(1).amax(1) / top
    return ExactShift(found.name, float((before.softmax(1) - after.softmax(1)).abs().max()), change)
