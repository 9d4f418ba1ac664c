"""What every attack on exemplars shares: its budget, its projected gradient steps, what it returns (spec 4.1).

Knows nothing about concepts: an objective is any function of images that gives one number an image. The loop is not the
descent of `robustxai.attacks`: there is no explainer and no prediction to keep, a sweep of budgets runs in one batch,
and the last iterate is stored as bytes, whatever the losses on the way.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.attacks.budget import Budget
from robustxai.checks import ROUNDING, check_count, check_generator, check_images, check_name, check_positive
from robustxai.metrics.perturbation import derivative

RowObjective = Callable[[Tensor, Tensor], Tensor]
"""objective(images, rows) -> (n,), lower is better for the attacker; rows say which exemplars these are."""
LEVELS = 255
STARTS = ("zero", "uniform")


@dataclass(frozen=True)
class Perturbed:
    """Attacked exemplars on the uint8 grid, within eps of the clean ones in the largest norm.

    `x` (n, C, H, W) for one eps, (len(eps), n, C, H, W) for a sweep, in the order of `eps`. `clean` (n, C, H, W).
    `loss` (..., n), `clean_loss` (n,): the attack's objective after rounding, and before the attack. `followed`
    (..., n): whether some gradient on the way was finite and not zero; where it is False nothing was attacked, which
    says nothing about robustness.

    >>> grey = torch.full((1, 3, 2, 2), 100 / 255)
    >>> p = pgd(grey, lambda images, rows: images.flatten(1).sum(1), eps=8 / 255)
    >>> round(p.linf), bool(p.followed.all()), round(255 * float(p.delta.mean()))
    (8, True, -8)
    """

    x: Float[Tensor, "*sweep n channel height width"]
    clean: Float[Tensor, "n channel height width"]
    eps: float | tuple[float, ...]
    loss: Float[Tensor, "*sweep n"]
    clean_loss: Float[Tensor, " n"]
    followed: Bool[Tensor, "*sweep n"]

    @property
    def delta(self) -> Tensor:
        """x - clean."""
        return self.x - self.clean

    @property
    def budget(self) -> Budget | tuple[Budget, ...]:
        """What the change stays in; one for each eps of a sweep."""
        return tuple(map(in_bytes, self.eps)) if isinstance(self.eps, tuple) else in_bytes(self.eps)

    @property
    def linf(self) -> float:
        """The largest change of any pixel, in 255ths."""
        return float(self.delta.abs().max()) * LEVELS


def on_grid(x: Tensor) -> bool:
    """All pixels are multiples of 1/255 in [0, 1], up to rounding."""
    levels = x * LEVELS
    low, high = map(float, x.aminmax())
    near = bool(((levels - levels.round()).abs() < 1e-3).all())
    return near and low >= -ROUNDING and high <= 1 + ROUNDING


def in_bytes(eps: float | tuple[float, ...]) -> Budget:
    """The budget of stored images: a box in [0, 1], on the uint8 grid (step 3 of spec 4.1)."""
    return Budget(eps, grid=LEVELS)


def swept(eps: Any) -> bool:
    """Whether `eps` is several budgets and not one."""
    return isinstance(eps, Sequence) or (isinstance(eps, (np.ndarray, Tensor)) and eps.ndim > 0)


def levels_of(eps: float | int | Sequence[float]) -> tuple[float, ...]:
    """The budgets of a sweep. Raises ValueError for none, and for one that is not from 0 to 1."""
    try:
        levels = tuple(map(float, eps if swept(eps) and not isinstance(eps, str) else (eps,)))  # pyright: ignore
    except (TypeError, ValueError):
        levels = ()
    if not levels or not all(0 <= e <= 1 for e in levels) or isinstance(eps, (bool, str)):
        raise ValueError(
            f"eps must be a number in [0, 1] (8/255 is usual), or a sequence of them, got {eps!r:.40}"
        )
    return levels


def level_of(eps: float | int) -> float:
    """One budget. Raises ValueError for another number, and for several."""
    if swept(eps):
        raise ValueError(f"eps must be one number in [0, 1] (8/255 is usual), got {eps!r:.40}")
    return levels_of(eps)[0]


def check_exemplars(x: Tensor) -> None:
    """What every attack takes for exemplars: images on the uint8 grid. Raises ValueError."""
    check_images("x", x)
    if not on_grid(x):
        raise ValueError(
            "x must be pixels k/255, got some that are not on the uint8 grid: round the exemplars first"
        )


def check_attack_options(step: float | None, steps: int, start: str, batch_size: int) -> tuple[int, int]:
    """`steps` and `batch_size` as integers. Raises ValueError for what no attack can run with."""
    check_name("start", start, STARTS)
    if step is not None:
        check_positive("step", step)
    return check_count("steps", steps), check_count("batch_size", batch_size)


class ExemplarAttack:
    """The options that all attacks have.

    eps: budget in [0, 1] of the largest change of a pixel; step: of every iteration, a quarter of eps by default
    (2/255 for 8/255); steps: iterations; start: "zero", or "uniform" in the box; batch_size: images at a time. Raises
    ValueError for options that are not accepted.
    """

    def __init__(
        self,
        *,
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 20,
        start: str = "zero",
        batch_size: int = 128,
    ) -> None:
        levels_of(eps)
        self.steps, self.batch_size = check_attack_options(step, steps, start, batch_size)
        self.eps, self.step, self.start = eps, step, start

    def minimise(
        self,
        x: Float[Tensor, "n channel height width"],
        objective: RowObjective,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """`pgd` with these options; eps: another budget, or several."""
        return pgd(
            x, objective, eps=self.eps if eps is None else eps, step=self.step, steps=self.steps, start=self.start,
            batch_size=self.batch_size, generator=generator,
        )  # fmt: skip


def pgd(
    x: Float[Tensor, "n channel height width"],
    objective: RowObjective,
    *,
    eps: float | int | Sequence[float],
    step: float | None = None,
    steps: int = 20,
    start: str = "zero",
    batch_size: int = 128,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Signed gradient steps inside the box, rounding at the end; a sweep of eps runs in the batch (spec 4.1).

    Options as in `ExemplarAttack`. Warns where the objective has no gradient at all: then nothing was attacked.
    """
    check_exemplars(x)
    check_generator("generator", generator)
    steps, batch_size = check_attack_options(step, steps, start, batch_size)
    x, levels = x.detach(), levels_of(eps)
    n = len(x)
    which = torch.arange(n, device=x.device).repeat(len(levels))
    radius = torch.tensor(levels, dtype=x.dtype, device=x.device).repeat_interleave(n)
    found, losses, followed = [], [], []
    for part in torch.arange(len(which), device=x.device).split(batch_size):
        rows, e = which[part], radius[part].reshape(-1, 1, 1, 1)
        clean, budget = x[rows], in_bytes(tuple(radius[part].tolist()))
        delta = torch.zeros_like(clean)
        if start == "uniform":
            device = generator.device if generator is not None else x.device
            u = torch.rand(clean.shape, generator=generator, device=device, dtype=x.dtype).to(x.device)
            delta = (clean + (2 * u - 1) * e).clamp(0, 1) - clean
        led = torch.zeros(len(part), dtype=torch.bool, device=x.device)
        for _ in range(steps if float(e.max()) > 0 else 0):
            g = derivative(lambda v: objective(v, rows), clean + delta)  # noqa: B023
            led |= g.followed
            move = (e / 4 if step is None else step) * budget.steepest(g.gradient)
            delta = (clean + budget.within(delta - move)).clamp(0, 1) - clean
        moved = budget.project(clean + delta, clean)
        found.append(moved)
        losses.append(values(moved, rows, objective))
        followed.append(led & (radius[part] > 0))
    before = torch.cat(
        [values(x[r], r, objective) for r in torch.arange(n, device=x.device).split(batch_size)]
    )
    led = torch.cat(followed)
    warn_unled(led, levels)
    return packed(torch.cat(found), x, eps, torch.cat(losses), before, led)


def warn_unled(led: Tensor, levels: Sequence[float]) -> None:
    """Warns where a budget was given and no gradient led anywhere."""
    if max(levels) > 0 and not bool(led.any()):
        warnings.warn(
            "the attack's objective has no gradient to the exemplars, so nothing was attacked and `followed` is False: "
            "the model detaches the layer, runs it under torch.no_grad(), or is constant here",
            stacklevel=4,
        )


def packed(
    found: Tensor,
    clean: Tensor,
    eps: float | int | Sequence[float],
    loss: Tensor,
    before: Tensor,
    followed: Tensor,
) -> Perturbed:
    """A result with a sweep axis where eps is a sequence."""
    levels = levels_of(eps)
    if not swept(eps):
        return Perturbed(found, clean, levels[0], loss, before, followed)
    size = (len(levels), len(clean))
    return Perturbed(
        found.reshape(len(levels), *clean.shape), clean, levels, loss.reshape(size), before, followed.reshape(size)
    )  # fmt: skip


@torch.no_grad()
def values(images: Tensor, rows: Tensor, objective: RowObjective) -> Float[Tensor, " n"]:
    """The objective without a graph."""
    return objective(images, rows)
