"""Single measurements on a study's networks: curves, other explanations and attacks, guarantees, faithfulness.

Each function returns rows or curves with t intervals over seeds. The main comparison of all methods is in
`tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robustxai.attacks.controls import RandomDirections
from robustxai.explainers.gradient import Saliency
from robustxai.explainers.precision import as_double
from robustxai.metrics import Interval
from robustxai.metrics.predictions import predicted
from robustxai.models import logits_of
from robustxai.ranking.certified import certified_radius, thickness_bounds
from robustxai.ranking.er_attack import MSEAttack, RankingAttack
from robustxai.ranking.removal import comp, dffot, suff
from robustxai.ranking.stability import (
    attacked_precision,
    precision_at_k,
    pretrained_overlap,
    random_control,
    sensitivity,
)
from robustxai.ranking.steps_to_break import iterations_to_break
from robustxai.ranking.study.stacked import per_network
from robustxai.ranking.study.study import Study
from robustxai.ranking.thickness import thickness, topk_thickness
from robustxai.records import Row, over_seeds, triple


def kept_by_seed(
    study: Study, seeds: Sequence[int], method: str, axis: str, values: Sequence[float | int]
) -> dict[str, list[list[float]]]:
    """P@k of a method's networks against `axis` ('eps', 'steps' or 'k'): ERAttack, MSE attack, random changes.

    By attack, then one list a value, with one number a seed.
    """
    found: dict[str, list[list[float]]] = {"ERAttack": [], "MSE attack": [], "random": []}
    for value in values:
        k = int(value) if axis == "k" else study.setting.k
        eps = float(value) if axis == "eps" else study.setting.eps
        steps = int(value) if axis == "steps" else 40
        for numbers in found.values():
            numbers.append([])
        for trial in study.trials(seeds, method):
            net, x = trial.network, trial.x
            explain = Saliency(net)
            options: dict[str, Any] = dict(steps=steps, batch_size=len(x))
            attacks = {"ERAttack": RankingAttack(k, eps, **options), "MSE attack": MSEAttack(eps, **options)}
            for name, attack in attacks.items():
                kept = attacked_precision(explain, x, attack.perturb(net, x, explain=explain), k)
                found[name][-1] += per_network(kept, trial.count).tolist()
            control = random_control(net, x, k, explain=explain, control=RandomDirections(eps))
            found["random"][-1] += per_network(control, trial.count).tolist()
    return found


def curves(found: dict[str, list[list[float]]]) -> dict[str, list[Interval]]:
    """What `kept_by_seed` found, as means over seeds with t intervals.

    >>> curves({"random": [[0.5, 0.5]]})["random"][0].value
    0.5
    """
    return {name: [over_seeds(numbers) for numbers in values] for name, values in found.items()}


def guarantees(study: Study, seed: int, method: str, *, eps: float, n: int = 20, draws: int = 200) -> Row:
    """Violations of the thickness bound and of the certified radius, in double precision, on `n` samples."""
    net, x, k = as_double(study.network(seed, method)), as_double(study.attacked(seed)[:n]), study.setting.k
    explain = Saliency(net)
    target = predicted(logits_of(net, x).detach())
    g = torch.Generator().manual_seed(seed)
    order = explain(x, target).detach().flatten(1).argsort(1, descending=True)
    outside = 0
    for i, j in ((0, k), (k - 1, k), (k - 1, study.d - 1)):
        pair = order[:, i], order[:, j]
        theta = thickness(explain, x, *pair, target, eps=eps, draws=draws, points=16, generator=g)
        for row in range(len(x)):
            bound = thickness_bounds(explain, x[row : row + 1], target[row : row + 1], eps=eps,
                                     pair=(int(pair[0][row]), int(pair[1][row])), generator=g)  # fmt: skip
            slack = 1e-9 + 0 * bound.lower
            outside += int(
                not bool((bound.lower - slack <= theta[row]) & (theta[row] <= bound.upper + slack))
            )
    radius = certified_radius(explain, x, target, k=k, within=0.3, generator=g)
    changed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for _ in range(draws):
        u = torch.randn(x.shape, generator=g, dtype=x.dtype, device=g.device).to(x.device)
        moved = x + u * (radius / u.flatten(1).norm(dim=1))[:, None] * 0.999
        changed |= precision_at_k(explain(x, target).detach(), explain(moved, target).detach(), k) < 1
    return {
        "samples": len(x),
        "pairs outside the bound": outside,
        "median certified radius": float(radius.median()),
        "top-k sets changed inside the radius": int(changed.sum()),
    }


def hardness(
    study: Study, seeds: Sequence[int], method: str, *, step: float, limit: int = 200
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each seed, per sample: clean-ball thickness (normalised), iterations until the top-k set breaks, and whether
    it broke.
    """
    k, each = study.setting.k, []
    for trial in study.trials(seeds, method):
        net, x, explain = trial.network, trial.x, Saliency(trial.network)
        thick = topk_thickness(explain, x, k=k, eps=study.setting.eps, normalise=True, draws=6, points=4)
        found = iterations_to_break(net, x, k=k, step=step, max_steps=limit, explain=explain)
        columns = (
            v.unflatten(0, (-1, trial.count)).unbind(1) for v in (thick, found.iterations, found.broken)
        )
        each += list(zip(*columns, strict=True))
    return each


