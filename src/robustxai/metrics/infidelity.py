"""Infidelity: does the attribution predict how the classifier's score falls when the input is changed?

Yeh et al. (2019). An attribution A is good when I . A is near F(x) - F(x - I) for random changes I. Knows a
classifier only as a callable from inputs to logits, and attributions as tensors. Runs without gradients.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .faithfulness import Classifier, Targets, check_mode, class_score, targets
from .maps import nan_where, unusable

Inputs = Float[Tensor, "n *sample"]
Scores = Float[Tensor, " n"]
Perturb = Callable[[Tensor, torch.Generator], Tensor]


class Infidelity(NamedTuple):
    """`raw` (n,): mean of (I . A - dF)^2 over the changes, 0 is perfect. `scaled`: the same after A has been
    multiplied by its best factor `scale`. `null`: mean of dF^2, what an attribution of zeros has.

    `scaled` / `null` is the share of the falls that A does not explain, in [0, 1].
    """

    raw: Scores
    scaled: Scores
    scale: Scores
    null: Scores


def gaussian_noise(sigma: float | int = 0.02) -> Perturb:
    """x + sigma * normal numbers, one draw for all samples."""
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; accepted are numbers above 0.")
    return lambda x, g: x + sigma * torch.randn(x.shape[1:], generator=g, device=g.device).to(x)


def square_removal(share: float | int = 0.25, fill: float | int | Tensor = 0.0) -> Perturb:
    """A random square whose side is `share` of the shorter side becomes `fill`, the same for all samples.

    fill: a number or images that broadcast over x. With the baseline of the attribution as `fill` and as the
    `baseline` of `infidelity`, I is exactly 1 on the square and 0 elsewhere.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; accepted are numbers above 0 and at most 1.")

    def remove(x: Tensor, g: torch.Generator) -> Tensor:
        side = max(1, round(share * min(x.shape[-2:])))
        top, left = (
            int(torch.randint(0, s - side + 1, (), generator=g, device=g.device)) for s in x.shape[-2:]
        )
        gone = torch.zeros(x.shape[-2:], dtype=torch.bool, device=x.device)
        gone[top : top + side, left : left + side] = True
        return torch.where(gone, torch.as_tensor(fill, dtype=x.dtype, device=x.device), x)

    return remove


@torch.no_grad()
def infidelity(
    model: Classifier,
    x: Inputs,
    attribution: Inputs,
    target: Targets = None,
    *,
    perturb: Perturb | None = None,
    baseline: float | int | Tensor | None = None,
    draws: int = 50,
    score: str = "prob",
    generator: torch.Generator | None = None,
    max_batch: int = 256,
) -> Infidelity:
    """Infidelity of signed attributions of the shape of `x` (Captum's definition), per sample.

    Args:
        target: explained class per sample, one class, or None for the class predicted on `x`.
        perturb: from (x, generator) to the changed x, see `gaussian_noise` (default) and `square_removal`.
        baseline: for attributions that contain the factor (x - baseline), such as Integrated Gradients: I is
            then the share of each feature that was taken away, (x - x_changed) / (x - baseline), where a zero
            denominator counts as 1. None for attributions per unit of the input, such as gradients: I is
            x - x_changed.
        draws: number of changes, the same for all samples and, with equal generators, for all methods.
        score: F is the "prob" or the "logit" of the target.

    nan where the attribution is not finite. Raises ValueError for attributions of another shape than `x`, no
    draws, a network in training mode, or a target that is no class.

    >>> model = lambda x: torch.stack((x[:, 0] + 2 * x[:, 1], 0 * x[:, 0]), 1)
    >>> x, gradient = torch.rand(1, 2), torch.tensor([[1.0, 2.0]])
    >>> infidelity(model, x, gradient, 0, score="logit").raw.round(decimals=6)
    tensor([0.])
    """
    check_mode(model)
    if attribution.shape != x.shape:
        raise ValueError(
            f"attribution has shape {tuple(attribution.shape)}; accepted is that of x, {tuple(x.shape)}."
        )
    if draws < 1:
        raise ValueError(f"draws is {draws}; accepted are whole numbers from 1.")
    g = torch.Generator().manual_seed(0) if generator is None else generator
    change = gaussian_noise() if perturb is None else perturb
    parts = torch.arange(len(x), device=x.device).split(max_batch)
    t = targets(model, x, target, max_batch)

    def value(images: Tensor) -> Tensor:
        return torch.cat([class_score(model, images[i], t[i], score) for i in parts]).double()

    span = None if baseline is None else x - torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
    whole, sums = value(x), torch.zeros(4, len(x), dtype=torch.float64, device=x.device)
    for _ in range(draws):
        changed = change(x, g)
        taken = x - changed
        if span is not None:
            taken = taken / torch.where(span == 0, 1, span)
        told = (taken * attribution).flatten(1).double().sum(1)
        fall = whole - value(changed)
        sums += torch.stack((told * told, told * fall, fall * fall, (told - fall).square()))
    told2, both, fall2, raw = sums / draws
    scale = torch.where(told2 > 0, both / torch.where(told2 > 0, told2, 1), 0)
    bad = unusable(attribution.flatten(1))
    values = raw, (fall2 - scale * both).clamp_min(0), scale, fall2
    return Infidelity(*(nan_where(v.to(x.dtype), bad) for v in values))
