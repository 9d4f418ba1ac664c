"""The explainers: one class, and a name for each pair of score and weighting.

Captum's convention: construct with the model, call `.attribute(x, target=...)`. DiffGradCAM is GradCAM with
another coefficient vector and costs the same; so is every other `Diff` method. Maps keep their graph where the images
require a gradient, so that they can be attacked.
"""

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.capture import Layer
from robustxai.checks import as_target, check_images, check_name
from robustxai.diffgradcam.capture import Cut, cut, find_layer
from robustxai.diffgradcam.exact_plusplus import exact_plusplus
from robustxai.diffgradcam.raw_maps import all_maps, following, raw_maps
from robustxai.diffgradcam.weightings import find_weighting
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import Explainer
from robustxai.explainers.reshape import Reshape, find_reshape
from robustxai.metrics import minmax
from robustxai.metrics.maps import NORMALISATIONS
from robustxai.scores.explained import check_score
from robustxai.shapes import Images

CAMs = Float[Tensor, "n 1 _ _"]
SIZES = ("input", "native")


class ContrastiveCAM(Explainer):
    """A class activation map of any score under any weighting.

    Args:
        model: images (N, C, H, W) in [0, 1] to logits (N, classes), in eval mode.
        layer: module or dotted name whose output (N, K, h, w) is explained, best the tensor that enters
            global average pooling; "act:3" is the third call of a module that runs several times. None asks the
            model for its `gap_layer`. A sequence of layers averages their maps, each scaled to [0, 1], as
            pytorch-grad-cam does.
        contrast: the explained score, a name of `SCORES`; options such as `tau`, `other`, `m` follow as
            keywords.
        weighting: how gradient and activations become a map, a name of `WEIGHTINGS`.
        relu: keep only evidence in favour.
        size: 'input' resizes bilinearly to the image, 'native' leaves h x w.
        normalise: 'none', 'max' (divide by the maximum) or 'minmax', per image. Maps that are zero stay zero:
            count them with `robustxai.metrics.dead_share`.
        reshape: for transformers, from what the layer gives to (N, K, h, w): a function or a name of
            `robustxai.explainers.reshape.RESHAPES`.

    Raises ValueError for an unknown layer, contrast, weighting, size, normalise or reshape.

    A single logit z is two classes with the scores -z and z; Captum's `target=0` of such a network is class 1 here. In
    the head of a ReLU network second derivatives vanish: where an attack needs them, explain its softplus copy,
    `cam.on(softplus_copy(model))`.

    >>> from robustxai.nets import CompactResNet
    >>> cam = ContrastiveCAM(CompactResNet(classes=4).eval(), contrast="max", weighting="layercam")
    >>> cam(torch.rand(2, 3, 56, 56), target=1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast = "lse"
    weighting = "gradcam"

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | Sequence[nn.Module | str] | None = None,
        contrast: str | None = None,
        *,
        weighting: str | None = None,
        relu: bool = True,
        size: Literal["input", "native"] = "input",
        normalise: Literal["none", "max", "minmax"] = "none",
        reshape: Reshape | str | None = None,
        **options: Any,
    ):
        self.model, self.layers = model, _layers(model, layer)
        self.contrast = contrast or type(self).contrast
        check_score("contrast", self.contrast, options)
        self.weight_fn = find_weighting(weighting or type(self).weighting)
        check_name("size", size, SIZES)
        check_name("normalise", normalise, NORMALISATIONS)
        if len(self.layers) > 1 and size != "input":
            raise ValueError(
                f"size must be 'input' for several layers, which are averaged at the size of the image, got {size!r}"
            )
        self.relu, self.size, self.normalise, self.options = relu, size, normalise, options
        self.reshape = find_reshape(reshape)

    def attribute(self, x: Images, target: Any = None) -> CAMs:
        """Map of class `target` for each image, (N, 1, H, W), or (N, 1, h, w) with size='native'.

        Args:
            x: (N, C, H, W) images, finite. The map keeps its graph if x requires a gradient and gradients are enabled.
            target: class index, integers (N,), or None for the predicted class.

        Raises:
            ValueError: bad images, target out of range, model in training mode, a layer that does not fit.
        """
        return self._mapped(x, lambda c: self._raw(c, as_target(target, c.logits))[:, None])

    def attribute_all(self, x: Images) -> Float[Tensor, "n classes _ _"]:
        """Maps of every class at once, (N, classes, H, W), in closed form where there is one; errors as `attribute`."""
        return self._mapped(x, self._raw_all)

    def on(self, model: nn.Module) -> "ContrastiveCAM":
        """The same explainer of another network that names its layers alike."""
        other = copy.copy(self)
        other.model = model
        other.layers = [Layer(model, str(layer)) for layer in self.layers]
        return other

    @property
    def layer(self) -> nn.Module:
        """The explained layer, the first of several."""
        return self.layers[0].module

    def _mapped(self, x: Tensor, raw: Any) -> Tensor:
        """From one cut for each layer to finished maps; `raw`: from a cut to maps (N, classes, h, w) before ReLU."""
        check_images("x", x, low=None, high=None)
        check_calm("model", self.model)
        follow = torch.is_grad_enabled() and x.requires_grad
        cuts = (cut(self.model, one, x, attached=follow, reshape=self.reshape) for one in self.layers)
        if len(self.layers) > 1:
            maps = [
                self._followed(c, raw, lambda m: self._resized(minmax_each(self._kept(m)), x)) for c in cuts
            ]
            return self._normalised(torch.stack(maps).mean(0))
        return self._followed(next(cuts), raw, lambda m: self._resized(self._normalised(self._kept(m)), x))

    def _followed(self, c: Cut, raw: Any, finish: Any) -> Tensor:
        with following(c) as follow:
            maps = finish(raw(c))
        return maps if follow else maps.detach()

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        """The map (N, h, w) of each image's target before ReLU: what a method is."""
        return raw_maps(c, target, self.weight_fn, self.contrast, **self.options)

    def _raw_all(self, c: Cut) -> Tensor:
        """`_raw` of every class, (N, classes, h, w); one product instead where `_raw` is the method of this class."""
        if type(self)._raw is ContrastiveCAM._raw:
            return all_maps(c, self.weight_fn, self.contrast, **self.options)
        n, classes = len(c.logits), max(c.logits.shape[1], 2)
        return torch.stack(
            [self._raw(c, c.logits.new_full((n,), k, dtype=torch.long)) for k in range(classes)], 1
        )

    def _kept(self, maps: Tensor) -> Tensor:
        return maps.relu() if self.relu else maps

    def _normalised(self, maps: Tensor) -> Tensor:
        if self.normalise == "minmax":
            maps = maps - maps.amin((2, 3), keepdim=True)
        if self.normalise != "none":
            top = maps.amax((2, 3), keepdim=True)
            maps = torch.where(top > 0, maps / top.where(top > 0, 1.0), maps)
        return maps

    def _resized(self, maps: Tensor, x: Tensor) -> Tensor:
        if self.size == "native":
            return maps
        return interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)


