"""The chapter's measurements on a `Study`: many classifiers, the same images, values by classifier for `summaries`.

What the notebook measures on the rendered faces and on every further set alike.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.explainers import baselines
from robustxai.explainers.decoder import decode
from robustxai.explainers.path_explainer import PathExplainer
from robustxai.manifold_ig.density import AggregatedPosterior, VarianceDecoder
from robustxai.manifold_ig.geodesic import geodesic
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.path_diagnostics import autoencoder_residual, by_length, path_of
from robustxai.manifold_ig.paths import ENDPOINTS
from robustxai.manifold_ig.pullback_metric import curve_bounds
from robustxai.manifold_ig.saliency_maps import from_black, saliency
from robustxai.manifold_ig.study.image_sets import Samples
from robustxai.manifold_ig.study.study import Study
from robustxai.manifold_ig.study.summaries import Runs
from robustxai.manifold_ig.study.tables import CURVES, path_rows, quality_rows
from robustxai.metrics import energy_inside, infidelity, max_sensitivity, pearson, square_removal
from robustxai.records import Rows
from robustxai.runtime import side_by_side
from robustxai.shapes import Explain

CORE = ("IG", "IG-recon", "EIG", "MIG")
"""The methods with form A, from the pixel line to the geodesic."""
RELEASED = "MIG released"
PER_UNIT = ("Saliency", "SmoothGrad")
SHORT: dict[str, Any] = {"n_steps": 8, "solver": {"coarse": 6, "polish": 0}, "evaluations": 10}
"""Shorter paths for attacks, which ask for hundreds of them."""


def _each(
    study: Study, run: Callable[[tuple[int, tuple[str, int, nn.Module]]], Rows], of: Sequence[str] = ()
) -> Runs:
    """`run` of (position, (architecture, seed, classifier)) for all classifiers, or those of some architectures, in
    parallel."""
    nets = [net for net in study.each() if not of or net[0] in of]
    found = side_by_side(run, enumerate(nets))
    return {(architecture, seed): rows for (architecture, seed, _), rows in zip(nets, found, strict=True)}


def core(study: Study, model: nn.Module, **options: Any) -> dict[str, PathExplainer]:
    """The methods of `CORE` on a classifier, with `options` of `Study.methods`."""
    found = study.methods(model, **options)
    return {name: found[name] for name in CORE}


def map_runs(
    study: Study,
    samples: Samples,
    *,
    draws: int,
    infidelity_draws: int = 25,
    geometry: bool = False,
    informed: int = 1,
    of: Sequence[str] = (),
    bare: bool = False,
) -> Runs:
    """Quality and path rows of every classifier on the same images; those of the first architecture, unless `bare`,
    with insertion and deletion curves, and with BlurIG, GuidedIG and MIG as released beside the core.

    draws: behind SENS_max. informed: so many of those also have SIC and AIC, which take as long as all the rest.
    geometry: with energies and residuals of the paths. of: these architectures only.
    """

    def run(item: tuple[int, tuple[str, int, nn.Module]]) -> Rows:
        i, (architecture, _, net) = item
        beside = architecture == study.architectures[0] and not bare
        left_out = ("EIG even",) if beside else ("EIG even", RELEASED)
        methods = {n: m for n, m in study.methods(net, neighbours=beside).items() if n not in left_out}
        if i % 2:  # two that run in parallel do not wait for one another's geodesics
            methods = dict(reversed(methods.items()))
        found = {name: method.explain(samples.x, samples.y) for name, method in methods.items()}
        quality = quality_rows(
            methods, samples.x, samples.y, masks=samples.masks, draws=infidelity_draws, sensitivity_draws=draws,
            curves=CURVES[: beside * (1 + (i < informed))], found=found,
        )  # fmt: skip
        along = path_rows(
            {name: methods[name] for name in (*CORE, RELEASED) if name in methods}, samples.x, samples.y,
            priced=False, geometry=geometry, found=found,
        )  # fmt: skip
        return {name: row | along.get(name, {}) for name, row in quality.items()}

    return _each(study, run, of)


def endings(study: Study, model: nn.Module, **options: Any) -> dict[str, LatentPathIG]:
    """EIG and MIG with each treatment of the gap between reconstruction and image: "EIG, bridge" and so on."""
    found: dict[str, LatentPathIG] = {}
    for mode in ENDPOINTS:
        methods = study.methods(model, **options)
        for name in ("EIG", "MIG"):
            method = methods[name]
            assert isinstance(method, LatentPathIG)
            method.endpoint = mode
            found[f"{name}, {mode}"] = method
    return found


def other_rows(model: nn.Module, explainers: Mapping[str, Explain], samples: Samples, *, draws: int) -> Rows:
    """Any explainers of the images themselves, by their signed attributions: explainers of this chapter, or functions
    (x, target) -> attribution. Unexplained squares, SENS_max, and the share inside the masks.

    Those named in `PER_UNIT` give gradients, which are multiplied by what is removed; the others' values are shares of
    the score already, of images that start at black. draws: behind SENS_max.
    """
    x, y = samples.x, samples.y

    def row(name: str) -> dict[str, Tensor]:
        explain, remove = from_black(explainers[name]), square_removal(fill=0.0)
        values = explain(x, y)
        told = infidelity(
            model,
            x,
            values,
            y,
            perturb=remove,
            baseline=None if name in PER_UNIT else 0.0,
            draws=25,
            score="logit",
        )
        change = max_sensitivity(explain, x, y, draws=draws).value
        found = {"unexplained squares": told.scaled / told.null, "SENS_max": change}
        return (
            found
            if samples.masks is None
            else found | {"energy inside": energy_inside(saliency(values), samples.masks)}
        )

    return dict(zip(explainers, side_by_side(row, explainers), strict=True))


def start_rows(study: Study, methods: dict[str, PathExplainer], samples: Samples) -> Rows:
    """Start of the path -> quantity: likeness of MIG's map to the others, and shares inside the masks.

    The starts: black, white, the image's mean colour, the decoded zero code, the medians of the image's class and of
    the next one.
    """
    x, y, kinds = samples.x, samples.y, len(samples.classes)
    zero = torch.zeros_like(study.vae.encode(x[:1]))
    starts: dict[str, Tensor | float] = {
        "black": 0.0,
        "white": 1.0,
        "mean colour": baselines.mean(x),
        "zero code": baselines.decoded(study.vae.decode, zero),
        **{
            f"median, {which} class": baselines.class_median(study.pool.x, study.pool.y, (y + step) % kinds)
            for step, which in enumerate(("same", "other"))
        },
    }

    def row_of(start: Tensor | float) -> dict[str, Tensor]:
        maps = {m: saliency(methods[m].attribute(x, y, start)) for m in CORE}  # pyright: ignore[reportArgumentType]
        row = {f"PCC of MIG with {m}": pearson(maps["MIG"], maps[m]) for m in ("IG-recon", "EIG")}
        if samples.masks is not None:
            row |= {f"inside, {m}": energy_inside(v, samples.masks) for m, v in maps.items()}
        return row

    return dict(zip(starts, side_by_side(row_of, starts.values()), strict=True))


def input_rows(study: Study, samples: Samples) -> Rows:
    """What the classifier was trained on -> likeness of MIG's map to those of IG and EIG; first architecture and seed.

    The images are those that the classifiers of reconstructions agree on; how often a reconstruction changes the
    prediction on all images is in `Study.accuracies`.
    """
    rows: Rows = {}
    for name, inputs in (("reconstructions", "recon"), ("raw images", "raw")):
        net = study.classifier(study.architectures[0], study.seeds[0], inputs)
        maps = {n: saliency(m(samples.x, samples.y)) for n, m in core(study, net).items()}
        rows[name] = {
            f"PCC of MIG with {n}": pearson(maps["MIG"], maps[n]) for n in ("IG", "IG-recon", "EIG")
        }
    return rows


def begin_rows(study: Study, samples: Samples, *, evaluations: int | None = None) -> Rows:
    """Where the search for a geodesic begins -> what it finds: energy over that of the latent line, residual of the
    autoencoder, and likeness of the map to those of EIG, IG-recon, and MIG from the other beginning.

    evaluations: of the search from the latent line; None for as many as the other has.
    """
    net, rows = study.classifier(study.architectures[0], study.seeds[0]), {}
    found = core(study, net)
    lined = study.methods(net, first="line", evaluations=evaluations or study.evaluations)["MIG"]
    found = {n: m for n, m in found.items() if n != "MIG"} | {"encoded": found["MIG"], "line": lined}
    along = path_rows(found, samples.x, samples.y, priced=False)
    maps = {n: saliency(found[n](samples.x, samples.y)) for n in ("line", "encoded")}
    for name, title in (("line", "latent line"), ("encoded", "encoded pixel line")):
        row = {k: along[name][k] for k in ("E / E_lin", "residual", "PCC with EIG", "PCC with IG-recon")}
        rows[title] = row | {"PCC with the other": pearson(maps["line"], maps["encoded"])}
    return rows


def gap_rows(study: Study, model: nn.Module, samples: Samples, settings: Sequence[tuple[int, str]]) -> Rows:
    """(segments, score) -> the completeness gap of every method in form A over the score's total variation."""
    names = ("IG", "IG-recon", "EIG", "EIG even", "MIG")
    made = {pair: study.methods(model, n_steps=pair[0], score=pair[1]) for pair in settings}
    jobs = [(pair, name) for pair in reversed(settings) for name in reversed(names)]  # the long ones first
    told = side_by_side(lambda job: made[job[0]][job[1]].explain(samples.x, samples.y).completeness_gap, jobs)
    gaps = dict(zip(jobs, told, strict=True))
    return {f"{n}, {score}": {name: gaps[(n, score), name] for name in names} for n, score in settings}


