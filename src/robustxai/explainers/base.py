"""What every explainer keeps, so that any can be put in the place of any other.

- `explain.attribute(x, target)`: the method's own attribution: CAMs (n, 1, H, W), path methods signed (n, C, H, W)
- `explain(x, target)`: the map of it that attacks move and measures read: `reduced`, never negative
- `explain.on(model)`: the same explainer of another network
- `explain.guide(x)`: a stand-in whose derivative in x an attack can follow

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

    >>> import torch
    >>> class Contribution(Explainer):  # of a linear model: the terms of a score
    ...     def __init__(self, model):
    ...         self.model = model
    ...     def attribute(self, x, target=None):
    ...         best = self.model(x).argmax(1) if target is None else torch.as_tensor(target).expand(len(x))
    ...         return x * self.model.weight[best]
    >>> model = nn.Linear(2, 2)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, -2.0], [0.0, 1.0]]))
    >>> explain, x = Contribution(model), torch.ones(1, 2)
    >>> explain.attribute(x, target=0).tolist(), explain(x, target=0).tolist()
    ([[1.0, -2.0]], [[1.0, 2.0]])
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

    >>> import torch
    >>> from robustxai.ranking import Saliency
    >>> model, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.ones(1, 3)
    >>> explain = Saliency(model, score="logit")
    >>> isinstance(explain, GradientExplainer), has_kinks(model), has_kinks(explain.guide(x).model)
    (True, True, False)
    """

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> "Explainer":
        """The same explainer of the network with softplus in place of ReLU; itself where the network has none."""
        return self.on(softplus_copy(self.model, beta)) if has_kinks(self.model) else self
