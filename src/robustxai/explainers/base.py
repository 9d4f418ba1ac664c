"""What every explainer keeps, so that any can be put in the place of any other.

    explain.attribute(x, target)   the method's own attribution: CAMs (n, 1, H, W), path methods signed (n, C, H, W)
    explain(x, target)             the map of it that attacks move and measures read: `reduced`, never negative
    explain.on(model)              the same explainer of another network
    explain.guide(x)               a stand-in whose derivative in x an attack can follow

A new explainer is a subclass with one method, `attribute`. Knows nothing about any method.
"""

import copy
from typing import Any

from torch import Tensor, nn

from robustxai.explainers.reduce import reduced
from robustxai.nets.softplus import has_kinks, softplus_copy


class Explainer:
    """The map of a network: `attribute` is the method's own, everything else follows from it.

    `differentiable`: whether `attribute` keeps the graph where x requires a gradient and gradients are enabled.
    """

    model: nn.Module
    differentiable: bool = True

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """The method's own attribution of samples x (n, ...) for `target`, None for the predicted class."""
        raise NotImplementedError

    def __call__(self, x: Tensor, target: Any = None) -> Tensor:
        """|attribution|, summed over the channels of images: (n, 1, H, W), or (n, d) for tables."""
        return reduced(self.attribute(x, target))

    def on(self, model: nn.Module) -> "Explainer":
        """The same explainer of another network, such as a softplus copy."""
        other = copy.copy(self)
        other.model = model
        return other

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> "Explainer":
        """An explainer whose derivative near x an attack can follow: itself, or a stand-in."""
        return self


class GradientExplainer(Explainer):
    """An explainer made of input gradients: of a ReLU network it is piecewise constant or linear in x.

    Its second derivatives vanish there, so `guide` is the same explainer of a softplus copy (Dombrowski et al. 2019).
    """

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> "Explainer":
        """The same explainer of the network with softplus in place of ReLU; itself where the network has none."""
        return self.on(softplus_copy(self.model, beta)) if has_kinks(self.model) else self
