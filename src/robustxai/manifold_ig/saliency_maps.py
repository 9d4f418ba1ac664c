"""From signed attributions to the maps that are shown, compared and attacked (spec 3.7).

Knows tensors only.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import read, reduced
from robustxai.shapes import Explain, Inputs

saliency = reduced
"""|A|, summed over the channels of images: (n, c, h, w) to (n, 1, h, w); the one rule of the library."""


def signed(explain: Explain) -> Explain:
    """The method's own attribution of an explainer, signed where it is: `attribute`; a plain function as it is."""
    return getattr(explain, "attribute", explain)


def from_black(explain: Explain) -> Explain:
    """`signed`, of paths that start at 0 whatever the images: for measures that change images of [0, 1] a little, and
    leave it.
    """
    if not getattr(explain, "black_start", False) or getattr(explain, "baselines", None) is not None:
        return signed(explain)
    return lambda x, target=None: signed(explain)(x, target, torch.zeros_like(x))


class SaliencyOf(Explainer):
    """An explainer of maps from anything callable that gives attributions: `SaliencyOf(f)(x, target)` is (n, 1, h, w).

    The explainers of this library need none: calling them gives the map.

    >>> SaliencyOf(lambda x, target: -2 * x)(torch.ones(1, 3, 1, 1), 0)
    tensor([[[[6.]]]])
    """

    def __init__(self, explain: Explain):
        self.explain = explain
        self.model = getattr(explain, "model", None)  # pyright: ignore[reportAttributeAccessIssue]
        self.differentiable = bool(getattr(explain, "differentiable", True))

    def on(self, model: Any) -> "SaliencyOf":
        """The maps of the same explainer of another network. Raises ValueError for a function that has none."""
        on = getattr(self.explain, "on", None)
        if on is None:
            raise ValueError(
                f"explain must have `.on(model)` to explain another network, got {self.explain!r}"
            )
        return SaliencyOf(on(model))

    def guide(self, x: Inputs, **options: Any) -> Explainer:
        """The maps of the explainer's own guide; itself for a function that has none."""
        guide = getattr(self.explain, "guide", None)
        return self if guide is None else SaliencyOf(guide(x, **options))

    def attribute(self, x: Inputs, target: Any = None) -> Float[Tensor, " n *map"]:
        """What the explainer gives when called, as a map."""
        return read(self.explain)(x, target)
