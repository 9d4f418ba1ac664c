"""From one value per image (or per seed) to a number with an interval; nan values are left out and counted.

Knows nothing about maps or models.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import binomtest, bootstrap, t as student
from torch import Tensor

from robustxai.checks import check_count, check_share

from .inputs import wide

STATISTICS: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "median": np.median}


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation (n - 1) of the `n` defined values; `skipped` values were nan.

    >>> mean_ignoring_nan([0.0, 1.0, float("nan")]).skipped
    1
    """

    mean: float
    std: float
    n: int
    skipped: int


@dataclass(frozen=True)
class Interval:
    """A statistic with its interval from `n` values, `skipped` ones were nan; `method` says how it was made (see
    `bootstrap_interval`).

    >>> bootstrap_interval([0.5, 0.5])
    Interval(value=0.5, low=0.5, high=0.5, n=2, skipped=0, method='constant')
    """

    value: float
    low: float
    high: float
    n: int
    skipped: int
    method: str


def _numbers(values: Tensor | ArrayLike) -> np.ndarray:
    """One axis of float64 on the CPU; ValueError for infinities, which no mean survives."""
    try:
        array = wide(values).numpy() if isinstance(values, Tensor) else np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"values must be numbers, one per image or seed, got {values!r:.80}") from None
    if array.ndim != 1:
        raise ValueError(f"values must have one axis, one value per image or seed, got shape {array.shape}")
    if np.isinf(array).any():
        raise ValueError("values must be finite numbers or nan, got infinities")
    return array


def mean_ignoring_nan(values: Tensor | ArrayLike) -> Mean:
    """Mean and spread of the values that are not nan, with both counts; nan if there is none (std: if fewer
    than two). Raises ValueError for infinities and for more than one axis.

    >>> mean_ignoring_nan([1.0, 3.0, float("nan")])
    Mean(mean=2.0, std=1.4142135623730951, n=2, skipped=1)
    """
    array = _numbers(values)
    kept = array[~np.isnan(array)]
    mean = float(kept.mean()) if len(kept) else float("nan")
    std = float(kept.std(ddof=1)) if len(kept) > 1 else float("nan")
    return Mean(mean, std, len(kept), len(array) - len(kept))


def bootstrap_interval(
    values: Tensor | ArrayLike,
    *,
    statistic: str | Callable[..., np.ndarray] = "mean",
    confidence: float | int = 0.95,
    resamples: int = 2000,
    seed: int | torch.Generator = 0,
) -> Interval:
    """Bootstrap interval of a statistic ("mean", "median" or a NumPy-style f(x, axis)) over values (n,),
    nan left out.

    `method` is "BCa" (bias-corrected and accelerated, scipy.stats.bootstrap); "percentile" where BCa is
    undefined (its bias or acceleration is not finite, as with a median of many ties); "constant" where all
    values are equal: the interval is that value; "none" with fewer than two values: low and high are nan.
    With few values (below about 10, such as seeds) the interval is too short: show the values as well.
    `seed`: an integer, or a generator from which one integer is drawn. Raises ValueError for a confidence outside
    (0, 1), no resamples, infinite values, and a statistic that is not defined on every resample.

    >>> found = bootstrap_interval([0.1, 0.2, 0.4, 0.3], confidence=0.9)
    >>> found.low < found.value < found.high, found.n
    (True, 4)
    """
    if isinstance(statistic, str) and statistic not in STATISTICS:
        raise ValueError(
            f"statistic must be one of {', '.join(STATISTICS)} or a callable f(x, axis), got {statistic!r}"
        )
    if not isinstance(statistic, str) and not callable(statistic):
        raise ValueError(f"statistic must be a name or a callable f(x, axis), got {statistic!r}")
    confidence, resamples = (
        check_share("confidence", confidence, open=True),
        check_count("resamples", resamples),
    )
    if not isinstance(seed, torch.Generator):
        seed = check_count("seed", seed, 0)
    f = STATISTICS[statistic] if isinstance(statistic, str) else statistic
    array = _numbers(values)
    x = array[~np.isnan(array)]
    n, skipped = len(x), len(array) - len(x)
    nan = float("nan")
    value = float(f(x, axis=-1)) if n else nan
    if n < 2:
        return Interval(value, nan, nan, n, skipped, "none")
    if (x == x[0]).all():
        return Interval(value, value, value, n, skipped, "constant")
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**31, (1,), generator=seed, device=seed.device))
    for method in ("BCa", "percentile"):
        low, high = _interval(x, f, confidence, resamples, seed, method)
        if np.isfinite(low) and np.isfinite(high):
            return Interval(value, low, high, n, skipped, method)
    raise ValueError("statistic must be defined on every resample, got nan or infinity on one")


