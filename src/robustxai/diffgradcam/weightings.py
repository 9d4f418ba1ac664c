"""From activations and a gradient to a raw map: one small function per CAM.

Each takes A (N, K, h, w) and g = dS/dA, either in full or, where it is constant in space (a GAP + linear
head), as (N, K, 1, 1), and returns the map before ReLU, (N, h, w). A new CAM costs one function here. Knows
nothing about networks or about which score was differentiated.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Activations = Float[Tensor, "batch channel height width"]
Gradient = Float[Tensor, "batch channel _ _"]
RawMap = Float[Tensor, "batch height width"]
Weighting = Callable[[Activations, Gradient], RawMap]

EPS = 1e-6


def combine(weights: Float[Tensor, "batch channel"], a: Activations) -> RawMap:
    """sum_k w_k A_k."""
    return torch.einsum("nk,nkhw->nhw", weights, a)


def gradcam(a: Activations, g: Gradient) -> RawMap:
    """GradCAM: w_k = mean of the gradient over space (Selvaraju et al. 2017, eq. 1-2)."""
    return combine(g.mean((2, 3)), a)


def cam(a: Activations, g: Gradient) -> RawMap:
    """CAM (Zhou et al. 2016): sum_k W_ck A_k. Equals Z times GradCAM, and only GAP + linear heads have it."""
    if g.shape[2:] != (1, 1):
        raise ValueError("model must have a head of global average pooling + linear for CAM, got another")
    return combine(g[:, :, 0, 0] * a[0, 0].numel(), a)


def gradcampp(a: Activations, g: Gradient) -> RawMap:
    """GradCAM++ (Chattopadhay et al. 2018): w_k = sum_ij alpha ReLU(g), alpha as in `plusplus`."""
    weights = plusplus(g, a.sum((2, 3), keepdim=True)).mean((2, 3)) * a[0, 0].numel()
    return combine(weights, a)


def plusplus(g: Tensor, total: Tensor) -> Tensor:
    """alpha ReLU(g), alpha = g^2 / (2 g^2 + total g^3), for gradients and sums of activations that broadcast.

    The closed form of Y = exp(S) with S piecewise linear in A. Where the denominator is not positive
    (possible for pre-ReLU activations only) it is clamped at 1e-6.
    """
    return g**2 / (2 * g**2 + total * g**3 + EPS).clamp_min(EPS) * g.relu()


def hirescam(a: Activations, g: Gradient) -> RawMap:
    """HiResCAM (Draelos & Carin 2020): sum_k g_k A_k, element by element."""
    return (g * a).sum(1)


def layercam(a: Activations, g: Gradient) -> RawMap:
    """LayerCAM (Jiang et al. 2021): sum_k ReLU(g_k) A_k, element by element."""
    return (g.relu() * a).sum(1)


def xgradcam(a: Activations, g: Gradient) -> RawMap:
    """XGradCAM (Fu et al. 2020): w_k = sum(g A_k) / (sum(A_k) + eps)."""
    return combine((g * a).sum((2, 3)) / (a.sum((2, 3)) + 1e-7), a)


def elementwise(a: Activations, g: Gradient) -> RawMap:
    """GradCAM-elementwise: sum_k ReLU(g_k A_k)."""
    return (g * a).relu().sum(1)


WEIGHTINGS: dict[str, Weighting] = {
    "gradcam": gradcam,
    "gradcam++": gradcampp,
    "cam": cam,
    "hirescam": hirescam,
    "layercam": layercam,
    "xgradcam": xgradcam,
    "elementwise": elementwise,
}


def find_weighting(name: str) -> Weighting:
    """The weighting called `name`; ValueError lists the accepted names."""
    if name not in tuple(WEIGHTINGS):
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {name!r}")
    return WEIGHTINGS[name]
