"""Ablations of R2ET (spec 10): which pairs, which weighting, anchor, explained score and Hessian direction.

Each variant is fine-tuned here and now from the shipped common start of a study, with fixed weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from torch import nn

from robustxai.ranking.regularisers import R2ET
from robustxai.ranking.study.settings import measure
from robustxai.ranking.study.study import Study
from robustxai.ranking.training import fit_regularised
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


def variant(start: nn.Module, study: Study, seed: int, changes: dict[str, Any]) -> nn.Module:
    """A copy of `start` fine-tuned with R2ET under `changes`."""
    options = {"lam": 1.0, "hessian": 0.0, **changes}
    if options.pop("anchor", False):
        options["anchor"] = start
    model = deepcopy(start)
    fit_regularised(
        model, study.table(seed), [R2ET(study.setting.k, **options)], seed=seed, **study.setting.training
    )
    return model


def ablation(
    study: Study, seeds: Sequence[int], variants: dict[str, dict[str, Any]] = VARIANTS, *, points: int = 100
) -> list[Row]:
    """A row per variant: accuracy, and P@k under ERAttack and the adaptive attack, means with t intervals."""
    rows: list[Row] = []
    for name, changes in variants.items():
        found = [
            measure(variant(study.network(s, "Pretrained"), study, s, changes), study.test(s), study.setting,
                    points=points, steps=20)
            for s in seeds
        ]  # fmt: skip
        row: Row = {"variant": name, "accuracy": triple(over_seeds(m.accuracy for m in found))}
        for title, what in (("ERAttack", "er"), ("adaptive", "adaptive"), ("thickness", "local")):
            row[title] = triple(over_seeds(m.mean(what) for m in found))
        rows.append(row)
    return rows
