"""Integrated Gradients: the straight line of pixels, or between an autoencoder's reconstructions.

Captum's convention: `IntegratedGradients(model, ...).attribute(x, target)`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.explainers.decoder import Decoder
from robustxai.explainers.path_explainer import PathExplainer, PathIntegral
from robustxai.explainers.path_integral import line_integral
from robustxai.explainers.quadrature_rules import RULES
from robustxai.shapes import Target


class IntegratedGradients(PathExplainer):
    """Integrated Gradients (Sundararajan et al. 2017): the straight line of pixels (spec 3.8, item 1).

    A straight line stays straight through a first convolution or linear layer: gradients are added up behind it and
    pulled back to the image once (see `entered`); one by one in `explain`, with the same sum up to rounding.

    Args:
        encoder, decoder: with both, the line goes between the reconstructions g(h(x')) and g(h(x)): the
            control "IG-recon" (spec 3.8, item 2).
        rule: also "right" and "gausslegendre" (Captum's default).

    >>> from robustxai.nets import CompactResNet
    >>> model = CompactResNet(classes=4).eval()
    >>> IntegratedGradients(model, n_steps=5).attribute(torch.rand(2, 3, 32, 32), target=1).shape
    torch.Size([2, 3, 32, 32])
    """

    rules = (*RULES, "right", "gausslegendre")

    def __init__(
        self, model: nn.Module, encoder: Decoder | None = None, decoder: Decoder | None = None, **options: Any
    ):
        super().__init__(model, **options)
        if (encoder is None) != (decoder is None):
            raise ValueError("encoder and decoder must be given both or not at all, got one")
        self.encoder, self.decoder = encoder, decoder

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        end = x
        if self.encoder is not None:
            end, start = self._rebuilt(x), self._rebuilt(start)
        index = self._target(end, target)
        integral = line_integral(
            self.model, start, end, index, n_steps=self.n_steps, rule=self.rule, score=self.score,
            batch_size=self.batch_size, steady=self.steady,
        )  # fmt: skip
        ends = torch.stack((start, end))
        return PathIntegral(ends, integral, index, ends.flatten(2).isfinite().all(2).all(0))
