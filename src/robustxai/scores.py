"""Scores as coefficient vectors: every score that a CAM can explain, as a_j = dS_c/dy_j.

A CAM never needs the score itself, only its gradient at the explained layer, and that gradient is the
vector-Jacobian product of the logits with `a`. So a score *is* its coefficient vector, and the theory of the
chapter is one line of arithmetic: a map is blind to what is added to all logits alike iff sum_j a_j = 0.
"""

from collections.abc import Callable
from inspect import signature

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from robustxai.checks import as_target, check_floats

Logits = Float[Tensor, "batch classes"]
Target = Int[Tensor, " batch"]
ScoreFn = Callable[..., Tensor]

SCORES: dict[str, ScoreFn] = {}


def score(name: str) -> Callable[[ScoreFn], ScoreFn]:
    """Register a function (logits, target, hot, **options) -> coefficients under `name`."""

    def register(fn: ScoreFn) -> ScoreFn:
        SCORES[name] = fn
        return fn

    return register


def others(logits: Logits, hot: Tensor, tau: float = 1.0) -> Tensor:
    """q_j: softmax over the non-target logits at temperature tau, q_c = 0 (masked, never p_j / (1 - p_c))."""
    return torch.softmax((logits / tau).masked_fill(hot.bool(), -torch.inf), -1)


@score("logit")
def _logit(logits, target, hot):
    """S = y_c, what every per-logit CAM explains. The coefficients sum to one: not shift invariant."""
    return hot


@score("centred")
def _centred(logits, target, hot):
    """S = y_c - mean_j y_j: what a head with centred weights, W - W_bar, gives as logit."""
    return hot - 1 / logits.shape[-1]


@score("prob")
def _prob(logits, target, hot):
    """S = p_c (Wang & Wang 2022): p_c (1[j=c] - p_j). Vanishes on confident samples."""
    p = torch.softmax(logits, -1)
    return (p * hot).sum(-1, keepdim=True) * (hot - p)


@score("logp")
def _logp(logits, target, hot):
    """S = log p_c: 1[j=c] - p_j. Vanishes on confident samples."""
    return hot - torch.softmax(logits, -1)


@score("rest")
def _rest(logits, target, hot):
    """S = y_c + log p_c (the ReST target of ShapleyCAM). The coefficients sum to one."""
    return 2 * hot - torch.softmax(logits, -1)


@score("lse")
def _lse(logits, target, hot):
    """S = y_c - log sum_{j != c} exp y_j = log p_c / (1 - p_c): the log-odds of the decision."""
    return hot - others(logits, hot)


@score("pw")
def _pw(logits, target, hot):
    """S = y_c - sum_j sg(q_j) y_j, the weights q held constant: the same gradient as `lse`."""
    return hot - others(logits, hot)


@score("pw-live")
def _pw_live(logits, target, hot):
    """S = y_c - sum_j q_j y_j with the gradient of the weights: -q_j (1 + y_j - sum_s q_s y_s)."""
    return hot - live(others(logits, hot), logits)


@score("lse-tau")
def _lse_tau(logits, target, hot, *, tau: float = 1.0):
    """S = y_c - tau log mean_{j != c} exp(y_j / tau): tau -> 0 is `max`, 1 is `lse`, infinity is `mean`."""
    if not tau > 0:
        raise ValueError(f"tau, the temperature of contrast 'lse-tau', must be a number > 0, got {tau}")
    return hot - others(logits, hot, tau)


@score("max")
def _max(logits, target, hot):
    """S = y_c - max_{j != c} y_j: the runner-up (ties: the lowest index)."""
    runner_up = logits.masked_fill(hot.bool(), -torch.inf).argmax(-1)
    return hot - one_hot(runner_up, logits.shape[-1]).to(logits.dtype)


@score("mean")
def _mean(logits, target, hot):
    """S = y_c - mean_{j != c} y_j."""
    return hot - (1 - hot) / (logits.shape[-1] - 1)


