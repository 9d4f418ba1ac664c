"""From an attribution to the map that people look at, attacks change and measures read: the one rule of the library.

Knows tensors only.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_callable, check_floats, shown
from robustxai.shapes import Inputs


def reduced(attribution: Inputs) -> Float[Tensor, " n *map"]:
    """|A|, summed over the channels of images: (n, C, H, W) to (n, 1, H, W); tables (n, d) stay (n, d).

    A map that is there already, non-negative with one channel, stays as it is.

    >>> reduced(torch.tensor([[[[1.0]], [[-2.0]]]]))
    tensor([[[[3.]]]])
    """
    size = check_floats("attribution", attribution).abs()
    return size.sum(1, keepdim=True) if size.ndim == 4 else size


def shares(attribution: Inputs) -> Float[Tensor, "n d"]:
    """The `reduced` map as shares of its sum, flat; a map of zeros stays zero, a map with NaN is NaN.

    >>> shares(torch.tensor([[1.0, -3.0]]))
    tensor([[0.2500, 0.7500]])
    """
    flat = reduced(attribution).flatten(1)
    return flat / flat.sum(1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)


def read(explain: Callable[..., Any]) -> Callable[..., Tensor]:
    """`explain`, whatever its kind, as explain(x, target) -> map: what attacks and measures do at their entry point.

    The map is `reduced`; ValueError where `explain` gives no tensor with one row a sample.

    >>> read(lambda x, target: -x)(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    check_callable("explain", explain)

    def scores(x: Tensor, target: Any = None) -> Tensor:
        found = explain(x, target)
        if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(x):
            raise ValueError(
                f"explain must return attributions (n, ...), got {shown(found)} for {len(x)} samples"
            )
        return reduced(found)

    return scores
