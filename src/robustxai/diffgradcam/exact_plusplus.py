"""GradCAM++ weights of a log-odds score without the piecewise-linear assumption.

GradCAM++ assumes Y = exp(S) with S linear. Delta_lse is curved: its derivatives at a GAP + linear head are
cumulants of u_jk = W_jk / Z under the softmax q of the non-target classes.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from robustxai.diffgradcam.capture import Cut
from robustxai.diffgradcam.raw_maps import score_gradient
from robustxai.diffgradcam.weightings import EPS, combine, gradcampp
from robustxai.explainers.precision import as_double
from robustxai.scores.explained import score_coefficients
from robustxai.scores.registry import others

CURVED = ("lse", "lse-tau")


def exact_plusplus(c: Cut, target: Tensor, contrast: str = "lse", *, tau: float = 1.0) -> Tensor:
    """Raw DiffGradCAM++ map (N, h, w) with alpha = Y'' / (2 Y'' + s Y'''), Y = exp(Delta).

    Y''/Y = g^2 + h2 and Y'''/Y = g^3 + 3 g h2 + h3, where g = u_c - E_q[u], h2 = -Var_q(u) / tau and
    h3 = -kappa3_q(u) / tau^2. Channels whose Y'' or whose denominator is not positive get weight zero.

    Raises:
        ValueError: the head is not GAP + linear, or the contrast is piecewise linear (its closed form is
            exact).
    """
    if contrast not in CURVED:
        raise ValueError(
            f"contrast must be one of {', '.join(CURVED)} for exact_hess, got {contrast!r}; "
            "the other contrasts are piecewise linear and their closed form is exact already"
        )
    if c.weight is None:
        raise ValueError(
            "model must have a head of global average pooling + linear for exact_hess, got another"
        )
    if c.logits.shape[1] == 1:  # two classes with scores -z and z: linear, so the closed form is exact
        return gradcampp(c.activations, score_gradient(c, score_coefficients(c.logits, target, contrast)))
    a = c.activations
    u, y = as_double(c.weight / a[0, 0].numel()), as_double(c.logits)
    hot = one_hot(target.to(y.device), y.shape[-1]).to(y)
    q = others(y, hot, tau)
    m1, m2, m3 = q @ u, q @ u**2, q @ u**3
    g, h2 = u[target.to(u.device)] - m1, -(m2 - m1**2) / tau
    h3 = -(m3 - 3 * m1 * m2 + 2 * m1**3) / tau**2
    second, third = g**2 + h2, g**3 + 3 * g * h2 + h3
    below = 2 * second + as_double(a.sum((2, 3))) * third + EPS
    alpha = torch.where((second > 0) & (below > EPS), second / below.clamp_min(EPS), 0.0)
    return combine((alpha * g.relu()).to(a), a) * a[0, 0].numel()