def faithfulness(study: Study, seeds: Sequence[int], methods: Sequence[str]) -> list[Row]:
    """DFFOT, COMP and SUFF, overlap with the pretrained explanation, and the sensitivity found in two ways (spec 8)."""
    rows: list[Row] = []
    for method in methods:
        each: dict[str, list[float]] = {}
        pairs = zip(study.trials(seeds, method), study.trials(seeds, "Pretrained"), strict=True)
        for trial, start in pairs:
            net, x = trial.network, trial.x
            explain, target = Saliency(net), predicted(logits_of(net, x).detach())
            scores = explain(x, target).detach()
            flip = dffot(net, x, scores)
            sharp = sensitivity(net, explain, x, target, eps=study.setting.eps, draws=20)
            numbers = {
                "DFFOT": flip.fraction,
                "COMP": comp(net, x, scores, target),
                "SUFF": suff(net, x, scores, target),
                "overlap with the start": pretrained_overlap(
                    explain, Saliency(start.network), x, study.setting.k, target=target
                ),
                "sensitivity, random": sharp.random,
                "sensitivity, optimised": sharp.optimised,
            }
            for name, value in numbers.items():
                each.setdefault(name, []).extend(per_network(value, trial.count).tolist())
        row: Row = {"method": method}
        rows.append(row | {n: triple(over_seeds(v)) for n, v in each.items()})
    return rows


def on_object(study: Study, seeds: Sequence[int], methods: Sequence[str]) -> list[Row]:
    """Share of the top k that lies on the object, before and after ERAttack, and P@k; the last row is chance."""
    k = study.setting.k
    attack = RankingAttack(k, study.setting.eps, steps=20, clip=(0, 1))
    rows: list[Row] = []
    area: list[float] = []
    for method in methods:
        each: dict[str, list[float]] = {"on the object": [], "after the attack": [], "P@k": []}
        for seed in seeds:
            net, x, mask = study.network(seed, method), study.attacked(seed), study.masks(seed)
            explain = Saliency(net)
            result = attack.perturb(net, x, explain=explain)
            clean, moved = (explain(v, result.target).detach().flatten(1) for v in (x, result.x))
            for key, scores in (("on the object", clean), ("after the attack", moved)):
                each[key].append(float(mask.gather(1, scores.topk(k).indices).cpu().double().mean()))
            each["P@k"].append(float(attacked_precision(explain, x, result, k).nanmean()))
            area.append(float(mask.cpu().double().mean()))
        row: Row = {"method": method}
        rows.append(row | {n: triple(over_seeds(v)) for n, v in each.items()})
    rows.append({"method": "chance: area of the object", "on the object": sum(area) / len(area)})
    return rows
