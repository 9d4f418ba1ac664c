"""Single choices of the method, measured: the worst change near an image, the ends of a path, the derivative that an
attacker follows, the stop rule of the released solver.

All on a `Study`, with the first architecture.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from robustxai.explainers.path_explainer import PathExplainer
from robustxai.manifold_ig.batched_queries import at_once
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.guides import bpda_guide, frozen
from robustxai.manifold_ig.implicit_gradient import implicit
from robustxai.manifold_ig.pullback_metric import largest_eigenvalue
from robustxai.manifold_ig.released_solver import NODES, STEP, released_line
from robustxai.manifold_ig.saliency_maps import from_black, saliency
from robustxai.manifold_ig.study.attack_runs import Campaign
from robustxai.manifold_ig.study.attack_tables import moved, rebuilt
from robustxai.manifold_ig.study.image_sets import Samples
from robustxai.manifold_ig.study.map_runs import SHORT, core, endings
from robustxai.manifold_ig.study.study import Study
from robustxai.manifold_ig.study.summaries import Runs
from robustxai.metrics import energy_inside, max_sensitivity, optimised_sensitivity, pearson
from robustxai.models import logits_of
from robustxai.records import Rows, joined_rows
from robustxai.runtime import side_by_side
from robustxai.scores.explained import scored

BORROWED = (("EIG", "IG-recon"), ("MIG", "EIG"), ("GuidedIG", "IG"))
"""Attacked method, and the one whose derivative is followed in its place."""
IMPLICIT = "implicit"
Thing = TypeVar("Thing")


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
    ask: dict[str, Any] = dict(x=samples.x, target=samples.y, radius=radius, draws=draws)

    def row(method: PathExplainer) -> dict[str, Tensor]:
        solved = frozen(method) if isinstance(method, ManifoldIG) else None
        guide = None if solved is None else lambda v: from_black(solved(v))
        explain = from_black(method)
        found = optimised_sensitivity(explain, **ask, steps=steps, guide=guide)
        return {"random": max_sensitivity(explain, **ask).value, "optimised": found.value}

    chosen = study.seeds if seeds is None else seeds
    return _by_seed(study, {s: core(study, _first(study, s), **SHORT) for s in chosen}, lambda _, m: row(m))


def ending_runs(study: Study, samples: Samples, *, draws: int, inputs: str = "recon") -> Runs:
    """Every seed and ending: "gap to F(x)", |sum A - (F(x) - F(x'))| over the total variation of F along the path, with
    the images themselves, black x' among them; "gap / TV" to the path's own ends; "gradient noise"; SENS_max.

    inputs: what the classifiers were trained on.
    """
    x, y = samples.x, samples.y

    def row(method: PathExplainer) -> dict[str, Tensor]:
        found = method.explain(x, y)
        with torch.no_grad():
            whole = [scored(logits_of(method.model, v), y, method.score) for v in (x, torch.zeros_like(x))]
        along = torch.cat((found.start[None], found.scores, found.end[None])).diff(dim=0).abs().sum(0)
        off = (found.values.flatten(1).sum(1) - (whole[0] - whole[1])).abs() / along
        ask = partial(max_sensitivity, x=x, target=y, draws=draws)
        change = at_once(ask, from_black(method), like=found.values, known=found.values).value
        noise = torch.full_like(off, torch.nan) if found.noise is None else found.noise
        return {
            "gap to F(x)": off,
            "gap / TV": found.completeness_gap,
            "gradient noise": noise,
            "SENS_max": change,
        }

    nets = {s: study.classifier(study.architectures[0], s, inputs) for s in study.seeds}
    methods = {s: endings(study, model) for s, model in nets.items()}
    return _by_seed(study, methods, lambda _, method: row(method))


def inside_runs(study: Study, samples: Samples, start: Tensor | float) -> Runs:
    """The share of the maps inside the masks, "energy inside", of IG, IG-recon and MIG by every classifier, from
    another start of the path than black.

    Raises ValueError for samples without masks.
    """
    x, y, masks = samples.x, samples.y, samples.masks
    if masks is None:
        raise ValueError("samples must have masks of what is to be found, got none")

    def row(net: tuple[str, int, nn.Module]) -> Rows:
        methods = core(study, net[2])
        maps = {n: saliency(methods[n].attribute(x, y, start)) for n in ("IG", "IG-recon", "MIG")}  # pyright: ignore[reportArgumentType]
        return {n: {"energy inside": energy_inside(m, masks)} for n, m in maps.items()}

    nets = list(study.each())
    found = side_by_side(row, nets)
    return {net[:2]: rows for net, rows in zip(nets, found, strict=True)}


def bpda_runs(study: Study, campaign: Campaign, *, iterations: int = 2) -> Runs:
    """The targeted attack with the values of one method and the derivative of another (BPDA), on `BORROWED`; and on MIG
    with the implicit derivative of its geodesics in place of a bend that is held fixed, by `iterations` of
    `end_gradient`. The images are those of `attack_runs.attack_runs` on the first architecture.
    """

    def row(seed: int, way: tuple[str, str], victims: Samples, wanted: Samples) -> dict[str, Tensor]:
        methods = study.methods(_first(study, seed), neighbours=True, **SHORT)
        method, follow = methods[way[0]], way[1]
        if follow == IMPLICIT:
            assert isinstance(method, ManifoldIG)
            guide = implicit(method, iterations=iterations)
        else:
            guide = bpda_guide(method, methods[follow])
        also = None if method.encoder is None else rebuilt(method)
        x, y = victims.x, victims.y
        pushed = campaign.attack(wanted.x).perturb(method.model, x, y, explain=method, guide=guide, also=also)
        before, goal = method.explain(x, y), saliency(method(wanted.x))
        return moved(method, x, pushed.x, y, before, goal, followed=pushed.followed)

    ways = (*BORROWED, ("MIG", IMPLICIT))
    some = [(seed, v, w) for (_, seed), v, w in replace(campaign, wide=False).jobs(study)]
    jobs = [(seed, way, v, w) for way in reversed(ways) for seed, v, w in some]  # the long ones first
    found = list(zip(jobs, side_by_side(lambda job: row(*job), jobs), strict=True))
    return {
        (study.architectures[0], seed): {
            f"{way[0]}, {way[1]}": joined_rows([{"": r} for job, r in found if job[:2] == (seed, way)])[""]
            for way in ways
        }
        for seed in dict.fromkeys(seed for seed, *_ in some)
    }


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

    def row(solver: dict[str, float]) -> dict[str, Tensor]:
        method = ManifoldIG.released(*parts, sweeps=sweeps, solver=solver, memory=study.memory)
        trace = method.geodesic(x, start).trace
        made = (trace.diff(dim=0) != 0).sum(0) if len(trace) > 1 else torch.zeros(len(x), device=x.device)
        return {
            "sweeps": made.to(x),
            "step / limit": torch.full_like(trace[0], solver.get("step", STEP) / limit),
            "energy removed": 1 - trace[-1] / trace[0],
            "PCC with EIG": pearson(saliency(method(x, y)), flat),
        }

    versions = released_versions(0.5 * limit)
    return dict(zip(versions, side_by_side(row, versions.values()), strict=True))


def released_versions(step: float) -> dict[str, dict[str, float]]:
    """Options of the released solver: its own, without the stop rule, and that at another step."""
    free = {"epsilon": 0.0}
    return {"as released": {}, "no stop rule": free, "no stop rule, half the limit": free | {"step": step}}


def _first(study: Study, seed: int) -> nn.Module:
    return study.classifier(study.architectures[0], seed)


def _by_seed(
    study: Study, things: Mapping[int, Mapping[str, Thing]], row: Callable[[int, Thing], dict[str, Tensor]]
) -> Runs:
    """`row` of every seed and thing, in parallel, as runs of the first architecture."""
    jobs = [(seed, name, thing) for seed, some in things.items() for name, thing in some.items()]
    found = side_by_side(lambda job: row(job[0], job[2]), jobs)
    runs: Runs = {(study.architectures[0], seed): {} for seed in things}
    for (seed, name, _), values in zip(jobs, found, strict=True):
        runs[study.architectures[0], seed][name] = values
    return runs
