"""From the scores of many CAVs to a verdict: two tests against random CAVs, and correction for their number."""

import functools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

from robustxai.checks import check_count, check_name, check_number, check_sequence, check_share

CORRECTIONS = ("holm", "bonferroni", "none")
STATES = ("important", "anti-important", "not significant")
PERMUTATIONS = 9999


def t_test(a: Float[Tensor, " n"], b: Float[Tensor, " m"]) -> float:
    """Two-sided p of Student's t test with equal variances.

    nan where both samples are constant, one is empty, or one holds nan or an infinity. Raises ValueError for samples
    of another rank.

    >>> round(t_test(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])), 3)
    0.768
    """
    x, y = sample("a", a), sample("b", b)
    free = len(x) + len(y) - 2
    within = float((x - x.mean()).square().sum() + (y - y.mean()).square().sum())
    if within < 1e-15 or free < 1 or not len(x) or not len(y) or not math.isfinite(within):
        return math.nan
    t = float(x.mean() - y.mean()) / math.sqrt(within / free * (1 / len(x) + 1 / len(y)))
    return float(2 * student.sf(abs(t), free))


def permutation_test(
    a: Float[Tensor, " n"], b: Float[Tensor, " m"], *, resamples: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Two-sided p of the difference of means under random relabelling; at least 1 / (resamples + 1).

    nan where one sample is empty, or holds nan or an infinity. Raises ValueError for samples of another rank, and
    resamples below 1.

    >>> permutation_test(torch.ones(3), torch.ones(4), resamples=99)
    1.0
    """
    resamples, seed = check_count("resamples", resamples), check_count("seed", seed, 0)
    x, y = sample("a", a), sample("b", b)
    both = torch.cat((x, y))
    if not len(x) or not len(y) or not bool(both.isfinite().all()):
        return math.nan
    first = _relabelled(len(x), len(y), resamples, seed) @ both
    total = both.sum()
    difference = (first / len(x) - (total - first) / len(y)).abs()
    seen = (x.mean() - y.mean()).abs()
    return (1 + int((difference >= seen - 1e-12).sum())) / (1 + resamples)


def sample(name: str, values: Tensor) -> Float[Tensor, " n"]:
    """Values of one axis in float64 on the CPU, as not every device has float64. Raises ValueError."""
    try:
        values = values.detach() if isinstance(values, Tensor) else torch.as_tensor(values, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be real numbers of one axis, got {type(values).__name__}") from None
    if values.ndim != 1 or values.is_complex():
        raise ValueError(
            f"{name} must be real numbers of one axis, got shape {tuple(values.shape)} and dtype {values.dtype}"
        )
    return values.cpu().double()


@functools.lru_cache(maxsize=8)
def _relabelled(n: int, m: int, resamples: int, seed: int) -> Tensor:
    """Which of n + m values are the first sample, in every resample: rows of n ones and m zeros."""
    generator = torch.Generator("cpu").manual_seed(seed)
    keys = torch.rand(resamples, n + m, generator=generator, device="cpu", dtype=torch.float32)
    return torch.zeros_like(keys, dtype=torch.float64).scatter_(1, keys.topk(n, 1).indices, 1.0)


def set_means(scores: Float[Tensor, " pairs"], *, total: float = 1.0) -> Float[Tensor, " sets"]:
    """Mean score of each random set as if it were a concept, from the scores of all pairs i < j in order.

    Uses score(j, i) = total - score(i, j): total is 1 for sign scores and 0 for magnitudes. Raises ValueError for a
    number of scores that no number of sets has pairs.
    """
    count = round((1 + math.sqrt(1 + 8 * len(scores))) / 2)
    if count * (count - 1) // 2 != len(scores) or not len(scores):
        raise ValueError(
            f"scores must have one value for each pair of sets, 1, 3, 6, 10, ..., got {len(scores)}"
        )
    own = scores.cpu()
    first, second = torch.triu_indices(count, count, 1, device="cpu")
    table = own.new_zeros(count, count)
    table[first, second] = own
    table[second, first] = total - own
    return table.sum(1) / (count - 1)


def set_test(mean: float, null: Float[Tensor, " sets"]) -> float:
    """Two-sided p of one more value among `null` (normal, unknown variance): a concept's mean among random sets'.

    The CAVs of a concept share its exemplars, so their scores are no independent sample; its set is one draw. nan for
    fewer than three values, equal ones, and any that is nan or infinite.
    """
    x = sample("null", null)
    n = len(x)
    if n < 3 or not math.isfinite(mean) or not bool(x.isfinite().all()) or (spread := float(x.std())) < 1e-9:
        return math.nan
    t = (mean - float(x.mean())) / (spread * math.sqrt(1 + 1 / n))
    return float(2 * student.sf(abs(t), n - 1))


def corrected(p: Sequence[float], method: str = "holm") -> list[float]:
    """p values adjusted for their number; nan stays nan and is not counted.

    Raises ValueError for an unknown method, and values that are no p values.

    >>> [round(p, 2) for p in corrected([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    check_name("correction", method, CORRECTIONS)
    check_sequence("p", p, "p values", least=0)
    p = [check_p(value) for value in p]
    known = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    out, largest = list(p), 0.0
    for rank, (value, i) in enumerate(known):
        factor = {"holm": len(known) - rank, "bonferroni": len(known), "none": 1}[method]
        adjusted = min(1.0, value * factor)
        largest = max(largest, adjusted)
        out[i] = largest if method == "holm" else adjusted
    return out


def check_p(p: float) -> float:
    """A p value, in [0, 1] or nan. Raises ValueError."""
    return math.nan if p != p else check_number("p", p, high=1.0)


def check_level(level: float) -> float:
    """A level of significance. Raises ValueError."""
    return check_share("level", level, open=True)


def state(mean: float, p: float, *, level: float = 0.05) -> str:
    """One of `STATES`: significant and the mean score above or below one half, or neither (spec 3.1).

    A p of nan, of a test that is undefined, is not significant. Raises ValueError for a mean that is no score in
    [0, 1] (nan is none), a p that is no p value, and a level that is not between 0 and 1.

    >>> state(0.9, 0.01), state(0.9, 0.2), state(0.1, 0.01)
    ('important', 'not significant', 'anti-important')
    """
    level, mean, p = check_level(level), check_share("mean", mean), check_p(p)
    if not p < level or mean == 0.5:
        return STATES[2]
    return STATES[0] if mean > 0.5 else STATES[1]
