"""Manifold Integrated Gradients: geodesics of a decoder, and attributions along them.

Paper: "Manifold Integrated Gradients: Riemannian Geometry for Feature Attribution" (Zaher et al., ICML 2024).
The geometry needs any decoder, code -> image; the explainers any classifier and, for the decoded paths, any
encoder, image -> code.
"""

# controls: changes of an attack's size that know nothing
from robustxai.attacks.controls import ShuffledChange

# what an attack found
from robustxai.attacks.result import Attacked

# baseline images
from robustxai.explainers import baselines

# what a path explainer found
from robustxai.explainers.attribution import Attribution

# the pull-back metric
from robustxai.explainers.decoder import decode as decode

# Integrated Gradients
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.path_explainer import PathExplainer as PathExplainer

# integrals along paths
from robustxai.explainers.path_integral import (
    accumulated as accumulated,
    straight_integral as straight_integral,
    weighted_gradients as weighted_gradients,
)

# quadrature
from robustxai.explainers.quadrature_rules import RULES as RULES, quadrature as quadrature

# from attributions to maps
from robustxai.explainers.reduce import shares as shares

# the paper's attack
from robustxai.manifold_ig.attribution_attack import AttributionAttack

# the latent line at constant speed
from robustxai.manifold_ig.constant_speed import EvenPathIG

# decoders that know where codes are
from robustxai.manifold_ig.density import AggregatedPosterior, VarianceDecoder

# geodesics
from robustxai.manifold_ig.geodesic import Geodesic, at_constant_speed as at_constant_speed, geodesic

# the paper's method
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.geodesic_solver import Solver

# derivatives for an attacker who knows the defence
from robustxai.manifold_ig.guides import BPDA, bpda_guide as bpda_guide, frozen

# the derivative through a geodesic
from robustxai.manifold_ig.implicit_gradient import implicit

# manifolds that are known exactly
from robustxai.manifold_ig.known_manifold import (
    MENAGERIE_MANIFOLD,
    PORTRAIT_MANIFOLD,
    KnownManifold,
    manifold_distance,
    nearest_on_manifold,
)

# the straight latent line
from robustxai.manifold_ig.latent_path import LatentPathIG

# averages over noisy copies
from robustxai.manifold_ig.noisy_averages import GradientSHAP, SmoothGradIG

# measures of a path
from robustxai.manifold_ig.path_diagnostics import (
    autoencoder_residual as autoencoder_residual,
    curve_ratios,
    gradient_noise as gradient_noise,
    nearest_distance as nearest_distance,
    path_of as path_of,
)

# paths of images
from robustxai.manifold_ig.paths import (
    ENDPOINTS as ENDPOINTS,
    blur_path as blur_path,
    endpoints as endpoints,
    guided_path as guided_path,
    straight as straight,
)

# paths that bend in pixel space
from robustxai.manifold_ig.pixel_paths import BlurIG, GuidedIG
from robustxai.manifold_ig.pullback_metric import (
    EnergyBounds,
    curve_bounds,
    curve_energy,
    curve_length,
    dense_metric,
    encoder_direction as encoder_direction,
    energy_gradient as energy_gradient,
    largest_eigenvalue as largest_eigenvalue,
    metric_product,
    pull as pull,
    push as push,
    speed_variation as speed_variation,
)

# the released geodesic algorithm
from robustxai.manifold_ig.released_solver import (
    ReleasedPath as ReleasedPath,
    released_geodesic,
    released_geodesic_reference as released_geodesic_reference,
)

# maps of attributions
from robustxai.manifold_ig.saliency_maps import SaliencyOf, saliency

# the loss of the paper's VAE
from robustxai.manifold_ig.vae_loss import ConvFeatures, VAELoss, reconstruction_error

# the explained scalar
from robustxai.scores.explained import class_scores as class_scores
from robustxai.scores.registry import SCORES as SCORES

# names of earlier versions
Bounds, borrowed = EnergyBounds, bpda_guide

__all__ = [
    "BPDA",
    "MENAGERIE_MANIFOLD",
    "PORTRAIT_MANIFOLD",
    "AggregatedPosterior",
    "Attacked",
    "Attribution",
    "AttributionAttack",
    "BlurIG",
    "ConvFeatures",
    "EnergyBounds",
    "EvenPathIG",
    "Geodesic",
    "GradientSHAP",
    "GuidedIG",
    "IntegratedGradients",
    "KnownManifold",
    "LatentPathIG",
    "ManifoldIG",
    "SaliencyOf",
    "ShuffledChange",
    "SmoothGradIG",
    "Solver",
    "VAELoss",
    "VarianceDecoder",
    "baselines",
    "curve_bounds",
    "curve_energy",
    "curve_length",
    "curve_ratios",
    "dense_metric",
    "frozen",
    "geodesic",
    "implicit",
    "manifold_distance",
    "metric_product",
    "nearest_on_manifold",
    "reconstruction_error",
    "released_geodesic",
    "saliency",
]
