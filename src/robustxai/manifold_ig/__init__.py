"""Manifold Integrated Gradients: geodesics of a decoder, and attributions along them.

Paper: "Manifold Integrated Gradients: Riemannian Geometry for Feature Attribution" (Zaher et al., ICML 2024).
The geometry needs any decoder, code -> image; the explainers any classifier and, for the decoded paths, any
encoder, image -> code.
"""

from robustxai.attacks.controls import ShuffledChange
from robustxai.attacks.result import Attacked
from robustxai.explainers.reduce import shares
from robustxai.manifold_ig import baselines
from robustxai.manifold_ig.attribution import Attribution
from robustxai.manifold_ig.attribution_attack import AttributionAttack
from robustxai.manifold_ig.constant_speed import EvenPathIG
from robustxai.manifold_ig.density import AggregatedPosterior, VarianceDecoder
from robustxai.manifold_ig.explained_score import SCORES, class_scores
from robustxai.manifold_ig.geodesic import Geodesic, at_constant_speed, geodesic
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.guides import BPDA, borrowed, frozen
from robustxai.manifold_ig.implicit_gradient import implicit
from robustxai.manifold_ig.integrated_gradients import IntegratedGradients, PathExplainer
from robustxai.manifold_ig.known_manifold import (
    MENAGERIE_MANIFOLD,
    PORTRAIT_MANIFOLD,
    KnownManifold,
    manifold_distance,
    nearest_on_manifold,
)
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.noisy_averages import GradientSHAP, SmoothGradIG
from robustxai.manifold_ig.path_diagnostics import (
    autoencoder_residual,
    curve_ratios,
    gradient_noise,
    nearest_distance,
    path_of,
)
from robustxai.manifold_ig.path_integral import accumulated, straight_integral, weighted_gradients
from robustxai.manifold_ig.paths import (
    ENDPOINTS,
    blur_path,
    endpoints,
    guided_path,
    straight,
)
from robustxai.manifold_ig.pixel_paths import BlurIG, GuidedIG
from robustxai.manifold_ig.pullback_metric import (
    Bounds,
    curve_bounds,
    curve_energy,
    curve_length,
    decode,
    dense_metric,
    encoder_direction,
    energy_gradient,
    largest_eigenvalue,
    metric_product,
    pull,
    push,
    speed_variation,
)
from robustxai.manifold_ig.quadrature_rules import RULES, quadrature
from robustxai.manifold_ig.released_solver import ReleasedPath, released_geodesic, released_geodesic_reference
from robustxai.manifold_ig.saliency_maps import SaliencyOf, saliency
from robustxai.manifold_ig.vae_loss import ConvFeatures, VAELoss, reconstruction_error

__all__ = [
    "BPDA",
    "ENDPOINTS",
    "MENAGERIE_MANIFOLD",
    "PORTRAIT_MANIFOLD",
    "RULES",
    "SCORES",
    "AggregatedPosterior",
    "Attacked",
    "Attribution",
    "AttributionAttack",
    "BlurIG",
    "Bounds",
    "ConvFeatures",
    "EvenPathIG",
    "Geodesic",
    "GradientSHAP",
    "GuidedIG",
    "IntegratedGradients",
    "KnownManifold",
    "LatentPathIG",
    "ManifoldIG",
    "PathExplainer",
    "ReleasedPath",
    "SaliencyOf",
    "ShuffledChange",
    "SmoothGradIG",
    "VAELoss",
    "VarianceDecoder",
    "accumulated",
    "at_constant_speed",
    "autoencoder_residual",
    "baselines",
    "blur_path",
    "borrowed",
    "class_scores",
    "curve_bounds",
    "curve_energy",
    "curve_length",
    "curve_ratios",
    "decode",
    "dense_metric",
    "encoder_direction",
    "endpoints",
    "energy_gradient",
    "frozen",
    "geodesic",
    "gradient_noise",
    "guided_path",
    "implicit",
    "largest_eigenvalue",
    "manifold_distance",
    "metric_product",
    "nearest_distance",
    "nearest_on_manifold",
    "path_of",
    "pull",
    "push",
    "quadrature",
    "reconstruction_error",
    "released_geodesic",
    "released_geodesic_reference",
    "saliency",
    "shares",
    "speed_variation",
    "straight",
    "straight_integral",
    "weighted_gradients",
]
