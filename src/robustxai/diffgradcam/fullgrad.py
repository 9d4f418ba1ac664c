"""FullGrad (Srinivas & Fleuret, NeurIPS 2019): the input's share of a score and that of every bias, one below another.

The bias of a layer f at its input u is f(u) - J_f(u) u: of an affine layer its offset, of a ReLU nothing, of a layer or
group norm nearly all it gives. The shares add up to the score exactly (equation 2) where everything else that the
network does is linear; what they miss is compared, and said. Explains any score of `SCORES` with its coefficients held
fixed.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.capture import observed
from robustxai.checks import as_target, check_images, check_module
from robustxai.diffgradcam.contrastive_cams import CAMs
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import GradientExplainer
from robustxai.metrics import minmax
from robustxai.models import PlainAttention, logits_of
from robustxai.nets.resnet import Normalize
from robustxai.scores.explained import check_score, score_coefficients
from robustxai.shapes import Images

AFFINE = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.Linear, Normalize)
"""Layers whose bias is what they make of zeros."""
LINEAR = (
    nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd, nn.Upsample,
    nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd, nn.modules.padding._ConstantPadNd,
)  # fmt: skip
"""Layers without a bias: c f(u) = f(c u) for every c > 0."""
MISSED = 1e-2
"""From this share of the score on a gap is said."""


class _Enough(Exception):
    """Ends a pass in front of the first layer."""


class FullGrad(GradientExplainer):
    """FullGrad map: sum over the input and all biased convolutional layers of |share|, brought to [0, 1] and enlarged.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, classes), in eval mode.
        contrast: the explained score, a name of `SCORES`; its options follow as keywords.

    Raises ValueError for an unknown contrast. Of a ReLU network the gradients are constant nearly everywhere, so an
    attack needs `guide`, the same map of the softplus copy.

    >>> from robustxai.nets import CompactResNet
    >>> FullGrad(CompactResNet(classes=4).eval())(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    def __init__(self, model: nn.Module, *, contrast: str = "logit", **options: Any):
        check_score("contrast", contrast, options)
        check_module("model", model)
        self.model, self.contrast, self.options = model, contrast, options

    def shares(self, x: Images, target: Any = None) -> tuple[Float[Tensor, " batch"], list[Tensor]]:
        """The score S = sum_j a_j y_j (N,) and its shares: x * dS/dx first, then (N, ...) per biased layer.

        They sum to S up to what is missed: a UserWarning says how much where that is over 1 % of |S|. Keeps the graph
        if x requires a gradient. Raises ValueError for bad images, a bad target, or a model in training mode.
        """
        check_images("x", x, low=None, high=None)
        check_calm("model", self.model)
        follow = torch.is_grad_enabled() and x.requires_grad
        seen: list[tuple[Tensor, Tensor]] = []
        first: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return None
            first.append(inputs[0])
            bias = _bias(module, inputs, output, follow)
            if output.requires_grad and bool(bias.any()):
                seen.append((output, bias))
            return output.clone()  # a ReLU in place must not change what was kept

        leaves = (m for m in self.model.modules() if not any(m.children()) and not isinstance(m, LINEAR))
        with torch.inference_mode(False), torch.enable_grad():
            x = x if follow else x.detach().clone().requires_grad_()
            with observed(*((m, keep) for m in leaves)):
                logits = logits_of(self.model, x, twice=follow)
            seen[:0] = self._before(x, first[0]) if first else []
            a = score_coefficients(logits.detach(), as_target(target, logits), self.contrast, **self.options)
            score = (a * logits).sum(1)
            outputs = [x, *(out for out, _ in seen)]
            slopes = torch.autograd.grad(score.sum(), outputs, materialize_grads=True, create_graph=follow)
        with torch.set_grad_enabled(follow):
            parts = [g * part for g, part in zip(slopes, [x, *(bias for _, bias in seen)], strict=True)]
            score, parts = (score, parts) if follow else (score.detach(), [p.detach() for p in parts])
        self._compare(score.detach(), parts)
        return score, parts

    def attribute(self, x: Images, target: Any = None) -> CAMs:
        """Map of class `target` (None: the predicted one) for each image, (N, 1, H, W), non-negative.

        Raises ValueError as `shares` does.
        """
        _, parts = self.shares(x, target)
        maps = [
            interpolate(minmax(p.abs()), x.shape[2:], mode="bilinear", align_corners=False).sum(1)
            for p in parts
            if p.ndim == 4
        ]
        return torch.stack(maps).sum(0)[:, None]

    def _before(self, x: Tensor, first: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What the network makes of the images in front of its first layer, such as (x - m) / s, and its bias."""
        if first.shape == x.shape and torch.equal(first, x):
            return []

        def ahead(images: Tensor) -> Tensor:
            found: list[Tensor] = []

            def stop(_module: nn.Module, inputs: tuple[Any, ...], _output: Any) -> None:
                found.append(inputs[0])
                raise _Enough

            leaves = (m for m in self.model.modules() if not any(m.children()) and not isinstance(m, LINEAR))
            with observed(*((m, stop) for m in leaves)):
                try:
                    self.model(images)
                except _Enough:
                    pass
            return found[0]

        return [(first, _offset(ahead, x.detach(), follow=False))] if first.requires_grad else []

    def _compare(self, score: Tensor, parts: list[Tensor]) -> None:
        total = torch.stack([p.detach().flatten(1).sum(1) for p in parts]).sum(0)
        size = score.abs().clamp_min(torch.finfo(score.dtype).tiny)
        gap = float(((total - score).abs() / size).max())
        if not gap <= max(MISSED, 1e3 * torch.finfo(score.dtype).eps):
            warnings.warn(
                f"FullGrad's shares miss up to {gap:.0%} of the score: the network has operations outside its layers "
                "that are not linear, or layers that change their input in place",
                UserWarning,
                stacklevel=3,
            )


def _bias(module: nn.Module, inputs: tuple[Any, ...], output: Tensor, follow: bool) -> Tensor:
    """f(u) - J_f(u) u of one layer at its input."""
    if isinstance(module, AFFINE):
        with torch.no_grad():
            return module.forward(torch.zeros_like(inputs[0]))
    return _offset(lambda u: module.forward(u, *inputs[1:]), inputs[0], follow=follow)


def _offset(f: Callable[[Tensor], Tensor], u: Tensor, *, follow: bool) -> Tensor:
    """f(u) - J_f(u) u, by differentiating v -> J_f(u)^T v, which is linear; with a graph if followed."""
    with torch.enable_grad(), PlainAttention():
        u = u if follow and u.requires_grad else u.detach().requires_grad_()
        value = f(u)
        v = torch.zeros_like(value, requires_grad=True)
        (pulled,) = torch.autograd.grad(value, u, v, create_graph=True, materialize_grads=True)
        if not pulled.requires_grad:  # f does not depend on u
            return value if follow else value.detach()
        (slope,) = torch.autograd.grad(pulled, v, u, create_graph=follow, materialize_grads=True)
        return value - slope if follow else (value - slope).detach()
