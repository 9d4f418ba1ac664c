"""One thing changed at a time: the attack's budget, aim, layer and steps, the analyst's probe, the number of exemplars.

Each function gives outcomes by setting on one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from robustxai.concepts.attacks import MultiLayerPushing, TokenPushing, UniversalPushing
from robustxai.concepts.cav import CAV
from robustxai.concepts.study.cases import STEPS, Case, attack_case, verdict_cells
from robustxai.concepts.study.outcomes import Flip
from robustxai.concepts.study.study import Study
from robustxai.concepts.tcav import TCAV
from robustxai.concepts.tcav_result import Cell

PROBES = {
    "ridge": CAV(),
    "ridge, lambda 0.01": CAV(strength=0.01),
    "ridge, pooled": CAV(pool=True),
    "SGD hinge": CAV("sgd"),
    "logistic": CAV("logistic"),
    "mean difference": CAV("mean"),
}
"""The analyst's estimators; the attacker does not know which (ours is the first, the reference tool's is SGD)."""


def budgets(
    study: Study, kind: str, seed: int, case: Case, *, eps: Sequence[float], attack: str = "push"
) -> list[Cell]:
    """The case's cell at each eps, in [0, 1]; 0 is clean."""
    sets = {str(e): study.moved(kind, seed, case, attack, eps=e).x for e in eps}
    return list(study.judged(kind, seed, case, sets).values())


def at_budget(
    study: Study, kind: str, seed: int, case: Case, *, eps: float, attack: str = "push", steps: int = STEPS
) -> Flip:
    """The case's outcome at another budget, and after another number of steps."""
    if steps == STEPS:
        p = study.moved(kind, seed, case, attack, eps=eps)
    else:
        which = {"attack": attack, "layer": study.layer, "eps": eps, "steps": steps}
        p = attack_case(study.network(kind, seed), study.given, case, **which)
    return Flip(case=case, cells=study.judged(kind, seed, case, {"clean": p.clean, "attacked": p.x}))


def probes(study: Study, kind: str, seed: int, case: Case, *, attack: str = "push") -> dict[str, Flip]:
    """Outcomes by the analyst's probe, and with the log-probability instead of the logit."""
    p = study.moved(kind, seed, case, attack)
    sets = {"clean": p.clean, "attacked": p.x}
    found = {}
    for name, cav in PROBES.items():
        found[name] = Flip(case=case, cells=study.judged(kind, seed, case, sets, cav=cav))
    model = study.network(kind, seed)
    tcav = TCAV(model, [study.layer], cav=study.cav, score="logp", cache=study.memory(model))
    given = study.given
    r = tcav.score(given.scored[case.target], given.index(case.target), sets, given.random, correction="none")
    return found | {"ridge, log-probability": Flip(case=case, cells={k: r[k, study.layer] for k in sets})}


def aims(study: Study, kind: str, seed: int, case: Case, *, steps: Sequence[int] = (40,)) -> dict[str, Flip]:
    """Outcomes by what token pushing compares, where it aims and how long it runs (spec 4.2 to 4.4)."""
    model, given, eps = study.network(kind, seed), study.given, study.eps
    tokens, goal = given.concepts[case.concept], given.goal[case.towards]

    def pushed(towards: torch.Tensor | None = goal, **options) -> torch.Tensor:
        return TokenPushing(study.layer, **options).perturb(model, tokens, towards, eps=eps).x

    sets = {
        "clean": tokens,
        "whole maps, 20 steps": study.moved(kind, seed, case).x,
        "unit channels (GCAV)": pushed(variant="cosine"),
        "means over positions": pushed(variant="pooled"),
    }
    sets |= {f"whole maps, {k} steps": pushed(steps=k) for k in steps}
    if case.sign > 0:
        sets["towards images of the class"] = pushed(given.own[case.target])
    else:
        sets["away from its own centroid"] = pushed(None, away=True)
    return beside_clean(case, study.judged(kind, seed, case, sets))


def beside_clean(case: Case, cells: dict[str, Cell]) -> dict[str, Flip]:
    """An outcome for each of the cells but "clean", which all are compared with."""
    clean = cells["clean"]
    return {
        k: Flip(case=case, cells={"clean": clean, "attacked": c}) for k, c in cells.items() if k != "clean"
    }


def counts(
    study: Study, kind: str, seed: int, case: Case, *, n: Sequence[int], attack: str = "push"
) -> dict[int, Flip]:
    """Outcomes with the first n exemplars and as many random images."""
    p = study.moved(kind, seed, case, attack)
    found = {}
    for few in n:
        given = replace(study.given, random=[s[:few] for s in study.given.random])
        tcav = TCAV(study.network(kind, seed), [study.layer], cav=study.cav)
        sets = {"clean": p.clean[:few], "attacked": p.x[:few]}
        cells = verdict_cells(tcav, given, case.target, sets)
        found[few] = Flip(case=case, cells={k: cells[k][study.layer] for k in sets})
    return found


def poisoned(
    study: Study, kind: str, seed: int, case: Case, *, shares: Sequence[float], attack: str = "push"
) -> dict[float, Flip]:
    """Outcomes when only the first share of the exemplars is attacked."""
    p = study.moved(kind, seed, case, attack)
    cut = {s: round(s * len(p.clean)) for s in shares}
    sets = {str(s): torch.cat((p.x[:k], p.clean[k:])) for s, k in cut.items()}
    found = beside_clean(case, study.judged(kind, seed, case, {"clean": p.clean} | sets))
    return {s: found[str(s)] for s in shares}


def universal(study: Study, kind: str, seed: int, case: Case) -> dict[str, Flip]:
    """Outcomes of the held-out half of the exemplars: with the delta shared by the other half, and one by one."""
    tokens, goal = study.given.concepts[case.concept], study.given.goal[case.towards]
    half = len(tokens) // 2
    shared = UniversalPushing(study.layer).perturb(
        study.network(kind, seed), tokens[:half], goal, eps=study.eps
    )
    each = study.moved(kind, seed, case).x[half:]
    sets = {"clean": tokens[half:], "universal": shared.apply(tokens[half:]), "per exemplar": each}
    return beside_clean(case, study.judged(kind, seed, case, sets))


def layers(
    study: Study, kind: str, seed: int, case: Case, *, judged: Sequence[str]
) -> dict[str, dict[str, Cell]]:
    """Cells by attack ("clean", "one layer", "all layers") and by the layer that is judged (spec 4.6)."""
    p = study.moved(kind, seed, case)
    broad = MultiLayerPushing(judged).perturb(
        study.network(kind, seed), p.clean, study.given.goal[case.towards], eps=study.eps
    )
    sets = {"clean": p.clean, "one layer": p.x, "all layers": broad.x}
    by_layer = {layer: study.judged(kind, seed, case, sets, layer=layer) for layer in judged}
    return {name: {layer: cells[name] for layer, cells in by_layer.items()} for name in sets}
