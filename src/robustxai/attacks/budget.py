"""The budget of an attack: how far an input may move, in which norm, inside which range, on which grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.checks import ROUNDING, check_count, check_name, check_number
from robustxai.metrics.perturbation import in_box, per_sample, unit
from robustxai.shapes import Inputs, PerSample

NORMS = ("l2", "linf-box", "linf")
"""With "l2", unit steps are projected onto the l2 ball. With "linf-box", unit l2 steps stay inside the box x +- eps,
the released form (its l2 path is no longer than steps * step). With "linf", sign steps stay inside the same box."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Budget:
    """How far an attack may move an input.

    eps: radius in units of the input, 0 or more; a tuple has one for each sample of a batch, None is no bound.
    norm: one of `NORMS`. clip: range of valid inputs, None for no range. grid: stored images are multiples of 1 / grid,
    255 for bytes, in [0, 1]; the clean ones are on it. Raises ValueError for other values.

    >>> budget = Budget(8 / 255, grid=255)
    >>> budget, budget.project(torch.full((1, 1), 0.6), torch.full((1, 1), 100 / 255)).mul(255)
    (Budget(eps=0.03137254901960784, norm='linf', clip=(0.0, 1.0), grid=255), tensor([[108.]]))
    """

    eps: float | int | tuple[float, ...] | None = None
    norm: str = "linf"
    clip: tuple[float | int, float | int] | None = (0, 1)
    grid: int | None = None

    def __post_init__(self) -> None:
        for e in self.eps if isinstance(self.eps, tuple) else () if self.eps is None else (self.eps,):
            check_number("eps", e)
        check_name("norm", self.norm, NORMS)
        object.__setattr__(self, "clip", check_clip(self.clip))
        if self.grid is not None:
            check_count("grid", self.grid)
            if self.eps is None or self.norm == "l2" or self.clip != (0, 1):
                raise ValueError(f"grid must be None without a box in [0, 1], got {self.grid}")

    def __str__(self) -> str:
        if self.eps is None:
            return "no bound"
        return f"{'an eps a sample' if isinstance(self.eps, tuple) else f'{self.eps:.3g}'} in {self.norm}"

    def within(self, change: Inputs) -> Inputs:
        """The nearest change that is no larger than eps, whatever input it is added to."""
        eps = self._radius(change)
        if eps is None:
            return change
        if self.norm != "l2":
            return change.clamp(-per_sample(eps, change), per_sample(eps, change))
        length = change.flatten(1).norm(dim=1).clamp_min(torch.finfo(change.dtype).tiny)
        return change * per_sample((length.reciprocal() * eps).clamp_max(1), change)

    def project(self, x: Inputs, clean: Inputs) -> Inputs:
        """The nearest point to `x` in the ball around `clean`, then inside the range, or on the grid.

        >>> Budget(1.0, "l2", clip=None).project(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        tensor([[0.6000, 0.8000]])
        """
        eps = self._radius(x)
        if self.grid is not None and eps is not None:
            return self._stored(x, clean, eps, self.grid)
        if eps is not None and self.norm != "l2":
            return in_box(x, clean, per_sample(eps, x), self.clip)
        x = x if eps is None else clean + self.within(x - clean)
        return x if self.clip is None else x.clamp(*self.clip)

    def steepest(self, g: Inputs) -> Inputs:
        """The direction of steepest ascent of length 1 in the norm of the steps."""
        return g.sign() if self.norm == "linf" else unit(g)

    def reach(self, g: Inputs) -> PerSample:
        """By how much a loss with gradient g changes, to first order, if all of the budget is spent on it."""
        eps = self._radius(g)
        top = g.flatten(1).abs().amax(1)  # scaled first: the square of a small gradient is zero
        scaled = g.flatten(1) / torch.where(top > 0, top, 1)[:, None]
        norm = scaled.norm(p=1 if self.norm == "linf" else 2, dim=1)
        return torch.full_like(top, torch.inf) if eps is None else eps * top * norm

    def contains(self, x: Inputs, clean: Inputs) -> Bool[Tensor, " n"]:
        """Which samples are inside, up to rounding."""
        rows = x.flatten(1)
        off = 1e-5 * clean.flatten(1).abs().amax(1).clamp_min(1)
        good = torch.ones_like(off, dtype=torch.bool)
        if (eps := self._radius(x)) is not None:
            change = rows - clean.flatten(1)
            good &= (change.norm(dim=1) if self.norm == "l2" else change.abs().amax(1)) <= eps + off
        if self.clip is not None:
            good &= ((rows >= self.clip[0] - ROUNDING) & (rows <= self.clip[1] + ROUNDING)).all(1)
        if self.grid is not None:
            levels = rows * self.grid
            good &= ((levels - levels.round()).abs() < 1e-3).all(1)
        return good

    def _radius(self, like: Tensor) -> Tensor | None:
        if self.eps is None:
            return None
        return torch.as_tensor(self.eps, dtype=like.dtype, device=like.device)

    def _stored(self, x: Inputs, clean: Inputs, eps: Tensor, grid: int) -> Inputs:
        """`x` on the grid, and inside the box: where it is on the level of `clean`, bit for bit `clean`."""
        centre = (clean * grid).round()
        reach = per_sample(eps.mul(grid).add(1e-4).floor(), x)
        levels = torch.minimum(torch.maximum((x * grid).round(), centre - reach), centre + reach)
        return torch.where(levels == centre, clean, levels.clamp(0, grid) / grid)


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


def draw(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers in the shape, dtype and device of `like`; without a generator always the same ones."""
    g = torch.Generator().manual_seed(0) if generator is None else generator
    return torch.randn(like.shape, generator=g, device=g.device).to(like)
