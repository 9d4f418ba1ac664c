"""The t interval of a few seeds, against scipy's own, and its edges."""

import math

import pytest
from scipy import stats

from robustxai.metrics import t_interval


@pytest.mark.parametrize("values", [[0.1, 0.4, 0.9], [2.0, -1.0], [0.5, 0.6, 0.55, 0.7, math.nan]])
def test_it_is_scipys_t_interval_of_the_mean(values):
    kept = [v for v in values if v == v]
    low, high = stats.t.interval(0.95, len(kept) - 1, loc=stats.tmean(kept), scale=stats.sem(kept))
    got = t_interval(values)
    assert (got.low, got.high) == pytest.approx((low, high)) and got.n == len(kept)


def test_one_value_has_no_interval_and_equal_values_a_point():
    assert math.isnan(t_interval([0.3]).low) and t_interval([0.3]).value == 0.3
    assert (t_interval([0.3, 0.3]).low, t_interval([0.3, 0.3]).high) == (0.3, 0.3)
