"""The chapter's measurements on a `Study`: many classifiers, the same images, values by classifier for `summaries`.

What the notebook asks of the drawn faces and of every further set alike. Knows nothing about figures or claims.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.manifold_ig import baselines
from robustxai.manifold_ig.adaptive import frozen
from robustxai.manifold_ig.attacks import AttributionAttack
from robustxai.manifold_ig.decoded import LatentPathIG, ManifoldIG
from robustxai.manifold_ig.density import AggregatedPosterior
from robustxai.manifold_ig.diagnostics import autoencoder_residual, path_of
from robustxai.manifold_ig.experiments import path_rows, quality_rows
from robustxai.manifold_ig.explainers import PathExplainer
from robustxai.manifold_ig.geodesic import geodesic
from robustxai.manifold_ig.implicit import implicit
from robustxai.manifold_ig.maps import saliency, shares
from robustxai.manifold_ig.metric import curve_bounds
from robustxai.manifold_ig.paths import ENDPOINTS
from robustxai.manifold_ig.robustness import Rows, attack_rows
from robustxai.manifold_ig.study import Study
from robustxai.manifold_ig.tasks import Samples
from robustxai.metrics import cosine, energy_inside, pearson

CORE = ("IG", "IG-recon", "EIG", "MIG")
"""The methods with form A, from the pixel line to the geodesic."""
Runs = dict[tuple[str, int], Rows]
SHORT: dict[str, Any] = {"n_steps": 8, "solver": {"coarse": 6, "polish": 0}, "evaluations": 10}
"""Shorter paths for attacks, which ask for hundreds of them."""


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
) -> Runs:
    """Quality and path rows of every classifier on the same images; those of the first architecture with BlurIG and
    GuidedIG beside the core.

    draws: behind SENS_max. informed: so many classifiers also have SIC and AIC, which take as long as all the rest.
    geometry: with energies and residuals of the paths.
    """
    runs: Runs = {}
    for architecture, seed, net in study.each():
        beside = architecture == study.architectures[0]
        methods = {n: m for n, m in study.methods(net, neighbours=beside).items() if n != "MIG released"}
        found = {name: method.explain(samples.x, samples.y) for name, method in methods.items()}
        quality = quality_rows(
            methods, samples.x, samples.y, masks=samples.masks, draws=infidelity_draws, sensitivity_draws=draws,
            information=len(runs) < informed, found=found,
        )  # fmt: skip
        along = path_rows(
            {name: methods[name] for name in CORE}, samples.x, samples.y, priced=False, geometry=geometry,
            found=found,
        )  # fmt: skip
        runs[architecture, seed] = {name: row | along.get(name, {}) for name, row in quality.items()}
    return runs


def attack_runs(
    study: Study, *, pairs: int, steps: int, skip: int, lr: float = 8e-3, looks: int = 5
) -> dict[tuple[str, int], dict[str, Rows]]:
    """The targeted attack on the first architecture: `pairs` images for each seed, each with a wanted one.

    skip: agreed images that are left out before. steps, lr: of the attack. looks: how often, on the way, geodesics are
    solved again and the inputs so far are judged.
    """
    runs = {}
    for i, seed in enumerate(study.seeds):
        methods = core(study, study.classifier(study.architectures[0], seed), **SHORT)
        victims, wanted = (study.samples(pairs, skip=skip + pairs * k) for k in (2 * i, 2 * i + 1))
        attack = partial(AttributionAttack, steps=steps, lr=lr, refresh=max(1, steps // looks))
        runs[study.architectures[0], seed] = attack_rows(
            methods, victims.x, wanted.x, victims.y, attack=attack, readers=readers(study, seed)
        )
    return runs


def readers(study: Study, seed: int) -> dict[str, PathExplainer]:
    """GuidedIG, and EIG and MIG with their ends treated otherwise: what reads an attack without being attacked."""
    model = study.classifier(study.architectures[0], seed)
    found = {"GuidedIG": study.methods(model, neighbours=True, **SHORT)["GuidedIG"]}
    return found | {n: m for n, m in endings(study, model, **SHORT).items() if m.endpoint != "recon"}


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


def derivative_rows(study: Study, *, pairs: int, skip: int, iterations: int = 10) -> Rows:
    """What an attacker on MIG misses who holds the bend of the geodesic fixed: cosine, and ratio of lengths, of the
    gradient of the attack's loss with a frozen bend and with the implicit derivative of the geodesic, at the clean
    images; first architecture and seed. Arguments as in `attack_runs` and `end_gradient`.
    """
    method = core(study, study.classifier(study.architectures[0], study.seeds[0]), **SHORT)["MIG"]
    assert isinstance(method, ManifoldIG)
    victims, wanted = (study.samples(pairs, skip=skip + pairs * k) for k in (0, 1))
    goal, slopes = shares(method(wanted.x)), []
    for guide in (frozen(method), implicit(method, iterations=iterations)):
        v = victims.x.clone().requires_grad_()
        off = (shares(guide(victims.x)(v, victims.y)) - goal).square().sum()
        slopes.append(torch.autograd.grad(off, v)[0].flatten(1))
    ratio = slopes[0].norm(dim=1) / slopes[1].norm(dim=1)
    return {"MIG": {"cosine": cosine(*slopes), "length, frozen over implicit": ratio}}


def start_rows(study: Study, methods: dict[str, PathExplainer], samples: Samples) -> Rows:
    """Start of the path -> quantity: likeness of MIG's map to the others, and shares inside the masks.

    The starts: black, white, the image's mean colour, the decoded zero code, the median of the next class.
    """
    x, y = samples.x, samples.y
    zero = torch.zeros_like(study.vae.encode(x[:1]))
    starts: dict[str, Tensor | float] = {
        "black": 0.0,
        "white": 1.0,
        "mean colour": baselines.mean(x),
        "zero code": baselines.decoded(study.vae.decode, zero),
        "median, other class": baselines.class_median(
            study.pool.x, study.pool.y, (y + 1) % len(samples.classes)
        ),
    }
    rows: Rows = {}
    for name, start in starts.items():
        maps = {m: saliency(methods[m].attribute(x, y, start)) for m in CORE}  # pyright: ignore[reportArgumentType]
        row = {f"PCC of MIG with {m}": pearson(maps["MIG"], maps[m]) for m in ("IG-recon", "EIG")}
        if samples.masks is not None:
            row |= {f"inside, {m}": energy_inside(v, samples.masks) for m, v in maps.items()}
        rows[name] = row
    return rows


def input_rows(study: Study, samples: Samples) -> Rows:
    """What the classifier was trained on -> quantity: the share of predictions that the reconstruction changes, and
    likeness of MIG's map to those of IG and EIG; first architecture and seed."""
    rows: Rows = {}
    for name, inputs in (("reconstructions", "recon"), ("raw images", "raw")):
        net = study.classifier(study.architectures[0], study.seeds[0], inputs)
        found = {n: m.explain(samples.x, samples.y) for n, m in core(study, net).items()}
        maps = {n: saliency(v.values) for n, v in found.items()}
        row = {"reconstruction changes the prediction": found["MIG"].prediction_changed.to(samples.x)}
        rows[name] = row | {f"PCC of MIG with {n}": pearson(maps["MIG"], maps[n]) for n in ("IG", "EIG")}
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


def density_rows(study: Study, x: Tensor, *, weights: Sequence[float] = (0.0, 100.0, 1000.0)) -> Rows:
    """Weight of the density penalty -> energy, penalty and autoencoder residual of the geodesics from black to x."""
    start = torch.zeros_like(x)
    with torch.no_grad():
        density = AggregatedPosterior(study.codes)
        ends = study.vae.encode(start), study.vae.encode(x)
    methods = core(study, study.classifier(study.architectures[0], study.seeds[0]))
    line = curve_bounds(path_of(methods["EIG"], x, start))
    rows: Rows = {}
    for weight in weights:
        path = geodesic(
            study.vae.decode, *ends, study.n_steps + 1, evaluations=study.evaluations, **study.solver,
            penalty=density if weight else None, weight=weight,
        )  # fmt: skip
        paid = torch.stack([density(z) for z in path.latents[1:-1]]).mean(0)
        residual = autoencoder_residual(path.images[1:-1], study.vae).mean(0)
        rows[f"{weight:g}"] = {
            "E / E_lin": path.energy / line.energy,
            "-log density": paid,
            "residual": residual,
        }
    return rows
