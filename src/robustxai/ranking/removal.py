"""Does the ranking name what the network uses? DFFOT, comprehensiveness, sufficiency (spec 8).

Features are removed by writing a baseline value in their place. Images are removed position by position, all
channels at once. Knows a classifier as a callable and scores (n, d) or (n, 1, H, W); runs without gradients.
"""

from collections.abc import Sequence
from typing import NamedTuple, SupportsIndex

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.checks import as_target, check_batch, check_count
from robustxai.eval_mode import check_calm
from robustxai.metrics.maps import order
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.ranking.checks import check_scores
from robustxai.scores.explained import scored
from robustxai.shapes import Inputs, PerSample, Scores, Target

REMOVED_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the features removed or kept; at least one feature each."""

Baseline = float | int | Tensor


class DecisionFlip(NamedTuple):
    """`fraction` (n,) of features removed at the first change of the prediction, 1 where it never changes;
    `flipped` (n,): whether it changed at all. Report the share of `flipped` beside the mean.

    >>> x = torch.tensor([[4.0, 1.0]])
    >>> dffot(lambda v: v.sum(1, keepdim=True) - 2.5, x, x).fraction
    tensor([0.5000])
    """

    fraction: PerSample
    flipped: Bool[Tensor, " n"]


@torch.no_grad()
def dffot(
    model: Network,
    x: Inputs,
    scores: Scores,
    *,
    baseline: Baseline = 0.0,
    levels: SupportsIndex | None = None,
) -> DecisionFlip:
    """Decision-flip fraction: the smallest share of features, removed by falling score, that flips the prediction.

    Low is faithful. `baseline`: a number or a tensor that broadcasts over `x` (the training mean, 0 after
    z-scoring and for one-hot columns). `levels`: numbers of removed features tried, evenly spaced up to all of
    them; None tries every one (d forward passes). `fraction` is NaN where a score is not finite, and where the network
    gave NaN before the prediction changed.

    >>> net = torch.nn.Linear(3, 2)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]]))
    >>> _ = net.bias.data.copy_(torch.tensor([2.0, 0.0]))
    >>> x, scores = torch.ones(1, 3), torch.tensor([[4.0, 1.0, 0.0]])
    >>> round(float(dffot(net, x, scores).fraction), 3)  # one feature of three
    0.333
    """
    rank, baseline = _ranks(x, scores), _checked(model, x, baseline)
    d = rank[0].numel()
    steps = d if levels is None else min(d, check_count("levels", levels))
    logits = logits_of(model, x)
    label, unknown = predicted(logits), logits.isnan().any(1) | _unusable(scores)
    fraction, flipped = x.new_ones(len(x)), torch.zeros_like(label, dtype=torch.bool)
    for count in (
        torch.linspace(d / steps, d, steps, dtype=torch.float64, device="cpu").round().long().tolist()
    ):
        logits = logits_of(model, torch.where(rank < count, baseline, x))
        unknown = unknown | (logits.isnan().any(1) & ~flipped)
        now = (predicted(logits) != label) & ~flipped & ~unknown
        fraction = torch.where(now, count / d, fraction)
        flipped = flipped | now
        if (flipped | unknown).all():
            break
    return DecisionFlip(fraction.masked_fill(unknown, torch.nan), flipped)


def comp(
    model: Network,
    x: Inputs,
    scores: Scores,
    target: Target = None,
    *,
    shares: Sequence[float | int] = REMOVED_SHARES,
    baseline: Baseline = 0.0,
) -> PerSample:
    """Comprehensiveness (ERASER): mean over shares q of p_c(x) - p_c(x without its top q), in [-1, 1]; high is good.

    `target` None is the class predicted on the clean input. NaN where a score is not finite or the network gives NaN.

    >>> net = torch.nn.Linear(3, 2)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]])), net.bias.data.zero_()
    >>> x, scores = torch.ones(1, 3), torch.tensor([[4.0, 1.0, 0.0]])
    >>> bool(comp(net, x, scores, shares=[0.5]) > comp(net, x, -scores, shares=[0.5]))
    True
    """
    return _aopc(model, x, scores, target, shares, baseline, keep=False)


def suff(
    model: Network,
    x: Inputs,
    scores: Scores,
    target: Target = None,
    *,
    shares: Sequence[float | int] = REMOVED_SHARES,
    baseline: Baseline = 0.0,
) -> PerSample:
    """Sufficiency (ERASER): mean over shares q of p_c(x) - p_c(only the top q of x), in [-1, 1]; low is good.

    Arguments and NaN as in `comp`.

    >>> net = torch.nn.Linear(3, 2)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]])), net.bias.data.zero_()
    >>> x, scores = torch.ones(1, 3), torch.tensor([[4.0, 1.0, 0.0]])
    >>> bool(suff(net, x, scores, shares=[0.5]) < suff(net, x, -scores, shares=[0.5]))
    True
    """
    return _aopc(model, x, scores, target, shares, baseline, keep=True)


@torch.no_grad()
def _aopc(
    model: Network, x: Tensor, scores: Tensor, target: Target, shares: Sequence[float | int], baseline: Baseline, *,
    keep: bool,
) -> Tensor:  # fmt: skip
    """Mean fall of p_c over the shares, with the top removed, or everything but the top."""
    try:
        parts = [float(q) for q in shares]
    except (TypeError, ValueError):
        parts = []
    if not parts or not all(0 < q <= 1 for q in parts):
        raise ValueError(f"shares must be numbers in (0, 1], got {shares!r}")
    rank, baseline = _ranks(x, scores), _checked(model, x, baseline)
    logits = logits_of(model, x)
    t = as_target(target, logits)
    whole, d = scored(logits, t, "prob"), rank[0].numel()
    falls = []
    for q in parts:
        count = max(1, round(q * d))
        gone = rank >= count if keep else rank < count
        falls.append(whole - scored(logits_of(model, torch.where(gone, baseline, x)), t, "prob"))
    return torch.stack(falls).mean(0).masked_fill(_unusable(scores), torch.nan)


def _ranks(x: Tensor, scores: Tensor) -> Tensor:
    """Rank of every feature, 0 for the largest, shaped to mask `x`: (n, d), or (n, 1, H, W) for images."""
    check_batch("x", x)
    s = check_scores("scores", scores)
    shape = torch.Size((1, *x.shape[2:])) if x.ndim == 4 else x.shape[1:]
    if len(s) != len(x) or s.shape[1] != shape.numel():
        raise ValueError(
            f"scores must hold one score for each of the {shape.numel()} features of {len(x)} inputs, "
            f"got shape {tuple(scores.shape)}"
        )
    by_size = order(s)
    places = torch.arange(s.shape[1], device=s.device).expand_as(by_size)
    return torch.empty_like(by_size).scatter_(1, by_size, places).reshape(len(x), *shape)


def _unusable(scores: Tensor) -> Tensor:
    return ~torch.isfinite(scores).flatten(1).all(1)


def _checked(model: Network, x: Tensor, baseline: Baseline) -> Tensor:
    """The baseline as a tensor like `x`, of a model whose mode changes nothing."""
    check_calm("model", model)
    try:
        found = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
        if torch.broadcast_shapes(found.shape, x.shape) == x.shape and bool(found.isfinite().all()):
            return found
    except (RuntimeError, TypeError, ValueError):
        pass  # no numbers, or a shape that does not broadcast: said below
    raise ValueError(
        f"baseline must be finite and broadcast over x of shape {tuple(x.shape)}, got {baseline!r:.40}"
    )
