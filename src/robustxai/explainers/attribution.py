"""`Attribution`: what an integral along a path found, and how far it adds up."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Attribution:
    """An attribution with what is needed to judge it.

    values: (n, *sample), signed. target: the explained classes (n,). start, end: the explained scalar F at
    the ends of the path. scores: F at the points where gradients were taken (points, n). ends: first and last
    image of the path (2, n, *sample). prediction_changed: the class predicted on the autoencoder's
    reconstruction is not the one predicted on x (False without autoencoder). finite: the path and the
    attribution are finite. geodesic: how the curve was found (`robustxai.manifold_ig.Geodesic`), if
    a solver did. noise: mean of 1 - cos between
    neighbouring gradients along the path (n,), in [0, 2]; None where a graph was kept.

    >>> from robustxai.explainers.integrated_gradients import IntegratedGradients
    >>> linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> found = IntegratedGradients(linear, n_steps=4).explain(torch.rand(2, 3, 2, 2), target=1)
    >>> found.values.shape, bool((found.delta.abs() < 1e-5).all())
    (torch.Size([2, 3, 2, 2]), True)
    """

    values: Float[Tensor, " n *sample"]
    target: Int[Tensor, " n"]
    start: Float[Tensor, " n"]
    end: Float[Tensor, " n"]
    scores: Float[Tensor, "points n"]
    ends: Float[Tensor, "2 n *sample"]
    prediction_changed: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]
    geodesic: Any = None
    noise: Float[Tensor, " n"] | None = None

    @property
    def delta(self) -> Float[Tensor, " n"]:
        """Captum's convergence delta: sum of the attribution - (F(end) - F(start)), 0 where complete."""
        return self.values.flatten(1).sum(1) - (self.end - self.start)

    @property
    def completeness_gap(self) -> Float[Tensor, " n"]:
        """|delta| over the total variation of F along the path (spec 5, item 1); 0 where both are 0, as for an F
        that is constant."""
        along = torch.cat((self.start[None], self.scores, self.end[None]))
        gap = self.delta.abs() / along.diff(dim=0).abs().sum(0)
        return torch.where(self.delta == 0, torch.zeros_like(gap), gap)