def minmax_each(maps: Tensor) -> Tensor:
    """Every map (n, c, h, w) brought to [0, 1] by itself."""
    return minmax(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])


def _layers(model: nn.Module, layer: Any) -> list[Layer]:
    if isinstance(layer, Sequence) and not isinstance(layer, (str, nn.Module)):
        if not layer:
            raise ValueError(
                "layer must be a module, a name, a sequence of these or None, got an empty sequence"
            )
        return [find_layer(model, one) for one in layer]
    return [find_layer(model, layer)]


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

    >>> from robustxai.nets import CompactResNet
    >>> cam = DiffGradCAMPlusPlus(CompactResNet(classes=4).eval(), exact_hess=True)
    >>> cam.attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    weighting = "gradcam++"

    def __init__(
        self,
        model: nn.Module,
        layer: nn.Module | str | Sequence[nn.Module | str] | None = None,
        contrast: str | None = None,
        *,
        exact_hess: bool = False,
        **options: Any,
    ):
        super().__init__(model, layer, contrast, **options)
        self.exact_hess = exact_hess

    def _raw(self, c: Cut, target: Tensor) -> Tensor:
        if self.exact_hess:
            return exact_plusplus(c, target, self.contrast, **self.options)
        return super()._raw(c, target)

    def _raw_all(self, c: Cut) -> Tensor:
        if self.exact_hess:
            return super()._raw_all(c)
        return all_maps(c, self.weight_fn, self.contrast, **self.options)
