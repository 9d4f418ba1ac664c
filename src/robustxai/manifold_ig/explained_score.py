"""What is explained of a classifier: one of its classes, and that class's logit or probability."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from robustxai.checks import as_target, check_finite, check_floats, check_name
from robustxai.models import Network, logits_of

SCORES = ("logit", "prob")


def class_scores(
    logits: Float[Tensor, "n classes"], target: Int[Tensor, " n"], score: str = "logit"
) -> Float[Tensor, " n"]:
    """The explained scalar of each sample: the target's "logit", or its softmax probability "prob".

    A single logit z is two classes with the scores -z and z. NaN logits give NaN. Raises ValueError for another score,
    targets of another number or out of range, logits that are not (n, classes).

    >>> import torch
    >>> class_scores(torch.tensor([[0.0, 2.0]]), torch.tensor([1]))
    tensor([2.])
    """
    check_name("score", score, SCORES)
    check_floats("logits", logits, "n", "classes")
    return picked(logits, as_target(target, logits), score)


def picked(logits: Tensor, target: Tensor, score: str) -> Tensor:
    """`class_scores` of what is checked already."""
    if logits.shape[1] == 1:
        signed = logits[:, 0] * (2 * target - 1)
        return signed if score == "logit" else signed.sigmoid()
    values = logits if score == "logit" else logits.softmax(1)
    return (values * one_hot(target, logits.shape[1]).to(values)).sum(1)


def checked_target(model: Network, x: Tensor, target: object) -> Tensor:
    """The classes (n,) of samples x (n, ...); one sample tells how many classes there are. Raises ValueError."""
    check_finite("x", x)
    return as_target(target, logits_of(model, x[:1].detach()).detach().expand(len(x), -1))
