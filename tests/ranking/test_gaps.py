"""Pair sums against the lists of pairs they stand for."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from robustxai.ranking import pair_count, pair_mean, pair_sum, pair_weights


def listed(d: int, k: int, pairs: str, n: int | None) -> list[tuple[int, int]]:
    """The pairs as pairs of ranks, 0-based: written from the definitions (spec 3.4)."""
    if pairs == "full":
        return [(i, j) for i in range(k) for j in range(k, d)]
    if pairs == "mm":
        n = min(k, d - k) if n is None else n
        return [(i, j) for i in range(k - n, k) for j in range(k, k + n)]
    left = k - 1 if n is None else n
    right = min(k, d - k) if n is None else n
    return [(i, k - 1) for i in range(k - 1 - left, k - 1)] + [(k - 1, k + j) for j in range(right)]


def pair_sum_reference(scores, reference, *, k, pairs="full", n_pairs=None):
    """The sum over the listed pairs, one pair at a time."""
    order = reference.argsort(1, descending=True)
    s = scores.gather(1, order)
    gaps = [s[:, i] - s[:, j] for i, j in listed(scores.shape[1], k, pairs, n_pairs)]
    return torch.stack(gaps).sum(0)


CASES = [
    ("full", None), ("near", None), ("near", 1), ("near", 3), ("mm", None), ("mm", 1), ("mm", 2),
]  # fmt: skip


def draw(n, d, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, d, generator=g, dtype=torch.float64), torch.rand(
        n, d, generator=g, dtype=torch.float64
    )


@pytest.mark.parametrize(("pairs", "n_pairs"), CASES)
@settings(max_examples=30, deadline=None)
@given(d=st.integers(8, 30), k=st.integers(4, 20), seed=st.integers(0, 10_000))
def test_the_fast_sum_is_the_sum_over_the_list(pairs, n_pairs, d, k, seed):
    if k > d - 3:
        k = d - 3
    scores, reference = draw(3, d, seed)
    fast = pair_sum(scores, reference, k=k, pairs=pairs, n_pairs=n_pairs)
    slow = pair_sum_reference(scores, reference, k=k, pairs=pairs, n_pairs=n_pairs)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    count = pair_count(d, k=k, pairs=pairs, n_pairs=n_pairs)
    assert count == len(listed(d, k, pairs, n_pairs))
    torch.testing.assert_close(pair_mean(scores, reference, k=k, pairs=pairs, n_pairs=n_pairs), fast / count)


@settings(max_examples=30, deadline=None)
@given(d=st.integers(3, 40), share=st.floats(0, 1), seed=st.integers(0, 10_000))
def test_identities(d, share, seed):
    """A2: full = d * sum of the top - k * sum of all, and the near lists telescope."""
    k = 1 + int(share * (d - 2))
    s, _ = draw(4, d, seed)
    ordered = s.sort(1, descending=True).values
    torch.testing.assert_close(pair_sum(s, s, k=k), d * ordered[:, :k].sum(1) - k * s.sum(1))
    torch.testing.assert_close(pair_mean(s, s, k=k), ordered[:, :k].mean(1) - ordered[:, k:].mean(1))
    if 2 * k <= d:
        near = ordered[:, :k].sum(1) - ordered[:, k : 2 * k].sum(1)
        torch.testing.assert_close(pair_sum(s, s, k=k, pairs="near"), near)
    for n in range(1, min(k - 1, d - k) + 1):
        near = ordered[:, k - 1 - n : k - 1].sum(1) - ordered[:, k : k + n].sum(1)
        torch.testing.assert_close(pair_sum(s, s, k=k, pairs="near", n_pairs=n), near)


def test_mm_takes_the_smallest_of_the_top_and_the_largest_of_the_rest():
    s = torch.tensor([[10.0, 1.0, 7.0, 5.0, 4.0, 0.0]])
    assert pair_mean(s, s, k=3, pairs="mm", n_pairs=1).tolist() == [1.0]
    assert pair_mean(s, s, k=3, pairs="mm", n_pairs=2).tolist() == [3.5]
    assert pair_weights(s, k=3, pairs="mm", n_pairs=2).tolist() == [[0.0, -2.0, 2.0, 2.0, -2.0, 0.0]]


def test_own_gaps_are_never_negative_and_ranks_have_no_gradient():
    s, _ = draw(50, 20, 0)
    for pairs, n in CASES:
        assert (pair_sum(s, s, k=6, pairs=pairs, n_pairs=n) >= -1e-12).all()
    ref = s.clone().requires_grad_()
    assert not pair_weights(ref, k=6).requires_grad
    live = s.clone().requires_grad_()
    (g,) = torch.autograd.grad(pair_sum(live, ref, k=6).sum(), live)
    torch.testing.assert_close(g, pair_weights(s, k=6))


def test_every_row_has_its_own_ranking():
    s, r = draw(7, 12, 3)
    for pairs, n in CASES:
        whole = pair_sum(s, r, k=5, pairs=pairs, n_pairs=n)
        one = [pair_sum(a[None], b[None], k=5, pairs=pairs, n_pairs=n) for a, b in zip(s, r, strict=True)]
        torch.testing.assert_close(whole, torch.cat(one))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 10}, r"k must be an integer in \[1, 9\] for 10 features, got 10"),
        ({"k": 11}, r"k must be an integer in \[1, 9\] for 10 features, got 11"),
        ({"k": 0}, r"k must be an integer in \[1, 9\] for 10 features, got 0"),
        ({"k": -1}, r"k must be an integer in \[1, 9\] for 10 features, got -1"),
        ({"k": 3, "pairs": "all"}, "pairs must be one of full, near, mm, got 'all'"),
        ({"k": 3, "n_pairs": 2}, "n_pairs must be None for pairs='full', which takes all of them, got 2"),
        (
            {"k": 3, "pairs": "mm", "n_pairs": 4},
            r"n_pairs must be an integer in \[1, 3\] for pairs='mm', k=3, d=10, got 4",
        ),
        ({"k": 3, "pairs": "near", "n_pairs": 3}, r"n_pairs must be an integer in \[1, 2\] for .*, got"),
        ({"k": 8, "pairs": "mm", "n_pairs": 0}, r"n_pairs must be an integer in \[1, 2\] for .*, got"),
    ],
)
def test_bad_pairs_say_what_is_accepted(as_shipped, options, words):
    s, _ = draw(2, 10, 0)
    with pytest.raises(ValueError, match=words):
        pair_sum(s, s, **options)
