"""Deletion and insertion: how fast does the class probability fall (rise) when pixels go (come) in the
map's order?

Knows a classifier only as what `robustxai.models.logits_of` takes, from images (n, channel, height, width) to
logits. Runs without gradients, in chunks of a fixed number of images, so memory does not grow with the batch or the
number of steps.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from robustxai.checks import as_target, check_count, check_images
from robustxai.eval_mode import check_calm
from robustxai.models import Network, logits_of
from robustxai.shapes import AnyMaps, Images

from .inputs import as_filling
from .maps import constant, order, spatial, unusable
from .predictions import finite_scores, predicted
from .spread import resize

Targets = (
    Any  # an int, integers (n,) as a tensor, an array or a list, or None: see `robustxai.checks.as_target`
)
Classifier = Network


@dataclass(frozen=True)
class Curve:
    """A deletion or insertion curve: p_c after each step, and the area under it.

    `share`: (steps + 1,) share of pixels changed, from 0 to 1. `probability`: (n, steps + 1) in [0, 1].
    `auc`: (n,) in [0, 1], trapezoid rule; for deletion low is good, for insertion high. A constant map
    orders nothing: its row and its area are nan. `left_out`: of a median curve, the rows that were nan.

    >>> x, bright = torch.zeros(1, 1, 4, 4), lambda v: torch.stack((v.mean((1, 2, 3)), 0 * v[:, 0, 0, 0]), 1)
    >>> x[..., :2] = 1.0
    >>> insertion(bright, x, x, 0, baseline=0.0, n_steps=2).probability.round(decimals=3)
    tensor([[0.5000, 0.6220, 0.6220]])
    """

    share: Float[Tensor, " points"]
    probability: Float[Tensor, "n points"]
    auc: Float[Tensor, " n"]
    left_out: int = 0


def deletion(
    model: Classifier,
    x: Images,
    maps: AnyMaps,
    target: Targets = None,
    *,
    baseline: str | float | int | Tensor = "mean",
    n_steps: int = 20,
    batch_size: int = 256,
) -> Curve:
    """p_c while the pixels of `x` are replaced by the baseline, largest attribution first.

    `maps` are resized (bilinear) to the image; ties keep raster order. `target`: class per image, one
    class, or None for the class predicted on `x`. `baseline`: "mean" (per image and channel), "blur"
    (Gaussian, sigma = a tenth of the shorter side), a value, or a tensor that broadcasts over `x`.
    `batch_size`: images per forward pass. A row is nan where the map is constant or not finite, or the logits are
    not. Raises ValueError for a network with layers in training mode, a target that is no class, other numbers of
    maps or targets than images, steps outside 1 ... pixels, and images that are empty or not finite.
    """
    return _curve(model, x, maps, target, baseline, n_steps, batch_size, insert=False)


def insertion(
    model: Classifier,
    x: Images,
    maps: AnyMaps,
    target: Targets = None,
    *,
    baseline: str | float | int | Tensor = "blur",
    n_steps: int = 20,
    batch_size: int = 256,
) -> Curve:
    """p_c while the pixels of `x` replace those of the baseline, largest attribution first; arguments as in
    `deletion`.
    """
    return _curve(model, x, maps, target, baseline, n_steps, batch_size, insert=True)


def baseline_image(x: Images, baseline: str | float | int | Tensor) -> Images:
    """The image that stands for "nothing here": "mean", "blur", a value, or a tensor that broadcasts over
    `x`. Raises ValueError for anything else.
    """
    if isinstance(baseline, str):
        if baseline == "mean":
            return x.mean((2, 3), keepdim=True).expand_as(x)
        if baseline == "blur":
            side = min(x.shape[2:])
            kernel = min(2 * round(0.3 * side) + 1, side - 1 + side % 2)
            return gaussian_blur(x, [kernel, kernel], [0.1 * side, 0.1 * side])
        raise ValueError(f"baseline must be one of mean, blur, a number or a tensor, got {baseline!r}")
    return as_filling("baseline", baseline, x).expand_as(x)


def targets(model: Classifier, x: Tensor, target: Targets, batch_size: int) -> Int[Tensor, " n"]:
    """One class index per image. Raises ValueError for a target that is no class of the model, or not one an image."""
    if target is None:
        return torch.cat([predicted(logits_of(model, part)) for part in x.split(batch_size)])
    return as_target(target, logits_of(model, x[:1]).expand(len(x), -1))


@torch.no_grad()
def _curve(
    model: Classifier,
    x: Tensor,
    maps: Tensor,
    target: Targets,
    baseline: str | float | int | Tensor,
    n_steps: int,
    batch_size: int,
    *,
    insert: bool,
) -> Curve:
    """Both curves: (image, step) pairs in one flat list, cut into chunks of `batch_size`."""
    check_calm("model", model)
    check_images("x", x, low=None, high=None)
    check_count("batch_size", batch_size)
    n, size = len(x), (x.shape[2], x.shape[3])
    pixels = size[0] * size[1]
    if check_count("n_steps", n_steps) > pixels:
        raise ValueError(
            f"n_steps must be an integer in [1, {pixels}], at most the number of pixels, got {n_steps}"
        )
    native = spatial(maps)
    if len(native) != n:
        raise ValueError(f"maps must hold one map for each of the {n} images, got {len(native)}")
    resized = resize(native, size).flatten(1)
    by_size = order(resized)
    rank = torch.empty_like(by_size).scatter_(1, by_size, torch.arange(pixels, device=x.device).expand(n, -1))
    rank = rank.reshape(n, 1, *size)
    changed = torch.linspace(0, pixels, n_steps + 1, device=x.device).round()
    base, c = baseline_image(x, baseline), targets(model, x, target, batch_size)
    pairs = torch.cartesian_prod(torch.arange(n, device=x.device), torch.arange(n_steps + 1, device=x.device))
    p = []
    for part in pairs.split(batch_size):
        i, s = part.unbind(1)
        first = rank[i] < changed[s].reshape(-1, 1, 1, 1)
        p.append(finite_scores(logits_of(model, torch.where(first == insert, x[i], base[i])), c[i]))
    probability = torch.cat(p).reshape(n, n_steps + 1)
    void = constant(native.flatten(1)) | constant(resized) | unusable(resized)
    probability = probability.masked_fill(void[:, None], torch.nan)
    share = (changed / pixels).to(probability.dtype)
    return Curve(share, probability, torch.trapezoid(probability, share, dim=1))
