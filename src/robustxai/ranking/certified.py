"""From gaps and curvature to guarantees (spec 3.3, 3.7): bounds on thickness, and the certified radius.

Everything rests on one number per pair, the slope S_ij = sup over the ball of ||grad I_i - grad I_j||_2. A supremum
is not computable for a general network; here it is the largest over the centre and `draws` points of the ball, a
lower estimate, so that what is called certified is an estimate of the certificate. Costs one backward pass per
feature: meant for tables. Knows explainers as callables that are differentiable in their input.
"""

from typing import NamedTuple, SupportsFloat, SupportsIndex

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import check_count, check_k, check_name, check_positive
from robustxai.explainers.reduce import read
from robustxai.ranking.checks import check_features
from robustxai.ranking.thickness import ball_draws, fixed_target, ordered
from robustxai.shapes import Explain, Inputs, PerSample, Target

Pairs = Float[Tensor, "n top rest"]


class ThicknessBounds(NamedTuple):
    """`gap`: at the clean input; `lower` and `upper`: of the thickness. All (n,).

    >>> explain = lambda x, target: torch.stack((3 * x[:, 0], 2 * x[:, 1]), 1)
    >>> thickness_bounds(explain, torch.ones(1, 2), 0, k=1, eps=0.1).gap
    tensor([1.])
    """

    gap: PerSample
    lower: PerSample
    upper: PerSample


