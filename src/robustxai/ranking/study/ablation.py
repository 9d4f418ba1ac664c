"""Ablations of R2ET (spec 10): which pairs, which weighting, anchor, explained score and Hessian direction.

Each variant is fine-tuned here and now from the shipped common starts of a table, with fixed weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from robustxai.nets.mlp_stack import MLPStack
from robustxai.ranking.regularisers import R2ET
from robustxai.ranking.study.stacked import fit_stack, measure_stack, together
from robustxai.ranking.study.study import Study
from robustxai.records import Row, over_seeds, triple

VARIANTS: dict[str, dict[str, Any]] = {
    "cross-entropy only": {"lam": 0.0},
    "all pairs": {},
    "next k (near)": {"pairs": "near"},
    "k narrowest a side (mm)": {"pairs": "mm"},
    "2 narrowest a side (mm)": {"pairs": "mm", "n_pairs": 2},
    "near, adaptive weight 0.1": {"lam": 0.1, "pairs": "near", "weighting": "adaptive"},
    "anchored to the start": {"anchor": True},
    "explains the cross-entropy": {"score": "ce"},
    "explains the logit": {"score": "logit"},
    "with Hessian, along the sign": {"hessian": 0.1},
    "with Hessian, random direction": {"hessian": 0.1, "along": "random"},
    "with Hessian, along the gaps": {"hessian": 0.1, "along": "gapdir"},
}
"""Arguments of `R2ET` that differ from lam = 1, no Hessian, all pairs, fixed weight, own ranking, probability."""


def variant(study: Study, seeds: Sequence[int], changes: dict[str, Any]) -> MLPStack:
    """The common starts of a table's splits, fine-tuned with R2ET under `changes`, one network a seed."""
    start = study.stack(seeds, "Pretrained")
    options = {"lam": 1.0, "hessian": 0.0, **changes}
    if options.pop("anchor", False):
        options["anchor"] = start
    terms = [R2ET(study.setting.k, **options)]
    return fit_stack(deepcopy(start), [study.table(seed) for seed in seeds], terms, **study.setting.training)


def ablation(
    study: Study, seeds: Sequence[int], variants: dict[str, dict[str, Any]] = VARIANTS, *, points: int = 100
) -> list[Row]:
    """A row per variant: accuracy, and P@k under ERAttack and the adaptive attack, means with t intervals."""
    rows: list[Row] = []
    part = together([study.test(seed) for seed in seeds])
    for name, changes in variants.items():
        found = measure_stack(variant(study, seeds, changes), part, study.setting, points=points, steps=20)
        row: Row = {"variant": name, "accuracy": triple(over_seeds(m.accuracy for m in found))}
        for title, what in (("ERAttack", "er"), ("adaptive", "adaptive"), ("thickness", "local")):
            row[title] = triple(over_seeds(m.mean(what) for m in found))
        rows.append(row)
    return rows
