"""Manifold Integrated Gradients: geodesics of a decoder, and attributions along them.

Paper: "Manifold Integrated Gradients: Riemannian Geometry for Feature Attribution" (Zaher et al., ICML 2024).
"""

from robustxai.manifold_ig.geodesic import Geodesic, at_constant_speed, geodesic
from robustxai.manifold_ig.metric import (
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
from robustxai.manifold_ig.released import ReleasedPath, released_geodesic_reference

__all__ = [
    "Bounds",
    "Geodesic",
    "ReleasedPath",
    "at_constant_speed",
    "curve_bounds",
    "curve_energy",
    "curve_length",
    "decode",
    "dense_metric",
    "encoder_direction",
    "energy_gradient",
    "geodesic",
    "largest_eigenvalue",
    "metric_product",
    "pull",
    "push",
    "released_geodesic_reference",
    "speed_variation",
]
