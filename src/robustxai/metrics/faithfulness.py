"""Deletion and insertion: how fast does the class probability fall (rise) when pixels go (come) in the
map's order?

Knows a classifier only as a callable from images (n, channel, height, width) to logits (n, classes). Runs
without gradients, in chunks of a fixed number of images, so memory does not grow with the batch or the
number of steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from .maps import order, spatial, unusable
from .predictions import predicted, two_columns
from .spread import resize

Images = Float[Tensor, "n channel height width"]
Maps = Float[Tensor, " m *map"]
Targets = Int[Tensor, " n"] | int | None
Classifier = Callable[[Tensor], Tensor]
SCORES = ("prob", "logit")


@dataclass(frozen=True)
class Curve:
    """A deletion or insertion curve: p_c after each step, and the area under it.

    `share`: (steps + 1,) share of pixels changed, from 0 to 1. `probability`: (n, steps + 1) in [0, 1].
    `auc`: (n,) in [0, 1], trapezoid rule; for deletion low is good, for insertion high. A constant map
    orders nothing: its row and its area are nan.
    """

    share: Float[Tensor, " points"]
    probability: Float[Tensor, "n points"]
    auc: Float[Tensor, " n"]


def deletion(
    model: Classifier,
    x: Images,
    maps: Maps,
    target: Targets = None,
    *,
    baseline: str | float | int | Tensor = "mean",
    steps: int = 20,
    max_batch: int = 256,
) -> Curve:
    """p_c while the pixels of `x` are replaced by the baseline, largest attribution first.

    `maps` are resized (bilinear) to the image; ties keep raster order. `target`: class per image, one
    class, or None for the class predicted on `x`. `baseline`: "mean" (per image and channel), "blur"
    (Gaussian, sigma = a tenth of the shorter side), a value, or a tensor that broadcasts over `x`.
    `max_batch`: images per forward pass. ValueError if the model is in training mode.
    """
    return _curve(model, x, maps, target, baseline, steps, max_batch, insert=False)


def insertion(
    model: Classifier,
    x: Images,
    maps: Maps,
    target: Targets = None,
    *,
    baseline: str | float | int | Tensor = "blur",
    steps: int = 20,
    max_batch: int = 256,
) -> Curve:
    """p_c while the pixels of `x` replace those of the baseline, largest attribution first; arguments as in
    `deletion`.
    """
    return _curve(model, x, maps, target, baseline, steps, max_batch, insert=True)


def baseline_image(x: Images, baseline: str | float | int | Tensor) -> Images:
    """The image that stands for "nothing here": "mean", "blur", a value, or a tensor that broadcasts over
    `x`.
    """
    if isinstance(baseline, str):
        if baseline == "mean":
            return x.mean((2, 3), keepdim=True).expand_as(x)
        if baseline == "blur":
            side = min(x.shape[2:])
            kernel = min(2 * round(0.3 * side) + 1, side - 1 + side % 2)
            return gaussian_blur(x, [kernel, kernel], [0.1 * side, 0.1 * side])
        raise ValueError(f"baseline is {baseline!r}; accepted are mean, blur, a number and a tensor.")
    return torch.as_tensor(baseline, dtype=x.dtype, device=x.device).expand_as(x)


def class_score(
    model: Classifier, x: Float[Tensor, " n *sample"], target: Int[Tensor, " n"], score: str = "prob"
) -> Float[Tensor, " n"]:
    """p_c of a batch in one forward pass, or the logit of c with `score` "logit"; a single logit is read as a
    sigmoid with classes 0 and 1.
    """
    if score not in SCORES:
        raise ValueError(f"score is {score!r}; accepted are {', '.join(SCORES)}.")
    logits = model(x)
    if logits.ndim != 2:
        raise ValueError(f"model returned shape {tuple(logits.shape)}; accepted are logits (n, classes).")
    logits = two_columns(logits)
    if target.min() < 0 or target.max() >= logits.shape[1]:
        raise ValueError(
            f"target holds {int(target.min())} to {int(target.max())}; "
            f"accepted are 0 to {logits.shape[1] - 1}, the classes of the model."
        )
    return (logits.softmax(1) if score == "prob" else logits).gather(1, target[:, None])[:, 0]


def check_mode(model: Classifier) -> None:
    """ValueError for a network in training mode."""
    if isinstance(model, nn.Module) and model.training:
        raise ValueError(
            "model is in training mode, where a batch changes its own result; accepted is model.eval()."
        )


def targets(model: Classifier, x: Tensor, target: Targets, max_batch: int) -> Tensor:
    """One class index per image."""
    if target is None:
        return torch.cat([predicted(model(part)) for part in x.split(max_batch)])
    return torch.as_tensor(target, dtype=torch.int64, device=x.device).expand(len(x))


@torch.no_grad()
def _curve(
    model: Classifier,
    x: Tensor,
    maps: Tensor,
    target: Targets,
    baseline: str | float | int | Tensor,
    steps: int,
    max_batch: int,
    *,
    insert: bool,
) -> Curve:
    """Both curves: (image, step) pairs in one flat list, cut into chunks of `max_batch`."""
    check_mode(model)
    n, size = len(x), (x.shape[2], x.shape[3])
    pixels = size[0] * size[1]
    if not 1 <= steps <= pixels:
        raise ValueError(f"steps is {steps}; accepted are 1 to {pixels}, the number of pixels.")
    native = spatial(maps)
    if len(native) != n:
        raise ValueError(f"maps holds {len(native)} maps for {n} images; accepted is one map per image.")
    by_size = order(resize(native, size).flatten(1))
    rank = torch.empty_like(by_size).scatter_(1, by_size, torch.arange(pixels, device=x.device).expand(n, -1))
    rank = rank.reshape(n, 1, *size)
    changed = torch.linspace(0, pixels, steps + 1, device=x.device).round()
    base, c = baseline_image(x, baseline), targets(model, x, target, max_batch)
    pairs = torch.cartesian_prod(torch.arange(n, device=x.device), torch.arange(steps + 1, device=x.device))
    p = []
    for part in pairs.split(max_batch):
        i, s = part.unbind(1)
        first = rank[i] < changed[s].reshape(-1, 1, 1, 1)
        p.append(class_score(model, torch.where(first == insert, x[i], base[i]), c[i]))
    probability = torch.cat(p).reshape(n, steps + 1)
    flat = native.flatten(1)
    void = (flat.amax(1) == flat.amin(1)) | unusable(flat)
    probability = probability.masked_fill(void[:, None], torch.nan)
    share = (changed / pixels).to(probability.dtype)
    return Curve(share, probability, torch.trapezoid(probability, share, dim=1))
