"""Do changed inputs keep the predictions of the clean ones, and by how much do they miss?

Knows networks only as callables from inputs to logits.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robustxai.metrics.predictions import predicted, two_columns

Network = Callable[[Tensor], Tensor]


class Predictions:
    """Which inputs have all the predictions of the clean ones, and how far the probabilities of class t are off,
    squared and summed over networks."""

    def __init__(self, networks: Sequence[Network], x: Tensor, t: Tensor):
        with torch.no_grad():
            outputs = [network(x) for network in networks]
        self.networks, self.t = networks, t
        self.labels = [predicted(logits) for logits in outputs]
        self.clean = [_probability(logits, t) for logits in outputs]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [network(x) for network in self.networks]
        labels = [predicted(o) == label for o, label in zip(outputs, self.labels, strict=True)]
        drifts = [(_probability(o, self.t) - p).square() for o, p in zip(outputs, self.clean, strict=True)]
        return torch.stack(labels).all(0), torch.stack(drifts).sum(0)


def _probability(logits: Tensor, t: Tensor) -> Tensor:
    return two_columns(logits).softmax(1).gather(1, t[:, None])[:, 0]
