"""The chapter's experiments as data: methods and images in, values per image out, rows for the tables of spec 7.

Every function returns `Rows`, of which `records.over_images` makes lines with intervals. All methods get the same
images, target and baseline.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.explainers.attribution import Attribution
from robustxai.explainers.decoder import Decoder
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.path_explainer import PathExplainer
from robustxai.manifold_ig.batched_queries import at_once
from robustxai.manifold_ig.constant_speed import EvenPathIG
from robustxai.manifold_ig.diffid import diff_id
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.known_manifold import KnownManifold, manifold_distance
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.path_diagnostics import (
    along_length,
    autoencoder_residual,
    by_length,
    curve_ratios,
    nearest_distance,
    path_of,
)
from robustxai.manifold_ig.pixel_paths import BlurIG, GuidedIG
from robustxai.manifold_ig.saliency_maps import from_black, saliency
from robustxai.manifold_ig.study.attack_tables import Methods, attack_rows, moved, rebuilt
from robustxai.manifold_ig.study.cost import cost
from robustxai.metrics import (
    deletion,
    energy_inside,
    gaussian_noise,
    infidelity,
    information_curves,
    insertion,
    max_sensitivity,
    pearson,
    pointing_game,
    square_removal,
)
from robustxai.models import logits_of
from robustxai.records import Rows
from robustxai.runtime import side_by_side

Found = Mapping[str, Attribution]
TOGETHER = 32  # changed images that are explained or classified in one call
RADIUS = 0.02  # of the noise of infidelity, and of max-sensitivity
CURVES = ("insertion", "information")
REFERENCE = "EIG"  # the path over whose energy and length those of the others are given
SAME = 1e-5  # images that differ by less are the same
__all__ = [
    "attack_rows",
    "methods",
    "moved",
    "path_rows",
    "quality_rows",
    "rebuilt",
]


def methods(
    classifier: nn.Module,
    encoder: Decoder,
    decoder: Decoder,
    *,
    evaluations: int = 40,
    solver: dict[str, Any] | None = None,
    memory: dict[bytes, Any] | None = None,
    neighbours: bool = False,
    first: str = "line",
    **options: Any,
) -> dict[str, PathExplainer]:
    """The core comparison (spec 10.1): IG, IG-recon, EIG, the same at even speed, MIG as released, MIG solved; with
    `neighbours` also BlurIG and GuidedIG.

    evaluations, solver, first: of the solved geodesics. memory: shared by all methods with a decoder. options: of all
    but the released one: n_steps, rule, score, batch_size.
    """
    parts = (classifier, encoder, decoder)
    released = {k: v for k, v in options.items() if k == "batch_size"}
    found: dict[str, PathExplainer] = {"IG": IntegratedGradients(classifier, **options)}
    if neighbours:
        own = {k: v for k, v in options.items() if k != "rule"}
        found |= {"BlurIG": BlurIG(classifier, **own), "GuidedIG": GuidedIG(classifier, **own)}
    return found | {
        "IG-recon": IntegratedGradients(*parts, **options),
        "EIG": LatentPathIG(*parts, memory=memory, **options),
        "EIG even": EvenPathIG(*parts, memory=memory, **options),
        "MIG released": ManifoldIG.released(*parts, memory=memory, **released),
        "MIG": ManifoldIG(
            *parts, evaluations=evaluations, solver=solver, first=first, memory=memory, **options
        ),
    }


def quality_rows(
    methods: Methods,
    x: Tensor,
    target: Tensor,
    *,
    masks: Tensor | None = None,
    draws: int = 50,
    sensitivity_draws: int = 10,
    curves: Collection[str] = CURVES,
    found: Found | None = None,
) -> Rows:
    """Table 7.1 and its neighbours: infidelity, max-sensitivity, insertion and deletion, DiffID, SIC and AIC, and with
    `masks` (n, h, w) of what is to be found the pointing game and the share of the map inside.

    Infidelity is measured where the method explains: at the end of its path, with the start of its path as the
    baseline, for noise of `RADIUS` and for squares of the baseline; "unexplained" is the scaled infidelity over
    that of an attribution of zeros; methods with the same ends share the answers of the classifier. curves: "insertion"
    with deletion and DiffID, "information" (SIC and AIC), of the images at the ends. found: the attributions of x,
    where they are known.
    """
    rows: Rows = {}
    asked: list[tuple[Tensor, dict[bytes, Tensor]]] = []
    for name, method in methods.items():
        whole = method.explain(x, target) if found is None else found[name]
        maps, score = saliency(whole.values), method.score
        (start, end), memory = _shared(whole.ends, asked)
        classify = partial(logits_of, method.model)
        row, logits = {}, classify(end).detach()
        for kind, change in (("noise", gaussian_noise(RADIUS)), ("squares", square_removal(fill=start))):
            ask = partial(
                infidelity, x=end, attribution=whole.values, target=target, perturb=change, baseline=start,
                draws=draws, score=score,
            )  # fmt: skip
            told = at_once(ask, classify, like=logits, batch_size=TOGETHER, memory=memory)
            row |= {f"INFD {kind}": told.raw, f"unexplained {kind}": told.scaled / told.null}
        ask = partial(max_sensitivity, x=x, target=target, radius=RADIUS, draws=sensitivity_draws)
        clean = whole.values
        row["SENS_max"] = at_once(ask, from_black(method), like=clean, known=clean, batch_size=TOGETHER).value
        if "information" in curves:
            shown = information_curves(method.model, end, maps, target)
            row |= {"SIC": shown.sic.auc, "AIC": shown.aic.auc}
        if "insertion" in curves:
            row["insertion"] = insertion(method.model, end, maps, target).auc
            row["deletion"] = deletion(method.model, end, maps, target).auc
            row["DiffID"] = diff_id(method.model, end, maps, target)
        if masks is not None:
            row |= {"pointing game": pointing_game(maps, masks), "energy inside": energy_inside(maps, masks)}
        rows[name] = row
    return rows


def _shared(
    ends: Tensor, asked: list[tuple[Tensor, dict[bytes, Tensor]]]
) -> tuple[Tensor, dict[bytes, Tensor]]:
    """The ends of a path, or those of an earlier one that are the same but for rounding, with its memory of answers."""
    for other, memory in asked:
        if torch.allclose(ends, other, rtol=0, atol=SAME):
            return other, memory
    asked.append((ends, {}))
    return asked[-1]


def path_rows(
    methods: Methods,
    x: Tensor,
    target: Tensor,
    *,
    geometry: bool = True,
    manifold: KnownManifold | None = None,
    known: Tensor | None = None,
    priced: bool = True,
    found: Found | None = None,
    **options,
) -> Rows:
    """Table 7.3: energies and lengths over those of the `REFERENCE` path, completeness gap, autoencoder residual,
    gradient noise, likeness to the other maps; where `priced` the cost; with a known `manifold` the distance to it
    (mean over 5 images, or `points`, at equal shares of the path's length) of all methods, or those of `names`, with
    `options` of `nearest_on_manifold`;
    with `known` images (m, ...) the distance to the nearest of them.

    Means along a path are by its length (see `by_length`): the latent line dwells on dark images, which are near to
    everything, and a mean over its points would call that a virtue. geometry: with what does not depend on the
    classifier. found: the attributions of x, where they are known.
    """
    start = torch.zeros_like(x)
    whole = found or _explained(methods, x, target)
    maps = {name: saliency(whole[name].values) for name in methods}
    paths = {name: path_of(method, x, start) for name, method in methods.items()}
    line, rows, off = paths[REFERENCE], Rows(), {}
    if manifold is not None:
        off = _distances(paths, manifold, **options)
    for name, method in methods.items():
        path, row = paths[name], {}
        if geometry:
            ratios = curve_ratios(path, line)
            row |= {"E / E_lin": ratios.energy, "L / L_lin": ratios.length, "bound / E": ratios.bound}
            again = rebuilt(methods[REFERENCE], classified=False)
            row["residual"] = by_length(path, autoencoder_residual(path[1:-1], again))
        row["gap / TV"] = whole[name].completeness_gap
        steady = whole[name].noise
        row["gradient noise"] = torch.full_like(row["gap / TV"], torch.nan) if steady is None else steady
        if known is not None:
            row["nearest image"] = by_length(path, nearest_distance(path[1:-1], known))
        row |= {"distance": off[name]} if name in off else {}
        others = [other for other in ("EIG", "IG-recon") if other in maps]
        row |= {f"PCC with {other}": pearson(maps[name], maps[other]) for other in others}
        rows[name] = row | (cost(method, x, target) if priced else {})
    return rows


def _explained(methods: Methods, x: Tensor, target: Tensor) -> Found:
    """The attributions by all methods, in parallel."""
    found = side_by_side(lambda method: method.explain(x, target, 0.0), methods.values())
    return dict(zip(methods, found, strict=True))


def _distances(
    paths: Mapping[str, Tensor],
    manifold: KnownManifold,
    points: int = 5,
    names: Collection[str] = (),
    **options: object,
) -> dict[str, Tensor]:
    """The mean distance of each path to the manifold, (n,), all paths, or those of `names`, in one search."""
    paths = {name: path for name, path in paths.items() if not names or name in names}
    some = [along_length(path, points) for path in paths.values()]
    found = manifold_distance(torch.cat(some, 1), manifold, **options).mean(0)
    return dict(zip(paths, found.split([path.shape[1] for path in some]), strict=True))
