"""Rows of the fuzz registry: paths, geodesics, attacks on maps."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from contract_registry import coded
from fuzz_rows import KIND, LOGITS, NET, TRAINS, X2, Row, T, X, cls, dice, draw, fn
from torch import nn

import robustxai.manifold_ig as M
import robustxai.nets as N
from robustxai.data.scenes import FactorSpec

ENCODER, DECODER = coded(KIND)
Z, Z2 = draw(3, 5), draw(3, 5, seed=1)
PATH = torch.stack([X.lerp(X2, t) for t in (0.0, 0.3, 0.7, 1.0)])
CODES = torch.stack([Z.lerp(Z2, t) for t in (0.0, 0.3, 0.7, 1.0)])
GREYS = M.KnownManifold(
    lambda f, size: f[:, :, None, None].expand(-1, 1, size, size),
    (FactorSpec("level", 0, 1, "continuous", "brightness"),),
)
GEODESIC = M.geodesic(DECODER, Z, Z2, 5, evaluations=3)
VAE = N.ConvVAE(widths=(4, 4), latent=2, blocks=1, generator=dice()).eval()
GEODESICS = M.ManifoldIG(NET, ENCODER, DECODER, n_steps=3, evaluations=2)


def guided(of: Callable[..., Any]) -> Callable[..., Any]:
    """A guide that is asked once."""

    @functools.wraps(of)
    def call(*args: Any, **options: Any) -> Any:
        return of(*args, **options)(X)

    return call


ROWS: dict[str, Row] = {
    **{
        f"manifold_ig.{c.__name__}": cls(c, "attribute", dict(model=NET) | more, x=X, target=T)
        for c, more in (
            (M.IntegratedGradients, dict(n_steps=2)),
            (M.SmoothGradIG, dict(n_steps=2, samples=2)),
            (M.GradientSHAP, dict(samples=2)),
            (M.BlurIG, dict(n_steps=2)),
            (M.GuidedIG, dict(n_steps=3)),
            (M.LatentPathIG, dict(encoder=ENCODER, decoder=DECODER, n_steps=2)),
            (M.EvenPathIG, dict(encoder=ENCODER, decoder=DECODER, n_steps=2)),
            (M.ManifoldIG, dict(encoder=ENCODER, decoder=DECODER, n_steps=3, evaluations=2)),
        )
    },
    "manifold_ig.SaliencyOf": cls(
        M.SaliencyOf, "attribute", dict(explain=M.IntegratedGradients(NET, n_steps=2)), x=X, target=T
    ),
    "manifold_ig.BPDA": cls(
        M.BPDA,
        "attribute",
        dict(explain=M.GuidedIG(NET, n_steps=2), behind=M.IntegratedGradients(NET, n_steps=2)),
        x=X,
        target=T,
    ),
    "manifold_ig.AggregatedPosterior": cls(M.AggregatedPosterior, "__call__", dict(codes=draw(9, 5)), z=Z),
    "manifold_ig.VarianceDecoder": cls(
        M.VarianceDecoder, "__call__", dict(decoder=DECODER, codes=draw(9, 5)), z=Z
    ),
    "manifold_ig.KnownManifold": cls(
        M.KnownManifold, "sample", dict(render=GREYS.render, factors=GREYS.factors), n=2, generator=dice()
    ),
    "manifold_ig.accumulated": fn(M.accumulated, model=NET, images=PATH, target=T),
    "manifold_ig.at_constant_speed": fn(M.at_constant_speed, decoder=DECODER, path=GEODESIC, rounds=1),
    "manifold_ig.autoencoder_residual": fn(
        M.autoencoder_residual, path=PATH, autoencoder=nn.Sequential(ENCODER, DECODER)
    ),
    "manifold_ig.blur_path": fn(M.blur_path, x=X, scales=[2.0, 1.0, 0.0]),
    "manifold_ig.class_scores": fn(M.class_scores, logits=LOGITS, target=T),
    "manifold_ig.curve_bounds": fn(
        M.curve_bounds, {f"curve.{n}": "the chord is of the ends alone" for n in ("nan", "inf")}, curve=PATH
    ),
    "manifold_ig.curve_energy": fn(M.curve_energy, curve=PATH),
    "manifold_ig.curve_length": fn(M.curve_length, curve=CODES, decoder=DECODER),
    "manifold_ig.speed_variation": fn(M.speed_variation, curve=PATH),
    "manifold_ig.curve_ratios": fn(M.curve_ratios, path=PATH, reference=PATH.flip(0)),
    "manifold_ig.decode": fn(M.decode, decoder=DECODER, latents=CODES),
    "manifold_ig.dense_metric": fn(M.dense_metric, decoder=DECODER, z=Z),
    "manifold_ig.encoder_direction": fn(M.encoder_direction, decoder=DECODER, encoder=ENCODER, latents=CODES),
    "manifold_ig.endpoints": fn(M.endpoints, path=PATH, start=X, end=X2, mode="bridge"),
    "manifold_ig.energy_gradient": fn(M.energy_gradient, decoder=DECODER, latents=CODES),
    "manifold_ig.geodesic": fn(M.geodesic, decoder=DECODER, z0=Z, z1=Z2, n_points=5, evaluations=2),
    "manifold_ig.gradient_noise": fn(M.gradient_noise, model=NET, path=PATH, target=T),
    "manifold_ig.guided_path": fn(
        M.guided_path,
        {
            f"{a}.{n}": "slopes are of the points that are visited"
            for a in ("start", "end")
            for n in ("nan", "inf")
        },
        gradient=lambda v: v,
        start=X,
        end=X2,
        n_steps=4,
    ),
    "manifold_ig.largest_eigenvalue": fn(
        M.largest_eigenvalue, decoder=DECODER, z=Z, iterations=2, generator=dice()
    ),
    "manifold_ig.manifold_distance": fn(M.manifold_distance, path=PATH[:, :, :1], manifold=GREYS, library=5),
    "manifold_ig.metric_product": fn(M.metric_product, decoder=DECODER, z=Z, u=Z2),
    "manifold_ig.pull": fn(M.pull, decoder=DECODER, z=Z, v=X),
    "manifold_ig.push": fn(M.push, decoder=DECODER, z=Z, u=Z2),
    "manifold_ig.nearest_distance": fn(M.nearest_distance, path=PATH, images=X),
    "manifold_ig.nearest_on_manifold": fn(
        M.nearest_on_manifold,
        images=X[:, :1],
        manifold=GREYS,
        library=5,
        starts=1,
        evaluations=2,
        generator=dice(),
    ),
    "manifold_ig.path_of": fn(M.path_of, method=M.IntegratedGradients(NET, n_steps=2), x=X, start=0 * X),
    "manifold_ig.quadrature": fn(M.quadrature, images=PATH),
    "manifold_ig.reconstruction_error": fn(
        M.reconstruction_error,
        {"y": "the label that `fit` gives to measures, not looked at"},
        model=nn.Sequential(ENCODER, DECODER),
        x=X,
    ),
    "manifold_ig.Solver": fn(M.Solver),
    "manifold_ig.released_geodesic": fn(M.released_geodesic, decoder=DECODER, z0=Z, z1=Z2, nodes=3, sweeps=2),
    "manifold_ig.saliency": fn(M.saliency, attribution=X),
    "manifold_ig.shares": fn(M.shares, attribution=X),
    "manifold_ig.straight": fn(M.straight, start=X, end=X2, n_points=4),
    "manifold_ig.straight_integral": fn(M.straight_integral, model=NET, start=X, end=X2, target=T, n_steps=2),
    "manifold_ig.weighted_gradients": fn(
        M.weighted_gradients, model=NET, points=PATH, weights=PATH / 4, target=T
    ),
    "manifold_ig.VAELoss": cls(
        M.VAELoss,
        "__call__",
        {},
        TRAINS | {"y": "documented as not looked at", "x.length": "so its length is free"},
        model=VAE,
        x=X,
        y=X,
    ),
    "manifold_ig.ConvFeatures": cls(
        M.ConvFeatures,
        "__call__",
        dict(network=NET, layers=2),
        {"network.mode": "documented as used as it is"},
        x=X,
    ),
    "manifold_ig.frozen": fn(guided(M.frozen), method=GEODESICS),
    "manifold_ig.implicit": fn(guided(M.implicit), method=GEODESICS),
}
