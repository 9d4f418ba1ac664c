"""Guided Grad-CAM: the pixels of guided backpropagation, weighted with the class's Grad-CAM map."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.capture import observed
from robustxai.checks import as_target, check_images
from robustxai.diffgradcam.cams import GradCAM
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import GradientExplainer
from robustxai.explainers.input_gradient import logits_and_gradient
from robustxai.explainers.reshape import Reshape
from robustxai.shapes import Images

RELU_MODULES = (nn.ReLU, nn.ReLU6)


class GuidedGradCAM(GradientExplainer):
    """G * M: the Grad-CAM map M of a class times its guided gradient G (Selvaraju et al. 2017, section 3.2).

    G is the input gradient of the class logit in which every ReLU passes back positive gradients alone (Springenberg
    et al. 2015). So the pixels are those of edges whatever the class, and the class decides where they are shown.

    Args:
        model: images (N, C, H, W) to logits, of any kind that `robustxai.models` knows, in eval mode, with its ReLUs
            as modules (`nn.ReLU`, `nn.ReLU6`). Without one G is the gradient.
        layer, reshape: as of `GradCAM`.

    >>> head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head).eval()
    >>> GuidedGradCAM(net, "1").attribute(torch.rand(2, 3, 8, 8), target=1).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | Sequence[nn.Module | str] | None = None,
        *,
        reshape: Reshape | str | None = None,
    ):
        self.model, self.cam = model, GradCAM(model, layer, reshape=reshape)

    def on(self, model: nn.Module) -> "GuidedGradCAM":
        """The same explainer of another network that names its layers alike."""
        other = GuidedGradCAM.__new__(GuidedGradCAM)
        other.model, other.cam = model, self.cam.on(model)
        return other

    def attribute(self, x: Images, target: Any = None) -> Images:
        """Signed pixels of class `target` (None: the predicted one), (N, C, H, W); keeps the graph where x asks for it.

        Raises ValueError for images that are not finite, a target out of range, a model in training mode.
        """
        check_images("x", x, low=None, high=None)
        check_calm("model", self.model)
        follow = torch.is_grad_enabled() and x.requires_grad
        relus = [m for m in self.model.modules() if isinstance(m, RELU_MODULES)]
        with observed(*((m, lambda module, inputs, output: _Positive.apply(output)) for m in relus)):
            logits, guided = logits_and_gradient(self.model, x, target, score="logit", create_graph=follow)
        found = guided * self.cam.attribute(x, as_target(target, logits.detach()))
        return found if follow else found.detach()


class _Positive(torch.autograd.Function):
    """The identity, which passes back what is positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return g.clamp_min(0)
