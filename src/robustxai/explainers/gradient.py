"""Explanations by the gradient in the input: the gradient, gradient x input, SmoothGrad.

Captum's convention: construct with the model, call `.attribute(x, target=...)`. Each gives the scores to be
ranked, absolute and summed over channels (spec 6), differentiable in `x` where `x` requires a gradient. Attacks
and measures take any callable `explain(x, target)` instead. Knows nothing about attacks.
"""

from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import as_target, check_batch, check_count
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import GradientExplainer
from robustxai.explainers.input_gradient import gradient, ranked
from robustxai.explainers.noise import Noise
from robustxai.explainers.path_integral import made_gradients
from robustxai.models import logits_of
from robustxai.scores.explained import check_score
from robustxai.shapes import Inputs, Target


class Saliency(GradientExplainer):
    """|d score / d x|, summed over channels: the explanation that R2ET trains (spec 3.1).

    Args:
        model: inputs (n, d) or (n, C, H, W) to logits, of any kind that `robustxai.models` knows; no batch norm or
            dropout in training mode.
        score: a name of `robustxai.scores`: 'prob' (of the class), 'logit', 'ce', ...

    `guide(x)` is the same explainer of a softplus copy: with ReLUs the gradient's own derivative is zero in part.

    >>> Saliency(nn.Linear(3, 2)).attribute(torch.zeros(4, 3)).shape
    torch.Size([4, 3])
    """

    def __init__(self, model: nn.Module, *, score: str = "prob"):
        check_score("score", score)
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
            return self._signed(x.clone() if x.is_inference() else x, target, follow)

    def _signed(self, x: Tensor, target: Target, follow: bool) -> Tensor:
        return gradient(self.model, x, target, score=self.score, create_graph=follow)


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
        samples: number of noisy copies.
        std: standard deviation of the noise in units of `x`, a number or a tensor that broadcasts over a
            sample; 0.1 of the data range is usual.
        generator: of the noise, which comes in pairs of opposite signs; every sample of every call gets the same, so
            a batch changes nothing. None: seed 0.
        batch_size: most inputs in one pass of the network; None for no limit.

    >>> SmoothGrad(nn.Linear(3, 2), samples=5, std=0.2).attribute(torch.zeros(4, 3)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        score: str = "prob",
        samples: SupportsIndex = 25,
        std: float | int | Tensor = 0.1,
        generator: torch.Generator | None = None,
        batch_size: int | None = 4096,
    ):
        super().__init__(model, score=score)
        self.noise = Noise(check_count("samples", samples), std, generator)
        self.batch_size = None if batch_size is None else check_count("batch_size", batch_size)

    def _signed(self, x: Tensor, target: Target, follow: bool) -> Tensor:
        with torch.no_grad():  # the class of the sample without noise
            index = as_target(target, logits_of(self.model, x))
        noise, share = self.noise.draw(x), x.new_full((), 1 / self.noise.samples)

        def part(times: slice, rows: slice) -> tuple[Tensor, Tensor]:
            points = x[rows] + noise[times]
            return points, share.expand_as(points)

        found = made_gradients(
            self.model, part, self.noise.samples, index, score=self.score, batch_size=self.batch_size
        )
        return found.values
