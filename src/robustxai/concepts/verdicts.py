"""From the scores of many CAVs to a verdict: two tests against random CAVs, and correction for their number.

Knows nothing about networks or concepts.
"""

import functools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

CORRECTIONS = ("holm", "bonferroni", "none")
STATES = ("important", "anti-important", "not significant")
PERMUTATIONS = 9999


def t_test(a: Float[Tensor, " n"], b: Float[Tensor, " m"]) -> float:
    """Two-sided p of Student's t test with equal variances; nan where both samples are constant.

    >>> round(t_test(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])), 3)
    0.768
    """
    x, y = a.double(), b.double()
    free = len(x) + len(y) - 2
    within = float((x - x.mean()).square().sum() + (y - y.mean()).square().sum())
    if within < 1e-15 or free < 1:
        return math.nan
    t = float(x.mean() - y.mean()) / math.sqrt(within / free * (1 / len(x) + 1 / len(y)))
    return float(2 * student.sf(abs(t), free))


def permutation_test(
    a: Float[Tensor, " n"], b: Float[Tensor, " m"], *, resamples: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Two-sided p of the difference of means under random relabelling; at least 1 / (resamples + 1)."""
    both = torch.cat((a, b)).double().cpu()
    first = _relabelled(len(a), len(b), resamples, seed) @ both
    total = both.sum()
    difference = (first / len(a) - (total - first) / len(b)).abs()
    seen = (a.double().mean() - b.double().mean()).abs().cpu()
    return (1 + int((difference >= seen - 1e-12).sum())) / (1 + resamples)


@functools.lru_cache(maxsize=8)
def _relabelled(n: int, m: int, resamples: int, seed: int) -> Tensor:
    """Which of n + m values are the first sample, in every resample: rows of n ones and m zeros."""
    keys = torch.rand(resamples, n + m, generator=torch.Generator().manual_seed(seed))
    return torch.zeros(resamples, n + m, dtype=torch.float64).scatter_(1, keys.topk(n, 1).indices, 1.0)


def set_means(scores: Float[Tensor, " pairs"], *, total: float = 1.0) -> Float[Tensor, " sets"]:
    """Mean score of each random set as if it were a concept, from the scores of all pairs i < j in order.

    Uses score(j, i) = total - score(i, j): total is 1 for sign scores and 0 for magnitudes.
    """
    count = round((1 + math.sqrt(1 + 8 * len(scores))) / 2)
    first, second = torch.triu_indices(count, count, 1)
    table = torch.zeros(count, count, dtype=scores.dtype)
    table[first, second] = scores.cpu()
    table[second, first] = total - scores.cpu()
    return table.sum(1) / (count - 1)


def set_test(mean: float, null: Float[Tensor, " sets"]) -> float:
    """Two-sided p of one more value among `null` (normal, unknown variance): a concept's mean among random sets'.

    The CAVs of a concept share its exemplars, so their scores are no independent sample; its set is one draw.
    """
    x = null.double()
    n = len(x)
    spread = float(x.std())
    if n < 3 or spread < 1e-9:
        return math.nan
    t = (mean - float(x.mean())) / (spread * math.sqrt(1 + 1 / n))
    return float(2 * student.sf(abs(t), n - 1))


def corrected(p: Sequence[float], method: str = "holm") -> list[float]:
    """p values adjusted for their number; nan stays nan and is not counted.

    >>> [round(p, 2) for p in corrected([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    if method not in CORRECTIONS:
        raise ValueError(f"correction is {method!r}; accepted are {', '.join(CORRECTIONS)}")
    known = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    out, largest = list(p), 0.0
    for rank, (value, i) in enumerate(known):
        factor = {"holm": len(known) - rank, "bonferroni": len(known), "none": 1}[method]
        adjusted = min(1.0, value * factor)
        largest = max(largest, adjusted)
        out[i] = largest if method == "holm" else adjusted
    return out


def state(mean: float, p: float, *, level: float = 0.05) -> str:
    """One of `STATES`: significant and the mean score above or below one half, or neither (spec 3.1).

    Raises ValueError for a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; accepted are numbers between 0 and 1 (0.05 is usual)")
    if not p < level or mean == 0.5:
        return STATES[2]
    return STATES[0] if mean > 0.5 else STATES[1]
