"""A small distance does not mean the same top k (the abstract's Fig. 1), built instead of searched for.

From any map two others are made: `close`, nearer in l_p, with the features at the border of the top k exchanged;
and `far`, further away, with the top k (nearly) untouched. Pure arithmetic: knows nothing about networks.
"""

import math
from typing import NamedTuple, SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from robustxai.checks import check_count, check_k, check_number, check_positive, check_sequence
from robustxai.ranking.checks import check_matrix
from robustxai.ranking.gaps import ScoreRows
from robustxai.ranking.stability import precision_at_k
from robustxai.shapes import PerSample


class Counterexample(NamedTuple):
    """Two maps (n, d) with their l_p distances to the original and their P@k against it, each (n,).

    >>> lp_counterexample(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), k=2).close_precision
    tensor([0.5000])
    """

    close: ScoreRows
    far: ScoreRows
    close_distance: PerSample
    far_distance: PerSample
    close_precision: PerSample
    far_precision: PerSample


def lp_counterexample(
    scores: ScoreRows,
    *,
    k: SupportsIndex,
    p: SupportsFloat = 2,
    swaps: tuple[SupportsIndex, SupportsIndex] = (1, 0),
    ratio: SupportsFloat = 1.5,
) -> Counterexample:
    """Maps such that the one nearer to `scores` in l_p has the worse top k (abstract, Fig. 1).

    Args:
        scores: non-negative maps (n, d) without ties around rank k.
        k: size of the top set.
        p: of the norm, 1 or more, or inf.
        swaps: how many of the top k `close` and `far` lose; (1, 0) with k = 3 gives 67% against 100%.
        ratio: how many times further away `far` is, above 1. Its top k grow by one factor, which changes no rank
            within them.

    Raises ValueError for k, p, swaps or ratio out of range, and where ties leave no order to exchange.

    >>> c = lp_counterexample(torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]), k=3)
    >>> bool(c.close_distance < c.far_distance), c.close_precision, c.far_precision
    (True, tensor([0.6667]), tensor([1.]))
    """
    d = check_matrix("scores", scores).shape[1]
    k, norm = check_k(k, d), math.inf if p == math.inf else check_number("p", p, low=1.0)
    if not check_positive("ratio", ratio) > 1:
        raise ValueError(f"ratio must be a number > 1, got {ratio}")
    check_sequence("swaps", swaps, "numbers", least=2)
    if len(swaps) != 2:
        raise ValueError(f"swaps must be two numbers, got {swaps}")
    lost, kept = (check_count("swaps", n, 0) for n in swaps)
    if not 0 <= kept < lost <= min(k, d - k):
        raise ValueError(
            f"swaps must be two numbers, the first at most {min(k, d - k)}, the second smaller, got {swaps}"
        )
    if not torch.isfinite(scores).all() or (scores < 0).any():
        raise ValueError("scores must be finite numbers >= 0, got negative or non-finite values")
    order = scores.argsort(dim=1, descending=True, stable=True)
    close = exchanged(scores, order, k, lost)
    distance = (close - scores).norm(p=norm, dim=1)
    if ((precision_at_k(scores, close, k) * k).round() != k - lost).any():
        raise ValueError("scores must have no ties around rank k, got some, so there is no order to exchange")
    base = exchanged(scores, order, k, kept)
    far = _stretched(base, scores, order[:, :k], float(ratio) * distance, norm)
    return Counterexample(
        close, far, distance, (far - scores).norm(p=norm, dim=1), precision_at_k(scores, close, k),
        precision_at_k(scores, far, k),
    )  # fmt: skip


def exchanged(scores: ScoreRows, order: Tensor, k: int, m: int) -> ScoreRows:
    """The map with ranks k-m+1..k put just below, and ranks k+1..k+m just above, their common mean."""
    if m == 0:
        return scores.clone()
    border = order[:, k - m : k + m]
    values = scores.gather(1, border)
    level = values.mean(1, keepdim=True)
    nudge = 1e-3 * (values.amax(1, keepdim=True) - values.amin(1, keepdim=True))
    side = torch.cat((-nudge.expand(-1, m), nudge.expand(-1, m)), 1)
    return scores.scatter(1, border, level + side)


def _stretched(base: Tensor, scores: Tensor, top: Tensor, distance: Tensor, p: float) -> Tensor:
    """`base` with the clean top features (those still on top) scaled up until it is `distance` from `scores`."""
    still = torch.zeros_like(base).scatter(1, top, 1.0)
    still = still * torch.zeros_like(base).scatter(1, base.topk(top.shape[1]).indices, 1.0)
    grow = base * still
    low, high = torch.zeros_like(distance), torch.ones_like(distance)
    away = lambda c: (base + c[:, None] * grow - scores).norm(p=p, dim=1)  # noqa: E731
    while (away(high) < distance).any():
        high = torch.where(away(high) < distance, 2 * high, high)
    for _ in range(60):
        middle = (low + high) / 2
        below = away(middle) < distance
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return base + high[:, None] * grow
