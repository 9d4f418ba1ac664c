"""Attacks on weights beside an honest second training: `robustxai.arena.weights` over the shipped seeds."""

from collections.abc import Sequence

import torch
from torch import Tensor

from robustxai.arena.study.judging import interval_over
from robustxai.arena.study.rounds import fresh_images, honest
from robustxai.arena.weights import WeightCell, exact_shift, weight_cells
from robustxai.nets import pretrained
from robustxai.records import Row, triple

TASK = "animals4"
ATTACKS = ("sham-top", "sham-full", "heo-location-top", "adaptive-top")
ROWS = ("GradCAM", "DiffGradCAM (lse)", "DiffGradCAM (mean)", "Saliency", "Gradient x Input")
JUDGED = ("sham-top", "heo-location-top")


def network(name: str, device: torch.device | str) -> torch.nn.Module:
    """A shipped network in eval mode."""
    return pretrained(name).to(device).eval()


def cells_of(seeds: Sequence[int], n: int, device: torch.device | str) -> dict[int, list[WeightCell]]:
    """seed -> the cells of `ROWS` x `ATTACKS`, with the other honest seeds as controls."""
    scenes = fresh_images(TASK, n)
    x, labels = scenes.images.to(device), scenes.labels.to(device)
    found = {}
    for seed in seeds:
        fooled = {run: network(f"diffgradcam-{TASK}-s{seed}-{run}", device) for run in ATTACKS}
        others = {f"seed {s}": network(honest(TASK, s), device) for s in seeds if s != seed}
        found[seed] = weight_cells(
            ROWS,
            network(honest(TASK, seed), device),
            fooled,
            others,
            x,
            labels=labels,
            network=f"seed {seed}",
        )
    return found


def table(
    seeds: Sequence[int], *, n: int, device: torch.device | str = "cpu"
) -> tuple[list[Row], dict[str, list[Tensor]]]:
    """A line a row and attack, over seeds and images; and for each row P fooled minus P of the control, (networks,
    images), for each of `JUDGED`.
    """
    found = cells_of(seeds, n, device)
    lines: list[Row] = []
    gaps: dict[str, list[Tensor]] = {row: [] for row in ROWS}
    for row in ROWS:
        for attack in ATTACKS:
            some = [c for cells in found.values() for c in cells if (c.row, c.attack) == (row, attack)]
            fooled, control = (torch.stack([getattr(c, f) for c in some]) for f in ("fooled", "control"))
            difference = fooled - control
            lines.append({
                "row": row, "attack": attack, "P fooled": triple(interval_over(fooled)),
                "P of two honest networks": triple(interval_over(control)),
                "difference": triple(interval_over(difference)),
                "hits": f"{sum(c.hit for c in some)} of {len(some)}",
                "agreement": min(c.agreement for c in some),
            })  # fmt: skip
            if attack in JUDGED:
                gaps[row].append(difference)
    return lines, gaps


def largest_shift(networks: Sequence[str], row: str, *, n: int, device: torch.device | str = "cpu") -> float:
    """The largest relative change of a row's map, over networks and images, when all logits get the same channel."""
    x = fresh_images(TASK, n).images.to(device)
    return max(float(exact_shift(row, network(name, device), x).change.max()) for name in networks)
