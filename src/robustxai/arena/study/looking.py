"""Pictures of the chapter: median images with their maps, and one image over all budgets. Knows findings."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robustxai.arena.registry import EXPLAINERS, Parts
from robustxai.arena.study.rounds import BUDGETS, MIDDLE, RoundCells
from robustxai.plots import overlay

ENLARGED = 20


@dataclass(frozen=True)
class Gallery:
    """images (rows, 3, H, W), maps name -> (rows, H, W), a title a row; the enlarged changes
    (count, 3, H, W), and which images were picked."""

    images: Tensor
    maps: dict[str, Tensor]
    titles: list[str]
    changes: Tensor
    picked: list[int]


def median_images(p: Tensor, count: int) -> list[int]:
    """The images around the median of p (n,).

    >>> median_images(torch.tensor([0.9, 0.1, 0.5]), 1)
    [2]
    """
    order = p.argsort().tolist()
    first = max(0, (len(order) - count) // 2)
    return order[first : first + count]


def gallery(
    findings: RoundCells, network: str, rows: list[str], model: nn.Module, *, count: int = 2
) -> Gallery:
    """Each median image of the first row: clean, and attacked on that row, with maps of all rows; and the change."""
    found = findings.evaluation(rows[0], MIDDLE, network)
    picked = median_images(findings.cell(rows[0], MIDDLE, network).worst, count)
    explain = {row: _explainer(found.settings["layer"], row, model) for row in rows}
    images, titles, changes = [], [], []
    maps: dict[str, list[Tensor]] = {row: [] for row in rows}
    for i in picked:
        clean, moved = found.x[i], found.adversarials[rows[0], MIDDLE][i]
        changes.append((0.5 + ENLARGED * (moved - clean)).clamp(0, 1))
        for title, shown in (("clean", clean), ("attacked", moved)):
            images.append(shown)
            titles.append(title)
            for row in rows:
                with torch.no_grad():
                    maps[row].append(explain[row](shown[None], found.target[i : i + 1])[0, 0])
    every = {row: torch.stack(m) for row, m in maps.items()}
    return Gallery(torch.stack(images), every, titles, torch.stack(changes), picked)


def slide(
    findings: RoundCells, network: str, row: str, model: nn.Module, *, image: int
) -> tuple[list[np.ndarray], dict[str, Tensor]]:
    """Frames (H, W, 3) of one image with its map, clean and at each of `BUDGETS`; and what stayed of the top, P."""
    found = findings.evaluation(row, MIDDLE, network)
    explain, target = _explainer(found.settings["layer"], row, model), found.target[image : image + 1]
    inputs = [found.x[image]]
    stayed = [1.0]
    for eps in BUDGETS:
        inputs.append(findings.evaluation(row, eps, network).adversarials[row, eps][image])
        stayed.append(float(findings.cell(row, eps, network).worst[image]))
    x = torch.stack(inputs)
    with torch.no_grad():
        maps = torch.cat([explain(one[None], target) for one in x])[:, 0]
    return list(overlay(x, maps)), {"map": maps, "P": torch.tensor(stayed, device="cpu")}


def _explainer(layer: object, row: str, model: nn.Module):
    return EXPLAINERS[row].explainer(model, Parts(layer=str(layer), gap=True))
