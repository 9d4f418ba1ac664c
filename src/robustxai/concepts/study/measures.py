"""How large and how visible a change of exemplars is, and what it did to the concept's direction (spec section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from robustxai.checks import check_length
from robustxai.concepts.attacks.centroid_distance import centroids, squared_distances
from robustxai.concepts.cav import FittedCAVs
from robustxai.metrics import image_ssim
from robustxai.metrics.predictions import predicted
from robustxai.models import logits_of
from robustxai.shapes import Images, OtherImages


@dataclass(frozen=True)
class Change:
    """Means over exemplars: `linf` in 255ths (the largest one), `l2`, `psnr` in dB, `ssim` of photographs."""

    linf: float
    l2: float
    psnr: float
    ssim: float


def change(clean: Images, attacked: Images) -> Change:
    """Size and visibility of a perturbation; psnr is infinite where nothing changed."""
    delta = (attacked - clean).flatten(1)
    mse = delta.square().mean(1)
    psnr = 10 * torch.log10(1 / mse)
    return Change(
        float(delta.abs().max()) * 255, float(delta.norm(dim=1).mean()), float(psnr.mean()),
        alike(clean, attacked),
    )  # fmt: skip


def alike(a: Images, b: Images) -> float:
    """Mean SSIM over images and colours, of photographs (window 11, sigma 1.5)."""
    parts = [image_ssim(a[:, c], b[:, c], window=11, sigma=1.5) for c in range(a.shape[1])]
    return float(torch.stack(parts).mean())


@torch.no_grad()
def label_changes(model: nn.Module, clean: Images, attacked: Images) -> float:
    """The share of exemplars whose predicted class changed; nan where a logit is."""
    before, after = (logits_of(model, x) for x in (clean, attacked))
    if bool(before.isnan().any() | after.isnan().any()):
        return float("nan")
    return float((predicted(before) != predicted(after)).float().mean())


def turned_by(clean: FittedCAVs, attacked: FittedCAVs) -> float:
    """cos(v', v), mean over runs."""
    return float(F.cosine_similarity(clean.vectors, attacked.vectors).mean())


@torch.no_grad()
def remaining_distance(
    model: nn.Module,
    layer: str,
    clean: Images,
    attacked: Images,
    towards: OtherImages,
    *,
    variant: str = "full",
) -> float:
    """The fraction of the squared distance to the goal's centroid that is left, mean over exemplars."""
    centres = centroids(model, towards, [layer], variant)
    before, after = (squared_distances(model, x, centres, variant)[layer] for x in (clean, attacked))
    return float((after / before).mean())


def smallest_flip(eps: Sequence[float | int], states: Sequence[str], clean: str) -> float:
    """The smallest eps of a sweep whose verdict differs from the clean one; nan if none does.

    Raises ValueError for lists of different lengths.

    >>> smallest_flip([1.0, 2.0], ["important", "not significant"], "important")
    2.0
    """
    check_length("states", states, "eps", len(eps))
    flipped = [e for e, s in sorted(zip(eps, states, strict=True)) if s != clean]
    return float(flipped[0]) if flipped else float("nan")


def area(eps: Sequence[float | int], scores: Sequence[float | int]) -> float:
    """Area under score against eps, divided by the range of eps (trapezoids).

    Raises ValueError for lists of different lengths, and budgets that do not grow.

    >>> area([0.0, 1.0, 2.0], [1.0, 0.5, 0.0])
    0.5
    """
    check_length("scores", scores, "eps", len(eps))
    e, s = (torch.tensor(v, dtype=torch.float64, device="cpu") for v in (eps, scores))
    if len(e) < 2 or not bool((e.diff() > 0).all()):
        raise ValueError(f"eps must be two numbers or more, each larger than the one before, got {eps}")
    return float(torch.trapezoid(s, e) / (e[-1] - e[0]))
