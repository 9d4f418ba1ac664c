"""What every passive-fooling loss shares: keep the decision, move the map.

One forward pass gives logits, activations and the map; for GAP + linear heads the map is first order in the
weights, so a fooling step costs little more than a training step. Other heads need double backprop. A new
attack is a subclass with one method, `map_loss`.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from robustxai.checks import as_target, check_images, check_number
from robustxai.diffgradcam.capture import Cut, cut, find_layer
from robustxai.diffgradcam.raw_maps import coefficients_of_all, score_gradient
from robustxai.diffgradcam.weightings import cam, find_weighting, gradcam
from robustxai.scores.explained import score_coefficients
from robustxai.scores.registry import SCORES


class FoolingLoss:
    """keep_weight * (what the network decides) + map_weight * (what its map shows), as loss(model, x, y).

    Args:
        layer: explained layer, module name; None is the model's `gap_layer`.
        classes: whose maps are attacked: 'true' labels, 'pred'icted classes, or 'all' classes averaged (the
            purest attack on the shift direction).
        scores: which maps are attacked, names of `SCORES`: ('logit',) is the per-logit map; a contrast is the
            adaptive attacker, ('logit', 'lse') attacks both. Coefficients keep their gradient.
        weighting: map family under attack, a name of `WEIGHTINGS`.
        keep: 'ce' keeps the labels; a frozen nn.Module keeps that model's probabilities (KL, 'fairwashing').

    >>> from robustxai.nets import CompactResNet
    >>> class Fade(FoolingLoss):  # a new attack: all maps become dark
    ...     def map_loss(self, maps, x, classes):
    ...         return maps.relu().mean()
    >>> model, x, y = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    >>> loss = Fade(scores=("logit", "lse"))(model, x, y)
    >>> loss.backward()  # reaches the weights
    """

    def __init__(
        self,
        *,
        layer: str | None = None,
        classes: Literal["true", "pred", "all"] = "true",
        scores: Sequence[str] = ("logit",),
        weighting: str = "gradcam",
        keep: Literal["ce"] | nn.Module = "ce",
        keep_weight: float = 1.0,
        map_weight: float = 1.0,
    ):
        if classes not in ("true", "pred", "all"):
            raise ValueError(f"classes must be one of true, pred, all, got {classes!r}")
        some = isinstance(scores, Sequence) and not isinstance(scores, str) and len(scores) > 0
        if not some or any(s not in tuple(SCORES) for s in scores):
            raise ValueError(f"scores must be a sequence of names among {', '.join(SCORES)}, got {scores!r}")
        self.layer, self.classes, self.scores, self.keep = layer, classes, tuple(scores), keep
        self.weight_fn = find_weighting(weighting)
        if not (keep == "ce" or isinstance(keep, nn.Module)):
            raise ValueError(f"keep must be 'ce' or a network (nn.Module), got {keep!r:.40}")
        self.keep_weight = check_number("keep_weight", keep_weight)
        self.map_weight = check_number("map_weight", map_weight)

    def map_loss(self, maps: Tensor, x: Tensor, classes: Tensor) -> Tensor:
        """Scalar loss of the raw maps (N, h, w) of `classes` (N,) on images x; each attack writes its own."""
        raise NotImplementedError

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Total loss of a batch: x (N, C, H, W), y (N,). Raises ValueError for images or classes that are none."""
        check_images("x", x, low=None, high=None)
        keep, penalty = self.terms(model, x, y)
        return self.keep_weight * keep + self.map_weight * penalty

    def terms(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The two terms before weighting: (keep the decision, move the map)."""
        c = cut(model, find_layer(model, self.layer), x, attached=True)
        y = _labels(y, c)
        penalty = self._map_term(c, x, y) if self.map_weight else torch.zeros((), device=x.device)
        if isinstance(self.keep, nn.Module):
            with torch.no_grad():
                reference = torch.log_softmax(self.keep(x), -1)
            keep = kl_div(torch.log_softmax(c.logits, -1), reference, log_target=True, reduction="batchmean")
            return keep, penalty
        return cross_entropy(c.logits, y), penalty

    def map_term(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The map term alone: whether the attack converged."""
        c = cut(model, find_layer(model, self.layer), x, attached=True)
        return self._map_term(c, x, _labels(y, c))

    def _map_term(self, c: Cut, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([self._penalty(c, score, x, y) for score in self.scores]).mean()

    def _penalty(self, c: Cut, score: str, x: Tensor, y: Tensor) -> Tensor:
        if self.classes != "all":
            t = y if self.classes == "true" else c.logits.argmax(-1)
            return self.map_loss(class_maps(c, score, t, self.weight_fn), x, t)
        n, classes = c.logits.shape
        t = torch.arange(classes, device=x.device).repeat(n)
        maps = all_class_maps(c, score, self.weight_fn)
        return self.map_loss(maps.flatten(0, 1), x.repeat_interleave(classes, 0), t)


def _labels(y: Tensor, c: Cut) -> Tensor:
    """The labels (N,), checked. Raises ValueError."""
    if y is None:
        raise ValueError("y must be class numbers (N,), got None")
    return as_target(y, c.logits, name="y")


def class_maps(c: Cut, score: str, target: Tensor, weighting) -> Tensor:
    """Differentiable raw maps (N, h, w) of `target` for a cut whose graph reaches the parameters."""
    return weighting(
        c.activations, score_gradient(c, score_coefficients(c.logits, target, score), attached=True)
    )


def all_class_maps(c: Cut, score: str, weighting) -> Tensor:
    """Differentiable raw maps of every class, (N, C, h, w); one batched product for GAP + linear heads."""
    n, classes = c.logits.shape
    if c.weight is not None and weighting in (gradcam, cam):
        g = (
            coefficients_of_all(c.logits, score)
            @ c.weight
            / (c.activations[0, 0].numel() if weighting is gradcam else 1)
        )
        return (g @ c.activations.flatten(2)).unflatten(-1, c.activations.shape[2:])
    targets = torch.arange(classes, device=c.logits.device)
    return torch.stack([class_maps(c, score, t.expand(n), weighting) for t in targets], 1)
