"""How an attack keeps the prediction: refuse steps that flip it, stop, or weigh it against the goal (spec 4.4).

Each rule sees one step of a batch and decides for each sample alone. Whatever the rule, only iterates with the
clean prediction can become an attack's result. Knows nothing about explanations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.explainers.input_gradient import same_class
from robustxai.metrics.perturbation import Derivative, derivative, per_sample
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.scores.explained import two_columns
from robustxai.shapes import Inputs, Logits, PerSample

KEEP = ("reject", "early_stop", "gda", "hedge")
"""With "reject", a step that flips is undone and the sample's step halved; with "early_stop" the sample stops there
(released default). With "gda" and "hedge" flips are allowed on the way; the distance between the class probabilities is
a second objective, weighted by ascent or by multiplicative weights."""

RATE = 1e-4
"""Learning rate of the second objective's weight, as released."""


class KeepRule(NamedTuple):
    """weighs: the drift of the prediction is a second objective. refuses: a step that flips it is undone."""

    weighs: bool
    refuses: bool


RULES_BY_NAME = {
    "reject": KeepRule(False, True), "early_stop": KeepRule(False, True),
    "gda": KeepRule(True, False), "hedge": KeepRule(True, False),
    "weigh": KeepRule(True, False), "stop": KeepRule(True, True),
}  # fmt: skip
"""Those of `KEEP`; "weigh" gives the drift a fixed weight, and "stop" also stops at a flip."""

DRIFTS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "length": lambda p, clean, _: (p - clean).norm(dim=1),
    "mean square": lambda p, clean, _: (p - clean).square().mean(1),
    "class": lambda p, clean, t: (p - clean).gather(1, t[:, None])[:, 0].square(),
}
"""How far probabilities (n, classes) are from the clean ones: of all classes, or squared of the explained one."""


class Keeper:
    """The state of one rule over a batch of n samples: which still move, how far, and the two weights."""

    def __init__(self, name: str, like: Tensor):
        n = len(like)
        self.name, self.weighs, self.refuses = name, *RULES_BY_NAME[name]
        self.scale = like.new_ones(n)
        self.alive = torch.ones(n, dtype=torch.bool, device=like.device)
        self.weights = like.new_full((n, 2), 0.5 if name == "hedge" else 1.0)

    def combine(self, g: Tensor, drift_g: Tensor) -> Tensor:
        """Gradient of the weighted sum of the attack loss and the drift of the prediction."""
        return per_sample(self.weights[:, 0], g) * g + per_sample(self.weights[:, 1], g) * drift_g

    def reweigh(self, loss: Tensor, drift: Tensor) -> None:
        """Raise the weight of the objective that is large, for "gda" and "hedge"; weights sum to 1."""
        if self.name not in ("gda", "hedge"):
            return
        values = torch.stack((loss, drift), 1)
        if self.name == "gda":
            w = self.weights + values * values.new_tensor([1.0, RATE])
        else:
            w = self.weights * torch.exp(RATE * values)
        w = w.clamp_min(1e-6)
        self.weights = w / w.sum(1, keepdim=True)

    def accept(self, current: Tensor, candidate: Tensor, same: Tensor) -> Tensor:
        """The next iterate, where `same` (n,) says which candidates keep the clean prediction."""
        if self.name == "reject":
            self.scale = torch.where(same, self.scale, self.scale / 2)
        else:
            self.alive = self.alive & same
        return torch.where(per_sample(same & self.alive, current), candidate, current)


class Predictions:
    """The predictions of networks on clean inputs x (n, ...): who keeps all of them, and how far they have drifted.

    drift: one of `DRIFTS`, summed over networks; its gradient is times `weight`. Logits with NaN predict nothing, and
    nothing is kept.
    """

    def __init__(
        self, networks: Sequence[Network], x: Inputs, t: Tensor, *, drift: str = "length", weight: float = 1.0
    ):
        self.networks, self.t, self.drift, self.weight = networks, t, DRIFTS[drift], weight
        with torch.no_grad():
            outputs = [logits_of(network, x) for network in networks]
        self.labels = [predicted(logits) for logits in outputs]
        self.clean = [_probabilities(logits) for logits in outputs]

    def kept(self, x: Inputs) -> Bool[Tensor, " n"]:
        """Which inputs have all the predictions of the clean ones."""
        with torch.no_grad():
            return self._same([logits_of(network, x) for network in self.networks])

    def drifted(self, x: Inputs) -> tuple[Bool[Tensor, " n"], Derivative]:
        """`kept`, and the drift (n,) with its weighted gradient."""
        same = []

        def drift(v: Tensor) -> PerSample:
            outputs = [logits_of(network, v) for network in self.networks]
            same.append(self._same(outputs))
            pairs = zip(outputs, self.clean, strict=True)
            far = [self.drift(_probabilities(logits), clean, self.t) for logits, clean in pairs]
            return torch.stack(far).sum(0)

        found = derivative(drift, x, weight=self.weight)
        return same[0], found

    def _same(self, outputs: Sequence[Logits]) -> Bool[Tensor, " n"]:
        pairs = zip(outputs, self.labels, strict=True)
        return torch.stack([same_class(logits, label) for logits, label in pairs]).all(0)


def _probabilities(logits: Logits) -> Tensor:
    return two_columns(logits).softmax(1)
