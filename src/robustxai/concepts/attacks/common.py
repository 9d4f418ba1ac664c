"""What every attack on exemplars shares: its budget, its projected gradient steps, what it returns (spec 4.1).

Knows nothing about concepts: an objective is any function of images that gives one number an image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robustxai.concepts.activations import check_images

Objective = Callable[[Tensor, Tensor], Tensor]
"""objective(images, rows) -> (n,), lower is better for the attacker; rows say which exemplars these are."""
LEVELS = 255


@dataclass(frozen=True)
class Perturbed:
    """Attacked exemplars on the uint8 grid, within eps of the clean ones in the largest norm.

    `x` (n, C, H, W) for one eps, (len(eps), n, C, H, W) for a sweep, in the order of `eps`. `clean` (n, C, H, W).
    `loss` (..., n), `clean_loss` (n,): the attack's objective after rounding, and before the attack.
    """

    x: Float[Tensor, "*sweep n channel height width"]
    clean: Float[Tensor, "n channel height width"]
    eps: float | tuple[float, ...]
    loss: Float[Tensor, "*sweep n"]
    clean_loss: Float[Tensor, " n"]

    @property
    def delta(self) -> Tensor:
        """x - clean."""
        return self.x - self.clean

    @property
    def linf(self) -> float:
        """The largest change of any pixel, in 255ths."""
        return float(self.delta.abs().max()) * LEVELS


def on_grid(x: Tensor) -> bool:
    """All pixels are multiples of 1/255 in [0, 1]."""
    levels = x * LEVELS
    return (
        bool(((levels - levels.round()).abs() < 1e-3).all()) and float(x.min()) >= 0 and float(x.max()) <= 1
    )


def stored(x: Tensor, clean: Tensor, eps: Tensor | float) -> Tensor:
    """`x` rounded to the uint8 grid and clamped to eps around `clean`, which is on it (step 3 of spec 4.1)."""
    centre = (clean * LEVELS).round()
    reach = torch.as_tensor(eps, dtype=x.dtype, device=x.device).mul(LEVELS).add(1e-4).floor()
    reach = reach.reshape(-1, *[1] * (x.ndim - 1)) if reach.ndim else reach
    levels = torch.minimum(torch.maximum((x * LEVELS).round(), centre - reach), centre + reach)
    return torch.where(levels == centre, clean, levels.clamp(0, LEVELS) / LEVELS)


def levels_of(eps: float | int | Sequence[float]) -> tuple[float, ...]:
    """The budgets of a sweep. Raises ValueError for none, and for one that is not from 0 to 1."""
    levels = tuple(map(float, eps)) if isinstance(eps, Sequence) else (float(eps),)
    if not levels or not all(0 <= e <= 1 for e in levels):
        raise ValueError(
            f"eps is {eps}; accepted are numbers from 0 to 1 (8/255 is usual), or a sequence of them"
        )
    return levels


def check(x: Tensor) -> None:
    """The public door's contract for exemplars: images on the uint8 grid."""
    check_images("x", x)
    if not on_grid(x):
        raise ValueError("x is not on the uint8 grid; accepted are pixels k/255, round the exemplars first")


def check_options(step: float | None, steps: int, start: str, chunk: int) -> None:
    """Raises ValueError for what no attack can run with."""
    if steps < 1 or start not in ("zero", "uniform"):
        raise ValueError(
            f"steps is {steps} and start {start!r}; accepted are 1 and more, 'zero' and 'uniform'"
        )
    if chunk < 1 or (step is not None and not step > 0):
        raise ValueError(f"chunk is {chunk} and step {step}; accepted are 1 and more, and numbers above 0")


class Attack:
    """The options that all attacks have.

    eps: budget in [0, 1] of the largest change of a pixel; step: of every iteration, a quarter of eps by default
    (2/255 for 8/255); steps: iterations; start: "zero", or "uniform" in the box; chunk: images at a time. Raises
    ValueError for options that are not accepted.
    """

    def __init__(
        self,
        *,
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 20,
        start: str = "zero",
        chunk: int = 128,
    ) -> None:
        levels_of(eps)
        check_options(step, steps, start, chunk)
        self.eps, self.step, self.steps, self.start, self.chunk = eps, step, steps, start, chunk

    def minimise(
        self,
        x: Float[Tensor, "n channel height width"],
        objective: Objective,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """`pgd` with these options; eps: another budget, or several."""
        return pgd(
            x, objective, eps=self.eps if eps is None else eps, step=self.step, steps=self.steps, start=self.start,
            chunk=self.chunk, generator=generator,
        )  # fmt: skip


def pgd(
    x: Float[Tensor, "n channel height width"],
    objective: Objective,
    *,
    eps: float | int | Sequence[float],
    step: float | None = None,
    steps: int = 20,
    start: str = "zero",
    chunk: int = 128,
    generator: torch.Generator | None = None,
) -> Perturbed:
    """Signed gradient steps inside the box, rounding at the end; a sweep of eps runs in the batch (spec 4.1).

    Options as in `Attack`.
    """
    check(x)
    check_options(step, steps, start, chunk)
    levels = levels_of(eps)
    n = len(x)
    which = torch.arange(n, device=x.device).repeat(len(levels))
    budget = torch.tensor(levels, dtype=x.dtype, device=x.device).repeat_interleave(n)
    found, losses = [], []
    for part in torch.arange(len(which), device=x.device).split(chunk):
        rows, e = which[part], budget[part].reshape(-1, 1, 1, 1)
        clean = x[rows]
        delta = torch.zeros_like(clean)
        if start == "uniform":
            device = generator.device if generator is not None else x.device
            u = torch.rand(clean.shape, generator=generator, device=device, dtype=x.dtype).to(x.device)
            delta = (clean + (2 * u - 1) * e).clamp(0, 1) - clean
        for _ in range(steps if float(e.max()) > 0 else 0):
            g = gradient(clean + delta, rows, objective)
            move = (e / 4 if step is None else step) * g.sign()
            delta = (clean + torch.minimum(torch.maximum(delta - move, -e), e)).clamp(0, 1) - clean
        moved = stored(clean + delta, clean, budget[part])
        found.append(moved)
        losses.append(values(moved, rows, objective))
    before = torch.cat([values(x[r], r, objective) for r in torch.arange(n, device=x.device).split(chunk)])
    return packed(torch.cat(found), x, eps, torch.cat(losses), before)


def packed(
    found: Tensor, clean: Tensor, eps: float | int | Sequence[float], loss: Tensor, before: Tensor
) -> Perturbed:
    """A result with a sweep axis where eps is a sequence."""
    if not isinstance(eps, Sequence):
        return Perturbed(found, clean, float(eps), loss, before)
    return Perturbed(
        found.reshape(len(eps), *clean.shape),
        clean,
        levels_of(eps),
        loss.reshape(len(eps), len(clean)),
        before,
    )


def gradient(images: Tensor, rows: Int64[Tensor, " n"], objective: Objective) -> Tensor:
    """The gradient of the summed objective with respect to the images; nothing else gets one."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = images.detach().requires_grad_()
        (g,) = torch.autograd.grad(objective(leaf, rows).sum(), leaf)
    return g


@torch.no_grad()
def values(images: Tensor, rows: Tensor, objective: Objective) -> Float[Tensor, " n"]:
    """The objective without a graph."""
    return objective(images, rows)
