"""Derivatives for an attacker who knows the defence: frozen geodesics, and BPDA (spec 4.4).

LatentPathIG needs none of this: it is differentiable, and an attack on it goes through encoder and decoder.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robustxai.checks import check_batch, check_callable
from robustxai.explainers.base import Explainer
from robustxai.explainers.baselines import as_baseline
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.saliency_maps import signed
from robustxai.shapes import Explain


def frozen(
    method: ManifoldIG, baselines: Tensor | float | int | None = None
) -> Callable[[Tensor], LatentPathIG]:
    """The guide of an attack on ManifoldIG: at the inputs that it is called for, their geodesics are solved; the
    ends of the path then move with the codes while its bend stays (spec 4.4, item 2).

    In mode "released" the guide's path goes all the way to the code, where the method's own stops at 19/20.

    >>> attack.perturb(model, x, explain=method, guide=frozen(method))  # doctest: +SKIP
    """
    if not isinstance(method, ManifoldIG):
        raise ValueError(f"method must be a ManifoldIG, got {type(method).__name__}")

    def guide(x: Tensor) -> LatentPathIG:
        return method.held(
            method.geodesic(x.detach(), as_baseline(method.baselines if baselines is None else baselines, x))
        )

    return guide


def bpda_guide(explain: Explain, behind: Explain) -> Callable[[Tensor], Explain]:
    """The guide of an attack with the derivative of another method, for values that cost much: right at the inputs
    that it is called for, and from there on moving as `behind` does (`BPDA` calls `explain` at every step). Both are
    read before they are reduced to maps.
    """
    ours, theirs = signed(explain), signed(behind)

    def guide(_: Tensor) -> Explain:
        ahead: list[Tensor] = []

        def shifted(x: Tensor, target: Tensor | int | None = None) -> Tensor:
            way = theirs(x, target)
            if not ahead:
                with torch.no_grad():
                    ahead.append(ours(x.detach(), target) - way.detach())
            return way + ahead[0]

        return shifted

    return guide


class BPDA(Explainer):
    """An explainer with the values of one and the derivatives of another (backward pass differentiable
    approximation, Athalye et al. 2018).

    For explainers that have no useful derivative: GuidedIG, whose path comes from comparisons, with
    Integrated Gradients behind it; a ReLU network, with its softplus copy behind it. Of explainers with `attribute`
    that is read, signed where it is; plain functions are called.

    >>> through = BPDA(lambda x, target: x.round(), lambda x, target: 3 * x)
    >>> x = torch.tensor([[0.4, 0.8]], requires_grad=True)
    >>> value = through.attribute(x, 0)
    >>> value.detach(), torch.autograd.grad(value.sum(), x)[0]
    (tensor([[0., 1.]]), tensor([[3., 3.]]))
    """

    def __init__(self, explain: Explain, behind: Explain):
        check_callable("explain", explain)
        check_callable("behind", behind)
        self.explain, self.behind = explain, behind
        if isinstance(explain, Explainer):
            self.model = explain.model

    def on(self, model: Any) -> "BPDA":
        """Both explainers of another network; ValueError for plain functions, which know none."""
        parts = []
        for one in (self.explain, self.behind):
            if not isinstance(one, Explainer):
                raise ValueError(f"explain and behind must be explainers with `on`, got {type(one).__name__}")
            parts.append(one.on(model))
        return BPDA(*parts)

    def attribute(self, x: Tensor, target: Tensor | int | None = None) -> Tensor:
        """The values of `explain`; where x requires a gradient, with the derivative of `behind`."""
        check_batch("x", x)
        with torch.no_grad():
            value = signed(self.explain)(x.detach(), target)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        way = signed(self.behind)(x, target)
        return way + (value - way.detach())
