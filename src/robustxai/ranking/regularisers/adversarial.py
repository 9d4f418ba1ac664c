"""AT: cross-entropy on inputs moved to hurt the ranking (spec 5); like the released baseline it does not penalise
the explanation itself. The inner attack is a bare loop: no rejection, no best iterate.
"""

import torch
from torch import nn

from robustxai.attacks.budget import Budget
from robustxai.checks import check_count, check_positive
from robustxai.explainers.input_gradient import ranked
from robustxai.ranking.regularisers.base import CachedBatch, Labels, Regulariser
from robustxai.ranking.regularisers.gap import Gap
from robustxai.shapes import Inputs, PerSample


class AdversarialTraining(Regulariser):
    """Cross-entropy of the labels at x + delta, where delta shrinks the pair gaps and |delta|_2 <= eps.

    It replaces the plain cross-entropy.

    Args:
        k: size of the top set.
        eps: radius in the units of x, per sample.
        steps: of length 2.5 eps / steps, or eps for a single one as released.
        pairs, n_pairs: as for `pair_weights`; score, target: as for `Regulariser`.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> AdversarialTraining(2, 0.5)(model, torch.ones(3, 4), torch.tensor([0, 1, 0])).shape
    torch.Size([])
    """

    keep = 0.0

    def __init__(
        self,
        k: int,
        eps: float | int,
        *,
        steps: int = 3,
        pairs: str = "full",
        n_pairs: int | None = None,
        **options: str,
    ):
        if "weight" in options:
            raise TypeError(
                "weight is not an option of AdversarialTraining, which replaces the cross-entropy"
            )
        super().__init__(1.0, **options)
        self.gap = Gap(k, pairs=pairs, n_pairs=n_pairs)
        eps, self.steps = check_positive("eps", eps), check_count("steps", steps)
        self.budget = Budget(eps, "l2", clip=None)
        self.length = eps if self.steps == 1 else 2.5 * eps / self.steps

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """ValueError unless 1 <= k < d and the pairs exist."""
        self.gap.check(model, x, y)

    def terms(self, cache: CachedBatch) -> PerSample:
        """Cross-entropy at the moved input."""
        return CachedBatch(cache.model, self.moved(cache), cache.y).losses

    def moved(self, cache: CachedBatch) -> Inputs:
        """The attacked inputs; the ranking of the clean input decides the pairs."""
        x = centre = cache.x.detach()
        clean = cache.gradient(self.score, self.target)
        weights = self.gap.weights(ranked(clean.detach()), clean)
        for step in range(self.steps):
            now = CachedBatch(cache.model, x, cache.y) if step else cache
            gaps = (weights * now.gradient(self.score, self.target).abs()).sum()
            (g,) = torch.autograd.grad(gaps, now.x, retain_graph=now is cache)
            x = self.budget.project(x - self.length * self.budget.steepest(g), centre)
        return x
