"""The budget of an attack: norms, steepest steps, projections, ranges of valid inputs. Knows tensors only."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robustxai.checks import ROUNDING
from robustxai.shapes import Inputs

NORMS = ("l2", "linf-box", "linf")
"""With "l2", unit steps are projected onto the l2 ball. With "linf-box", unit l2 steps stay inside the box x +- eps,
the released form (its l2 path is no longer than steps * step). With "linf", sign steps stay inside the same box."""

Range = tuple[float, float]


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Values (n,) shaped so that they broadcast over the samples of `like` (n, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def unit(g: Inputs) -> Inputs:
    """Each sample divided by its l2 norm; zero stays zero. Scaled first, so that no gradient is too small."""
    top = g.flatten(1).abs().amax(1)
    g = g / per_sample(torch.where(top > 0, top, 1), g)
    norm = g.flatten(1).norm(dim=1)
    return g / per_sample(torch.where(norm > 0, norm, 1), g)


def steepest(g: Inputs, norm: str) -> Inputs:
    """The direction of steepest ascent of length 1 in the norm of the steps."""
    return g.sign() if norm == "linf" else unit(g)


def project(
    x: Inputs, centre: Inputs, eps: float, *, norm: str = "l2", clip: tuple[float, float] | None = None
) -> Inputs:
    """The nearest point to `x` in the ball of radius eps around `centre`, then inside the range `clip`.

    >>> project(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), 1.0)
    tensor([[0.6000, 0.8000]])
    """
    delta = x - centre
    if norm == "l2":
        length = delta.flatten(1).norm(dim=1)
        delta = delta * per_sample((eps / length.clamp_min(torch.finfo(x.dtype).tiny)).clamp_max(1), delta)
    else:
        delta = delta.clamp(-eps, eps)
    moved = centre + delta
    return moved if clip is None else moved.clamp(*clip)


def check_clip(clip: Sequence[Any] | None) -> Range | None:
    """A range (low, high) of valid inputs as floats, or None. Raises ValueError."""
    if clip is None:
        return None
    try:
        low, high = (float(v) for v in clip)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise ValueError(f"clip must be None or a pair (low, high) with low < high, got {clip!r}")
    return low, high


def check_inside(name: str, x: Tensor, clip: Range | None) -> None:
    """`x` lies in the range of valid inputs, up to what resizing leaves. Raises ValueError."""
    if clip is not None and not (clip[0] - ROUNDING <= x.min() and x.max() <= clip[1] + ROUNDING):
        raise ValueError(
            f"{name} must lie in clip={clip}, got numbers from {float(x.min()):.3g} to {float(x.max()):.3g}"
        )


def draw(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers in the shape, dtype and device of `like`; without a generator always the same ones."""
    g = torch.Generator().manual_seed(0) if generator is None else generator
    return torch.randn(like.shape, generator=g, device=g.device).to(like)
