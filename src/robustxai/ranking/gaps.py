"""Gaps between the top set T and the rest B, summed over pairs without ever listing the pairs.

A sum of differences over any list of pairs is one weighted sum of the scores: a pair list *is* a weight per
feature. `pair_weights` finds it from a ranking in O(d); everything else is a dot product.
"""

import operator
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, check_k, check_name
from robustxai.ranking.checks import check_like, check_matrix
from robustxai.shapes import PerSample

PAIRS = ("full", "near", "mm")
"""Which pairs (i in T, j in B) count; see `pair_weights`."""

ScoreRows = Float[Tensor, "n d"]


def pair_weights(
    reference: ScoreRows, *, k: SupportsIndex, pairs: str = "full", n_pairs: SupportsIndex | None = None
) -> ScoreRows:
    """Weights w (n, d) such that the sum of gaps over the pairs is (w * scores).sum(1) (spec 3.2, 3.4).

    The ranking of `reference` (n, d) says which features are T, the k largest, and B; it gets no gradient.
    full: all k (d - k) pairs. near: the released list, each of T against rank k and rank k against each of the
    next k; it telescopes to the sum of the top k minus the sum of the next k (with `n_pairs` N: N ranks on each
    side of rank k, which itself cancels). mm: the `n_pairs` (default all that both sides have) smallest of T
    against as many largest of B, every one with every one. NaN where a row of `reference` holds NaN, which has no
    ranking. Raises ValueError for k, pairs or n_pairs out of range.

    >>> pair_weights(torch.tensor([[4.0, 1.0, 3.0, 2.0]]), k=2)
    tensor([[ 2., -2.,  2., -2.]])
    """
    d, ref = check_matrix("reference", reference).shape[1], reference.detach()
    k = check_k(k, d)
    n = _check_pairs(d, k, pairs, n_pairs)
    unknown = ref.isnan().any(1, keepdim=True)
    if pairs == "full":
        return torch.full_like(ref, -k).scatter(1, ref.topk(k).indices, d - k).masked_fill(unknown, torch.nan)
    order = ref.topk(k + (min(k, d - k) if n is None else n)).indices
    by_rank = ref.new_zeros(order.shape[1])
    if pairs == "mm":
        by_rank[k - (n or 0) : k], by_rank[k:] = n or 0, -(n or 0)
    else:
        by_rank[(0 if n is None else k - 1 - n) : k - 1], by_rank[k:] = 1, -1
        by_rank[k - 1] = len(by_rank[k:]) - (k - 1) if n is None else 0
    weights = torch.zeros_like(ref).scatter(1, order, by_rank.expand(len(ref), -1))
    return weights.masked_fill(unknown, torch.nan)


def pair_count(
    d: SupportsIndex, *, k: SupportsIndex, pairs: str = "full", n_pairs: SupportsIndex | None = None
) -> int:
    """How many pairs a list holds for d features: k (d - k), 2k - 1 (2N with `n_pairs`), or k'^2.

    >>> pair_count(28, k=8), pair_count(28, k=8, pairs="near"), pair_count(28, k=8, pairs="mm", n_pairs=2)
    (160, 15, 4)
    """
    d = check_count("d", d)
    k = check_k(k, d)
    n = _check_pairs(d, k, pairs, n_pairs)
    if pairs == "full":
        return k * (d - k)
    if pairs == "mm":
        return (n or 0) ** 2
    return k - 1 + min(k, d - k) if n is None else 2 * n


def pair_sum(
    scores: ScoreRows,
    reference: ScoreRows,
    *,
    k: SupportsIndex,
    pairs: str = "full",
    n_pairs: SupportsIndex | None = None,
) -> PerSample:
    """Sum over the pairs of scores_i - scores_j, (n,): values from `scores`, ranks from `reference`.

    NaN where either holds NaN; ValueError for different shapes, and for k, pairs or n_pairs out of range.

    >>> scores = torch.tensor([[5.0, 3.0, 1.0]])
    >>> pair_sum(scores, scores, k=1)  # 5 - 3 and 5 - 1
    tensor([6.])
    """
    check_matrix("scores", scores)
    check_like("reference", reference, "scores", scores)
    return (pair_weights(reference, k=k, pairs=pairs, n_pairs=n_pairs) * scores).sum(1)


def pair_mean(
    scores: ScoreRows,
    reference: ScoreRows,
    *,
    k: SupportsIndex,
    pairs: str = "full",
    n_pairs: SupportsIndex | None = None,
) -> PerSample:
    """Mean over the pairs of scores_i - scores_j, (n,); for 'full' mean(scores[T]) - mean(scores[B]).

    >>> s = torch.tensor([[4.0, 1.0, 3.0, 2.0]])
    >>> pair_mean(s, s, k=2)
    tensor([2.])
    """
    check_matrix("scores", scores)
    count = pair_count(scores.shape[1], k=k, pairs=pairs, n_pairs=n_pairs)
    return pair_sum(scores, reference, k=k, pairs=pairs, n_pairs=n_pairs) / count


def _check_pairs(d: int, k: int, pairs: str, n_pairs: Any) -> int | None:
    """The number of pairs of a list that takes one, None where the whole list is meant."""
    check_name("pairs", pairs, PAIRS)
    if pairs == "full":
        if n_pairs is not None:
            raise ValueError(f"n_pairs must be None for pairs='full', which takes all of them, got {n_pairs}")
        return None
    most = min(k - 1, d - k) if pairs == "near" else min(k, d - k)
    if n_pairs is None:
        return most if pairs == "mm" else None
    try:
        count = 0 if isinstance(n_pairs, bool) else operator.index(n_pairs)
    except TypeError:
        count = 0
    if not 1 <= count <= most:
        raise ValueError(
            f"n_pairs must be an integer in [1, {most}] for pairs={pairs!r}, k={k}, d={d}, got {n_pairs}"
        )
    return count
