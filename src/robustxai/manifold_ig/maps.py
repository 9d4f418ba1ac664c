"""From signed attributions to the maps that are shown, compared and attacked (spec 3.7).

Knows tensors only.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Sample = Float[Tensor, "n *sample"]
Explain = Callable[..., Tensor]


def saliency(attribution: Sample) -> Float[Tensor, " n *map"]:
    """|A|, summed over the channels of images: (n, c, h, w) to (n, 1, h, w); other shapes stay.

    >>> saliency(torch.tensor([[[[1.0]], [[-2.0]]]]))
    tensor([[[[3.]]]])
    """
    size = attribution.abs()
    return size.sum(1, keepdim=True) if size.ndim == 4 else size


def shares(attribution: Sample) -> Float[Tensor, "n d"]:
    """`saliency` as shares of its sum; a map of zeros stays zero."""
    flat = saliency(attribution).flatten(1)
    return flat / flat.sum(1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)


class SaliencyOf:
    """An explainer of maps from one of signed attributions: `SaliencyOf(method)(x, target)` is (n, 1, h, w).

    What attacks and measures take that read ranked, non-negative scores.
    """

    def __init__(self, explain: Explain):
        self.explain = explain

    def __call__(self, x: Sample, target: Tensor | int | None = None) -> Float[Tensor, " n *map"]:
        return saliency(self.explain(x, target))
