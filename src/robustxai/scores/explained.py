"""The explained score of samples by name: as a number, as coefficients, and the check of a name and its options.

Knows logits only; what each score is, is in `registry`.
"""

from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from robustxai.checks import as_target, check_floats, check_name
from robustxai.scores.registry import SCORES
from robustxai.shapes import Logits, PerSample, Target


def two_columns(logits: Logits) -> Float[Tensor, "n _"]:
    """Logits with at least two columns: a single logit z becomes (0, z), whose softmax is the sigmoid of z."""
    return torch.cat((torch.zeros_like(logits), logits), 1) if logits.shape[1] == 1 else logits


def class_scores(logits: Logits, target: Target, score: str = "logit", **options: Any) -> PerSample:
    """The explained score S_c of each sample (n,), of class `target`; None is the predicted one.

    A single logit z is a sigmoid with classes 0 and 1: 'prob', 'logp' and 'ce' are those of the sigmoid, every other
    score is z for class 1 and -z for class 0. NaN logits give NaN. For two classes all scores rank features alike; for
    more they do not, and of a piecewise linear network 'logit' has no curvature ('prob', 'ce' or a softplus copy have).

    Args:
        score, options: as of `score_coefficients`.

    Raises ValueError for an unknown score or option, logits that are not (n, classes), a target that does not fit.

    >>> class_scores(torch.tensor([[0.0, 0.0], [1.0, 3.0]]), torch.tensor([0, 1]), "prob").tolist()
    [0.5, 0.8807970285415649]
    """
    check_score("score", score, options)
    check_floats("logits", logits, "n", "classes")
    return scored(logits, as_target(target, logits.detach(), model="logits"), score, **options)


def scored(logits: Logits, target: Int[Tensor, " n"], score: str, **options: Any) -> PerSample:
    """`class_scores` of what is checked already."""
    target = target.clone() if target.is_inference() else target  # autograd saves it
    if logits.shape[1] == 1 and score not in ("prob", "logp", "ce"):
        return logits[:, 0] * (2 * target - 1)
    y = two_columns(logits)
    return SCORES[score].value(y, target, one_hot(target, y.shape[1]).to(y.dtype), **options)


def score_coefficients(logits: Logits, target: Target, score: str = "lse", **options: Any) -> Logits:
    """Coefficients a_j = dS_c/dy_j of the explained score: the one place where contrasts differ.

    Args:
        logits: (n, C), any real values. C = 1 is a single sigmoid: a = +1 for target 1 and -1 for target 0.
        target: class indices in [0, C), or in {0, 1} for a single sigmoid; None is the predicted class.
        score: one of `SCORES`: 'logit', 'prob', 'logp', 'ce', 'rest' and the contrasts 'centred', 'lse', 'pw',
            'pw-live', 'lse-tau', 'max', 'mean', 'pair', 'topm-pw'.
        options: `tau` (lse-tau), `other` (pair), `m`, `strength`, `detached` (topm-pw).

    Returns:
        (n, C); each row sums to 0 for every contrast, to 1 for 'logit' and 'rest'. Differentiable in
        `logits`: detach them for an explanation, keep them attached in an adaptive attack.

    Raises:
        ValueError: unknown score or option, target out of range.

    >>> score_coefficients(torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([0]), "lse")
    tensor([[ 1.0000, -0.5000, -0.5000]])
    """
    check_score("contrast", score, options)
    target = as_target(target, check_floats("logits", logits, "n", "classes"))
    if logits.shape[-1] == 1:
        return (2 * target - 1).to(logits.dtype).unsqueeze(-1)
    hot = one_hot(target, logits.shape[-1]).to(logits.dtype)
    return SCORES[score].coefficients(logits, target, hot, **options)


def check_score(name: str, score: str, options: dict[str, Any] | None = None) -> None:
    """`score` is known, its `options` are ones that it takes, and none is missing. Raises ValueError."""
    check_name(name, score, SCORES)
    takes = {
        p.name: p.default
        for p in signature(SCORES[score].coefficients).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    options = options or {}
    if wrong := sorted(set(options) - set(takes)):
        raise ValueError(
            f"options of {name} {score!r} must be among {', '.join(takes)}, got {wrong[0]!r}"
            if takes
            else f"{name} {score!r} must be given without options, got {wrong[0]!r}"
        )
    if "other" in takes and options.get("other") is None:
        raise ValueError(
            f"other must be the class that {name} {score!r} compares with, an int or a tensor, got None"
        )
