"""The explained scalar (score) of a sample, and its input gradient: the raw material of every ranking.

Gradients are of the sum over samples, so that a sample's gradient does not depend on its batch. Knows networks
as callables from inputs (n, ...) to logits; knows nothing about explainers, attacks or training.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.checks import as_target, check_floats
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.scores.explained import check_score, class_scores, scored
from robustxai.shapes import Inputs, Logits, PerSample, Target


def explained(logits: Logits, target: Target, score: str = "prob") -> PerSample:
    """`robustxai.scores.explained.class_scores`, by default the probability: spec 3.1.

    >>> explained(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1]))
    tensor([0.5000, 0.5000])
    """
    return class_scores(logits, target, score)


def slope(y: Tensor, x: Tensor, weights: Tensor | None = None, *, create_graph: bool = False) -> Tensor:
    """The gradient in x of the sum of y, or of y with weights. ValueError where nothing leads from x to y."""
    found = None
    if y.requires_grad:
        target = y.sum() if weights is None else y
        found = torch.autograd.grad(target, x, weights, create_graph=create_graph, allow_unused=True)[0]
    if found is None:
        raise ValueError(
            "model must have logits with a gradient in x, got none: part of it runs under torch.no_grad, detaches "
            "or leaves torch"
        )
    return found


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
    check_score("score", score)
    check_floats("x", x, least=2)
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone() if x.is_inference() else x
        x = x if x.requires_grad else x.detach().requires_grad_()
        logits = logits_of(model, x, twice=create_graph)
        f = scored(logits, as_target(target, logits.detach()), score)
        g = slope(f, x, create_graph=create_graph)
    return (logits, g) if create_graph else (logits.detach(), g.detach())


def score_and_gradient(
    model: Network, x: Inputs, target: Int[Tensor, " n"], score: str = "logit"
) -> tuple[PerSample, Inputs]:
    """S and grad S at each sample, of what is checked already. Attached to the graph of `x` when `x` has one and
    gradients are on. Raises ValueError where the logits have no gradient in x.
    """
    attached = torch.is_grad_enabled() and x.requires_grad
    with torch.inference_mode(False), torch.enable_grad():
        if not attached:
            x = (x.clone() if x.is_inference() else x).detach().requires_grad_()
        f = scored(logits_of(model, x, twice=attached), target, score)
        g = slope(f, x, create_graph=attached)
    return f if attached else f.detach(), g


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
