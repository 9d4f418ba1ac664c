"""The explained scalar (score) of a sample, and its input gradient: the raw material of every ranking.

Gradients are of the sum over samples, so that a sample's gradient does not depend on its batch. Knows networks
as callables from inputs (n, ...) to logits; knows nothing about explainers, attacks or training.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.checks import as_target, check_floats, check_name
from robustxai.metrics.predictions import predicted, two_columns
from robustxai.models import Network, logits_of
from robustxai.shapes import Inputs, Logits, Target

SCORES = ("prob", "logit", "ce")
"""What is explained: the probability of the class, its logit, or the cross-entropy -log p_c."""


def explained(logits: Logits, target: Target, score: str = "prob") -> Float[Tensor, " n"]:
    """The explained score of each sample (spec 3.1): p_c, z_c or -log p_c of class `target`, None the predicted one.

    A single logit z is a sigmoid with classes 0 and 1: its 'logit' is z for class 1 and -z for class 0. For
    two classes all three rank features alike; for more they do not, and for a piecewise linear network
    'logit' has no curvature (use 'prob' or 'ce', or a softplus surrogate). ValueError for an unknown score, or a
    target that does not fit the logits.

    >>> explained(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1]))
    tensor([0.5000, 0.5000])
    """
    check_name("score", score, SCORES)
    check_floats("logits", logits, "n", "classes")
    return explained_class(logits, as_target(target, logits.detach(), model="logits"), score)


def explained_class(logits: Logits, target: Int[Tensor, " n"], score: str) -> Float[Tensor, " n"]:
    """`explained` for arguments that were checked before."""
    if score == "logit" and logits.shape[1] == 1:
        return logits[:, 0] * (2 * target - 1)
    columns = two_columns(logits)
    if score != "logit":
        columns = columns.log_softmax(1)
    value = columns.gather(1, target[:, None])[:, 0]
    return {"prob": value.exp, "logit": lambda: value, "ce": value.neg}[score]()


def logits_and_gradient(
    model: Network,
    x: Inputs,
    target: Target = None,
    *,
    score: str = "prob",
    create_graph: bool = False,
) -> tuple[Logits, Inputs]:
    """Logits (n, C) and the signed input gradient of the explained score, shape of `x`, from one forward pass.

    With `create_graph` both stay in the graph (of the weights, and of `x` if it requires a gradient); without,
    both are detached. `target` None is the predicted class. Touches no `.grad`. ValueError for a network whose logits
    have no graph to `x`, for an unknown score, and for a target that does not fit.

    >>> logits, g = logits_and_gradient(torch.nn.Linear(3, 2), torch.zeros(4, 3), target=1)
    >>> logits.shape, g.shape
    (torch.Size([4, 2]), torch.Size([4, 3]))
    """
    check_name("score", score, SCORES)
    check_floats("x", x, least=2)
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone() if x.is_inference() else x
        x = x if x.requires_grad else x.detach().requires_grad_()
        logits = logits_of(model, x, twice=create_graph)
        total = explained_class(logits, as_target(target, logits.detach()), score).sum()
        g = None
        if total.requires_grad:
            (g,) = torch.autograd.grad(total, x, create_graph=create_graph, allow_unused=True)
    if g is None:
        raise ValueError(
            "model must be differentiable in its input, got logits that do not depend on x by a graph "
            "(no_grad, detach or numpy in its forward?)"
        )
    return (logits, g) if create_graph else (logits.detach(), g.detach())


def gradient(
    model: Network,
    x: Inputs,
    target: Target = None,
    *,
    score: str = "prob",
    create_graph: bool = False,
) -> Inputs:
    """The signed input gradient of the explained score, summed over samples (P4), in the shape of `x`.

    >>> gradient(torch.nn.Linear(3, 2), torch.zeros(4, 3), 1, score="logit").shape
    torch.Size([4, 3])
    """
    return logits_and_gradient(model, x, target, score=score, create_graph=create_graph)[1]


def ranked(signed: Inputs) -> Float[Tensor, "n d"]:
    """The scores that are ranked: absolute values, for images (n, C, H, W) summed over channels to (n, H * W).

    >>> ranked(torch.tensor([[-2.0, 1.0]]))
    tensor([[2., 1.]])
    """
    check_floats("signed", signed)
    if signed.ndim < 2:
        raise ValueError(f"signed must be a batch of attributions (n, ...), got shape {tuple(signed.shape)}")
    size = signed.abs()
    return (size.sum(1) if size.ndim == 4 else size).flatten(1)


def same_class(logits: Logits, label: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Whether each sample is predicted as `label`; logits with NaN predict nothing."""
    return (predicted(logits) == label) & ~logits.isnan().any(1)
