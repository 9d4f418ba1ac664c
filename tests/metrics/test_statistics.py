"""Intervals and counts: coverage, degenerate inputs, reproducibility; outputs of classifiers."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from robustxai.metrics import accuracy, agreement, bootstrap_interval, kl, mean_ignoring_nan

nan = math.nan


def test_mean_counts_what_it_skips():
    m = mean_ignoring_nan(torch.tensor([1.0, nan, 3.0, nan]))
    assert (m.mean, m.std, m.n, m.skipped) == (2.0, pytest.approx(math.sqrt(2)), 2, 2)
    none = mean_ignoring_nan([nan, nan])
    assert math.isnan(none.mean) and math.isnan(none.std) and (none.n, none.skipped) == (0, 2)


def test_interval_is_scipys_bca():
    x = np.random.default_rng(0).gamma(1.0, size=40)
    ours = bootstrap_interval(x, resamples=500, seed=3)
    theirs = bootstrap(
        (x,), np.mean, n_resamples=500, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    assert ours.method == "BCa" and (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.low < ours.value < ours.high and ours.value == pytest.approx(x.mean())


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [
        bootstrap_interval(rng.exponential(size=40), confidence=0.9, resamples=300, seed=i)
        for i in range(120)
    ]
    covered = sum(i.low <= 1 <= i.high for i in intervals) / 120
    assert 0.80 < covered < 0.96


def test_same_seed_same_interval_and_generator_is_used():
    x = torch.rand(30, generator=torch.Generator().manual_seed(0))
    assert bootstrap_interval(x, seed=1) == bootstrap_interval(x, seed=1)
    assert bootstrap_interval(x, seed=1) != bootstrap_interval(x, seed=2)
    g = torch.Generator().manual_seed(5)
    first, second = bootstrap_interval(x, seed=g), bootstrap_interval(x, seed=g)
    assert first != second == bootstrap_interval(x, seed=_nth(5, 2))


def _nth(seed: int, n: int) -> int:
    g = torch.Generator().manual_seed(seed)
    return [int(torch.randint(2**31, (1,), generator=g)) for _ in range(n)][-1]


def test_nan_is_left_out_and_the_global_seed_is_untouched():
    x = np.linspace(0, 1, 20)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (to see that nothing touches it)
    with_nan = bootstrap_interval(np.concatenate((x, [nan, nan])))
    without = bootstrap_interval(x)
    assert (with_nan.low, with_nan.high, with_nan.n, with_nan.skipped) == (without.low, without.high, 20, 2)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_degenerate_inputs_say_so():
    constant = bootstrap_interval([0.25] * 8)
    assert (constant.low, constant.high, constant.method) == (0.25, 0.25, "constant")
    single = bootstrap_interval([0.5, nan])
    assert single.value == 0.5 and math.isnan(single.low) and (single.method, single.n) == ("none", 1)
    empty = bootstrap_interval([])
    assert math.isnan(empty.value) and empty.method == "none"
    ties = bootstrap_interval([0.0] * 20 + [1.0], statistic="median")
    assert (ties.low, ties.high, ties.method) == (0.0, 0.0, "percentile")


def test_median_and_own_statistics():
    x = np.random.default_rng(2).normal(size=31)
    assert bootstrap_interval(x, statistic="median").value == np.median(x)
    share = bootstrap_interval(x, statistic=lambda v, axis: (v > 0).mean(axis=axis))
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_two_seeds_give_an_interval_between_them():
    i = bootstrap_interval([0.2, 0.4])
    assert 0.2 <= i.low <= i.high <= 0.4


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"^statistic must be one of mean, median.*, got 'mode'"):
        bootstrap_interval([1.0, 2.0], statistic="mode")
    with pytest.raises(ValueError, match=r"^confidence must be a number in \(0, 1\), got 95"):
        bootstrap_interval([1.0, 2.0], confidence=95)
    with pytest.raises(ValueError, match=r"^values must have one axis, .* got shape \(2, 2\)"):
        mean_ignoring_nan(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"^values must be finite numbers or nan, got infinities"):
        mean_ignoring_nan([math.inf])


def test_outputs_of_classifiers():
    a = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 1.0]])
    assert accuracy(a, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
    assert agreement(a, b) == pytest.approx(2 / 3)
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert kl(a, b)[0].item() == pytest.approx(expected, abs=1e-6) and kl(a, b)[2] == 0
    torch.testing.assert_close(kl(a + 100, b), kl(a, b), atol=1e-5, rtol=1e-4)


def test_a_single_logit_is_a_sigmoid():
    z, w = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [1.0]])
    assert accuracy(z, torch.tensor([1, 0])) == 1 and agreement(z, w) == 0.5
    both = kl(torch.cat((torch.zeros_like(z), z), 1), torch.cat((torch.zeros_like(w), w), 1))
    torch.testing.assert_close(kl(z, w), both)
