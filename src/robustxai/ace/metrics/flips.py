"""Did the decision flip to the target: for the classifier, for another one, and behind fresh noise (spec 4.1, 9.3).

Classifiers are networks in eval mode, or other callables, from images in [0, 1] to logits (n, classes), or (n, 1) for
a sigmoid, in any way that `robustxai.models` knows. All run without gradients, in parts of `batch_size` images, and
raise ValueError for logits that are not finite, for classes that there are not, and for images that are not finite.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.ace.checks import GivenTarget, check_image_pair, classify, given_class
from robustxai.checks import check_count, check_images
from robustxai.eval_mode import check_calm
from robustxai.metrics.predictions import predicted
from robustxai.models import Network
from robustxai.shapes import Images

PURIFIED_DRAWS = 8


@torch.no_grad()
def logits_in_parts(
    classifier: Network, x: Images, batch_size: int, *, name: str = "classifier", images: str = "x"
) -> Tensor:
    """The finite logits (n, classes) of images of any range; name, images: what sentences call the two."""
    check_images(images, x, low=None, high=None)
    check_calm(name, classifier)
    parts = x.split(check_count("batch_size", batch_size))
    return torch.cat([classify(classifier, part, name=name) for part in parts])


def classes(classifier: Network, x: Images, *, batch_size: int = 256) -> Int[Tensor, " n"]:
    """The predicted class of each image."""
    return predicted(logits_in_parts(classifier, x, batch_size))


def flips(
    classifier: Network, image: Images, target: GivenTarget, *, batch_size: int = 256
) -> Bool[Tensor, " n"]:
    """Whether the classifier sees the target; its mean over counterfactuals is the flip rate FR.

    >>> flips(lambda x: x.mean((1, 2, 3)) - 0.5, torch.ones(1, 1, 2, 2), torch.tensor([1]))
    tensor([True])
    """
    logits = logits_in_parts(classifier, image, batch_size, images="image")
    return predicted(logits) == given_class(target, logits)


def transfer_flips(
    oracle: Network, x: Images, image: Images, target: GivenTarget, *, batch_size: int = 256
) -> Float[Tensor, " n"]:
    """1 where another classifier sees the target in the counterfactual too, 0 where it does not (spec 9.3, E1).

    NaN where it sees the target in the clean image already: nothing is left to flip.
    """
    check_image_pair(x, image)
    flipped = flips(oracle, image, target, batch_size=batch_size).to(image.dtype)
    return flipped.masked_fill(flips(oracle, x, target, batch_size=batch_size), torch.nan)


@torch.no_grad()
def purified_flips(
    classifier: Network,
    filter: Callable[..., Images],
    image: Images,
    target: GivenTarget,
    *,
    draws: int = PURIFIED_DRAWS,
    seed: int = 1_000_003,
    batch_size: int = 256,
) -> Float[Tensor, " n"]:
    """Share of `draws` fresh noises with which the filtered image is classified as the target (spec 9.3, E1).

    filter: called as filter(images, generators=int), such as a `DiffusionFilter`. seed: of the first noise; take
    one that the attack did not use. Raises ValueError for no draws.
    """
    draws, seed = check_count("draws", draws), check_count("seed", seed, -(2**63))
    parts = check_images("image", image, low=None, high=None).split(check_count("batch_size", batch_size))
    hits = []
    for i in range(draws):
        seen = torch.cat([filter(part, generators=seed + i) for part in parts])
        hits.append(flips(classifier, seen, target, batch_size=batch_size))
    return torch.stack(hits).to(image.dtype).mean(0)
