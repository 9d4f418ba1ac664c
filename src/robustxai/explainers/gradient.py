"""Explanations whose ranking is studied: gradient, gradient x input, SmoothGrad, integrated gradients.

Captum's convention: construct with the model, call `.attribute(x, target=...)`. Each gives the scores to be
ranked, absolute and summed over channels (spec 6), differentiable in `x` where `x` requires a gradient. Attacks
and measures take any callable `explain(x, target)` instead. Knows nothing about attacks.
"""

from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import (
    as_target,
    check_batch,
    check_count,
    check_name,
    check_positive,
)
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import GradientExplainer
from robustxai.explainers.input_gradient import SCORES, gradient, ranked
from robustxai.models import logits_of
from robustxai.shapes import Inputs, Target


class Saliency(GradientExplainer):
    """|d score / d x|, summed over channels: the explanation that R2ET trains (spec 3.1).

    Args:
        model: inputs (n, d) or (n, C, H, W) to logits, of any kind that `robustxai.models` knows; no batch norm or
            dropout in training mode.
        score: 'prob' (of the class), 'logit' or 'ce'.

    `guide(x)` is the same explainer of a softplus copy: with ReLUs the gradient's own derivative is zero in part.

    >>> Saliency(nn.Linear(3, 2)).attribute(torch.zeros(4, 3)).shape
    torch.Size([4, 3])
    """

    def __init__(self, model: nn.Module, *, score: str = "prob"):
        check_name("score", score, SCORES)
        self.model, self.score = model, score

    def attribute(self, x: Inputs, target: Target = None) -> Float[Tensor, "n ..."]:
        """Scores of class `target` (None: the predicted one): (n, d) for tables, (n, 1, H, W) for images.

        Raises ValueError for inputs that are not finite floats or do not fit the model, a target out of range, or a
        model in training mode where that couples its samples.
        """
        values = ranked(self.signed(x, target))
        return values.unflatten(1, (1, *x.shape[2:])) if x.ndim == 4 else values

    def signed(self, x: Inputs, target: Target = None) -> Inputs:
        """The attribution before absolute values and the sum over channels, in the shape of `x`."""
        check_batch("x", x)
        check_calm("model", self.model)
        follow = torch.is_grad_enabled() and x.requires_grad
        with torch.inference_mode(False), torch.set_grad_enabled(follow):
            x = x.clone() if x.is_inference() else x
            if type(self) is not Saliency:  # the others ask at other points than x
                with torch.no_grad():
                    target = as_target(target, logits_of(self.model, x))
            return self._signed(x, target, follow)

    def _signed(self, x: Tensor, target: Target, follow: bool) -> Tensor:
        return gradient(self.model, x, target, score=self.score, create_graph=follow)

    def _mean_gradient(self, points: Tensor, target: Target, follow: bool) -> Tensor:
        """Mean over the first axis of the gradients at `points` (m, n, ...), at most about 4096 rows at once."""
        m, n = points.shape[:2]
        t = torch.as_tensor(target, device=points.device).expand(n)
        total = torch.zeros_like(points[0])
        for part in points.split(max(1, 4096 // n)):
            g = gradient(
                self.model, part.flatten(0, 1), t.repeat(len(part)), score=self.score, create_graph=follow
            )
            total = total + g.unflatten(0, part.shape[:2]).sum(0)
        return total / m


class GradientTimesInput(Saliency):
    """|x * d score / d x|, summed over channels; for tables the input is measured from 0, the mean after z-scoring.

    >>> GradientTimesInput(nn.Linear(3, 2)).attribute(torch.zeros(1, 3), target=1)
    tensor([[0., 0., 0.]])
    """

    def _signed(self, x: Tensor, target: Target, follow: bool) -> Tensor:
        return x * super()._signed(x, target, follow)


class SmoothGrad(Saliency):
    """The mean gradient under Gaussian noise (Smilkov et al. 2017), absolute value taken after the mean.

    Args:
        n: number of draws.
        sigma: standard deviation of the noise in units of `x`, a number or a tensor that broadcasts over a
            sample; 0.1 of the data range is usual.
        seed: of the noise; every sample of every call gets the same draws, so a batch changes nothing.

    >>> SmoothGrad(nn.Linear(3, 2), n=5, sigma=0.2).attribute(torch.zeros(4, 3)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        score: str = "prob",
        n: SupportsIndex = 25,
        sigma: float | int | Tensor = 0.1,
        seed: SupportsIndex = 0,
    ):
        super().__init__(model, score=score)
        if not isinstance(sigma, Tensor):
            sigma = check_positive("sigma", sigma)
        elif not ((sigma > 0) & sigma.isfinite()).all():
            low, high = float(sigma.min()), float(sigma.max())
            raise ValueError(f"sigma must be finite numbers > 0, got values from {low:g} to {high:g}")
        self.n, self.sigma, self.seed = check_count("n", n), sigma, check_count("seed", seed, 0)

    def _signed(self, x: Tensor, target: Target, follow: bool) -> Tensor:
        g = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.n, 1, *x.shape[1:], generator=g, device=g.device).to(x) * _like(
            "sigma", self.sigma, x
        )
        return self._mean_gradient(x + noise, target, follow)


class IntegratedGradients(Saliency):
    """Integrated gradients (Sundararajan et al. 2017) on the straight line from `baseline`, midpoint rule.

    Args:
        steps: midpoints on the line.
        baseline: where the line starts, a number or a tensor that broadcasts over `x`.

    >>> IntegratedGradients(nn.Linear(3, 2), steps=5).attribute(torch.zeros(1, 3), target=1)
    tensor([[0., 0., 0.]])
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        score: str = "prob",
        steps: SupportsIndex = 25,
        baseline: float | int | Tensor = 0.0,
    ):
        super().__init__(model, score=score)
        if isinstance(baseline, bool | str) or not isinstance(baseline, Tensor | SupportsFloat):
            raise ValueError(f"baseline must be a finite number or a tensor, got {baseline!r:.40}")
        if not bool(
            torch.as_tensor(baseline, device=None if isinstance(baseline, Tensor) else "cpu").isfinite().all()
        ):
            raise ValueError(f"baseline must be finite, got {baseline!r:.40}")
        self.steps, self.baseline = check_count("steps", steps), baseline

    def _signed(self, x: Tensor, target: Target, follow: bool) -> Tensor:
        away = x - _like("baseline", self.baseline, x)
        t = (torch.arange(self.steps, device=x.device).to(x) + 0.5) / self.steps
        points = x - (1 - t).reshape(-1, *[1] * x.ndim) * away
        return away * self._mean_gradient(points, target, follow)


def _like(name: str, value: float | int | Tensor, x: Tensor) -> Tensor:
    """A number, or a tensor that broadcasts over `x`, with the dtype and on the device of `x`."""
    found = value.to(x) if isinstance(value, Tensor) else torch.as_tensor(value, device=x.device).to(x)
    try:
        fits = torch.broadcast_shapes(found.shape, x.shape) == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must broadcast over x of shape {tuple(x.shape)}, got shape {tuple(found.shape)}"
        )
    return found
