"""How an attack keeps the prediction: refuse steps that flip it, stop, or weigh it against the goal (spec 4.4).

Each rule sees one step of a batch and decides for each sample alone. Whatever the rule, only iterates with the
clean prediction can become an attack's result. `Predictions` are those of several networks, and how far inputs miss
them. Knows nothing about explanations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from robustxai.attacks.budget import per_sample
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.scores.explained import two_columns

KEEP = ("reject", "early_stop", "gda", "hedge")
"""With "reject", a step that flips is undone and the sample's step halved; with "early_stop" the sample stops there
(released default). With "gda" and "hedge" flips are allowed on the way; the distance between the class probabilities is
a second objective, weighted by ascent or by multiplicative weights."""

RATE = 1e-4
"""Learning rate of the second objective's weight, as released."""


class Keeper:
    """The state of one rule over a batch of n samples: which still move, how far, and the two weights."""

    def __init__(self, rule: str, like: Tensor, step: float):
        n = len(like)
        self.rule = rule
        self.step = like.new_full((n,), step)
        self.alive = torch.ones(n, dtype=torch.bool, device=like.device)
        self.weights = like.new_full((n, 2), 0.5 if rule == "hedge" else 1.0)

    @property
    def weighs(self) -> bool:
        """Whether the rule needs the second objective."""
        return self.rule in ("gda", "hedge")

    def combine(self, g: Tensor, drift_g: Tensor) -> Tensor:
        """Gradient of the weighted sum of the attack loss and the drift of the prediction."""
        return per_sample(self.weights[:, 0], g) * g + per_sample(self.weights[:, 1], g) * drift_g

    def reweigh(self, loss: Tensor, drift: Tensor) -> None:
        """Raise the weight of the objective that is large; weights stay non-negative and sum to 1."""
        values = torch.stack((loss, drift), 1)
        if self.rule == "gda":
            w = self.weights + values * values.new_tensor([1.0, RATE])
        else:
            w = self.weights * torch.exp(RATE * values)
        w = w.clamp_min(1e-6)
        self.weights = w / w.sum(1, keepdim=True)

    def accept(self, current: Tensor, candidate: Tensor, same: Tensor) -> Tensor:
        """The next iterate, where `same` (n,) says which candidates keep the clean prediction."""
        if self.weighs:
            return candidate
        if self.rule == "early_stop":
            self.alive = self.alive & same
        else:
            self.step = torch.where(same, self.step, self.step / 2)
        return torch.where(per_sample(same & self.alive, current), candidate, current)


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
