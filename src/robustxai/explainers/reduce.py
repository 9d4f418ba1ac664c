"""From an attribution to the map that people look at, attacks move and measures read: the one rule of the library.

Knows tensors only.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_callable, check_floats

Attribution = Float[Tensor, "n *sample"]


def reduced(attribution: Attribution) -> Float[Tensor, " n *map"]:
    """|A|, summed over the channels of images: (n, C, H, W) to (n, 1, H, W); tables (n, d) stay (n, d).

    A map that is there already, non-negative with one channel, stays as it is.

    >>> import torch
    >>> reduced(torch.tensor([[[[1.0]], [[-2.0]]]]))
    tensor([[[[3.]]]])
    """
    size = check_floats("attribution", attribution).abs()
    return size.sum(1, keepdim=True) if size.ndim == 4 else size


def read(explain: Callable[..., Any]) -> Callable[..., Tensor]:
    """`explain`, whatever its kind, as explain(x, target) -> map: what an attack or a measure does at its door.

    The map is `reduced`; ValueError where `explain` gives no tensor with one row a sample.

    >>> import torch
    >>> read(lambda x, target: -x)(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    check_callable("explain", explain)

    def scores(x: Tensor, target: Any = None) -> Tensor:
        found = explain(x, target)
        if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(
                f"explain gives {shape} for {len(x)} samples; accepted are attributions (n, ...)"
            )
        return reduced(found)

    return scores
