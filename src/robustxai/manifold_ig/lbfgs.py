"""L-BFGS for many small problems in one batch: independent states, one batched evaluation for all.

A row that has converged leaves the batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
ARMIJO = 1e-4
SMALLEST_CUT, LARGEST_CUT = 0.1, 0.5
EQUAL_WITHIN = 2e-7  # values closer than this share of themselves count as equal in the line search


class Minimum(NamedTuple):
    """Best point and value of each row, what was best after each evaluation, and how it ended.

    converged: the value fell by less than the tolerance over the window. finite: no value or gradient that
    was met was NaN or infinite.
    """

    x: Float[Tensor, "n d"]
    value: Float[Tensor, " n"]
    trace: Float[Tensor, "evaluations n"]
    converged: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]


def lbfgs_direction(
    gradient: Float[Tensor, "n d"], steps: Float[Tensor, "m n d"], changes: Float[Tensor, "m n d"]
) -> Float[Tensor, "n d"]:
    """The two-loop recursion for every row; pairs (step, change of gradient), newest last, unused ones 0."""
    dots = (steps * changes).sum(2)
    rho = torch.where(dots > 0, 1 / torch.where(dots > 0, dots, 1), 0)
    q, alphas = -gradient, []
    for s, y, r in zip(reversed(steps), reversed(changes), reversed(rho), strict=True):
        alphas.append(r * (s * q).sum(1))
        q = q - alphas[-1][:, None] * y
    square = changes[-1].square().sum(1)
    q = q * torch.where(square > 0, dots[-1] / torch.where(square > 0, square, 1), 1)[:, None]
    for s, y, r, a in zip(steps, changes, rho, reversed(alphas), strict=True):
        q = q + (a - r * (y * q).sum(1))[:, None] * s
    return q


def minimise(
    evaluate: Evaluate,
    x: Float[Tensor, "n d"],
    *,
    evaluations: int,
    first_step: Float[Tensor, " n"],
    history: int = 20,
    tolerance: float | int = 1e-4,
    window: int = 5,
) -> Minimum:
    """Minimise each row of `x`: `evaluate(x, rows)` gives values (k,) and gradients (k, d) of the rows (k,).

    evaluations: budget after the first one at `x`. first_step: how far each row goes, at first, against its
    gradient. A row stops when its best value fell by less than `tolerance` (relative) over `window`
    evaluations. A trial that is not finite, or does not go down enough, shortens the row's step.
    """
    rows = torch.arange(len(x), device=x.device)
    f, g = evaluate(x, rows)
    finite = f.isfinite() & g.isfinite().all(1)
    best_x, best, trace = x.clone(), f.clone(), [f.clone()]
    steps, changes = (x.new_zeros(min(history, evaluations), *x.shape) for _ in range(2))
    start = -g * (first_step / g.norm(dim=1).clamp_min(torch.finfo(g.dtype).tiny))[:, None]
    still = g.abs().amax(1) == 0
    p, length = start, torch.ones_like(f)
    active, converged = finite & ~still, finite & still
    for _ in range(evaluations):
        rows = active.nonzero()[:, 0]
        if len(rows) == 0:
            break
        trial = x[rows] + length[rows, None] * p[rows]
        value, gradient = evaluate(trial, rows)
        good = value.isfinite() & gradient.isfinite().all(1)
        finite[rows[~good]] = False
        slope = length[rows] * (g[rows] * p[rows]).sum(1)
        enough = good & (value <= f[rows] + ARMIJO * slope + EQUAL_WITHIN * f[rows].abs())
        taken, kept = rows[enough], rows[~enough]
        cut = -0.5 * slope / (value - f[rows] - slope).clamp_min(torch.finfo(f.dtype).tiny)
        cut = cut.nan_to_num(SMALLEST_CUT).clamp(SMALLEST_CUT, LARGEST_CUT)
        length[kept] = length[kept] * cut[~enough]
        if len(taken):
            s, y = trial[enough] - x[taken], gradient[enough] - g[taken]
            curved = (s * y).sum(1) > 1e-10 * s.norm(dim=1) * y.norm(dim=1)
            update = taken[curved]
            steps[:, update] = torch.cat((steps[1:, update], s[curved][None]))
            changes[:, update] = torch.cat((changes[1:, update], y[curved][None]))
            x = x.index_copy(0, taken, trial[enough])
            f[taken], g[taken] = value[enough], gradient[enough]
            better = taken[f[taken] < best[taken]]
            best[better], best_x[better] = f[better], x[better]
            ahead = lbfgs_direction(g[taken], steps[:, taken], changes[:, taken])
            downhill = (ahead * g[taken]).sum(1) < 0
            known = steps[-1, taken].abs().amax(1) > 0
            longer = 2 * (s.norm(dim=1) / g[taken].norm(dim=1).clamp_min(torch.finfo(g.dtype).tiny))
            p[taken] = torch.where((known & downhill)[:, None], ahead, -longer[:, None] * g[taken])
            length[taken] = 1.0
        trace.append(best.clone())
        if len(trace) > window:
            stalled = trace[-1 - window] - best <= tolerance * best.abs()
            converged |= active & stalled
            active &= ~converged
    return Minimum(best_x, best, torch.stack(trace), converged, finite)
