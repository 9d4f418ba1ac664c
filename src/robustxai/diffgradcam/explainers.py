"""The explainers: one class, and a name for each pair of score and weighting.

Captum's convention: construct with the model, call `.attribute(x, target=...)`. DiffGradCAM is GradCAM with
another coefficient vector and costs the same; so is every other `Diff` method. Knows nothing about attacks.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.diffgradcam.capture import Cut, check_images, cut, find_layer
from robustxai.diffgradcam.exact import exact_plusplus
from robustxai.diffgradcam.maps import all_maps, raw_maps
from robustxai.diffgradcam.scores import as_target, check_contrast
from robustxai.diffgradcam.weightings import find_weighting

Images = Float[Tensor, "batch channel height width"]
Maps = Float[Tensor, "batch 1 _ _"]


class ContrastiveCAM:
    """A class activation map of any score under any weighting.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, classes), in eval mode.
        layer: module or dotted name whose output (N, K, h, w) is explained, best the tensor that enters
            global average pooling; None asks the model for its `gap_layer`.
        contrast: the explained score, a name of `SCORES`; options such as `tau`, `other`, `m` follow as
            keywords.
        weighting: how gradient and activations become a map, a name of `WEIGHTINGS`.
        relu: keep only evidence in favour.
        size: 'input' resizes bilinearly to the image, 'native' leaves h x w.
        normalise: 'none', 'max' (divide by the maximum) or 'minmax', per image. Maps that are zero stay zero:
            count them with `robustxai.metrics.dead_share`.

    Raises ValueError for an unknown layer, contrast, weighting, size or normalise.
    """

    contrast = "lse"
    weighting = "gradcam"

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | None = None,
        contrast: str | None = None,
        *,
        weighting: str | None = None,
        relu: bool = True,
        size: Literal["input", "native"] = "input",
        normalise: Literal["none", "max", "minmax"] = "none",
        **options,
    ):
        self.model, self.layer = model, find_layer(model, layer)
        self.contrast = contrast or type(self).contrast
        check_contrast(self.contrast, options)
        self.weight_fn = find_weighting(weighting or type(self).weighting)
        if size not in ("input", "native"):
            raise ValueError(f"size is {size!r}; accepted are 'input' and 'native'")
        if normalise not in ("none", "max", "minmax"):
            raise ValueError(f"normalise is {normalise!r}; accepted are 'none', 'max' and 'minmax'")
        self.relu, self.size, self.normalise, self.options = relu, size, normalise, options

    def attribute(self, x: Images, target: int | Tensor | None = None) -> Maps:
        """Map of class `target` for each image, (N, 1, H, W), or (N, 1, h, w) with size='native'.

        Args:
            x: (N, C, H, W) images, finite.
            target: class index, tensor (N,), or None for the predicted class.

        Raises:
            ValueError: bad images, target out of range, model in training mode, a layer that does not fit.
        """
        c = self._cut(x)
        maps = self._raw(c, as_target(target, c.logits))
        return self._finish(maps[:, None], x)

    __call__ = attribute

    def attribute_all(self, x: Images) -> Float[Tensor, "batch classes _ _"]:
        """Maps of every class at once, (N, classes, H, W): for GAP + linear heads in closed form."""
        c = self._cut(x)
        return self._finish(all_maps(c, self.weight_fn, self.contrast, **self.options), x)

    def _cut(self, x: Tensor) -> Cut:
        check_images(self.model, x)
        return cut(self.model, self.layer, x)

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        return raw_maps(c, target, self.weight_fn, self.contrast, **self.options)

    @torch.no_grad()
    def _finish(self, maps: Tensor, x: Tensor) -> Tensor:
        maps = maps.detach()
        if self.relu:
            maps = maps.relu()
        if self.normalise == "minmax":
            maps = maps - maps.amin((2, 3), keepdim=True)
        if self.normalise != "none":
            top = maps.amax((2, 3), keepdim=True)
            maps = torch.where(top > 0, maps / top.where(top > 0, 1.0), maps)
        if self.size == "input":
            maps = interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)
        return maps


class CAM(ContrastiveCAM):
    """CAM (Zhou et al. 2016), for GAP + linear heads."""

    contrast, weighting = "logit", "cam"


class GradCAM(ContrastiveCAM):
    """GradCAM (Selvaraju et al. 2017). At native size, captum's LayerGradCam(relu_attributions=True)."""

    contrast, weighting = "logit", "gradcam"


class GradCAMPlusPlus(ContrastiveCAM):
    """GradCAM++ (Chattopadhay et al. 2018) in its closed form, as pytorch-grad-cam has it."""

    contrast, weighting = "logit", "gradcam++"


class HiResCAM(ContrastiveCAM):
    """HiResCAM (Draelos & Carin 2020); the same map as GradCAM for GAP + linear heads."""

    contrast, weighting = "logit", "hirescam"


class LayerCAM(ContrastiveCAM):
    """LayerCAM (Jiang et al. 2021)."""

    contrast, weighting = "logit", "layercam"


class XGradCAM(ContrastiveCAM):
    """XGradCAM (Fu et al. 2020)."""

    contrast, weighting = "logit", "xgradcam"


class DiffGradCAM(ContrastiveCAM):
    """GradCAM of a logit difference: y_c minus a baseline of the other logits (arXiv 2506.08514).

    Which baseline the paper uses could not be verified; the default `lse` is the log-odds of the decision.

    >>> from robustxai.nets import CompactResNet
    >>> model = CompactResNet(classes=4).eval()
    >>> DiffGradCAM(model).attribute(torch.rand(2, 3, 56, 56), target=1).shape
    torch.Size([2, 1, 56, 56])
    """


class DiffGradCAMPlusPlus(ContrastiveCAM):
    """DiffGradCAM++: the GradCAM++ weights of a logit difference.

    Args:
        exact_hess: for 'lse' and 'lse-tau' and GAP + linear heads, use the true second and third derivatives
            of the score instead of taking it as piecewise linear.
    """

    weighting = "gradcam++"

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | None = None,
        contrast: str | None = None,
        *,
        exact_hess: bool = False,
        **options,
    ):
        super().__init__(model, layer, contrast, **options)
        self.exact_hess = exact_hess

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        if self.exact_hess:
            return exact_plusplus(c, target, self.contrast, **self.options)
        return super()._raw(c, target)

    def attribute_all(self, x: Images) -> Float[Tensor, "batch classes _ _"]:
        """Maps of every class at once, (N, classes, H, W)."""
        if not self.exact_hess:
            return super().attribute_all(x)
        c = self._cut(x)
        n, classes = c.logits.shape
        each = [
            exact_plusplus(c, torch.full((n,), k, device=x.device), self.contrast, **self.options)
            for k in range(classes)
        ]
        return self._finish(torch.stack(each, 1), x)
