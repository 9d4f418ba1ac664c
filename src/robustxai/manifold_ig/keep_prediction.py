"""Do changed inputs keep the predictions of the clean ones, and by how much do they miss?

Knows networks only as what `models.logits_of` calls.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from robustxai.metrics.predictions import predicted, two_columns
from robustxai.models import Network, logits_of


class Predictions:
    """Which inputs have all the predictions of the clean ones, and how far the probabilities of class t are off,
    squared and summed over networks. Logits with NaN predict nothing, and nothing is kept."""

    def __init__(self, networks: Sequence[Network], x: Tensor, t: Tensor):
        with torch.no_grad():
            outputs = [logits_of(network, x) for network in networks]
        self.networks, self.t = networks, t
        self.labels = [_labels(logits) for logits in outputs]
        self.clean = [_probability(logits, t) for logits in outputs]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Kept (n,), and the squared distance of the probabilities (n,)."""
        outputs = [logits_of(network, x) for network in self.networks]
        kept = [(_labels(o) == label) & (label >= 0) for o, label in zip(outputs, self.labels, strict=True)]
        drifts = [(_probability(o, self.t) - p).square() for o, p in zip(outputs, self.clean, strict=True)]
        return torch.stack(kept).all(0), torch.stack(drifts).sum(0)


def _labels(logits: Tensor) -> Tensor:
    """The predicted classes, -1 where a logit is NaN."""
    return predicted(logits).masked_fill(logits.isnan().any(1), -1)


def _probability(logits: Tensor, t: Tensor) -> Tensor:
    return two_columns(logits).softmax(1).gather(1, t[:, None])[:, 0]
