"""What is explained of a classifier: one of its classes, and that class's logit or probability.

Knows nothing about paths or attributions.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

SCORES = ("logit", "prob")


def as_logits(logits: Tensor) -> Float[Tensor, "n classes"]:
    """What a model returned, where that is logits (n, classes); ValueError otherwise."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model returned {shape}; accepted are logits of shape (n, classes)")
    return logits


def as_target(target: int | Tensor | None, logits: Float[Tensor, "n classes"]) -> Int[Tensor, " n"]:
    """Class indices (n,); None is the prediction on `logits`. A single logit is a sigmoid with classes 0, 1.

    Raises ValueError for logits or a target of another shape or type, or a class out of range.
    """
    n, classes = as_logits(logits).shape
    if target is None:
        return (logits[:, 0] > 0).long() if classes == 1 else logits.argmax(1)
    try:
        index = torch.as_tensor(target, device=logits.device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"target is {target!r}; accepted are an int and integers of shape ({n},)") from None
    if index.is_floating_point() or index.dtype == torch.bool or index.shape not in ((), (n,)):
        raise ValueError(
            f"target has shape {tuple(index.shape)} and type {index.dtype}; "
            f"accepted are an int and integers of shape ({n},)"
        )
    top = max(classes, 2)
    if (wrong := index[(index < 0) | (index >= top)]).numel():
        raise ValueError(f"target holds class {int(wrong.flatten()[0])}; accepted are 0 to {top - 1}")
    return index.long().expand(n)


def class_scores(
    logits: Float[Tensor, "n classes"], target: Int[Tensor, " n"], score: str = "logit"
) -> Float[Tensor, " n"]:
    """The explained scalar of each sample: the target's "logit", or its softmax probability "prob"."""
    if score not in SCORES:
        raise ValueError(f"score is {score!r}; accepted are {', '.join(SCORES)}")
    if logits.shape[1] == 1:
        signed = logits[:, 0] * (2 * target - 1)
        return signed if score == "logit" else signed.sigmoid()
    values = logits if score == "logit" else logits.softmax(1)
    return (values * one_hot(target, logits.shape[1]).to(values)).sum(1)
