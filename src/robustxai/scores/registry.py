"""Scores: what of a classifier's logits y is explained, as a number S and as its coefficients a_j = dS/dy_j.

Gradient and path methods need the number; a CAM needs only its gradient at the explained layer, which is the
vector-Jacobian product of the logits with `a`. The theory of `diffgradcam` is one line of arithmetic on coefficients: a
map is blind to what is added to all logits alike iff sum_j a_j = 0. Knows logits only.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from robustxai.checks import as_target
from robustxai.shapes import Logits

Fn = Callable[..., Tensor]


class Score(NamedTuple):
    """A score of class c as functions of (logits, target, hot, **options): value (n,) and coefficients (n, classes)."""

    value: Fn
    coefficients: Fn


SCORES: dict[str, Score] = {}
"""The scores by name. 'logit' and 'rest' move with what is added to all logits; the coefficients of all others sum to 0
(of 'prob', 'logp' and 'ce' they vanish on confident samples)."""


def score(name: str, value: Fn) -> Callable[[Fn], Fn]:
    """Register a value and the decorated function (logits, target, hot, **options) -> coefficients under `name`."""

    def register(fn: Fn) -> Fn:
        SCORES[name] = Score(value, fn)
        return fn

    return register


def others(logits: Logits, hot: Tensor, tau: float = 1.0) -> Tensor:
    """q_j: softmax over the non-target logits at temperature tau, q_c = 0 (masked, never p_j / (1 - p_c))."""
    return torch.softmax((logits / tau).masked_fill(hot.bool(), -torch.inf), -1)


def live(q: Tensor, logits: Logits) -> Tensor:
    """Gradient of sum_j q_j y_j when q is itself a softmax of y: q_j (1 + y_j - sum_s q_s y_s)."""
    spread = q * (logits - (q * logits).sum(-1, keepdim=True))
    # the last term is zero but for rounding: it keeps sum_j a_j = 0
    return q + spread - q * spread.sum(-1, keepdim=True)


def _own(y: Tensor, c: Tensor) -> Tensor:
    return y.gather(1, c[:, None])[:, 0]


def _log_p(y: Tensor, c: Tensor) -> Tensor:
    return _own(y.log_softmax(1), c)


def _log_sum(y: Tensor, hot: Tensor, tau: float = 1.0) -> Tensor:
    """tau log sum_{j != c} exp(y_j / tau)."""
    return tau * (y / tau).masked_fill(hot.bool(), -torch.inf).logsumexp(1)


@score("logit", lambda y, c, hot: _own(y, c))
def _logit(y, c, hot):
    """S = y_c, what every per-logit CAM explains. The coefficients sum to one: not shift invariant."""
    return hot


@score("centred", lambda y, c, hot: _own(y, c) - y.mean(1))
def _centred(y, c, hot):
    """S = y_c - mean_j y_j: what a head with centred weights, W - W_bar, gives as logit."""
    return hot - 1 / y.shape[-1]


@score("prob", lambda y, c, hot: _log_p(y, c).exp())
def _prob(y, c, hot):
    """S = p_c (Wang & Wang 2022): p_c (1[j=c] - p_j). Vanishes on confident samples."""
    p = torch.softmax(y, -1)
    return (p * hot).sum(-1, keepdim=True) * (hot - p)


@score("logp", lambda y, c, hot: _log_p(y, c))
def _logp(y, c, hot):
    """S = log p_c: 1[j=c] - p_j. Vanishes on confident samples."""
    return hot - torch.softmax(y, -1)


@score("ce", lambda y, c, hot: -_log_p(y, c))
def _ce(y, c, hot):
    """S = -log p_c, the cross-entropy: p_j - 1[j=c]. Vanishes on confident samples."""
    return torch.softmax(y, -1) - hot


@score("rest", lambda y, c, hot: _own(y, c) + _log_p(y, c))
def _rest(y, c, hot):
    """S = y_c + log p_c (the ReST target of ShapleyCAM). The coefficients sum to one."""
    return 2 * hot - torch.softmax(y, -1)


@score("lse", lambda y, c, hot: _own(y, c) - _log_sum(y, hot))
def _lse(y, c, hot):
    """S = y_c - log sum_{j != c} exp y_j = log p_c / (1 - p_c): the log-odds of the decision."""
    return hot - others(y, hot)


@score("pw", lambda y, c, hot: _own(y, c) - (others(y, hot).detach() * y).sum(1))
def _pw(y, c, hot):
    """S = y_c - sum_j sg(q_j) y_j, the weights q held constant: the same gradient as `lse`."""
    return hot - others(y, hot)


@score("pw-live", lambda y, c, hot: _own(y, c) - (others(y, hot) * y).sum(1))
def _pw_live(y, c, hot):
    """S = y_c - sum_j q_j y_j with the gradient of the weights: -q_j (1 + y_j - sum_s q_s y_s)."""
    return hot - live(others(y, hot), y)


def _log_mean(y: Tensor, c: Tensor, hot: Tensor, *, tau: float = 1.0) -> Tensor:
    return _own(y, c) - _log_sum(y, hot, _temperature(tau)) + tau * math.log(y.shape[1] - 1)


def _temperature(tau: float) -> float:
    if not tau > 0:
        raise ValueError(f"tau, the temperature of contrast 'lse-tau', must be a number > 0, got {tau}")
    return tau


@score("lse-tau", _log_mean)
def _lse_tau(y, c, hot, *, tau: float = 1.0):
    """S = y_c - tau log mean_{j != c} exp(y_j / tau): tau -> 0 is `max`, 1 is `lse`, infinity is `mean`."""
    return hot - others(y, hot, _temperature(tau))


@score("max", lambda y, c, hot: _own(y, c) - y.masked_fill(hot.bool(), -torch.inf).max(1).values)
def _max(y, c, hot):
    """S = y_c - max_{j != c} y_j: the runner-up (ties: the lowest index)."""
    runner_up = y.masked_fill(hot.bool(), -torch.inf).argmax(-1)
    return hot - one_hot(runner_up, y.shape[-1]).to(y.dtype)


@score("mean", lambda y, c, hot: _own(y, c) - (y * (1 - hot)).sum(1) / (y.shape[1] - 1))
def _mean(y, c, hot):
    """S = y_c - mean_{j != c} y_j."""
    return hot - (1 - hot) / (y.shape[-1] - 1)


def _other(y: Tensor, c: Tensor, other: int | Tensor) -> Tensor:
    d = as_target(other, y, name="other")
    if (d == c).any():
        raise ValueError("other must not equal target in any sample for contrast 'pair', got equal ones")
    return d


@score("pair", lambda y, c, hot, *, other: _own(y, c) - _own(y, _other(y, c, other)))
def _pair(y, c, hot, *, other: int | Tensor):
    """S = y_c - y_d for a class d of the caller's choice (`other`): why c and not d."""
    return hot - one_hot(_other(y, c, other), y.shape[-1]).to(y.dtype)


