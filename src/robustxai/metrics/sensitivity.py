"""Max-sensitivity: how far can a small change of the input move the explanation?

Yeh et al. (2019): max over the box |u| <= radius of ||A(x + u) - A(x)|| / ||A(x)||. A maximum over random
draws finds little of it in high dimensions, so there is a search by gradient beside it. Knows explainers only
as callables explain(x, target) -> attribution, signed or not, or as objects with `.attribute`, as Captum's.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import ROUNDING, check_batch, check_callable, check_count, check_number, check_positive
from robustxai.shapes import Guide, Inputs

from .explained import asking
from .inputs import as_generator
from .maps import nan_where, unusable
from .perturbation import derivative, in_box, per_sample

AnyExplainer = Any  # explain(x, target) -> attributions (n, ...), or an object with such an `.attribute`
Ask = Callable[[Tensor], Tensor]
Clip = tuple[float | int, float | int] | None


class Sensitivity(NamedTuple):
    """`value` (n,): the largest relative change of the explanation that was found. `x`: the input that has it.

    `value` is nan where it was not measured: see `max_sensitivity` and `optimised_sensitivity`.

    >>> value, x = max_sensitivity(lambda x, target: x**2, torch.ones(2, 3))
    >>> value.shape, x.shape
    (torch.Size([2]), torch.Size([2, 3]))
    """

    value: Float[Tensor, " n"]
    x: Inputs


def max_sensitivity(
    explain: AnyExplainer,
    x: Inputs,
    target: Any = None,
    *,
    radius: float | int = 0.02,
    draws: int = 10,
    clip: Clip = None,
    generator: torch.Generator | None = None,
) -> Sensitivity:
    """The largest of `draws` uniform changes in the box of half side `radius` (Captum's definition).

    `target` is handed to `explain`: give the class, else an explainer may answer for another one after the
    change. All samples share the draws, so that a batch changes nothing. clip: range that inputs are kept in.
    nan where the explanation of x is zero, or not finite there or at any draw. Raises ValueError for a radius not
    above 0, no draws, x that is empty, not finite or outside `clip`, a target that is not one class a sample, an
    explainer whose network is in training mode, and one that gives no attributions.

    >>> double = lambda x, target: 2 * x
    >>> bool(max_sensitivity(double, torch.ones(1, 4), radius=0.5).value <= 0.5)
    True
    """
    check_positive("radius", radius)
    check_count("draws", draws)
    low_high, g = _range(check_batch("x", x), clip), as_generator(generator)
    with torch.no_grad():
        ask = asking(explain, x, target)
        clean = ask(x)
        best = Sensitivity(x.new_zeros(len(x)), x)
        for _ in range(draws):
            u = (2 * torch.rand(x.shape[1:], generator=g, device=g.device) - 1).to(x)
            best = _better(best, ask, in_box(x + radius * u, x, radius, low_high), clean)
    return _judged(best, clean)


def optimised_sensitivity(
    explain: AnyExplainer,
    x: Inputs,
    target: Any = None,
    *,
    radius: float | int = 0.02,
    steps: int = 20,
    step: float | int | None = None,
    draws: int = 10,
    guide: Guide | None = None,
    clip: Clip = None,
    generator: torch.Generator | None = None,
) -> Sensitivity:
    """`max_sensitivity`, and from its best change on `steps` sign steps uphill: never below the random value.

    step: length of a step, default 2.5 * radius / steps. guide: from the current inputs to the explainer whose
    derivative is followed, where `explain` has none or a costly one (a frozen path, a smooth surrogate); what
    counts is `explain`. Other arguments and errors as in `max_sensitivity`; also a step count below 1. 10 parameters,
    as those of the random search and those of the gradient search are both there.

    A sample for which no step had a gradient to follow, because the attribution is detached or locally constant, was
    not attacked: its value is nan, and one warning says how many there are. `max_sensitivity` has its random value.

    >>> square = lambda x, target: x**2
    >>> x = torch.tensor([[1.0, 0.5]])
    >>> bool(optimised_sensitivity(square, x).value >= max_sensitivity(square, x).value)
    True
    """
    check_count("steps", steps)
    length = 2.5 * check_positive("radius", radius) / steps if step is None else check_positive("step", step)
    if guide is not None:
        check_callable("guide", guide)
    first = max_sensitivity(explain, x, target, radius=radius, draws=draws, clip=clip, generator=generator)
    with torch.no_grad():
        ask = asking(explain, x, target)
        clean = ask(x)
    best, current = Sensitivity(first.value, first.x), first.x
    followed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(steps):
        uphill = ask if guide is None else asking(guide(current), x, target, "guide")
        found = derivative(lambda v: (uphill(v) - clean).flatten(1).square().sum(1), current)  # noqa: B023
        followed |= found.followed
        with torch.no_grad():
            current = in_box(current + length * found.gradient.sign(), x, radius, clip)
            best = _better(best, ask, current, clean)
    found = _judged(best, clean)
    lost = ~followed & ~found.value.isnan()
    if lost.any():
        warnings.warn(
            f"explain has no gradient to follow for {int(lost.sum())} of {len(x)} samples, whose sensitivity is nan: "
            "give guide, an explainer that has one",
            stacklevel=2,
        )
    return Sensitivity(nan_where(found.value, lost), found.x)


def _range(x: Tensor, clip: Clip) -> Clip:
    """The clip as it is: None, or (low, high) around x."""
    if clip is None:
        return None
    try:
        low, high = (check_number("clip", end, low=-math.inf) for end in clip)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not low < high:
        raise ValueError(f"clip must be (low, high) with low < high or None, got {clip!r}")
    if x.min() < low - ROUNDING or x.max() > high + ROUNDING:
        raise ValueError(f"x must lie in clip, {clip}, got {float(x.min()):.3g} to {float(x.max()):.3g}")
    return clip


def _better(best: Sensitivity, ask: Ask, y: Tensor, clean: Tensor) -> Sensitivity:
    """The better of two; a value that is nan stays nan."""
    norm = clean.flatten(1).norm(dim=1)
    value = (ask(y) - clean).flatten(1).norm(dim=1) / torch.where(norm > 0, norm, 1)
    higher = (value > best.value) | ~value.isfinite()
    kept = value.masked_fill(~value.isfinite(), torch.nan).to(best.value)
    return Sensitivity(torch.where(higher, kept, best.value), torch.where(per_sample(higher, y), y, best.x))


def _judged(best: Sensitivity, clean: Tensor) -> Sensitivity:
    flat = clean.flatten(1)
    return Sensitivity(nan_where(best.value, (flat == 0).all(1) | unusable(flat)), best.x.detach())
