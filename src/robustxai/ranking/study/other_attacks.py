"""Secondary experiments: transfer to other explainers, other attacks, gradient masking, training cost.

Each function returns rows, or numbers by name, with t intervals over seeds where several networks take part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.attacks.ghorbani import MassCentreAttack, TargetRegionAttack, TopKAttack
from robustxai.attacks.target_map import TargetMapAttack
from robustxai.explainers.gradient import Saliency
from robustxai.nets import MLP
from robustxai.nets.softplus import has_kinks
from robustxai.ranking.er_attack import RankingAttack
from robustxai.ranking.regularisers import R2ET, AdversarialTraining, RegularisedLoss
from robustxai.ranking.stability import attacked_precision, precision_at_k
from robustxai.ranking.study.attacked_samples import adaptive_attack
from robustxai.ranking.study.stacked import per_network
from robustxai.ranking.study.study import Study
from robustxai.records import Row, over_seeds, triple


def transferred_precision(
    study: Study,
    seeds: Sequence[int],
    methods: Sequence[str],
    explainers: dict[str, Callable[..., Any]],
) -> dict[str, dict[str, list[float]]]:
    """P@k per method and explainer, one number a seed: ERAttack aims at the explainer itself."""
    k = study.setting.k
    found: dict[str, dict[str, list[float]]] = {}
    for method in methods:
        found[method] = {name: [] for name in explainers}
        for name, make in explainers.items():
            for trial in study.trials(seeds, method):
                explain, x = make(trial.network), trial.x
                attack = RankingAttack(k, study.setting.eps, steps=20, batch_size=len(x))
                kept = attacked_precision(explain, x, attack.perturb(trial.network, x, explain=explain), k)
                found[method][name] += per_network(kept, trial.count).tolist()
    return found


def integrated(net: nn.Module, n_steps: int = 10) -> Callable[[Tensor, Tensor], Tensor]:
    """Integrated gradients of the probability from zero, also of a stack, by the midpoint rule in `n_steps`.

    `IntegratedGradients` finds the same, faster for one large network, and asks it about single rows.

    >>> net = MLP(4, generator=torch.Generator().manual_seed(0)).eval()
    >>> integrated(net)(torch.ones(2, 4), torch.tensor([0, 1])).shape
    torch.Size([2, 4])
    """
    slope = Saliency(net).signed

    def explain(x: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for step in range(n_steps):
            total = total + slope((step + 0.5) / n_steps * x, target)
        return x * total / n_steps

    return explain


def other_attacks(study: Study, seeds: Sequence[int], methods: Sequence[str]) -> list[Row]:
    """P@k under attacks that were not made for rankings: a row per attack, a column per method, with t intervals.

    The adaptive one, Ghorbani's three, and Dombrowski's targeted one towards the explanation of the next
    sample, all with the l2 budget of the study; derivatives of ReLU networks from a softplus copy. The centre of mass
    needs images.
    """
    table: dict[str, Row] = {}
    for method in methods:
        found: dict[str, list[float]] = {}
        for seed in seeds:
            net, x = study.network(seed, method), study.attacked(seed)
            explain = Saliency(net)
            for name, attack in _rivals(study, net, explain(x).detach()).items():
                kept = attacked_precision(
                    explain, x, attack.perturb(net, x, explain=explain), study.setting.k
                )
                found.setdefault(name, []).append(float(kept.nanmean()))
        for name, numbers in found.items():
            table.setdefault(name, {"attack": name})[method] = triple(over_seeds(numbers))
    return list(table.values())


def _rivals(study: Study, net: nn.Module, clean: Tensor) -> dict[str, Any]:
    """The attacks of one network; the target region is where its mean explanation is smallest."""
    k, eps = study.setting.k, study.setting.eps
    smooth = not has_kinks(net)
    options: dict[str, Any] = dict(norm="l2", steps=40, surrogate_beta=None if smooth else 50.0)
    region = torch.zeros(study.d, device=clean.device)
    region[clean.flatten(1).mean(0).topk(k, largest=False).indices] = 1
    attacks: dict[str, Any] = {
        "ERAttack": RankingAttack(k, eps),
        "adaptive": adaptive_attack(net, k, eps),
        "Ghorbani, top k": TopKAttack(k, eps, **options),
        "Ghorbani, target region": TargetRegionAttack(region, eps, **options),
        "Dombrowski, next sample's map": TargetMapAttack(
            clean.roll(1, 0), eps=eps, steps=100, lr=eps / 20, betas=None if smooth else (10, 100)
        ),
    }
    if clean.ndim == 4:
        attacks["Ghorbani, centre of mass"] = MassCentreAttack(eps, **options)
    return attacks


def step_ratios(seed: int, *, repeats: int = 40, batch_size: int = 128) -> dict[str, list[float]]:
    """Time of a training step, MLP of the tables, over that of a plain one, one number a round of alternating steps."""
    g = torch.Generator().manual_seed(seed)
    net = MLP(28, generator=g)
    x = torch.randn(batch_size, 28, generator=g, device=g.device)
    y = torch.randint(2, (batch_size,), generator=g, device=g.device)
    steps = {
        "plain": RegularisedLoss([]),
        r"R2ET_\H": RegularisedLoss([R2ET(8, 1.0)]),
        "R2ET": RegularisedLoss([R2ET(8, 1.0, hessian=0.1)]),
        "AT, 3 steps": RegularisedLoss([AdversarialTraining(8, 0.5, steps=3)]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats + 1):
        for name, loss in steps.items():
            start = perf_counter()
            loss(net, x, y).backward(inputs=list(net.parameters()))
            seconds[name].append(perf_counter() - start)
    return {
        name: [t / plain for t, plain in zip(times[1:], seconds["plain"][1:], strict=True)]
        for name, times in seconds.items()
    }


def blind_attack(study: Study, seed: int, betas: Sequence[float]) -> list[Row]:
    """P1: attacks on the gradient of the logit of a ReLU network, without and with a softplus surrogate."""
    net, x, k = study.network(seed, "Vanilla"), study.attacked(seed), study.setting.k
    rows: list[Row] = []
    for score, beta in [("logit", None), *(("logit", b) for b in betas), ("prob", None), ("prob", 50.0)]:
        explain = Saliency(net, score=score)
        result = RankingAttack(k, study.setting.eps, surrogate_beta=beta).perturb(net, x, explain=explain)
        kept = precision_at_k(
            explain(x, result.target).detach(), explain(result.x, result.target).detach(), k
        )
        rows.append(
            {
                "explained": score,
                "derivatives from": "the network" if beta is None else f"softplus, beta {beta:g}",
                "P@k as computed": float(kept.nanmean()),
                "inputs moved": float(result.moved.cpu().double().mean()),
                "no gradient at all": float(result.stuck.cpu().double().mean()),
            }
        )
    return rows
