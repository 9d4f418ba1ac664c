"""How alike are two classifiers' outputs? Accuracy, agreement, divergence.

Knows logits only. Logits are (n, classes); a single logit is read as a sigmoid with classes 0 and 1.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Logits = Float[Tensor, "n classes"]


def two_columns(logits: Logits) -> Float[Tensor, "n _"]:
    """Logits with at least two columns: a single logit z becomes (0, z)."""
    return torch.cat((torch.zeros_like(logits), logits), 1) if logits.shape[1] == 1 else logits


def predicted(logits: Logits) -> Int[Tensor, " n"]:
    """The class with the largest logit; ties: the lower index."""
    return two_columns(logits).argmax(1)


def accuracy(logits: Logits, labels: Int[Tensor, " n"]) -> float:
    """Top-1 accuracy in [0, 1]."""
    return (predicted(logits) == labels).double().mean().item()


def agreement(a: Logits, b: Logits) -> float:
    """Share of samples for which two classifiers predict the same class, in [0, 1]."""
    return (predicted(a) == predicted(b)).double().mean().item()


def kl(a: Logits, b: Logits) -> Float[Tensor, " n"]:
    """KL(softmax a || softmax b) per sample in nats, at least 0: how much a's decision was changed into
    b's.
    """
    p, q = two_columns(a).log_softmax(1), two_columns(b).log_softmax(1)
    return (p.exp() * (p - q)).sum(1).clamp_min(0)
