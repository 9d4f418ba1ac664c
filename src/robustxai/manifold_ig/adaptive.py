"""Derivatives for an attacker who knows the defence: frozen geodesics, and BPDA (spec 4.4).

LatentPathIG needs none of this: it is differentiable, and an attack on it goes through encoder and decoder.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from robustxai.manifold_ig.baselines import as_baseline
from robustxai.manifold_ig.decoded import LatentPathIG, ManifoldIG
from robustxai.manifold_ig.maps import Explain


def frozen(
    method: ManifoldIG, baselines: Tensor | float | int | None = None
) -> Callable[[Tensor], LatentPathIG]:
    """The guide of an attack on ManifoldIG: at the inputs that it is asked for, their geodesics are solved; the
    ends of the path then move with the codes while its bend stays (spec 4.4, item 2).

    In mode "released" the guide's path goes all the way to the code, where the method's own stops at 19/20.

    >>> attack.perturb(model, x, explain=method, guide=frozen(method))  # doctest: +SKIP
    """

    def guide(x: Tensor) -> LatentPathIG:
        return method.held(method.geodesic(x.detach(), as_baseline(baselines, x)))

    return guide


def borrowed(explain: Explain, behind: Explain) -> Callable[[Tensor], Explain]:
    """The guide of an attack with the derivative of another method, for values that cost much: right at the inputs
    that it is asked for, and from there on moving as `behind` does (`BPDA` asks `explain` at every step).
    """

    def guide(_: Tensor) -> Explain:
        ahead: list[Tensor] = []

        def shifted(x: Tensor, target: Tensor | int | None = None) -> Tensor:
            way = behind(x, target)
            if not ahead:
                with torch.no_grad():
                    ahead.append(explain(x.detach(), target) - way.detach())
            return way + ahead[0]

        return shifted

    return guide


class BPDA:
    """An explainer with the values of one and the derivatives of another (backward pass differentiable
    approximation, Athalye et al. 2018).

    For explainers that have no useful derivative: GuidedIG, whose path comes from comparisons, with
    Integrated Gradients behind it; a ReLU network, with its softplus copy behind it.
    """

    def __init__(self, explain: Explain, behind: Explain):
        self.explain, self.behind = explain, behind

    def __call__(self, x: Tensor, target: Tensor | int | None = None) -> Tensor:
        with torch.no_grad():
            value = self.explain(x.detach(), target)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        way = self.behind(x, target)
        return way + (value - way.detach())
