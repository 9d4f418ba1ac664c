"""Infidelity: does the attribution predict how the classifier's score falls when the input is changed?

Yeh et al. (2019). An attribution A is good when I . A is near F(x) - F(x - I) for random changes I. Knows a
classifier only as what `robustxai.models.logits_of` takes, and attributions as tensors. Runs without gradients.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from robustxai.checks import as_target, check_batch, check_count, check_number, check_positive
from robustxai.eval_mode import check_calm
from robustxai.models import logits_of
from robustxai.shapes import Inputs, PerSample

from .faithfulness import Classifier, Targets
from .inputs import as_filling, as_floats, as_generator, wide
from .maps import nan_where, unusable
from .predictions import finite_scores

Perturb = Callable[[Tensor, torch.Generator], Tensor]


class Infidelity(NamedTuple):
    """`raw` (n,): mean of (I . A - dF)^2 over the changes, 0 is perfect. `scaled`: the same after A has been
    multiplied by its best factor `scale`. `null`: mean of dF^2, what an attribution of zeros has.

    `scaled` / `null` is the share of the falls that A does not explain, in [0, 1].

    >>> total = lambda x: torch.stack((x.sum(1), 0 * x[:, 0]), 1)
    >>> found = infidelity(total, torch.zeros(1, 3), torch.full((1, 3), 0.5), 0, score="logit")
    >>> found.scale.round(decimals=4), bool(found.scaled < 1e-6 < found.raw)
    (tensor([2.]), True)
    """

    raw: PerSample
    scaled: PerSample
    scale: PerSample
    null: PerSample


def gaussian_noise(sigma: float | int = 0.02) -> Perturb:
    """x + sigma * normal numbers, one draw for all samples. Raises ValueError unless sigma is above 0.

    >>> gaussian_noise(0.1)(torch.zeros(2, 3), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    """
    check_positive("sigma", sigma)
    return lambda x, g: x + sigma * torch.randn(x.shape[1:], generator=g, device=g.device).to(x)


def square_removal(share: float | int = 0.25, fill: float | int | Tensor = 0.0) -> Perturb:
    """A random square whose side is `share` of the shorter side becomes `fill`, the same for all samples.

    fill: a number or images that broadcast over x. With the baseline of the attribution as `fill` and as the
    `baseline` of `infidelity`, I is exactly 1 on the square and 0 elsewhere. Raises ValueError for a share outside
    (0, 1] and a fill that is not finite.

    >>> square_removal(0.5)(torch.ones(1, 1, 4, 4), torch.Generator().manual_seed(0)).sum()
    tensor(12.)
    """
    check_number("share", share, high=1.0, strict=True)
    if not isinstance(fill, Tensor):
        check_number("fill", fill, low=-math.inf)

    def remove(x: Tensor, g: torch.Generator) -> Tensor:
        side = max(1, round(share * min(x.shape[-2:])))
        top, left = (
            int(torch.randint(0, s - side + 1, (), generator=g, device=g.device)) for s in x.shape[-2:]
        )
        gone = torch.zeros(x.shape[-2:], dtype=torch.bool, device=x.device)
        gone[top : top + side, left : left + side] = True
        return torch.where(gone, as_filling("fill", fill, x), x)

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
    batch_size: int = 256,
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

    10 parameters, as published values differ in each of them.
    nan where the attribution, or a logit on the way, is not finite. Raises ValueError for attributions of another
    shape than `x`, no draws, a network with layers in training mode, or a target that is no class.

    >>> model = lambda x: torch.stack((x[:, 0] + 2 * x[:, 1], 0 * x[:, 0]), 1)
    >>> x, gradient = torch.rand(1, 2), torch.tensor([[1.0, 2.0]])
    >>> infidelity(model, x, gradient, 0, score="logit").raw.round(decimals=6)
    tensor([0.])
    """
    check_calm("model", model)
    check_batch("x", x)
    attribution = as_floats("attribution", attribution)
    if attribution.shape != x.shape:
        raise ValueError(
            f"attribution must have the shape of x, {tuple(x.shape)}, got shape {tuple(attribution.shape)}"
        )
    if perturb is not None and not callable(perturb):
        raise ValueError(f"perturb must be a callable perturb(x, generator), got {type(perturb).__name__}")
    check_count("draws", draws)
    g, change = as_generator(generator), gaussian_noise() if perturb is None else perturb
    parts = torch.arange(len(x), device=x.device).split(check_count("batch_size", batch_size))
    span = None if baseline is None else x - as_filling("baseline", baseline, x)
    clean = [logits_of(model, x[i]) for i in parts]
    t = as_target(target, torch.cat(clean))

    def value(logits: Iterable[Tensor]) -> Tensor:
        return wide(torch.cat([finite_scores(z, t[i], score) for z, i in zip(logits, parts, strict=True)]))

    whole, sums = value(clean), torch.zeros(4, len(x), dtype=torch.float64, device="cpu")
    for _ in range(draws):
        changed = _changed(change, x, g)
        taken = x - changed
        if span is not None:
            taken = taken / torch.where(span == 0, 1, span)
        told = wide((taken * attribution).flatten(1)).sum(1)
        fall = whole - value(logits_of(model, changed[i]) for i in parts)
        sums += torch.stack((told * told, told * fall, fall * fall, (told - fall).square()))
    told2, both, fall2, raw = sums / draws
    scale = torch.where(told2 > 0, both / torch.where(told2 > 0, told2, 1), 0)
    bad = unusable(attribution.flatten(1)).cpu() | unusable(sums.T)
    values = raw, (fall2 - scale * both).clamp_min(0), scale, fall2
    return Infidelity(*(nan_where(v, bad).to(x.dtype).to(x.device) for v in values))


def _changed(change: Perturb, x: Tensor, g: torch.Generator) -> Tensor:
    """One draw of changed inputs. Raises ValueError where `perturb` gives something else."""
    changed = change(x, g)
    if not isinstance(changed, Tensor) or changed.shape != x.shape:
        got = f"shape {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(f"perturb must give inputs of the shape of x, {tuple(x.shape)}, got {got}")
    return changed
