"""Did the decision become the wanted one: for the classifier, for another one, and behind fresh noise (spec 4.1, 9.3).

Classifiers are callables from images in [0, 1] to logits (n, classes), or (n, 1) for a sigmoid. All run without
gradients, in parts of `max_batch` images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.metrics.predictions import predicted

Images = Float[Tensor, "n channel height width"]
Target = Int[Tensor, " n"]
Classifier = Callable[[Tensor], Tensor]
PURIFIED_DRAWS = 8


@torch.no_grad()
def classes(classifier: Classifier, x: Images, *, max_batch: int = 256) -> Target:
    """The predicted class of each image."""
    return torch.cat([predicted(classifier(part)) for part in x.split(max_batch)])


def flips(
    classifier: Classifier, image: Images, target: Target, *, max_batch: int = 256
) -> Bool[Tensor, " n"]:
    """Whether the classifier sees the target; its mean over counterfactuals is the flip rate FR."""
    return classes(classifier, image, max_batch=max_batch) == target


def transfer_flips(
    oracle: Classifier, x: Images, image: Images, target: Target, *, max_batch: int = 256
) -> Float[Tensor, " n"]:
    """1 where another classifier sees the target in the counterfactual too, 0 where it does not (spec 9.3, E1).

    NaN where it sees the target in the clean image already: nothing is left to flip.
    """
    flipped = flips(oracle, image, target, max_batch=max_batch).to(image.dtype)
    return flipped.masked_fill(flips(oracle, x, target, max_batch=max_batch), torch.nan)


@torch.no_grad()
def purified_flips(
    classifier: Classifier,
    filter: Callable[..., Images],
    image: Images,
    target: Target,
    *,
    draws: int = PURIFIED_DRAWS,
    seed: int = 1_000_003,
    max_batch: int = 256,
) -> Float[Tensor, " n"]:
    """Share of `draws` fresh noises with which the filtered image is classified as the target (spec 9.3, E1).

    filter: called as filter(images, generators=int), such as a `DiffusionFilter`. seed: of the first noise; take
    one that the attack did not use. Raises ValueError for no draws.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}; accepted are 1 or more")
    hits = [
        torch.cat(
            [predicted(classifier(filter(part, generators=seed + i))) for part in image.split(max_batch)]
        )
        == target
        for i in range(draws)
    ]
    return torch.stack(hits).to(image.dtype).mean(0)