def _nearest(y: Tensor, hot: Tensor, m: int) -> Tensor:
    """Softmax over the m logits nearest to y_c."""
    if not 1 <= m:
        raise ValueError(f"m must be an integer >= 1 for contrast 'topm-pw', got {m}")
    gap = (y - (y * hot).sum(-1, keepdim=True)).abs().masked_fill(hot.bool(), torch.inf)
    near = torch.zeros_like(y).scatter(
        -1, gap.argsort(stable=True, dim=-1)[:, : min(m, y.shape[-1] - 1)], 1.0
    )
    return torch.softmax(y.masked_fill(near == 0, -torch.inf), -1)


def _finer(
    y: Tensor, c: Tensor, hot: Tensor, *, m: int = 3, strength: float = 1.0, detached: bool = True
) -> Tensor:
    w = _nearest(y, hot, m)
    return _own(y, c) - strength * ((w.detach() if detached else w) * y).sum(1)


@score("topm-pw", _finer)
def _topm_pw(y, c, hot, *, m: int = 3, strength: float = 1.0, detached: bool = True):
    """Finer-CAM: S = y_c - strength * sum_i w_i y_i, w the softmax over the m logits nearest to y_c.

    Shift invariant only at strength 1. `detached=False` adds the gradient of the weights, as
    pytorch-grad-cam does.
    """
    w = _nearest(y, hot, m)
    return hot - strength * (w if detached else live(w, y))