def _interval(
    x: np.ndarray, f: Callable, confidence: float, resamples: int, seed: int, method: str
) -> tuple[float, float]:
    """scipy's interval, in batches of at most about 16 MB; its warning about an undefined BCa is our
    fallback's signal.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = bootstrap(
            (x,),
            f,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, 2_000_000 // len(x)),
            method=method,
            rng=np.random.default_rng(seed),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def t_interval(values: Tensor | ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean of a few independent values, such as one per seed; nan left out.

    Wide on purpose: with three values it is 2.5 standard deviations to each side. Fewer than two values give nan
    bounds, equal values the value itself. Raises ValueError for a confidence outside (0, 1) and infinite values.

    >>> round(t_interval([0.0, 1.0, 2.0]).high, 2)
    3.48
    """
    confidence, array = check_share("confidence", confidence, open=True), _numbers(values)
    x = array[~np.isnan(array)]
    n, skipped = len(x), len(array) - len(x)
    mean = float(x.mean()) if n else float("nan")
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n, skipped, "none")
    if (x == x[0]).all():
        return Interval(mean, mean, mean, n, skipped, "constant")
    half = float(student.ppf((1 + confidence) / 2, n - 1) * x.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n, skipped, "t")


def share_interval(hits: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share, `hits` of n yes-or-no outcomes (Clopper & Pearson 1934); it covers at least as
    often as it says. Raises ValueError for more hits than outcomes, none of these, a confidence outside (0, 1).

    >>> tuple(round(v, 3) for v in share_interval(6, 6))
    (0.541, 1.0)
    """
    hits, n = check_count("hits", hits, 0), check_count("n", n)
    if hits > n:
        raise ValueError(f"hits must be at most n={n}, got {hits}")
    found = binomtest(hits, n).proportion_ci(check_share("confidence", confidence, open=True), "exact")
    return float(found.low), float(found.high)


def crossed_interval(values: Tensor | ArrayLike, *, confidence: float = 0.95) -> Interval:
    """The mean of values (networks, images), every network on the same images, with an interval over both.

    The half width is sqrt((t_{k-1}^2 A + t_{n-1}^2 max(B - E, 0)) / (k n)): Student's t over the k networks, and the
    part of the n images added, with the mean squares A of networks, B of images and E of what is left (two-way, one
    value a cell). Simulated at 3, 5 and 10 networks x 4, 20 and 50 images and eleven ratios of the variances it covers
    93 to 99 %; t over networks alone covers 6 % where images vary and networks agree. nan where a cell is nan or there
    are fewer than two networks or images. Raises ValueError for another shape and infinite values.

    >>> found = crossed_interval([[0.0, 1.0, 2.0], [0.1, 1.2, 2.1], [0.0, 0.9, 2.0]])
    >>> found.low < found.value < found.high, found.method
    (True, 'networks x images')
    """
    confidence = check_share("confidence", confidence, open=True)
    y = wide(values).numpy() if isinstance(values, Tensor) else np.asarray(values, dtype=np.float64)
    if y.ndim != 2 or np.isinf(y).any():
        raise ValueError(f"values must be finite numbers or nan (networks, images), got shape {y.shape}")
    (k, n), mean = y.shape, float(y.mean()) if y.size else float("nan")
    if min(k, n) < 2 or math.isnan(mean):
        return Interval(mean, float("nan"), float("nan"), y.size, int(np.isnan(y).sum()), "none")
    rows, columns = y.mean(1), y.mean(0)
    left = y - rows[:, None] - columns[None] + mean
    a, b = n * rows.var(ddof=1), k * columns.var(ddof=1)
    e = (left**2).sum() / ((k - 1) * (n - 1))
    wide_k, wide_n = (float(student.ppf((1 + confidence) / 2, d)) for d in (k - 1, n - 1))
    half = math.sqrt((wide_k**2 * a + wide_n**2 * max(b - e, 0.0)) / (k * n))
    return Interval(mean, mean - half, mean + half, y.size, 0, "networks x images")
