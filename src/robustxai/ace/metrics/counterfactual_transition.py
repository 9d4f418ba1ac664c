"""COUT: the pixels of the counterfactual go into the image, most changed first, and the decision is watched (spec 4.7).

Knows images and a classifier; knows nothing about how the counterfactual was made.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.ace.checks import GivenTarget, check_image_pair, classify, given_class
from robustxai.eval_mode import check_calm
from robustxai.metrics.maps import order
from robustxai.models import Network
from robustxai.scores.explained import two_columns
from robustxai.shapes import Images

CHUNKS = 50


@dataclass(frozen=True)
class Transition:
    """The two curves of COUT. share: of pixels inserted, from 0 to 1. score: (n,) in [-1, 1], high is good.

    >>> brightness = lambda x: 20 * (x.mean((1, 2, 3)) - 0.5)[:, None]
    >>> found = cout(brightness, torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2), 0, 1)
    >>> found.share
    tensor([0.0000, 0.5000, 1.0000])
    >>> found.target
    tensor([[4.5398e-05, 5.0000e-01, 9.9995e-01]])
    """

    share: Float[Tensor, " points"]
    original: Float[Tensor, "n points"]
    target: Float[Tensor, "n points"]
    score: Float[Tensor, " n"]


@torch.no_grad()
def cout(
    classifier: Network, x: Images, image: Images, original: GivenTarget, target: GivenTarget
) -> Transition:
    """Area under P(target) minus area under P(original) while pixels of `image` replace those of `x`.

    Pixels go by the sum of |image - x| over channels, descending, ties in raster order, in chunks of
    max(1, pixels // 50); areas by the trapezoid rule over the share of pixels inserted. Here that share ends at 1
    exactly and starts with the clean image; the released script counts each chunk as 1/50. A binary classifier may
    give two logits, or one. Raises ValueError for classes that it does not have, logits that are not finite, images of
    other shapes, and a network in training mode.

    >>> always = lambda x: torch.tensor([[0.0, 50.0]]).expand(len(x), 2)
    >>> cout(always, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.tensor([0]), torch.tensor([1])).score
    tensor([1.])
    """
    check_image_pair(x, image)
    check_calm("classifier", classifier)
    n, _, height, width = x.shape
    pixels = height * width
    step = max(1, pixels // CHUNKS)
    ranks = torch.empty(n, pixels, dtype=torch.int64, device=x.device)
    places = torch.arange(pixels, device=x.device).expand(n, -1)
    ranks.scatter_(1, order((image - x).abs().sum(1).flatten(1)), places)
    ranks = ranks.view(n, 1, height, width)
    counts = [*range(0, pixels, step), pixels]
    rows = []
    for count in counts:
        logits = classify(classifier, torch.where(ranks < count, image, x))
        named = (("original", original), ("target", target))
        wanted = torch.stack([given_class(c, logits, name=name) for name, c in named], 1)
        rows.append(two_columns(logits).softmax(1).gather(1, wanted).T)
    curves = torch.stack(rows, -1)
    share = torch.tensor(counts, dtype=curves.dtype, device=x.device) / pixels
    area = torch.trapezoid(curves, share, dim=-1)
    return Transition(share, curves[0], curves[1], area[1] - area[0])
