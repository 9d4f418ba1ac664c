"""DiffID: does the part of an image that a map calls important decide the class, and the rest not?

At each share of pixels the image is judged twice: with only the most important ones left, and with only the least
important ones left; what was taken away becomes the mean of what is left. Knows a classifier only as a callable from
images to logits. Runs without gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import as_target, check_count, check_images, check_share
from robustxai.eval_mode import check_calm
from robustxai.metrics.maps import nan_where, order, spatial, unusable
from robustxai.metrics.predictions import predicted
from robustxai.metrics.spread import resize
from robustxai.models import Network, logits_of
from robustxai.shapes import AnyMaps, Images

MOVED_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@torch.no_grad()
def diff_id(
    model: Network,
    x: Images,
    maps: AnyMaps,
    target: int | Int[Tensor, " n"] | None = None,
    *,
    shares: Sequence[float] = MOVED_SHARES,
    batch_size: int = 256,
) -> Float[Tensor, " n"]:
    """Accuracy after insertion minus accuracy after deletion, mean over `shares`, in [-1, 1]; high is good.

    Args:
        maps: non-negative, largest first; resized to the image. For signed attributions the sum of |A|.
        target: the class that counts as right, per image or for all; None for the class predicted on `x`.
        shares: of the pixels that are replaced, in (0, 1): deletion takes the most important ones, insertion
            leaves the most important ones and takes the least important. Their new value is the mean of the
            pixels that are left, per image and channel.

    nan where a map is constant or not finite, and where a logit is NaN. Raises ValueError for a network in training
    mode, another number of maps or targets than images, a class that is not there, or shares outside (0, 1).

    >>> x = torch.zeros(1, 1, 2, 2); x[0, 0, 0, 0] = 1
    >>> bright = lambda v: torch.stack((v[:, 0, 0, 0], 0.6 - v[:, 0, 0, 0]), 1)
    >>> diff_id(bright, x, x[:, 0], 0, shares=[0.25])
    tensor([1.])
    """
    check_calm("model", model)
    check_images("x", x, low=None, high=None)
    check_count("batch_size", batch_size)
    shares = [check_share("shares", share, open=True) for share in shares]
    if not shares:
        raise ValueError("shares must hold one number in (0, 1) or more, got none")
    native = spatial(maps)
    if len(native) != len(x):
        raise ValueError(f"maps must hold one map for each of the {len(x)} images, got {len(native)}")
    flat = resize(native, (x.shape[2], x.shape[3])).flatten(1)
    clean = torch.cat([logits_of(model, part) for part in x.split(batch_size)])
    t, bad = as_target(target, clean), (flat.amax(1) == flat.amin(1)) | unusable(flat) | clean.isnan().any(1)
    rank = torch.empty_like(by_size := order(flat))
    rank.scatter_(1, by_size, torch.arange(flat.shape[1], device=x.device).expand_as(by_size))
    rank = rank.reshape(len(x), 1, *x.shape[2:])
    gained = torch.zeros_like(t)
    for share in shares:
        count = round(share * flat.shape[1])
        for sign, left in ((1, rank < flat.shape[1] - count), (-1, rank >= count)):
            mean = (x * left).sum((2, 3), keepdim=True) / left.sum((2, 3), keepdim=True).clamp_min(1)
            shown = torch.where(left, x, mean)
            logits = torch.cat([logits_of(model, part) for part in shown.split(batch_size)])
            gained, bad = gained + sign * (predicted(logits) == t), bad | logits.isnan().any(1)
    return nan_where(gained.to(x.dtype) / len(shares), bad)
