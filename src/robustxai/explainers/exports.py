"""Explainers of ours for other libraries: Captum's metrics and NoiseTunnel, Quantus, the overlay of pytorch-grad-cam.

None of them is imported. The way in is in `foreign`. Knows no method.

A single logit z is two classes with the scores -z and z. In Captum and Quantus `target=0` of such a network is the
one output there is: our class 1.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.checks import as_target, check_images
from robustxai.eval_mode import check_calm
from robustxai.explainers.reduce import reduced
from robustxai.metrics.maps import minmax
from robustxai.models import logits_of


def to_captum(explain: Any) -> "CaptumAttribution":
    """An explainer for Captum: as `explanation_func` of its metrics, and in place of an `Attribution`.

    explain: an explainer of ours, whose `attribute` is read, or any explain(x, target) -> attributions (n, ...).

    >>> from robustxai.ranking import Saliency
    >>> ours = to_captum(Saliency(nn.Linear(3, 2)))
    >>> ours.attribute((torch.zeros(4, 3),), target=0)[0].shape
    torch.Size([4, 3])
    """
    return CaptumAttribution(explain)


def _unlogged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Captum's NoiseTunnel calls `attribute.__wrapped__`, past the log that its own methods keep."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return call


class CaptumAttribution:
    """What `to_captum` makes: it has what Captum asks of an `Attribution`, and can be called like its `attribute`.

    >>> ours = CaptumAttribution(lambda x, target: x)
    >>> ours(torch.ones(1, 2)), ours.has_convergence_delta()
    (tensor([[1., 1.]]), False)
    """

    multiplies_by_inputs = False

    def __init__(self, explain: Any):
        if not callable(explain):
            raise ValueError(f"explain must be callable as explain(x, target), got {type(explain).__name__}")
        self.explain: Any = explain
        self.forward_func = getattr(explain, "model", None)

    @_unlogged
    def attribute(
        self, inputs: Tensor | tuple[Tensor, ...], target: Any = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Attributions of a tensor, or of a tuple of one tensor as a tuple, in Captum's convention for `target`.

        Raises ValueError for several inputs, and for a class that the network does not have.
        """
        several = isinstance(inputs, tuple)
        if several and len(inputs) != 1:
            raise ValueError(f"inputs must be one tensor or a tuple of one, got {len(inputs)}")
        x: Tensor = inputs[0] if several else inputs  # pyright: ignore[reportAssignmentType]
        found = _attribute(self.explain, x, from_column(target, self.forward_func, x))
        return (found,) if several else found

    def __call__(
        self, inputs: Tensor | tuple[Tensor, ...], target: Any = None
    ) -> Tensor | tuple[Tensor, ...]:
        """`attribute`, for the metrics."""
        return self.attribute(inputs, target)

    def has_convergence_delta(self) -> bool:
        """No."""
        return False


def to_quantus(explain: Any) -> Callable[..., np.ndarray]:
    """An explainer as Quantus' `explain_func(model, inputs, targets, **options)`: arrays in, signed arrays out.

    explain: with `.on(model)` where a metric explains other networks, as those that randomise weights do. The options
    of Quantus are taken and not used.

    >>> from robustxai.ranking import Saliency
    >>> net = nn.Linear(3, 2)
    >>> to_quantus(Saliency(net))(net, np.zeros((4, 3), "float32"), np.zeros(4, int)).shape
    (4, 3)
    """

    def explain_func(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        like = next(model.parameters(), torch.zeros((), device="cpu"))
        x = torch.as_tensor(np.array(inputs)).to(like)
        chosen = explain
        if model is not getattr(explain, "model", None):
            if not hasattr(explain, "on"):
                raise ValueError(
                    "explain must have `.on(model)` where Quantus explains another network than its own, got none"
                )
            chosen = explain.on(model)
        return _attribute(chosen, x, from_column(targets, model, x)).detach().cpu().numpy()

    return explain_func


def to_overlay(image: Tensor, attribution: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """One image and its map as pytorch-grad-cam's `show_cam_on_image(image, map, use_rgb=True)` takes them.

    image: (C, H, W) in [0, 1], or a batch of one; grey becomes RGB. attribution: of that image, (H, W), (c, h, w) or a
    batch of one; it is reduced to |A| summed over channels, resized and scaled to [0, 1]. Returns (H, W, 3) and (H, W),
    float32. Raises ValueError for other shapes and for images that are normalised.

    >>> image, heat = to_overlay(torch.rand(3, 8, 8), torch.rand(1, 4, 4))
    >>> image.shape, heat.shape, float(heat.max())
    ((8, 8, 3), (8, 8), 1.0)
    """
    x = check_images("image", image[None] if image.ndim == 3 else image)
    maps = attribution[(None,) * max(0, 4 - attribution.ndim)]
    if len(x) != 1 or x.shape[1] not in (1, 3) or maps.ndim != 4 or len(maps) != 1 or not maps.numel():
        raise ValueError(
            f"image and attribution must be of one image of 1 or 3 channels, got shapes {tuple(image.shape)} and "
            f"{tuple(attribution.shape)}"
        )
    size = x.shape[2:]
    heat = reduced(maps.detach().float())
    heat = heat if heat.shape[2:] == size else interpolate(heat, size, mode="bilinear", align_corners=False)
    picture = x[0].detach().float().clamp(0, 1).expand(3, *size).permute(1, 2, 0)
    return picture.cpu().numpy().copy(), minmax(heat)[0, 0].cpu().numpy()


def from_column(target: Any, model: Any, x: Tensor) -> Any:
    """A class as Captum and Quantus number it, the column of the output, as ours: they differ for a single logit.

    Its only column is class 1, and so is None there. Raises ValueError for another column.

    >>> from_column(0, nn.Linear(3, 1), torch.zeros(4, 3))
    1
    """
    if model is None:
        return (
            target if target is None or isinstance(target, int) else torch.as_tensor(target, device=x.device)
        )
    check_calm("model", model)
    with torch.no_grad():
        columns = logits_of(model, x[:1].detach()).shape[1]
    if columns > 1:
        return target if target is None else as_target(target, x.new_zeros(len(x), columns))
    if target is not None and as_target(target, x.new_zeros(len(x), 2)).any():
        raise ValueError(
            f"target must be 0 for a network of a single logit, which is our class 1, got {target}"
        )
    return 1


def _attribute(explain: Any, x: Tensor, target: Any) -> Tensor:
    """The method's own attribution; of a plain callable, what it returns."""
    return getattr(explain, "attribute", explain)(x, target)
