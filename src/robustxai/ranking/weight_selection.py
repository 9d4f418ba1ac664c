"""Weight selection on validation data: the most robust of those that cost little accuracy, never looking at the test.

Knows candidates by their options only: training and measuring are functions that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple, SupportsFloat, SupportsIndex

from robustxai.checks import check_callable, check_count

Options = Mapping[str, float | int]


class SelectionScore(NamedTuple):
    """Accuracy and robustness (P@k) on validation data, both in [0, 1], higher is better.

    >>> SelectionScore(0.9, 0.8).robustness
    0.8
    """

    accuracy: float
    robustness: float


@dataclass(frozen=True)
class Selection:
    """`options`: the winner. `scores`: (options, mean score over seeds) of all candidates in the order tried.
    `within`: whether the winner is within the tolerance; if no candidate is, the most accurate wins.

    >>> select_weights([{"lam": 1.0}], lambda options, seed: SelectionScore(0.7, 0.9), reference=0.9).within
    False
    """

    options: Options
    scores: tuple[tuple[Options, SelectionScore], ...]
    within: bool


def select_weights(
    candidates: Sequence[Options],
    measure: Callable[[Options, int], SelectionScore],
    *,
    reference: float,
    tolerance: float = 0.015,
    seeds: SupportsIndex = 1,
) -> Selection:
    """The candidate with the highest mean robustness among those at least `reference - tolerance` accurate.

    measure: (options, seed) -> `SelectionScore` on validation data, called once for each seed in range(seeds).
    reference: validation accuracy of the plain network in [0, 1]. Equal robustness: the more accurate, then
    the earlier. A robustness that is nan (an attack without a gradient, P1) never wins. Raises ValueError without
    candidates, and where all accuracies are nan.

    >>> scores = {1: SelectionScore(0.90, 0.8), 2: SelectionScore(0.89, 0.9), 3: SelectionScore(0.70, 1.0)}
    >>> select_weights([{"lam": w} for w in scores], lambda o, seed: scores[o["lam"]], reference=0.9).options
    {'lam': 2}
    """
    seeds = check_count("seeds", seeds)
    if not candidates:
        raise ValueError("candidates must hold one option or more, got none")
    check_callable("measure", measure)
    for name, share in (("reference", reference), ("tolerance", tolerance)):
        if isinstance(share, str) or not isinstance(share, SupportsFloat):
            raise ValueError(f"{name} must be a share in [0, 1], got {share!r}")
    if not isinstance(candidates, Sequence):
        raise ValueError(f"candidates must be a sequence of options, got {candidates!r}")
    if not 0 <= reference <= 1 or not 0 <= tolerance <= 1:
        raise ValueError(f"reference and tolerance must be shares in [0, 1], got {reference} and {tolerance}")
    scores = []
    for options in candidates:
        found = [measure(options, seed) for seed in range(seeds)]
        scores.append(
            (options, SelectionScore(*(sum(column) / seeds for column in zip(*found, strict=True))))
        )
    # nan compares false with everything
    fit = [i for i, (_, s) in enumerate(scores) if s.accuracy >= reference - tolerance and s.robustness >= 0]
    if all(isnan(s.accuracy) for _, s in scores):
        raise ValueError("measure gives NaN as the accuracy of every candidate, so none can be chosen")
    if fit:
        best = max(fit, key=lambda i: (scores[i][1].robustness, scores[i][1].accuracy, -i))
    else:
        known = [i for i in range(len(scores)) if not isnan(scores[i][1].accuracy)]
        best = max(known, key=lambda i: (scores[i][1].accuracy, -i))
    return Selection(scores[best][0], tuple(scores), bool(fit))
