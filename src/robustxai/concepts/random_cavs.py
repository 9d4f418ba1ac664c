"""Random CAVs, the baseline of every score: random sets of images against each other; what unequal sets lose."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.concepts.cav import CAV, Negatives

BASELINES = ("ring", "pairs")


def random_cavs(cav: CAV, own: Negatives, baseline: str, layer: str) -> Float[Tensor, "baseline d"]:
    """CAVs of random sets against each other: each against the next ("ring"), or all pairs i < j in order ("pairs")."""
    sets = range(len(own.rows))
    ring = [(i, (i + 1) % len(sets)) for i in range(len(sets))]
    pairs = ring if baseline == "ring" else list(combinations(range(len(sets)), 2))
    fitted = []
    for first in sorted({i for i, _ in pairs}):
        others = torch.tensor([j for i, j in pairs if i == first], device="cpu")
        part = Negatives(own.rows[others], own.own[others])
        try:
            fitted.append(cav.fit(own.rows[first], part).vectors)
        except ValueError as error:
            raise ValueError(f"random set {first} at layer {layer!r}: {error}") from error
    return torch.cat(fitted)


def left_out(used: int, exemplars: int, random: Sequence[int]) -> str:
    """What a cell says of examples that were not used; nothing where all were."""
    words = []
    if used < exemplars:
        words.append(f"only {used} of {exemplars} exemplars were used")
    if used < max(random):
        words.append(f"only {used} images of each random set, which have up to {max(random)}, were used")
    reason = f"as the smallest set has {used}; which ones is drawn by the seed of cav"
    return f"{' and '.join(words)}, {reason}" if words else ""
