"""How much a term counts in the loss: a fixed weight, or one that makes it a multiple of the cross-entropy."""

import torch
from jaxtyping import Float
from torch import Tensor

LOSS_WEIGHTINGS = ("fixed", "adaptive")
Scalar = Float[Tensor, ""]


def weigh(
    term: Float[Tensor, "*net"], ce: Float[Tensor, "*net"], weight: float | int, weighting: str = "fixed"
) -> Float[Tensor, "*net"]:
    """A term r as it enters the loss (spec 3.5): w r, or |w (CE + 1) / r| r with the factor detached. One number each,
    or one for each of several networks.

    Adaptive, the value is always w (CE + 1) with the sign of r, and the gradient is w (CE + 1) times that of
    log |r|: independent of the scale of r. A term of exactly zero stays zero.

    >>> weigh(torch.tensor(-4.0), torch.tensor(1.0), 0.5, "adaptive")
    tensor(-1.)
    """
    if weighting == "fixed":
        return weight * term
    size = term.detach().abs().clamp_min(torch.finfo(term.dtype).tiny)
    return (abs(weight) * (ce.detach() + 1) / size) * term