@score("pair")
def _pair(logits, target, hot, *, other: int | Tensor | None = None):
    """S = y_c - y_d for a class d of the caller's choice (`other`): why c and not d."""
    if other is None:
        raise ValueError(
            "other must be the class that contrast 'pair' compares with, an int or a tensor, got None"
        )
    d = as_target(other, logits, name="other")
    if (d == target).any():
        raise ValueError("other must not equal target in any sample for contrast 'pair', got equal ones")
    return hot - one_hot(d, logits.shape[-1]).to(logits.dtype)


@score("topm-pw")
def _topm_pw(logits, target, hot, *, m: int = 3, strength: float = 1.0, detached: bool = True):
    """Finer-CAM: S = y_c - strength * sum_i w_i y_i, w the softmax over the m logits nearest to y_c.

    Shift invariant only at strength 1. `detached=False` adds the gradient of the weights, as
    pytorch-grad-cam does.
    """
    classes = logits.shape[-1]
    if not 1 <= m:
        raise ValueError(f"m must be an integer >= 1 for contrast 'topm-pw', got {m}")
    gap = (logits - (logits * hot).sum(-1, keepdim=True)).abs().masked_fill(hot.bool(), torch.inf)
    near = torch.zeros_like(logits).scatter(
        -1, gap.argsort(stable=True, dim=-1)[:, : min(m, classes - 1)], 1.0
    )
    w = torch.softmax(logits.masked_fill(near == 0, -torch.inf), -1)
    return hot - strength * (w if detached else live(w, logits))


def live(q: Tensor, logits: Logits) -> Tensor:
    """Gradient of sum_j q_j y_j when q is itself a softmax of y: q_j (1 + y_j - sum_s q_s y_s)."""
    spread = q * (logits - (q * logits).sum(-1, keepdim=True))
    # the last term is zero but for rounding: it keeps sum_j a_j = 0
    return q + spread - q * spread.sum(-1, keepdim=True)


def score_coefficients(logits: Logits, target: Target, kind: str = "lse", **options) -> Logits:
    """Coefficients a_j = dS_c/dy_j of the explained score: the one place where contrasts differ.

    Args:
        logits: (N, C), any real values. C = 1 is a single sigmoid: a = +1 for target 1 and -1 for target 0.
        target: (N,) class indices in [0, C), or in {0, 1} for a single sigmoid.
        kind: one of `SCORES`: 'logit', 'prob', 'logp', 'rest' and the contrasts 'centred', 'lse', 'pw',
            'pw-live', 'lse-tau', 'max', 'mean', 'pair', 'topm-pw'.
        options: `tau` (lse-tau), `other` (pair), `m`, `strength`, `detached` (topm-pw).

    Returns:
        (N, C); each row sums to 0 for every contrast, to 1 for 'logit' and 'rest'. Differentiable in
        `logits`: detach them for an explanation, keep them attached in an adaptive attack.

    Raises:
        ValueError: unknown kind or option, target out of range.

    >>> score_coefficients(torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([0]), "lse")
    tensor([[ 1.0000, -0.5000, -0.5000]])
    """
    check_contrast(kind, options)
    target = as_target(target, check_floats("logits", logits, "n", "classes"))
    if logits.shape[-1] == 1:
        return (2 * target - 1).to(logits.dtype).unsqueeze(-1)
    hot = one_hot(target, logits.shape[-1]).to(logits.dtype)
    return SCORES[kind](logits, target, hot, **options)


def check_contrast(kind: str, options: dict[str, object]) -> None:
    """The public entry point of scores: ValueError for an unknown name or an option this score does not take."""
    if kind not in tuple(SCORES):
        raise ValueError(f"contrast must be one of {', '.join(SCORES)}, got {kind!r}")
    accepted = [p.name for p in signature(SCORES[kind]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if wrong := sorted(set(options) - set(accepted)):
        raise ValueError(
            f"options of contrast {kind!r} must be among {', '.join(accepted)}, got {wrong[0]!r}"
            if accepted
            else f"contrast {kind!r} must be given without options, got {wrong[0]!r}"
        )
