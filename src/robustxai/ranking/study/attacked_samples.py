"""The attacks of the chapter's table on one network, or on a stack of them: what is left of each sample's top k.

Knows a network, samples, k and eps; knows nothing about sets and methods.
"""

from __future__ import annotations

from typing import Any, SupportsFloat, SupportsIndex

import torch
from torch import Tensor, nn

from robustxai.attacks.controls import RandomDirections
from robustxai.explainers.gradient import Saliency
from robustxai.nets.softplus import has_kinks
from robustxai.ranking.er_attack import MSEAttack, RankingAttack
from robustxai.ranking.stability import attacked_precision, random_control
from robustxai.ranking.thickness import topk_thickness


def attacked(
    model: nn.Module,
    x: Tensor,
    k: SupportsIndex,
    eps: SupportsFloat,
    *,
    steps: SupportsIndex = 40,
    score: str = "prob",
) -> tuple[Tensor, ...]:
    """What is found for every sample, (n,): P@k under ERAttack, the MSE attack, the adaptive one and random changes,
    and the normalised thickness in the ball and towards ERAttack's result; nan where an attack had no gradient.

    All samples go through the network at once, as a stack of networks needs it.

    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> len(attacked(net, torch.ones(3, 6), 2, 0.5, steps=1))
    6
    """
    explain = Saliency(model, score=score)
    options: dict[str, Any] = dict(steps=steps, batch_size=len(x))
    attacks = (
        RankingAttack(k, eps, **options),
        MSEAttack(eps, **options),
        adaptive_attack(model, k, eps, **options),
    )
    results = [attack.perturb(model, x, explain=explain) for attack in attacks]
    er, mse, adaptive = (attacked_precision(explain, x, r, k) for r in results)
    random = random_control(model, x, k, explain=explain, control=RandomDirections(eps))
    local = topk_thickness(explain, x, k=k, eps=eps, normalise=True, draws=6, points=4)
    adversarial = topk_thickness(explain, x, k=k, other=results[0].x, normalise=True, points=8)
    return er, mse, adaptive, random, local, adversarial.masked_fill(results[0].stuck, torch.nan)


def adaptive_attack(model: nn.Module, k: SupportsIndex, eps: SupportsFloat, **options: Any) -> RankingAttack:
    """The attacker who knows that shrinking a map changes no rank: gaps between shares of the saliency.

    On a ReLU network such shares have zero gradient, so its derivatives come from a softplus copy. options: of
    `RankingAttack`.
    """
    beta = 10.0 if has_kinks(model) else None
    return RankingAttack(k, eps, normalise=True, surrogate_beta=beta, **options)
