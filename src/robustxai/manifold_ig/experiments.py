"""The chapter's experiments as data: methods and images in, values per image out, rows for the tables of spec 7.

Every function returns `Rows`: method -> quantity -> one value an image (n,), nan where there is none; `table`
makes rows with intervals of them. All methods get the same images, target and baseline. Knows nothing about
notebooks or figures.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.manifold_ig.adaptive import frozen
from robustxai.manifold_ig.attacks import Attacked, AttributionAttack
from robustxai.manifold_ig.controls import ShuffledChange
from robustxai.manifold_ig.cost import cost
from robustxai.manifold_ig.decoded import LatentPathIG, ManifoldIG
from robustxai.manifold_ig.diagnostics import autoencoder_residual, curve_ratios, gradient_noise, path_of
from robustxai.manifold_ig.explainers import IntegratedGradients, PathExplainer
from robustxai.manifold_ig.known_manifold import KnownManifold, manifold_distance
from robustxai.manifold_ig.maps import saliency
from robustxai.manifold_ig.metric import Decoder
from robustxai.manifold_ig.pixel import BlurIG, GuidedIG
from robustxai.metrics import (
    bootstrap_interval,
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
    ssim,
)
from robustxai.metrics.predictions import predicted

Methods = Mapping[str, PathExplainer]
Rows = dict[str, dict[str, Tensor]]


def methods(
    classifier: nn.Module,
    encoder: Decoder,
    decoder: Decoder,
    *,
    evaluations: int = 40,
    sweeps: int = 2,
    solver: dict[str, Any] | None = None,
    memory: dict[bytes, Any] | None = None,
    neighbours: bool = False,
    **options: Any,
) -> dict[str, PathExplainer]:
    """The core comparison (spec 10.1): IG, IG-recon, EIG, MIG as released, MIG converged; with `neighbours` also
    BlurIG and GuidedIG.

    solver: of the converged geodesics. memory: shared by all methods with a decoder. options: of all but the
    released one: n_steps, rule, score, internal_batch_size.
    """
    parts = (classifier, encoder, decoder)
    released = {k: v for k, v in options.items() if k == "internal_batch_size"}
    found: dict[str, PathExplainer] = {"IG": IntegratedGradients(classifier, **options)}
    if neighbours:
        own = {k: v for k, v in options.items() if k != "rule"}
        found |= {"BlurIG": BlurIG(classifier, **own), "GuidedIG": GuidedIG(classifier, **own)}
    return found | {
        "IG-recon": IntegratedGradients(*parts, **options),
        "EIG": LatentPathIG(*parts, memory=memory, **options),
        "MIG released": ManifoldIG.released(*parts, sweeps=sweeps, memory=memory, **released),
        "MIG": ManifoldIG(*parts, evaluations=evaluations, solver=solver, memory=memory, **options),
    }


def table(rows: Rows) -> list[dict[str, object]]:
    """One row a method: its name, and for every quantity the mean with its bootstrap interval over images."""
    return [
        dict[str, object](method=name) | {quantity: bootstrap_interval(v) for quantity, v in values.items()}
        for name, values in rows.items()
    ]


def joined(parts: list[Rows]) -> Rows:
    """The rows of several batches of images (or seeds) as one."""
    return {
        name: {quantity: torch.cat([part[name][quantity] for part in parts]) for quantity in values}
        for name, values in parts[0].items()
    }


def quality_rows(
    methods: Methods,
    x: Tensor,
    target: Tensor,
    *,
    masks: Tensor | None = None,
    draws: int = 50,
    sensitivity_draws: int = 10,
    radius: float = 0.02,
    curves: bool = True,
) -> Rows:
    """Table 7.1 and its neighbours: infidelity, max-sensitivity, insertion and deletion, SIC and AIC, and with
    `masks` (n, h, w) of what is to be found the pointing game and the share of the map inside.

    Infidelity is asked where the method explains: at the end of its path, with the start of its path as the
    baseline, for noise of 0.02 and for squares of the baseline; "unexplained" is the scaled infidelity over
    that of an attribution of zeros. curves: with insertion, deletion, SIC and AIC, of the images at the ends.
    """
    rows: Rows = {}
    for name, method in methods.items():
        found = method.explain(x, target)
        start, end, maps, score = *found.ends, saliency(found.values), method.score
        row = {}
        for kind, change in (("noise", gaussian_noise(radius)), ("squares", square_removal(fill=start))):
            told = infidelity(
                method.model,
                end,
                found.values,
                target,
                perturb=change,
                baseline=start,
                draws=draws,
                score=score,
            )
            row |= {f"INFD {kind}": told.raw, f"unexplained {kind}": told.scaled / told.null}
        row["SENS_max"] = max_sensitivity(method, x, target, radius=radius, draws=sensitivity_draws).value
        if curves:
            shown = information_curves(method.model, end, maps, target)
            row |= {"SIC": shown.sic.auc, "AIC": shown.aic.auc}
            row["insertion"] = insertion(method.model, end, maps, target).auc
            row["deletion"] = deletion(method.model, end, maps, target).auc
        if masks is not None:
            row |= {"pointing game": pointing_game(maps, masks), "energy inside": energy_inside(maps, masks)}
        rows[name] = row
    return rows


def path_rows(
    methods: Methods,
    x: Tensor,
    target: Tensor,
    *,
    baseline: float = 0.0,
    manifold: KnownManifold | None = None,
    points: int = 5,
    priced: bool = True,
    reference: str = "EIG",
    **options,
) -> Rows:
    """Table 7.3: energies and lengths over those of the `reference` path, completeness gap, autoencoder residual,
    gradient noise, likeness to the other maps; where `priced` the cost; with a known `manifold` the distance to it
    (mean over `points` of those between the ends, evenly spaced), with `options` of `nearest_on_manifold`.
    """
    start = torch.full_like(x, baseline)
    whole = {name: method.explain(x, target, baseline) for name, method in methods.items()}
    maps = {name: saliency(found.values) for name, found in whole.items()}
    line = path_of(methods[reference], x, start)
    model = methods[reference]
    rows: Rows = {}
    for name, method in methods.items():
        path, found = path_of(method, x, start), whole[name]
        ratios = curve_ratios(path, line)
        row = {"E / E_lin": ratios.energy, "L / L_lin": ratios.length, "bound / E": ratios.bound}
        row["gap / TV"] = found.completeness_gap
        row["residual"] = autoencoder_residual(path[1:-1], rebuilt(model, classified=False)).mean(0)
        row["gradient noise"] = gradient_noise(method.model, path, target, score=method.score)
        if manifold is not None:
            some = torch.linspace(0, len(path) - 1, points + 2).round().long()[1:-1]
            row["distance"] = manifold_distance(path[some], manifold, **options).mean(0)
        row |= {
            f"PCC with {other}": pearson(maps[name], maps[other])
            for other in ("EIG", "IG-recon")
            if other in maps
        }
        rows[name] = row | (cost(method, x, target, baseline) if priced else {})
    return rows


def attack_rows(
    methods: Methods,
    x: Tensor,
    wanted: Tensor,
    target: Tensor,
    *,
    attack: Callable[[Tensor], AttributionAttack] = AttributionAttack,
    crafted_on: str = "IG",
    adaptive: bool = True,
) -> dict[str, Rows]:
    """Table 7.2: maps before and after the targeted attack towards the maps of `wanted` (n, ...).

    "transfer": crafted on `crafted_on`, read by all. "noise": the same change with its pixels shuffled.
    "adaptive": crafted on each method itself, through its decoder, for ManifoldIG with frozen bends. attack:
    from the wanted images to the attack. It keeps the prediction on the raw image and, where it is adaptive, on
    the reconstruction that the method explains; "kept" is the latter, and images that lost it count in all rows.
    """
    model = methods[crafted_on].model
    crafted = attack(wanted).perturb(model, x, target, explain=methods[crafted_on])
    noise = ShuffledChange(crafted.x).perturb(model, x, target)
    parts: dict[str, Rows] = {"transfer": {}, "noise": {}, "adaptive": {}}
    for name, method in methods.items():
        parts["transfer"][name] = moved(method, x, crafted, wanted)
        parts["noise"][name] = moved(method, x, noise, wanted)
        if adaptive:
            own = crafted
            if name != crafted_on:
                guide = frozen(method) if isinstance(method, ManifoldIG) else None
                also = None if method.encoder is None else rebuilt(method)
                own = attack(wanted).perturb(model, x, target, explain=method, guide=guide, also=also)
            parts["adaptive"][name] = moved(method, x, own, wanted)
    return parts


def moved(method: PathExplainer, x: Tensor, attacked: Attacked, wanted: Tensor) -> dict[str, Tensor]:
    """What an attack did to the maps of a method: PCC and SSIM to the original and to the wanted map, what
    they are without attack, the shift of the PCC, whether the explained image keeps its class, and the
    contraction of the change by the autoencoder (spec 4.5; 1 without one).
    """
    before, after = (method.explain(v, attacked.target) for v in (x, attacked.x))
    clean, now, goal = (saliency(v) for v in (before.values, after.values, method(wanted)))
    row = {"PCC to original": pearson(now, clean), "SSIM to original": _ssim(now, clean)}
    row |= {"PCC to target": pearson(now, goal), "SSIM to target": _ssim(now, goal)}
    row |= {"PCC to target before": pearson(clean, goal), "SSIM to target before": _ssim(clean, goal)}
    row["shift"] = row["PCC to target"] - row["PCC to target before"]
    with torch.no_grad():
        same = predicted(method.model(after.ends[1])) == predicted(method.model(before.ends[1]))
    change = (attacked.x - x).flatten(1).norm(dim=1)
    row["kept"], row["budget used"] = same.to(x), (attacked.x - x).flatten(1).abs().amax(1)
    row["contraction"] = (after.ends[1] - before.ends[1]).flatten(1).norm(dim=1) / change
    return row


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    """The Gaussian window of the spec where the map is large enough for it."""
    large = min(a.shape[2:]) >= 11
    return ssim(a, b, window=11, sigma=1.5) if large else ssim(a, b, window=7)


def rebuilt(method: PathExplainer, *, classified: bool = True) -> Callable[[Tensor], Tensor]:
    """x -> classifier(decode(encode(x))) of a method, or not `classified` the reconstruction.

    Raises ValueError for a method without autoencoder.
    """
    encoder, decoder = method.encoder, method.decoder
    if encoder is None or decoder is None:
        raise ValueError("reference names a method without autoencoder; accepted is one with, such as 'EIG'")
    if classified:
        return lambda v: method.model(decoder(encoder(v)))
    return lambda v: decoder(encoder(v))
