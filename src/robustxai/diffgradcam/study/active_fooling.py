"""Heo's active fooling as an experiment: on images of two objects, each class's map shall show the other's evidence.

Each joins two images of a task left and right: both objects are whole, and it is known where each is. Networks with
average pooling take the double width as it is.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.diffgradcam.heo_fooling import HeoActive
from robustxai.diffgradcam.study.compare import native_maps
from robustxai.diffgradcam.study.manipulated import FooledNetwork, FoolingProtocol, trunk
from robustxai.diffgradcam.study.study import Study
from robustxai.diffgradcam.study.tables import Methods
from robustxai.metrics import accuracy, energy_inside, pearson
from robustxai.records import Row, over_seeds, triple

METHODS: Methods = {"GradCAM": ("logit", "gradcam"), "DiffGradCAM": ("lse", "gradcam")}


def composites(
    x: Float[Tensor, "image channel height width"], y: Int[Tensor, " image"], c1: int, c2: int
) -> tuple[Float[Tensor, "pair channel height wide"], Tensor]:
    """Every image of class c1 beside one of class c2, as often left as right; and whether c1 is left, (pair,) bool.

    Raises ValueError when a class has no image.
    """
    first, second = x[y == c1], x[y == c2]
    n = min(len(first), len(second))
    if n == 0:
        raise ValueError(
            f"x must hold images of both classes {c1} and {c2}, got {len(first)} and {len(second)} of them"
        )
    left = torch.arange(n, device=x.device) % 2 == 0
    side = left[:, None, None, None]
    a, b = first[:n], second[:n]
    return torch.cat((torch.where(side, a, b), torch.where(side, b, a)), -1), left


def fool_actively(
    study: Study,
    seed: int,
    c1: int,
    c2: int,
    *,
    images: int | None = None,
    epochs: int = 12,
    lam: float = 10.0,
) -> FooledNetwork:
    """The honest network after active fooling of its last block and head, cross-entropy on the task's images.

    images: how many training images are used (all by default), for the cross-entropy and for the pairs.
    """
    honest, data = study.honest(seed), study.train
    pairs, _ = composites(data.x[:images], data.y[:images], c1, c2)
    attack = FoolingProtocol(
        lambda net, size: HeoActive(net, trunk(honest, pairs), c1, c2, lam=lam),
        epochs=epochs,
        freeze_norm=True,
    )
    return study.attack(seed, attack, images=images)


def swapped(
    study: Study, honest: FooledNetwork, fooled: FooledNetwork, c1: int, c2: int, methods: Methods = METHODS
) -> dict[str, dict[str, float]]:
    """Per method, means over held-out pairs and both classes.

    `own before`, `own after`: share of a class's map on its own object's half, by the honest and the fooled network.
    `r_base`, `r_swap`: Pearson of the fooled network's map with the honest map of the same and of the other class.
    """
    x, left = composites(study.x, study.y, c1, c2)
    values: dict[str, dict[str, list[Tensor]]] = {m: {} for m in methods}
    maps = {
        (name, c): native_maps(net, x, torch.full_like(left, c, dtype=torch.int64), methods)[1]
        for name, net in (("before", honest), ("after", fooled))
        for c in (c1, c2)
    }
    for c, other, mine in ((c1, c2, left), (c2, c1, ~left)):
        for m in methods:
            before, after = maps["before", c][m][:, 0], maps["after", c][m][:, 0]
            half = torch.zeros_like(before, dtype=torch.bool)
            half[..., : half.shape[-1] // 2] = True
            half = half == mine[:, None, None]
            row = {
                "own before": energy_inside(before, half),
                "own after": energy_inside(after, half),
                "r_base": pearson(after, before),
                "r_swap": pearson(after, maps["before", other][m][:, 0]),
            }
            for key, value in row.items():
                values[m].setdefault(key, []).append(value)
    return {m: {k: float(torch.cat(v).nanmean()) for k, v in row.items()} for m, row in values.items()}


def active_rows(study: Study, fooled: Mapping[int, FooledNetwork], c1: int, c2: int) -> list[Row]:
    """The networks that `fool_actively` made, by seed: a row per method, cells mean over seeds with a t interval."""
    results, lost = [], []
    for seed, network in fooled.items():
        honest = study.honest(seed)
        results.append(swapped(study, honest, network, c1, c2))
        with torch.no_grad():
            lost.append(accuracy(honest(study.x), study.y) - accuracy(network(study.x), study.y))
    rows: list[Row] = []
    for m in METHODS:
        row: Row = {"method": m}
        row |= {k: triple(over_seeds(r[m][k] for r in results)) for k in results[0][m]}
        rows.append(row | {"accuracy lost": sum(lost) / len(lost)})
    return rows
