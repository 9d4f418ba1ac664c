"""Nearer in l_p, worse in the top k."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustxai.ranking import lp_counterexample, precision_at_k


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(6, 60), k=st.integers(3, 30), lost=st.integers(1, 20), kept=st.integers(0, 10),
    p=st.sampled_from([1, 2, 3.5, float("inf")]), seed=st.integers(0, 10_000),
)  # fmt: skip
def test_the_nearer_map_has_the_worse_top(d, k, lost, kept, p, seed):
    k = min(k, d - 3)
    lost = min(lost, k, d - k)
    kept = min(kept, lost - 1)
    s = torch.rand(4, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    c = lp_counterexample(s, k=k, p=p, swaps=(lost, kept), ratio=1.2)
    assert (c.close_distance < c.far_distance).all()
    assert (c.close_precision < c.far_precision).all()
    torch.testing.assert_close(c.close_precision, torch.full((4,), 1 - lost / k).double())
    torch.testing.assert_close(c.far_precision, torch.full((4,), 1 - kept / k).double())
    torch.testing.assert_close(c.close_distance, (c.close - s).norm(p=p, dim=1))
    torch.testing.assert_close(c.far_distance, (c.far - s).norm(p=p, dim=1))
    assert (c.far_distance >= 1.2 * c.close_distance * (1 - 1e-9)).all()
    assert torch.equal(precision_at_k(s, c.close, k), c.close_precision) and (c.close >= 0).all()


def test_the_exchange_is_small():
    """One exchange moves two features, together by less than their gap."""
    s = torch.tensor([[9.0, 8.0, 5.0, 4.9, 2.0, 1.0]]).double()
    c = lp_counterexample(s, k=3)
    assert ((c.close != s).sum() == 2) and c.close_distance.item() < 0.1
    assert c.close[0, 3] > c.close[0, 2]
    assert torch.equal(c.far.argsort(1), s.argsort(1)), "the further map keeps every rank"


def test_the_overlaps_of_the_abstract_can_be_reached():
    table = torch.rand(1, 10, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 1024, generator=torch.Generator().manual_seed(1))
    a, b = lp_counterexample(table, k=3), lp_counterexample(image, k=50, swaps=(32, 4))
    shares = [
        round(100 * float(v))
        for v in (a.close_precision, a.far_precision, b.close_precision, b.far_precision)
    ]
    assert shares == [67, 100, 36, 92]


def test_bad_input(as_shipped):
    s = torch.rand(2, 8)
    for options, words in (
        ({"k": 8}, r"k must be an integer in \[1, 7\] for 8 features, got 8"),
        ({"k": 0}, r"k must be an integer in \[1, 7\] for 8 features, got 0"),
        ({"k": 3, "p": 0.5}, r"p must be a finite number >= 1, got 0\.5"),
        ({"k": 3, "ratio": 1.0}, r"ratio must be a number > 1, got 1\.0"),
        ({"k": 3, "swaps": (4, 0)}, r"swaps must be two numbers, .* got \(4, 0\)"),
        ({"k": 3, "swaps": (1, 1)}, "the second smaller"),
    ):
        with pytest.raises(ValueError, match=words):
            lp_counterexample(s, **options)
    with pytest.raises(ValueError, match="scores must be finite numbers >= 0, got negative or non-finite"):
        lp_counterexample(-s, k=3)
    with pytest.raises(ValueError, match="scores must have no ties around rank k"):
        lp_counterexample(torch.ones(1, 8), k=3)