def score_rows(
    explain: Explain, x: Inputs, target: Int[Tensor, " n"], features: Int[Tensor, "n m"]
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m inputs"]]:
    """Scores I_f(x) of the `features` of each sample, and their gradients grad I_f(x): rows s_f H_f of the Hessian.

    ValueError for an explainer whose scores have no graph to x and which does not say that it is differentiable: its
    slopes are unknown, not zero.
    """
    with torch.inference_mode(False), torch.enable_grad():
        v = x.detach().clone().requires_grad_()
        scores = read(explain)(v, target).flatten(1).gather(1, features)
        if not (scores.requires_grad or getattr(explain, "differentiable", False)):
            raise ValueError(
                "explain must be differentiable in x, for its slopes bound how its ranking changes; it gives scores "
                "without a graph"
            )
        rows = []
        for c in range(features.shape[1]):
            g = None
            if scores.requires_grad:
                (g,) = torch.autograd.grad(scores[:, c].sum(), v, retain_graph=True, allow_unused=True)
            rows.append(torch.zeros_like(v) if g is None else g)
    return scores.detach(), torch.stack(rows, 1).flatten(2).detach()


def pair_slopes(
    explain: Explain,
    x: Inputs,
    target: Int[Tensor, " n"],
    first: Int[Tensor, "n top"],
    second: Int[Tensor, "n rest"],
    *,
    within: float | int = 0.0,
    draws: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Pairs, Pairs]:
    """Gaps I_i - I_j at `x`, and the largest ||grad I_i - grad I_j||_2 at x and at `draws` points of the ball.

    For i in `first` (n, top) and j in `second` (n, rest); both results are (n, top, rest).
    """
    a, features = first.shape[1], torch.cat((first, second), 1)
    scores, rows = score_rows(explain, x, target, features)
    gaps, slopes = scores[:, :a, None] - scores[:, None, a:], _distances(rows, a)
    if draws:
        for u in ball_draws(x, within, draws, generator=generator):
            slopes = torch.maximum(slopes, _distances(score_rows(explain, x + u, target, features)[1], a))
    return gaps, slopes


def thickness_bounds(
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    eps: SupportsFloat,
    k: SupportsIndex | None = None,
    pair: tuple[SupportsIndex, SupportsIndex] | None = None,
    form: str = "proved",
    draws: SupportsIndex = 64,
    generator: torch.Generator | None = None,
) -> ThicknessBounds:
    """Bounds of the local thickness in the ball of radius eps, for one `pair` (i, j) or for the top `k`.

    form: 'proved' is |thickness - gap| <= (eps / 2) S_ij; 'centre' takes the slope at x only, exact to first order;
    'rows' has the upper bound gap + eps (L_i + L_j) with L_f = sup ||grad I_f||, and the centre's lower bound, as the
    paper is recalled to state it. For the top k, gaps and slopes are averaged over the k (d - k) pairs. NaN where a
    score or a slope is. 9 parameters, as those of the thickness that it bounds.

    >>> from robustxai.ranking import Saliency
    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> found = thickness_bounds(Saliency(net), torch.zeros(3, 6), eps=0.1, k=2, draws=4)
    >>> bool((found.lower <= found.upper).all())
    True
    """
    check_name("form", form, ("proved", "centre", "rows"))
    eps, draws, t = check_positive("eps", eps), check_count("draws", draws), fixed_target(explain, x, target)
    if (k is None) == (pair is None):
        raise ValueError(
            f"k and pair must be given one without the other, got {'neither' if k is None else 'both'}"
        )
    if pair is not None:
        first, second = _pair(explain, x, t, pair)
    else:
        first, second = _top_and_rest(explain, x, t, k)
    n_draws = draws if form == "proved" else 0
    gaps, slopes = pair_slopes(explain, x, t, first, second, within=eps, draws=n_draws, generator=generator)
    gap, reach = gaps.mean((1, 2)), eps / 2 * slopes.mean((1, 2))
    if form != "rows":
        return ThicknessBounds(gap, gap - reach, gap + reach)
    features = torch.cat((first, second), 1)
    largest = score_rows(explain, x, t, features)[1].norm(dim=2)
    for u in ball_draws(x, eps, draws, generator=generator):
        largest = torch.maximum(largest, score_rows(explain, x + u, t, features)[1].norm(dim=2))
    a = first.shape[1]
    return ThicknessBounds(gap, gap - reach, gap + eps * (largest[:, :a].mean(1) + largest[:, a:].mean(1)))


def certified_radius(
    explain: Explain,
    x: Inputs,
    target: Target = None,
    *,
    k: SupportsIndex,
    within: SupportsFloat,
    draws: SupportsIndex = 64,
    generator: torch.Generator | None = None,
) -> PerSample:
    """The radius below which no change of the input changes the top-k set (spec 3.7), at most `within`, (n,).

    min over pairs of gap / slope, the slope taken over the ball of radius `within`. The numerator is what R2ET's gap
    term raises, the denominator what its Hessian term lowers. The supremum is sampled: an estimate. NaN where a score
    or a slope is NaN, and for a constant map, which has no top k.

    >>> explain = lambda x, target: torch.stack((3 * x[:, 0], 2 * x[:, 1]), 1)
    >>> certified_radius(explain, torch.ones(1, 2), 0, k=1, within=9)
    tensor([0.2774])
    """
    within, draws = check_positive("within", within), check_count("draws", draws)
    t = fixed_target(explain, x, target)
    first, second = _top_and_rest(explain, x, t, k)
    gaps, slopes = pair_slopes(explain, x, t, first, second, within=within, draws=draws, generator=generator)
    smallest = _ratio(gaps, slopes).amin((1, 2)).clamp_max(within)
    return smallest.masked_fill(~_ordered(explain, x, t), torch.nan)


def certified_ratio(
    explain: Explain, x: Inputs, target: Target = None, *, k: SupportsIndex, reduce: str = "min"
) -> PerSample:
    """Gap over slope at the clean input, (n,): the smallest over all pairs, or the mean over the released list.

    reduce: 'min', or 'near' for the 2k - 1 pairs that the released code lists (each of T against rank k, rank k
    against each of the next k). Infinite where the gap is locally constant; NaN as for `certified_radius`.

    >>> from robustxai.ranking import Saliency
    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> bool((certified_ratio(Saliency(net), torch.zeros(3, 6), k=2) >= 0).all())
    True
    """
    check_name("reduce", reduce, ("min", "near"))
    t = fixed_target(explain, x, target)
    first, second = _top_and_rest(explain, x, t, k)
    k, dead = first.shape[1], ~_ordered(explain, x, t)
    if reduce == "min":
        return _ratio(*pair_slopes(explain, x, t, first, second)).amin((1, 2)).masked_fill(dead, torch.nan)
    last, following = first[:, -1:], second[:, : min(k, second.shape[1])]
    ratios = [_ratio(*pair_slopes(explain, x, t, last, following)).flatten(1)]
    if k > 1:
        ratios.append(_ratio(*pair_slopes(explain, x, t, first[:, :-1], last)).flatten(1))
    return torch.cat(ratios, 1).mean(1).masked_fill(dead, torch.nan)


@torch.no_grad()
def _scores(explain: Explain, x: Tensor, target: Tensor) -> Tensor:
    return read(explain)(x, target).flatten(1)


def _ordered(explain: Explain, x: Tensor, target: Tensor) -> Tensor:
    return ordered(_scores(explain, x, target))


def _pair(
    explain: Explain, x: Tensor, target: Tensor, pair: tuple[SupportsIndex, SupportsIndex]
) -> tuple[Tensor, Tensor]:
    d = _scores(explain, x[:1], target[:1]).shape[1]
    if len(pair) != 2:
        raise ValueError(f"pair must be two features (i, j), got {pair}")
    first, second = (check_features("pair", f, len(x), d).to(x.device)[:, None] for f in pair)
    return first, second


def _top_and_rest(
    explain: Explain, x: Tensor, target: Tensor, k: SupportsIndex | None
) -> tuple[Tensor, Tensor]:
    """Features (n, k) and (n, d - k), each by falling score."""
    scores = _scores(explain, x, target)
    k = check_k(k, scores.shape[1])
    order = scores.argsort(dim=1, descending=True, stable=True)
    return order[:, :k], order[:, k:]


def _distances(rows: Tensor, a: int) -> Tensor:
    """||row_i - row_j||_2 between the first `a` rows and the others, without the cancellation of a matrix product."""
    return torch.cdist(rows[:, :a], rows[:, a:], compute_mode="donot_use_mm_for_euclid_dist")


def _ratio(gaps: Tensor, slopes: Tensor) -> Tensor:
    """Gap over slope; infinite where the gap is locally constant, 0 for a tie that is not, NaN where one of them is."""
    ratio = torch.where(slopes > 0, gaps / torch.where(slopes > 0, slopes, 1), torch.inf)
    return ratio.masked_fill(gaps.isnan() | slopes.isnan(), torch.nan)
