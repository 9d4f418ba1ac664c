"""One name for each activation, so that a network says by argument whether it is smooth.

ReLU has no second derivative to speak of; SiLU and softplus have all of them. Knows nothing about networks.
"""

from __future__ import annotations

import math

from torch import nn

ACTIVATION_NAMES = ("relu", "silu")
Kind = str | float | int | None


def activation(softplus: Kind) -> nn.Module:
    """A ReLU (None or "relu"), a SiLU ("silu"), or with a number beta the softplus log(1 + exp(beta u)) / beta.

    ValueError for another name and for beta <= 0.
    """
    if softplus is None or softplus == "relu":
        return nn.ReLU()
    if softplus == "silu":
        return nn.SiLU()
    if isinstance(softplus, str):
        raise ValueError(
            f"activation must be {', '.join(ACTIVATION_NAMES)} or a number above 0 (softplus); got {softplus!r}"
        )
    number = isinstance(softplus, int | float) and not isinstance(softplus, bool)
    if not (number and 0 < softplus < math.inf):
        raise ValueError(f"softplus must be None (ReLU) or a number above 0; got {softplus}")
    return nn.Softplus(softplus)
