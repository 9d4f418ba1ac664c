"""How alike are two classifiers' outputs? Accuracy, agreement, divergence.

Knows logits only, (n, classes). A single logit z, (n, 1) or (n,), is two classes with the scores -z and z, of which
class 1 is the positive one; its probabilities are sigmoids.
"""

import math

from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import as_target
from robustxai.scores.explained import class_scores, two_columns

from .inputs import as_floats, wide
from .maps import nan_where, unusable

AnyLogits = Float[Tensor, "n classes"] | Float[Tensor, " n"]


def predicted(logits: Float[Tensor, "n classes"]) -> Int[Tensor, " n"]:
    """The class with the largest logit; ties: the lower index."""
    return two_columns(logits).argmax(1)


def finite_scores(
    logits: Float[Tensor, "n classes"], target: Int[Tensor, " n"], score: str = "prob"
) -> Float[Tensor, " n"]:
    """The score of the target, by default its probability; nan where a sample's logits are not all finite.

    Raises ValueError for another score than those of `robustxai.scores`.
    """
    return nan_where(class_scores(logits, target, score), unusable(logits))


def accuracy(logits: AnyLogits, labels: Int[Tensor, " n"]) -> float:
    """Top-1 accuracy in [0, 1]; nan if a logit is nan or infinite, and of no samples.

    Raises ValueError unless labels hold one class in 0 ... classes - 1 for each row of logits.

    >>> accuracy(torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1]))
    0.5
    """
    z = _logits("logits", logits)
    if labels is None:
        raise ValueError("labels must hold one class for each row of logits, got None")
    return _share(predicted(z) == as_target(labels, z, name="labels"), z)


def agreement(a: AnyLogits, b: AnyLogits) -> float:
    """Share of samples for which two classifiers predict the same class, in [0, 1]; nan as in `accuracy`.

    Raises ValueError unless both hold the same number of samples and of classes.

    >>> agreement(torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    0.5
    """
    a, b = _pair(a, b)
    return _share(a.argmax(1) == b.argmax(1), a, b)


def kl(a: AnyLogits, b: AnyLogits) -> Float[Tensor, " n"]:
    """KL(softmax a || softmax b) per sample in nats, at least 0: how much a's decision was changed into b's.

    nan where a logit is nan or infinite. Raises ValueError as `agreement`.

    >>> kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([0.])
    """
    a, b = _pair(a, b)
    p, q = a.log_softmax(1), b.log_softmax(1)
    return nan_where((p.exp() * (p - q)).sum(1).clamp_min(0), unusable(a, b))


def _logits(name: str, logits: Tensor) -> Float[Tensor, "n classes"]:
    """Logits (n, classes); (n,) is one logit a sample."""
    z = as_floats(name, logits)
    z = z[:, None] if z.ndim == 1 else z
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(f"{name} must have shape (n, classes), got {tuple(z.shape)}")
    return z


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two classifiers' logits of the same samples and classes, two columns or more."""
    one, two = (two_columns(_logits(name, z)) for name, z in (("a", a), ("b", b)))
    if one.shape != two.shape:
        raise ValueError(
            f"b must have the samples and classes of a, {tuple(one.shape)}, got {tuple(two.shape)}"
        )
    return one, two


def _share(right: Tensor, *logits: Tensor) -> float:
    """The share that is true, nan where the logits are not finite or there are none."""
    return math.nan if unusable(*logits).any() else wide(right).mean().item()
