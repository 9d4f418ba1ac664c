"""Dombrowski et al. (2019): drive the explanation to a given map while the output stays.

Adam on the input; derivatives from a softplus copy whose beta grows on the way, decisions by the network itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.attacks.budget import Budget
from robustxai.attacks.descent import Objective
from robustxai.attacks.following import annealed, softened
from robustxai.attacks.map_attack import MapAttack
from robustxai.attacks.steps import Adam
from robustxai.checks import check_count, check_positive, shown
from robustxai.explainers.reduce import shares
from robustxai.models import Network
from robustxai.shapes import Explain, Guide


class TargetMapAttack(MapAttack):
    """Minimise map_weight * MSE(explanation, goal) + output_weight * MSE(probabilities) by Adam (spec 4.6).

    Wants the explanation, as shares of its sum, to look like `goal`; `loss` is their MSE. White box; changes the input
    only. 10 parameters, as the original has them, and a budget.

    Args:
        goal: the wanted scores, non-negative: one map for all inputs, or one for each (n, ...).
        eps: None leaves the size of the change to the loss, as the original does; a number is a budget in `norm`.
        steps, lr: of Adam; `lr` in units of the input.
        betas: softplus beta of the first and of the last step, growing geometrically; None attacks the network as
            it is (needed where it holds no ReLU). An explainer without `.model` and `.on(model)` gives its own
            `.guide` instead; a guide given to `perturb` takes their place.
        refresh: a guide is called for derivatives every so many steps.
        map_weight, output_weight: the original's, for 224 x 224 maps. Only their ratio matters to Adam.
        clip: the range of valid inputs.

    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> attack = TargetMapAttack(torch.tensor([0.0, 0.0, 0.0, 1.0]), eps=0.3, steps=5, lr=0.05)
    >>> found = attack.perturb(model, torch.ones(3, 4))
    >>> bool((found.loss <= found.clean_loss).all())
    True
    """

    def __init__(
        self,
        goal: Float[Tensor, "..."],
        *,
        eps: SupportsFloat | None = None,
        norm: str = "l2",
        steps: SupportsIndex = 1500,
        lr: SupportsFloat = 2e-4,
        betas: tuple[float | int, float | int] | None = (10, 100),
        refresh: SupportsIndex = 25,
        map_weight: SupportsFloat = 1e11,
        output_weight: SupportsFloat = 1e6,
        clip: tuple[float | int, float | int] | None = None,
    ):
        usable = isinstance(goal, Tensor) and not goal.is_complex() and bool(torch.isfinite(goal).all())
        if not usable or (goal < 0).any() or goal.sum() == 0:
            raise ValueError(f"goal must be a map, finite, non-negative and not all zero, got {shown(goal)}")
        if betas is not None and len(betas) != 2:
            raise ValueError(f"betas must be None or a pair (first, last), got {betas}")
        super().__init__(
            Budget(None if eps is None else check_positive("eps", eps), norm, clip),
            partial(Adam, lr=check_positive("lr", lr)),
            steps=check_count("steps", steps), keep="weigh", drift="mean square",
            weights=(check_positive("map_weight", map_weight), check_positive("output_weight", output_weight)),
            refresh=check_count("refresh", refresh),
        )  # fmt: skip
        self.goal = goal
        self.betas = betas and (check_positive("betas", betas[0]), check_positive("betas", betas[1]))

    def following(self, explain: Explain, guide: Guide | None) -> tuple[Guide | None, int]:
        if guide is not None or self.betas is None:
            return guide, self.refresh
        if (found := softened(explain, self.betas[0])) is not None:
            return annealed(*found, self.betas, self.steps), 1
        if (own := getattr(explain, "guide", None)) is not None:
            return own, self.refresh
        raise ValueError(
            "betas must be None for an explainer without `model` and `.on(model)` and without `.guide(x)`, "
            f"got {self.betas}"
        )

    def objectives(
        self, scores: Explain, networks: Sequence[Network], x: Tensor, t: Tensor
    ) -> Callable[[slice, Tensor], Objective]:
        n = len(x)

        def objective(rows: slice, clean: Tensor) -> Objective:
            d, goal = clean[0].numel(), self.goal.to(clean)
            if goal.numel() not in (d, d * n):
                raise ValueError(
                    f"goal must hold {d} scores, or {d} for each input, got shape {tuple(goal.shape)}"
                )
            wanted = shares(goal.reshape(-1, d)).expand(n, -1)[rows]
            return lambda found: (shares(found) - wanted).square().mean(1)

        return objective
