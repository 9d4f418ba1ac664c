"""The two attacks of the paper: on the ranking (ERAttack) and on the distance (MSE attack). Objectives only."""

from typing import SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from robustxai.attacks.budget import draw
from robustxai.attacks.descent import Objective
from robustxai.attacks.map_attack import GradientAttack
from robustxai.checks import check_count, check_name, check_positive, shown
from robustxai.explainers.reduce import shares
from robustxai.ranking.gaps import PAIRS, pair_weights
from robustxai.shapes import Explain


class RankingAttack(GradientAttack):
    """ERAttack (spec 4.2): minimise the sum of gaps between the clean top k and the rest.

    Wants the top-k set to change. `pairs`, `n_pairs`: which gaps, see `pair_weights`; 'full' and the released
    'near' do equally well. `normalise`: gaps between shares of the saliency, ours: as the paper has it the attack
    spends most of its budget on shrinking all scores alike, which changes no rank. On ReLU networks it then needs
    `surrogate_beta`; the two together are the adaptive attacker to measure. Remaining arguments as in
    `GradientAttack`; the released attack is
    RankingAttack(k, 0.5, pairs="near", norm="linf-box", steps=100, keep="early_stop").

    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> RankingAttack(2, 0.5, steps=5).perturb(model, torch.zeros(3, 6)).x.shape
    torch.Size([3, 6])
    """

    def __init__(
        self,
        k: SupportsIndex,
        eps: SupportsFloat,
        *,
        pairs: str = "full",
        n_pairs: SupportsIndex | None = None,
        normalise: bool = False,
        **options,
    ):
        super().__init__(eps, **options)
        check_name("pairs", pairs, PAIRS)
        self.k, self.pairs, self.n_pairs = check_count("k", k), pairs, n_pairs
        self.normalise = normalise

    def objective(self, clean: Tensor) -> Objective:
        weights = pair_weights(clean.flatten(1), k=self.k, pairs=self.pairs, n_pairs=self.n_pairs)
        read = shares if self.normalise else flat
        return lambda scores: (weights * read(scores)).sum(1)


class MSEAttack(GradientAttack):
    """The MSE attack (spec 4.3): maximise the squared distance between explanation and clean explanation.

    Wants a different map, whatever its ranking. `signed`: compare the attributions before absolute values, as
    released (explainer and guide need `.signed`); else the reduced maps. `jitter`: standard deviation of the Gaussian
    start, needed because the gradient is zero at the clean input; all samples share one draw. Remaining arguments
    as in `GradientAttack`.

    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> bool((MSEAttack(0.5, steps=5).perturb(model, torch.zeros(3, 6)).l2 <= 0.5 + 1e-6).all())
    True
    """

    def __init__(self, eps: SupportsFloat, *, signed: bool = False, jitter: SupportsFloat = 1e-3, **options):
        super().__init__(eps, **options)
        self.signed, self.jitter = signed, check_positive("jitter", jitter)

    def reader(self, explain: Explain) -> Explain:
        if not self.signed:
            return super().reader(explain)
        if not hasattr(explain, "signed"):
            raise ValueError(
                f"signed must be False for an explainer without `.signed`, got True for {shown(explain)}"
            )
        return explain.signed  # pyright: ignore[reportFunctionMemberAccess]

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        return x + self.jitter * draw(x[:1], generator)

    def objective(self, clean: Tensor) -> Objective:
        return lambda scores: -(scores - clean).flatten(1).square().sum(1)


def flat(scores: Tensor) -> Tensor:
    """Scores (n, ...) as they are, (n, d)."""
    return scores.flatten(1)
