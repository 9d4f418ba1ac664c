"""The chapter's experiments E5, E7 and E8 (spec 9.3): gradient routes, cost, a confounded classifier; realism; repeats.

Returns `Rows` as `filter_experiments` does, and takes `known` results as it does: settings that are not run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robustxai.ace import metrics as M
from robustxai.ace.counterfactual import Counterfactual
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.filter_gradients import ROUTES, class_gradient, gradient_cosine, passes
from robustxai.ace.study.faces import CONFOUNDER, edit_region
from robustxai.ace.study.filter_experiments import NOTHING, Known, changed, explained_parts, with_and_without
from robustxai.ace.study.measures import Judges, measured, of_set
from robustxai.data.scenes import Scenes
from robustxai.metrics import energy_inside
from robustxai.records import Rows
from robustxai.shapes import Images


def gradient_routes(
    judges: Judges,
    x: Images,
    filter: DiffusionFilter,
    *,
    seed: int = 0,
    known: Known = NOTHING,
    **options: Any,
) -> Rows:
    """E5: the attack with each route of the gradient, and the cosine of its first gradient with the full one.

    Both gradients see the same noise. "forwards" and "backwards" are passes of the denoising network for a gradient.
    Quantities are those of the pre-explanations, but for "transfer refined", that of the counterfactuals.
    """
    rows: Rows = {}
    for route in ROUTES:
        setting: dict[str, Any] = dict(seed=seed, route=route, **options)
        found = known[route] if route in known else explained_parts(judges, x, filter=filter, **setting)
        noise = filter.noise(x, seed)
        full, other = (
            class_gradient(judges.classifier, filter, x, found.target, noise, route=r)[0]
            for r in ("full", route)
        )
        row = changed(judges, found)
        forwards, backwards = (
            torch.full((len(x),), float(k), device=x.device) for k in passes(filter, route)
        )
        rows[route] = row | {
            "cosine": gradient_cosine(full, other),
            "transfer refined": M.transfer_flips(judges.oracle, x, found.image, found.target),
            "forwards": forwards,
            "backwards": backwards,
        }
    return rows


def modes(
    judges: Judges,
    x: Images,
    filter: DiffusionFilter,
    *,
    names: Iterable[str] = ("joint", "checkpointed", "fast"),
    seed: int = 0,
    known: Known = NOTHING,
    **options: Any,
) -> tuple[Rows, dict[str, Counterfactual]]:
    """E7: what an image costs in each mode: passes of the denoising network, processor seconds, and what it gives.

    "joint" and "checkpointed" are strict. Seconds are the run's over its images, NaN where it was known; the refined
    result is measured.
    """  # fmt: skip
    ways = {
        "joint": ("strict", filter.with_(checkpoint=False)),
        "checkpointed": ("strict", filter.with_(checkpoint=True)),
        "fast": ("fast", filter),
    }
    rows, results = {}, {}
    for name in names:
        if name not in ways:
            raise ValueError(f"names must be among {', '.join(ways)}, got {name!r}")
        mode, used = ways[name]
        start = time.process_time()
        setting: dict[str, Any] = dict(seed=seed, mode=mode, **options)
        found = known[name] if name in known else explained_parts(judges, x, filter=used, **setting)
        seconds = float("nan") if name in known else (time.process_time() - start) / len(x)
        row = measured(judges, x, found.image, found.prediction, found.target, purified=False)
        rows[name] = row | {
            "forwards": found.unet_forwards.to(x.dtype),
            "backwards": found.unet_backwards.to(x.dtype),
            "seconds": torch.full((len(x),), seconds, device=x.device),
            "steps": found.steps.to(x.dtype),
        }
        results[name] = found
    return rows, results


def realism(
    judges: Judges,
    x: Images,
    others: Images,
    filter: DiffusionFilter,
    *,
    labels: Bool[Tensor, "m factor"] | None = None,
    query: int = 0,
    seed: int = 0,
    **options: Any,
) -> dict[str, dict[str, float]]:
    """FID, sFID and CD of the attack without filter and of fast mode, and the FID of other images, which is its floor.

    The feature network is the judges'. labels (of a training set) and query: of CD, see `of_set`.
    """
    floor = {"flip": float("nan"), "fid": M.frechet(judges.features, x, others)}
    rows = {"other images": floor | {"sfid": float("nan"), "cd": float("nan")}}
    for name, used, mode in (("no filter", None, "strict"), ("ACE-fast", filter, "fast")):
        found = explained_parts(judges, x, filter=used, seed=seed, mode=mode, **options)
        values = of_set(judges, x, found.image, found.flipped, labels=labels, query=query)
        rows[name] = {"flip": found.flip_rate} | values
    return rows


def true_edits(
    reader: nn.Module,
    scenes: Scenes,
    found: Counterfactual,
    *,
    label: str = "smile",
    confounder: str = CONFOUNDER,
) -> dict[str, Tensor]:
    """E8, for one classifier: what the counterfactuals of rendered faces changed, against the renderer's truth.

    For the label and the confounder: "moved", how far the reader sees the factor move towards the target, in half
    ranges (the confounder's towards its upper half for target 1); "crossed", whether it is read in the other half
    afterwards; "inside", the share of the pre-explanation's change in the region that a true change of the factor
    would change; "iou" of the edited pixels with that region; and "chance", the region's share of the image, which
    is what "inside" would be by chance.
    """
    sign = (2 * found.target - 1).to(found.x.dtype)
    shift = M.factor_shift(reader, found.x, found.image)
    before, after = M.upper_half(reader, found.x), M.upper_half(reader, found.image)
    change = (found.pre - found.x).abs().sum(1)
    row = {"flip": found.flipped.to(found.x.dtype)}
    for role, name in (("label", label), ("confounder", confounder)):
        column = scenes.factor_names.index(name)
        region = edit_region(scenes, name, size=found.x.shape[-1])
        row |= {
            f"{role} moved": sign * shift[:, column],
            f"{role} crossed": (before[:, column] != after[:, column]).to(found.x.dtype),
            f"{role} inside": energy_inside(change, region),
            f"{role} iou": M.mask_iou(found.mask, region),
            f"{role} chance": region.flatten(1).to(found.x.dtype).mean(1),
        }
    return row


def bias(
    judges: dict[str, Judges],
    scenes: Scenes,
    filter: DiffusionFilter,
    *,
    seed: int = 0,
    known: Known = NOTHING,
    **options: Any,
) -> tuple[Rows, dict[str, Counterfactual]]:
    """E8: `true_edits` for each classifier, such as "plain" and "confounded", on the same rendered faces.

    Raises ValueError when a judge has no reader of factors.
    """
    rows, results = {}, dict(known)
    for name, judge in judges.items():
        if judge.reader is None:
            raise ValueError(f"judges must have a reader each, got judges[{name!r}] without")
        if name not in results:
            results[name] = explained_parts(judge, scenes.images, filter=filter, seed=seed, **options)
        rows[name] = true_edits(judge.reader, scenes, results[name])
    return rows, results


def repeated(
    judges: Mapping[int, Judges],
    x: Images,
    filter: DiffusionFilter,
    *,
    region: Bool[Tensor, "n height width"] | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[int, Rows]:
    """E1 for several classifiers, each on its own part of the images, in order; parts are of one size.

    region: of each image; then "inside" is the share of the change in it, NaN where it is empty. Raises ValueError
    where the images cannot be shared out.
    """
    if len(x) % len(judges):
        raise ValueError(f"x must hold a multiple of {len(judges)} images, one part a judge, got {len(x)}")
    parts = torch.arange(len(x), device=x.device).split(len(x) // len(judges))
    found = {}
    for (name, judge), part in zip(judges.items(), parts, strict=True):
        rows, results = with_and_without(judge, x[part], filter=filter, seed=seed, **options)
        if region is not None:
            none = ~region[part].flatten(1).any(1)
            plain, through = results["no filter"], results["filtered"]
            for row, image in (
                ("no filter", plain.pre),
                ("filtered", through.pre),
                ("refined", through.image),
            ):
                share = energy_inside((image - x[part]).abs().sum(1), region[part])
                rows[row]["inside"] = share.masked_fill(none, torch.nan)
        found[name] = rows
    return found
