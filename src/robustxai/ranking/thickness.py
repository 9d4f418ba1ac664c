"""Ranking explanation thickness (spec 3.2): how large the gaps between top and rest stay on the way to x'.

Averages I_i - I_j along segments from x to x', where x' is drawn from a ball around x or is one given point, such
as an attack's result. T and B are the top k and the rest at the clean x. Knows explainers as callables
explain(x, target) -> scores; draws are shared by all samples, so a batch changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import SupportsFloat, SupportsIndex

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.checks import (
    as_target,
    check_batch,
    check_count,
    check_generator,
    check_k,
    check_name,
    check_positive,
)
from robustxai.eval_mode import check_calm
from robustxai.explainers.precision import widest
from robustxai.explainers.reduce import read
from robustxai.models import logits_of
from robustxai.ranking.checks import check_classes, check_features, check_like, check_matrix
from robustxai.ranking.gaps import pair_mean
from robustxai.shapes import Explain, Inputs, PerSample, Target

BALLS = ("uniform", "gaussian")
KINDS = ("smooth", "indicator")


def topk_thickness(
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    k: SupportsIndex,
    eps: SupportsFloat | None = None,
    other: Inputs | None = None,
    ball: str = "uniform",
    kind: str = "smooth",
    normalise: bool = False,
    draws: SupportsIndex = 16,
    points: SupportsIndex = 8,
    generator: torch.Generator | None = None,
) -> PerSample:
    """Top-k ranking thickness: the mean gap over all k (d - k) pairs, the segments and the draws, in O(d).

    Args:
        explain: attributions (n, d) or (n, C, H, W), read as |A| summed over channels.
        x: clean inputs.
        target: explained class, the same all along; None is the predicted one (needs an explainer with `.model`).
        k: size of the top set, 1 <= k < d.
        eps: radius of the ball for x' (local thickness); or give
        other: the points x' themselves, such as `Attacked.x` (adversarial thickness).
        ball: x' 'uniform' in the ball, or 'gaussian' with mean square length eps^2, pulled back into the ball.
        kind: 'smooth' averages the gap h; 'indicator' averages 1[h >= 0], the share of the path on which a pair
            keeps its order, in [0, 1] (O(d log d)).
        normalise: divide every map by its own l2 norm first. Compare networks only so: raw gaps measure the
            saliency's scale (P10).
        draws, points: number of x' and of midpoints on each segment; 6 and 4 suffice for monitoring.

    NaN where a map is not finite, and for 'indicator' where one is constant, which orders nothing. 12 parameters, as
    the definition leaves open where x' lies, how a gap counts and how both are averaged. Raises ValueError unless
    exactly one of `eps` and `other` is given, or for values out of range.

    >>> topk_thickness(lambda x, target: x, torch.tensor([[3.0, 1.0]]), 0, k=1, other=torch.tensor([[3.0, 5.0]]))
    tensor([0.])
    """
    target, points = _validate(explain, x, target, eps, other, ball, kind, points)
    explain = read(explain)
    reference = _scores(explain, x, target)
    k = check_k(k, reference.shape[1])
    measure = kept_share if kind == "indicator" else pair_mean
    many = reference.repeat(points, 1)
    return _average(
        lambda s: measure(s, many, k=k), explain, x, target, _ends(x, eps, other, draws, ball, generator), points,
        normalise,
    )  # fmt: skip


def thickness(
    explain: Explain,
    x: Inputs,
    i: Int[Tensor, "..."] | Sequence[int] | SupportsIndex,
    j: Int[Tensor, "..."] | Sequence[int] | SupportsIndex,
    target: Target = None,
    *,
    eps: SupportsFloat | None = None,
    other: Inputs | None = None,
    ball: str = "uniform",
    kind: str = "smooth",
    normalise: bool = False,
    draws: SupportsIndex = 16,
    points: SupportsIndex = 8,
    generator: torch.Generator | None = None,
) -> PerSample:
    """Pairwise ranking thickness of features `i` over `j` (an index, or one for each sample); see `topk_thickness`.

    13 parameters, as it has those of `topk_thickness`, with a pair in place of k.

    >>> explain = lambda x, target: x.abs()
    >>> thickness(explain, torch.tensor([[3.0, 1.0]]), 0, 1, 0, other=torch.tensor([[3.0, 5.0]]))
    tensor([0.])
    """
    target, points = _validate(explain, x, target, eps, other, ball, kind, points)
    explain = read(explain)
    d = _scores(explain, x[:1], target[:1]).shape[1]
    first, second = (
        check_features(name, v, len(x), d).to(x.device).repeat(points)[:, None]
        for name, v in (("i", i), ("j", j))
    )

    def gap(s: Tensor) -> Tensor:
        h = (s.gather(1, first) - s.gather(1, second))[:, 0]
        return (h >= 0).to(h.dtype).masked_fill(h.isnan(), torch.nan) if kind == "indicator" else h

    return _average(
        gap, explain, x, target, _ends(x, eps, other, draws, ball, generator), points, normalise
    )  # fmt: skip


def kept_share(
    scores: Float[Tensor, "n d"], reference: Float[Tensor, "n d"], *, k: SupportsIndex
) -> PerSample:
    """Share of the k (d - k) pairs that `scores` order as the ranking of `reference` does, ties included, in [0, 1].

    Counted by sorting the rest and looking up each of the top: O(d log d), no list of pairs. NaN where either map is
    not finite, or constant, which orders nothing. ValueError for different shapes, or unless 1 <= k < d.

    >>> kept_share(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[3.0, 2.0, 1.0]]), k=2)
    tensor([0.5000])
    """
    d = check_matrix("scores", scores).shape[1]
    check_like("reference", reference, "scores", scores)
    k = check_k(k, d)
    order = reference.argsort(dim=1, descending=True, stable=True)
    top, rest = scores.gather(1, order[:, :k]), scores.gather(1, order[:, k:]).sort(1).values
    share = torch.searchsorted(rest, top.contiguous(), right=True).sum(1).to(scores.dtype) / (k * (d - k))
    return share.masked_fill(~(ordered(scores) & ordered(reference)), torch.nan)


def ordered(scores: Float[Tensor, "n d"]) -> Bool[Tensor, " n"]:
    """Whether each map orders anything: all values finite, and not all equal."""
    high, low = scores.amax(1), scores.amin(1)
    return (high > low) & high.isfinite() & low.isfinite()


def ball_draws(
    like: Inputs,
    eps: float | int,
    draws: SupportsIndex,
    *,
    kind: str = "uniform",
    generator: torch.Generator | None = None,
) -> Float[Tensor, "draws 1 *sample"]:
    """Points in the l2 ball of radius eps around 0, (draws, 1, ...): the same ones for every sample of `like`."""
    check_generator("generator", generator)
    g = torch.Generator().manual_seed(0) if generator is None else generator
    draws = check_count("draws", draws)
    shape = (draws, like[0].numel())
    u = torch.randn(shape, generator=g, device=g.device, dtype=widest(g.device))
    length = u.norm(dim=1, keepdim=True)
    if kind == "uniform":
        radius = torch.rand(draws, 1, generator=g, device=g.device, dtype=widest(g.device)) ** (1 / shape[1])
    else:
        radius = (length / shape[1] ** 0.5).clamp_max(1)
    return (u * (eps * radius / length)).reshape(draws, 1, *like.shape[1:]).to(like)


def fixed_target(explain: Explain, x: Tensor, target: Target) -> Tensor:
    """The explained class of every sample, (n,): None is what the explainer's own network predicts at `x`."""
    check_batch("x", x)
    model = getattr(explain, "model", None)
    if model is None:
        if target is None:
            raise ValueError(
                "target must be class indices where explain has no `.model` to predict them, got None"
            )
        return check_classes("target", target, len(x)).to(x.device)
    check_calm("model", model)
    with torch.no_grad():
        return as_target(target, logits_of(model, x))


