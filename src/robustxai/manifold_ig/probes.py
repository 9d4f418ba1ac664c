"""Single choices of the method, measured: the worst change near an image, the ends of a path, the derivative that an
attacker follows, the stop rule of the released solver.

All on a `Study`, with the first architecture. Knows nothing about figures or claims.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from robustxai.manifold_ig.adaptive import borrowed, frozen
from robustxai.manifold_ig.at_once import at_once
from robustxai.manifold_ig.attacks import AttributionAttack
from robustxai.manifold_ig.decoded import ManifoldIG
from robustxai.manifold_ig.integrate import class_scores
from robustxai.manifold_ig.maps import saliency
from robustxai.manifold_ig.metric import largest_eigenvalue
from robustxai.manifold_ig.released import NODES, STEP, released_line
from robustxai.manifold_ig.robustness import Rows, moved, rebuilt
from robustxai.manifold_ig.study import Study
from robustxai.manifold_ig.surveys import SHORT, Runs, core, endings
from robustxai.manifold_ig.tasks import Samples
from robustxai.metrics import max_sensitivity, optimised_sensitivity, pearson

BORROWED = (("EIG", "IG-recon"), ("MIG", "EIG"), ("GuidedIG", "IG"))
"""Attacked method, and the one whose derivative is followed in its place."""


def worst_runs(
    study: Study,
    samples: Samples,
    *,
    steps: int,
    draws: int,
    radius: float = 0.02,
    seeds: Sequence[int] | None = None,
) -> Runs:
    """Every seed, or some: the largest relative change of the map in a box of half side `radius`, of `draws` random
    changes ("random"), and found by `steps` uphill from the best of them ("optimised"); short paths as in the attacks.
    """
    runs: Runs = {}
    for seed in study.seeds if seeds is None else seeds:
        rows: Rows = {}
        for name, method in core(study, study.classifier(study.architectures[0], seed), **SHORT).items():
            ask: dict[str, Any] = dict(x=samples.x, target=samples.y, radius=radius, draws=draws)
            guide = frozen(method) if isinstance(method, ManifoldIG) else None
            found = optimised_sensitivity(method, **ask, steps=steps, guide=guide)
            rows[name] = {"random": max_sensitivity(method, **ask).value, "optimised": found.value}
        runs[study.architectures[0], seed] = rows
    return runs


def ending_runs(study: Study, samples: Samples, *, draws: int, inputs: str = "recon") -> Runs:
    """Every seed and ending: "gap to F(x)", |sum A - (F(x) - F(x'))| over the total variation of F along the path, with
    the images themselves, black x' among them; "gap / TV" to the path's own ends; "gradient noise"; SENS_max.

    inputs: what the classifiers were trained on.
    """
    runs: Runs = {}
    x, y = samples.x, samples.y
    for seed in study.seeds:
        model, rows = study.classifier(study.architectures[0], seed, inputs), Rows()
        for name, method in endings(study, model).items():
            found = method.explain(x, y)
            with torch.no_grad():
                whole = [class_scores(model(v), y, method.score) for v in (x, torch.zeros_like(x))]
            along = torch.cat((found.start[None], found.scores, found.end[None])).diff(dim=0).abs().sum(0)
            off = (found.values.flatten(1).sum(1) - (whole[0] - whole[1])).abs() / along
            ask = partial(max_sensitivity, x=x, target=y, draws=draws)
            change = at_once(ask, method, like=found.values, known=found.values).value
            noise = torch.full_like(off, torch.nan) if found.noise is None else found.noise
            rows[name] = {
                "gap to F(x)": off,
                "gap / TV": found.completeness_gap,
                "gradient noise": noise,
                "SENS_max": change,
            }
        runs[study.architectures[0], seed] = rows
    return runs


def borrowed_runs(
    study: Study,
    *,
    pairs: int,
    steps: int,
    skip: int,
    lr: float = 8e-3,
    looks: int = 5,
    seeds: Sequence[int] | None = None,
) -> Runs:
    """The targeted attack with the values of one method and the derivative of another (BPDA), on `BORROWED`. Arguments
    as in `surveys.attack_runs`, whose images these are; seeds: some of the study's.
    """
    runs: Runs = {}
    for i, seed in enumerate(study.seeds):
        if seeds is not None and seed not in seeds:
            continue
        found, rows = study.methods(_first(study, seed), neighbours=True, **SHORT), Rows()
        victims, wanted = (study.samples(pairs, skip=skip + pairs * k) for k in (2 * i, 2 * i + 1))
        x, y = victims.x, victims.y
        for name, other in BORROWED:
            method = found[name]
            also = None if method.encoder is None else rebuilt(method)
            attack = AttributionAttack(wanted.x, steps=steps, lr=lr, refresh=max(1, steps // looks))
            guide = borrowed(method, found[other])
            pushed = attack.perturb(method.model, x, y, explain=method, guide=guide, also=also)
            clean = method.explain(x, y), saliency(method(wanted.x))
            rows[f"{name}, derivative of {other}"] = moved(method, x, pushed.x, y, *clean)
        runs[study.architectures[0], seed] = rows
    return runs


def released_rows(study: Study, samples: Samples, *, sweeps: int = 2, iterations: int = 8) -> Rows:
    """The released solver from black, in three versions: as released, without its stop rule, and without it at half
    the largest stable step. "sweeps" that were made, "step / limit", "energy removed" of the line, as a share, and
    "PCC with EIG" of the map with that of no sweep.

    iterations: of the power method behind the limit, at every fifth node.
    """
    model, x, y = _first(study, study.seeds[0]), samples.x, samples.y
    parts, start = (model, study.vae.encode, study.vae.decode), torch.zeros_like(samples.x)
    with torch.no_grad():
        nodes = released_line(study.vae.encode(start), study.vae.encode(x), NODES)[::5]
    steepest = largest_eigenvalue(study.vae.decode, nodes.flatten(0, 1), iterations=iterations)
    limit = 1 / (2 * NODES * float(steepest.max()))
    flat = saliency(ManifoldIG.released(*parts, sweeps=0, solver={"epsilon": 0.0}, memory=study.memory)(x, y))
    rows: Rows = {}
    for name, solver in released_versions(0.5 * limit).items():
        method = ManifoldIG.released(*parts, sweeps=sweeps, solver=solver, memory=study.memory)
        trace = method.geodesic(x, start).trace
        made = (trace.diff(dim=0) != 0).sum(0) if len(trace) > 1 else torch.zeros(len(x), device=x.device)
        rows[name] = {
            "sweeps": made.to(x),
            "step / limit": torch.full_like(trace[0], solver.get("step", STEP) / limit),
            "energy removed": 1 - trace[-1] / trace[0],
            "PCC with EIG": pearson(saliency(method(x, y)), flat),
        }
    return rows


def released_versions(step: float) -> dict[str, dict[str, float]]:
    """Options of the released solver: its own, without the stop rule, and that at another step."""
    free = {"epsilon": 0.0}
    return {"as released": {}, "no stop rule": free, "no stop rule, half the limit": free | {"step": step}}


def _first(study: Study, seed: int) -> nn.Module:
    return study.classifier(study.architectures[0], seed)
