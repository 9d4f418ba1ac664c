"""The chapter's experiments E1 to E4 (spec 9.3): networks and images in, one value an image out.

Every function returns `Rows`, setting -> quantity -> values (n,).
All settings of one function see the same images, targets and seed. `known`, setting -> result of an earlier run with
that setting on the same images, is not run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from robustxai.ace import metrics as M
from robustxai.ace.ace import ACE
from robustxai.ace.attacks import Watch
from robustxai.ace.counterfactual import Counterfactual
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.image_noise import draw_noise, image_generators
from robustxai.ace.metrics.flips import classes
from robustxai.ace.refinement import change_mask, refine
from robustxai.ace.study.measures import Judges, measured
from robustxai.records import Rows
from robustxai.shapes import Images

LEVELS = (0, 10, 20, 40, 80, 120, 200, 300)
THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.3)
LAMBDAS = {"l1": (0.001, 0.01, 0.1), "l2": (0.01, 0.1, 1.0), "none": (0.0,)}
TAU = 5
Known = Mapping[str, Counterfactual]
NOTHING: Known = MappingProxyType({})


def at_level(filter: DiffusionFilter, level: int, tau: int = TAU) -> DiffusionFilter:
    """The same network at another noise level: `tau` timesteps, evenly from 0 to `level`, ends included.

    Level 0 gives tau=0, the identity. Where there are fewer than `tau` timesteps, all of them are visited.
    """
    if level == 0:
        return filter.with_(timesteps=())
    steps = {round(j * level / (tau - 1)) for j in range(tau)} if tau > 1 else {level}
    return filter.with_(timesteps=tuple(sorted(steps)))


def explained_parts(
    judges: Judges,
    x: Images,
    *,
    filter: DiffusionFilter | None,
    seed: int = 0,
    mode: str = "strict",
    watch: Watch | None = None,
    **options: Any,
) -> Counterfactual:
    """`ACE.explain` of the judges' classifier; `options` are those of `ACE`."""
    return ACE(judges.classifier, filter, **options).explain(x, mode=mode, generators=seed, watch=watch)


def stages(judges: Judges, found: Counterfactual, *, purified: bool = True) -> dict[str, dict[str, Tensor]]:
    """What is measured of the pre-explanations ("filtered") and of the counterfactuals ("refined")."""
    return {
        name: measured(judges, found.x, image, found.prediction, found.target, purified=purified)
        for name, image in (("filtered", found.pre), ("refined", found.image))
    }


def changed(judges: Judges, found: Counterfactual) -> dict[str, Tensor]:
    """What is measured of the pre-explanations alone, and costs next to nothing."""
    return measured(judges, found.x, found.pre, found.prediction, found.target, purified=False, cout=False)


def with_and_without(
    judges: Judges,
    x: Images,
    *,
    filter: DiffusionFilter | None = None,
    seed: int = 0,
    mode: str = "strict",
    watch: Watch | None = None,
    **options: Any,
) -> tuple[Rows, dict[str, Counterfactual]]:
    """E1: the same attack without the filter, with it, and refined; and the two results, for figures and sets.

    filter: of the attack, by default that of the judges. The attack without filter is always strict. watch: sees the
    one with it, see `ACE.explain`.
    """  # fmt: skip
    filter = judges.filter if filter is None else filter
    plain = explained_parts(judges, x, filter=None, seed=seed, **options)
    found = explained_parts(judges, x, filter=filter, seed=seed, mode=mode, watch=watch, **options)
    rows = {"no filter": measured(judges, x, plain.image, plain.prediction, plain.target)}
    return rows | stages(judges, found), {"no filter": plain, "filtered": found}


def bare_filter(
    judges: Judges, x: Images, filter: DiffusionFilter, *, seed: int = 0, draws: int = 1
) -> dict[str, Tensor]:
    """The filter alone: whether the classifier agrees on its result (share of `draws`), and the mean |change|."""
    clean = classes(judges.classifier, x)
    with torch.no_grad():
        seen = [filter(x, generators=seed + i) for i in range(draws)]
    agrees = torch.stack([(classes(judges.classifier, y) == clean).to(x.dtype) for y in seen]).mean(0)
    return {"agreement": agrees, "shift": torch.stack([M.mean_change(x, y) for y in seen]).mean(0)}


def noise_sweep(
    judges: Judges,
    x: Images,
    *,
    levels: Iterable[int] = LEVELS,
    tau: int = TAU,
    seed: int = 0,
    purified: bool = False,
    known: Known = NOTHING,
    **options: Any,
) -> tuple[Rows, dict[str, Counterfactual]]:
    """E2: for each noise level (largest base timestep, 0 for no filter) the bare filter, and the attack through it.

    Row names are the levels. Quantities are those of `measured` for the pre-explanation but for COUT, and of
    `bare_filter`. Also the results, for figures.
    """  # fmt: skip
    rows, results = {}, dict(known)
    for level in levels:
        filter, name = at_level(judges.filter, level, tau), str(level)
        if name not in results:
            results[name] = explained_parts(judges, x, filter=filter if level else None, seed=seed, **options)
        found = results[name]
        rows[name] = bare_filter(judges, x, filter, seed=seed + 1) | measured(
            judges, x, found.pre, found.prediction, found.target, purified=purified, cout=False
        )
    return rows, results


def refinement(
    judges: Judges,
    found: Counterfactual,
    filter: DiffusionFilter,
    *,
    thresholds: Iterable[float] = THRESHOLDS,
    dilation: int = 3,
    seed: int = 0,
    purified: bool = False,
) -> Rows:
    """E3: the pre-explanations of `found` as they are, and refined with each mask threshold; 0 is the filter alone.

    Also the share of inpainted pixels, "edited".
    """  # fmt: skip
    x, pre = found.x, found.pre
    generators = image_generators(x, seed)
    noise, known = (draw_noise(x, generators, filter.tau) for _ in range(2))
    rows = {"pre": measured(judges, x, pre, found.prediction, found.target, purified=purified)}
    rows["pre"]["edited"] = (pre != x).any(1).flatten(1).to(x.dtype).mean(1)
    for u in thresholds:
        mask = change_mask(x, pre, threshold=u, dilation=dilation)
        image = refine(x, pre, mask, filter, noise, known)
        row = measured(judges, x, image, found.prediction, found.target, purified=purified)
        rows[f"{u:g}"] = row | {"edited": mask.flatten(1).to(x.dtype).mean(1)}
    return rows


def distances(
    judges: Judges,
    x: Images,
    filter: DiffusionFilter,
    *,
    weights: Mapping[str, Iterable[float]] = LAMBDAS,
    seed: int = 0,
    known: Known = NOTHING,
    **options: Any,
) -> Rows:
    """E4: l1, l2 and no distance, each with its weights, for the pre-explanation; rows are called "l1 0.01"."""
    rows: Rows = {}
    for distance, lams in weights.items():
        for lam in lams:
            name = f"{distance} {lam:g}" if distance != "none" else distance
            setting: dict[str, Any] = dict(seed=seed, distance=distance, lam=lam, **options)
            found = known[name] if name in known else explained_parts(judges, x, filter=filter, **setting)
            rows[name] = changed(judges, found)
    return rows
