"""FullGrad (Srinivas & Fleuret, NeurIPS 2019): the input's share of a score and that of every bias, one below another.

For a network of affine layers and ReLUs the shares add up to the score exactly (its equation 2), batch norm in eval
mode and the network's own normalisation included. Explains any score of `SCORES` with its coefficients held fixed.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.diffgradcam.capture import check_images, hooks
from robustxai.diffgradcam.explainers import Images, Maps
from robustxai.diffgradcam.scores import as_target, check_contrast, score_coefficients
from robustxai.metrics import minmax
from robustxai.nets.resnet import Normalize

AFFINE = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, Normalize)
"""Layers that may add something to an input of zeros."""


class FullGrad:
    """FullGrad map: sum over the input and all biased convolutional layers of |share|, brought to [0, 1] and enlarged.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, classes), in eval mode, of affine layers and ReLUs.
        contrast: the explained score, a name of `SCORES`; its options follow as keywords.

    Raises ValueError for an unknown contrast.
    """

    def __init__(self, model: nn.Module, *, contrast: str = "logit", **options):
        check_contrast(contrast, options)
        self.model, self.contrast, self.options = model, contrast, options

    def shares(
        self, x: Images, target: int | Tensor | None = None
    ) -> tuple[Float[Tensor, " batch"], list[Tensor]]:
        """The score S = sum_j a_j y_j (N,) and its shares: x * dS/dx first, then (N, ...) per biased layer.

        They sum to S. Raises ValueError for bad images, a bad target, or a model in training mode.
        """
        check_images(self.model, x)
        seen: list[tuple[Tensor, Tensor]] = []

        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            with torch.no_grad():
                at_zero = module.forward(torch.zeros_like(inputs[0]))
            if bool(at_zero.any()):
                seen.append((output, at_zero))
            return output.clone()  # a ReLU in place must not change what was kept

        layers = [(m, keep) for m in self.model.modules() if isinstance(m, AFFINE)]
        with torch.inference_mode(False), torch.enable_grad(), hooks(*layers):
            x = x.detach().clone().requires_grad_()
            logits = self.model(x)
            a = score_coefficients(logits.detach(), as_target(target, logits), self.contrast, **self.options)
            score = (a * logits).sum(1)
            slopes = torch.autograd.grad(score.sum(), [x, *(out for out, _ in seen)], materialize_grads=True)
        parts = [x.detach(), *(at_zero for _, at_zero in seen)]
        return score.detach(), [g * part for g, part in zip(slopes, parts, strict=True)]

    def attribute(self, x: Images, target: int | Tensor | None = None) -> Maps:
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

    __call__ = attribute