def density_rows(study: Study, x: Tensor, *, weights: Sequence[float] = (0.0, 100.0, 1000.0)) -> Rows:
    """Weight of the density penalty, and the metric with the decoder's variance -> energy, penalty and autoencoder
    residual of the geodesics from black to x."""
    start, decoder = torch.zeros_like(x), study.vae.decode
    with torch.no_grad():
        density, doubtful = AggregatedPosterior(study.codes), VarianceDecoder(decoder, study.codes)
        ends = study.vae.encode(start), study.vae.encode(x)
    methods = core(study, study.classifier(study.architectures[0], study.seeds[0]))
    line = curve_bounds(path_of(methods["EIG"], x, start))

    def row(weight: float | None) -> dict[str, Tensor]:
        path = geodesic(
            doubtful if weight is None else decoder, *ends, study.n_steps + 1, evaluations=study.evaluations,
            **study.solver, penalty=density if weight else None, weight=weight or 1.0,
        )  # fmt: skip
        with torch.no_grad():
            images = decode(decoder, path.latents)
        paid = torch.stack([density(z) for z in path.latents[1:-1]])
        return {
            "E / E_lin": curve_bounds(images).energy / line.energy,
            "-log density": by_length(images, paid),
            "residual": by_length(images, autoencoder_residual(images[1:-1], study.vae)),
        }

    names = [*(f"penalty, weight {w:g}" if w else "none" for w in weights), "variance in the metric"]
    return dict(zip(names, side_by_side(row, [*weights, None]), strict=True))
