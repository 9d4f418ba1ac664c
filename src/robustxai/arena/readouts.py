"""Explainers around explainers: the map on a coarser grid, and the mean of maps that differ from call to call.

`Wrapped` is what they share with defences. Knows no method by name, except that the grid is that of a layer.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.arena.measures import GRID_SHARE, SHARE, pooled
from robustxai.checks import check_count
from robustxai.diffgradcam.capture import cut, find_layer
from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import read

READOUTS = {"own": SHARE, "grid": GRID_SHARE}
"""How a map is read, and which share of it is its top: as it is, or as means over the coarsest grid of the table."""
GRID = 7
"""The grid where no layer gives one."""


class Wrapped(Explainer):
    """An explainer made of another one, `inner`: a subclass writes `attribute`; the rest goes through.

    >>> from robustxai.explainers.gradient import Saliency
    >>> class Doubled(Wrapped):
    ...     def attribute(self, x, target=None):
    ...         return 2 * self.inner(x, target)
    >>> Doubled(Saliency(nn.Linear(2, 2), score="logit")).on(nn.Linear(3, 2))(torch.zeros(1, 3)).shape
    torch.Size([1, 3])
    """

    def __init__(self, inner: Explainer):
        self.inner, self.model, self.differentiable = inner, inner.model, inner.differentiable

    def on(self, model: nn.Module) -> "Wrapped":
        """The same around the explainer of another network."""
        return self._around(self.inner.on(model))

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> "Wrapped":
        """The same around the guide of the explainer."""
        return self._around(self.inner.guide(x, beta=beta))

    def _around(self, inner: Explainer) -> "Wrapped":
        other = copy.copy(self)
        other.inner, other.model = inner, getattr(inner, "model", self.model)
        return other


class Pooled(Wrapped):
    """The map as means over the areas of a `grid` x `grid` grid: (n, 1, grid, grid)."""

    def __init__(self, inner: Explainer, grid: int):
        super().__init__(inner)
        self.grid = check_count("grid", grid)

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """The pooled map. ValueError for a map that is coarser than the grid."""
        return pooled(read(self.inner)(x, target), self.grid)


class Expected(Wrapped):
    """The mean of `draws` maps of an explainer that draws, which an attacker follows (Athalye et al. 2018)."""

    def __init__(self, inner: Explainer, draws: int = 8):
        super().__init__(inner)
        self.draws = check_count("draws", draws)

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """The mean map."""
        return torch.stack([read(self.inner)(x, target) for _ in range(self.draws)]).mean(0)


def networks_of(explain: object) -> list[nn.Module]:
    """The networks that an explainer made of others runs, each once: its own, and those of the explainers inside.

    >>> from robustxai.explainers.gradient import Saliency
    >>> net = nn.Linear(2, 2)
    >>> networks_of(Pooled(Saliency(net), 7)) == [net]
    True
    """
    found: list[nn.Module] = []
    if isinstance(explain, Explainer):
        for value in vars(explain).values():
            inside = [value] if isinstance(value, nn.Module) else networks_of(value)
            found += [m for m in inside if not any(m is other for other in found)]
    return found


def explained_layer(model: nn.Module, layer: nn.Module | str | None) -> nn.Module | str | None:
    """The layer that CAM rows explain: the given one, else the one that the network names, else None."""
    if layer is not None:
        return str(find_layer(model, layer))
    named = any(isinstance(getattr(m, "gap_layer", None), str) for m in model.modules())
    return str(find_layer(model, None)) if named else None


def grid_of(model: nn.Module, layer: nn.Module | str | None, x: Tensor) -> tuple[int, bool]:
    """The shorter side of the explained layer's map, at least 2, and whether its mean goes straight to the logits.

    Without a layer `GRID`, and False. Never more than the shorter side of the images x (n, C, H, W).
    """
    most = min(x.shape[2:])
    if layer is None:
        return min(GRID, most), False
    found = cut(model, layer, x[:1])
    return min(max(2, min(found.activations.shape[2:])), most), found.weight is not None
