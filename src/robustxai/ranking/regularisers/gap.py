"""The gap term of R2ET: how far the top features' scores lie above the others', averaged over pairs (spec 3.4)."""

import torch
from torch import Tensor, nn

from robustxai.checks import check_count
from robustxai.explainers.input_gradient import gradient, ranked
from robustxai.ranking.gaps import pair_count, pair_weights
from robustxai.ranking.regularisers.base import CachedBatch, Labels, Regulariser
from robustxai.shapes import Inputs, PerSample


class Gap(Regulariser):
    """Minus the mean pair gap, averaged over samples: smaller means that the ranking is harder to change.

    The absolute scores of the current batch are ranked anew in every step, with no gradient through the ranks.

    Args:
        k: size of the top set.
        weight, weighting, score, target: as for `Regulariser`.
        pairs, n_pairs: which pairs count, as for `pair_weights`: 'full', 'near' or 'mm'.
        anchor: None ranks by the model itself; a network (the pretrained one) ranks by its explanation.

    >>> bool(Gap(2)(nn.Linear(4, 2), torch.ones(3, 4), torch.tensor([0, 1, 0])) <= 0)
    True
    """

    def __init__(
        self,
        k: int,
        weight: float | int = 1.0,
        *,
        pairs: str = "full",
        n_pairs: int | None = None,
        anchor: nn.Module | None = None,
        **options: str,
    ):
        super().__init__(weight, **options)
        self.k, self.pairs, self.n_pairs, self.anchor = check_count("k", k), pairs, n_pairs, anchor
        if n_pairs is not None:
            n_pairs = self.n_pairs = check_count("n_pairs", n_pairs)
        self.count(2 * self.k + (n_pairs or 1))  # refuses wrong names at once, for a d that is large enough

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """ValueError unless 1 <= k < d and the pairs exist."""
        self.count(ranked(x[:1]).shape[1])

    def count(self, d: int) -> int:
        """How many pairs d features have."""
        return pair_count(d, k=self.k, pairs=self.pairs, n_pairs=self.n_pairs)

    def weights(self, scores: Tensor, like: Tensor) -> Tensor:
        """The weight of every score in the sum of gaps when `scores` (n, d) are ranked, shaped to multiply `like`."""
        return weights_like(pair_weights(scores, k=self.k, pairs=self.pairs, n_pairs=self.n_pairs), like)

    def terms(self, cache: CachedBatch) -> PerSample:
        """Minus the mean gap: a dot product with g, since |g| is g times its sign."""
        g = cache.gradient(self.score, self.target)
        with torch.no_grad():
            scores = reference = ranked(g)
            if self.anchor is not None:
                classes = cache.classes(self.target)
                reference = ranked(gradient(self.anchor, cache.x, classes, score=self.score))
            along = self.weights(reference, g) * g.sign() / -self.count(scores.shape[1])
        return (along * g).flatten(1).sum(1)


def weights_like(weights: Tensor, like: Tensor) -> Tensor:
    """Weights of scores (n, d) in a shape that multiplies gradients: (n, 1, H, W) for images, else that of `like`."""
    return weights.view(len(like), 1, *like.shape[2:]) if like.ndim == 4 else weights.view_as(like)
