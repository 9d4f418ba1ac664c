"""Max-sensitivity: how far can a small change of the input move the explanation?

Yeh et al. (2019): max over the box |u| <= radius of ||A(x + u) - A(x)|| / ||A(x)||. A maximum over random
draws finds little of it in high dimensions, so there is a search by gradient beside it. Knows explainers only
as callables explain(x, target) -> attribution.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .maps import nan_where, unusable

Inputs = Float[Tensor, "n *sample"]
Target = Int[Tensor, " n"] | int | None
Explain = Callable[..., Tensor]
Guide = Callable[[Tensor], Explain]
Range = tuple[float | int, float | int] | None


class Sensitivity(NamedTuple):
    """`value` (n,): the largest relative change of the explanation that was found. `x`: the input that has it."""

    value: Float[Tensor, " n"]
    x: Inputs


def max_sensitivity(
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    radius: float | int = 0.02,
    draws: int = 10,
    clip: Range = None,
    generator: torch.Generator | None = None,
) -> Sensitivity:
    """The largest of `draws` uniform changes in the box of half side `radius` (Captum's definition).

    `target` is handed to `explain`: give the class, else an explainer may answer for another one after the
    change. All samples share the draws, so that a batch changes nothing. clip: range that inputs are kept in.
    nan where the explanation of x is zero or not finite. Raises ValueError for a radius not above 0, no draws.

    >>> double = lambda x, target: 2 * x
    >>> bool(max_sensitivity(double, torch.ones(1, 4), radius=0.5).value <= 0.5)
    True
    """
    if not radius > 0 or draws < 1:
        raise ValueError(f"radius and draws are {radius} and {draws}; accepted are above 0 and 1 or more.")
    g = torch.Generator().manual_seed(0) if generator is None else generator
    with torch.no_grad():
        clean = explain(x, target)
        best = Sensitivity(x.new_zeros(len(x)), x)
        for _ in range(draws):
            u = (2 * torch.rand(x.shape[1:], generator=g, device=g.device) - 1).to(x)
            best = _better(best, explain, _inside(x + radius * u, x, radius, clip), target, clean)
    return _judged(best, clean)


def optimised_sensitivity(
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    radius: float | int = 0.02,
    steps: int = 20,
    step: float | int | None = None,
    draws: int = 10,
    guide: Guide | None = None,
    clip: Range = None,
    generator: torch.Generator | None = None,
) -> Sensitivity:
    """`max_sensitivity`, and from its best change on `steps` sign steps uphill: never below the random value.

    step: length of a step, default 2.5 * radius / steps. guide: from the current inputs to the explainer whose
    derivative is followed, where `explain` has none or a costly one (a frozen path, a smooth surrogate); what
    counts is `explain`. Other arguments and errors as in `max_sensitivity`; also a step count below 1.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; accepted are whole numbers from 1.")
    first = max_sensitivity(explain, x, target, radius=radius, draws=draws, clip=clip, generator=generator)
    with torch.no_grad():
        clean = explain(x, target)
    length = 2.5 * radius / steps if step is None else step
    best, current = Sensitivity(first.value.nan_to_num(0), first.x), first.x
    for _ in range(steps):
        followed = explain if guide is None else guide(current)
        with torch.inference_mode(False), torch.enable_grad():
            v = current.detach().clone().requires_grad_()
            far = (followed(v, target) - clean).flatten(1).square().sum(1)
            gradient = torch.autograd.grad(far.sum(), v)[0]
        with torch.no_grad():
            current = _inside(current + length * gradient.nan_to_num(0).sign(), x, radius, clip)
            best = _better(best, explain, current, target, clean)
    return _judged(best, clean)


def _inside(y: Tensor, x: Tensor, radius: float | int, clip: Range) -> Tensor:
    y = torch.clamp(y, x - radius, x + radius)
    return y if clip is None else y.clamp(*clip)


def _better(best: Sensitivity, explain: Explain, y: Tensor, target: Target, clean: Tensor) -> Sensitivity:
    norm = clean.flatten(1).norm(dim=1)
    value = (explain(y, target) - clean).flatten(1).norm(dim=1) / torch.where(norm > 0, norm, 1)
    higher = value > best.value
    rows = higher.view(-1, *[1] * (y.ndim - 1))
    return Sensitivity(torch.where(higher, value.to(best.value), best.value), torch.where(rows, y, best.x))


def _judged(best: Sensitivity, clean: Tensor) -> Sensitivity:
    flat = clean.flatten(1)
    return Sensitivity(nan_where(best.value, (flat == 0).all(1) | unusable(flat)), best.x.detach())