def _validate(
    explain: Explain, x: Tensor, target: Target, eps: SupportsFloat | None, other: Tensor | None, ball: str, kind: str,
    points: SupportsIndex,
) -> tuple[Tensor, int]:  # fmt: skip
    """The classes (n,) and the number of points, of arguments that are in order."""
    check_name("ball", ball, BALLS)
    check_name("kind", kind, KINDS)
    points = check_count("points", points)
    if (eps is None) == (other is None):
        raise ValueError(
            f"eps and other must be given one without the other, got {'neither' if eps is None else 'both'}"
        )
    if eps is not None:
        check_positive("eps", eps)
    if other is not None:
        if other.shape != x.shape:
            raise ValueError(
                f"other must have the shape of x, {tuple(x.shape)}, got shape {tuple(other.shape)}"
            )
        check_batch("other", other)
    return fixed_target(explain, x, target), points


def _ends(
    x: Tensor, eps: SupportsFloat | None, other: Tensor | None, draws: SupportsIndex, ball: str,
    generator: torch.Generator | None,
) -> Tensor:  # fmt: skip
    """The ends of the segments, (m, n, ...) or (m, 1, ...) as steps away from x."""
    if other is not None:
        return (other - x)[None]
    return ball_draws(x, 0.0 if eps is None else float(eps), draws, kind=ball, generator=generator)


@torch.no_grad()
def _scores(explain: Explain, x: Tensor, target: Tensor) -> Tensor:
    return explain(x, target).flatten(1)


def _average(
    gap: Callable[[Tensor], Tensor], explain: Explain, x: Tensor, target: Tensor, ends: Tensor, points: int,
    normalise: bool,
) -> Tensor:  # fmt: skip
    """Mean of gap(scores) over the ends and the midpoints t = (q + 1/2) / points of each segment."""
    t = ((torch.arange(points, device=x.device).to(x) + 0.5) / points).reshape(-1, *[1] * x.ndim)
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for end in ends:
        s = _scores(explain, (x + t * end).flatten(0, 1), target.repeat(points))
        if normalise:
            norm = s.norm(dim=1, keepdim=True)
            s = s / torch.where(norm > 0, norm, 1)
        total = total + gap(s).unflatten(0, (points, -1)).mean(0)
    return total / len(ends)
