"""Thickness as hardness of attack (spec 4.7): how many steps of a given length until the top-k set breaks.

The attacker lowers several gaps at once. Either their sum (the ranking attack), or along the common descent
direction, the shortest convex combination of their gradients, which lowers all of them; where that combination is
zero no direction does (a Pareto-critical point). No trajectory shorter than the certified radius can break the set.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, SupportsFloat, SupportsIndex

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from robustxai.attacks.following import warn_unfollowed
from robustxai.attacks.validation import check_perturb
from robustxai.checks import (
    as_target,
    check_batch,
    check_count,
    check_floats,
    check_k,
    check_name,
    check_positive,
)
from robustxai.explainers.gradient import Saliency
from robustxai.explainers.input_gradient import same_class
from robustxai.explainers.reduce import read
from robustxai.metrics.perturbation import derivative, per_sample, unit
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.ranking.certified import score_rows
from robustxai.ranking.gaps import pair_weights
from robustxai.ranking.stability import precision_at_k
from robustxai.ranking.thickness import ordered
from robustxai.shapes import Explain, Inputs, PerSample, Target

BREAK_DIRECTIONS = ("sum", "common")


class Break(NamedTuple):
    """When the top-k set first changed. `iterations` (n,): steps taken, the limit where it held (censored: see
    `broken`). `length` (n,): distance travelled by then. `stuck`: no direction to go, or no ranking to break, because
    the map is constant or not finite; such samples say nothing.

    >>> explain = lambda x, target: torch.stack((1 + x[:, 0], 1.35 + 0 * x[:, 1]), 1)
    >>> net = torch.nn.Linear(2, 2)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> iterations_to_break(net, torch.tensor([[0.97, 0.0]]), 0, k=1, step=0.1, explain=explain).iterations
    tensor([7])
    """

    iterations: Int[Tensor, " n"]
    length: PerSample
    broken: Bool[Tensor, " n"]
    stuck: Bool[Tensor, " n"]


def min_norm_weights(gradients: Float[Tensor, "n p inputs"]) -> Float[Tensor, "n p"]:
    """Weights on the simplex that minimise ||sum_p l_p g_p||_2, for p gradients of each sample, p at most 10.

    Exact: for every subset of the gradients the stationary point of its face is one (p + 1) x (p + 1) system, all
    solved at once; the best feasible one is the answer. NaN for a sample whose gradients are not finite.

    >>> min_norm_weights(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    tensor([[0.5000, 0.5000]])
    """
    check_floats("gradients", gradients)
    if gradients.ndim != 3 or 0 in gradients.shape[1:]:
        raise ValueError(f"gradients must be (n, p, inputs), not empty, got shape {tuple(gradients.shape)}")
    n, p, _ = gradients.shape
    if p > 10:
        raise ValueError(f"gradients must hold at most 10 of them for each sample, got {p}")
    bad = ~torch.isfinite(gradients).flatten(1).all(1, keepdim=True)
    top = gradients.flatten(1).abs().amax(1)
    g = gradients / per_sample(torch.where(top > 0, top, 1), gradients)
    gram = g @ g.transpose(1, 2)
    codes = torch.arange(1, 2**p, device=g.device)[:, None] >> torch.arange(p, device=g.device)
    inside = (codes & 1).to(g)
    # rows of features outside the subset say l = 0; the last row says that the weights sum to 1
    system = g.new_zeros(n, len(inside), p + 1, p + 1)
    system[..., :p, :p] = inside[:, :, None] * gram[:, None] + torch.diag_embed(1 - inside)
    system[..., :p, p], system[..., p, :p] = inside, 1
    right = g.new_zeros(n, len(inside), p + 1, 1)
    right[..., p, 0] = 1
    weights = torch.linalg.solve_ex(system, right)[0][..., :p, 0]
    weights = (
        weights.nan_to_num(0, 0, 0).clamp_min(0) * inside
    )  # a face without a stationary point gives anything
    total = weights.sum(2, keepdim=True)
    weights = torch.where(
        total > 0, weights / torch.where(total > 0, total, 1), inside / inside.sum(1, keepdim=True)
    )
    value = torch.einsum("nsp,npq,nsq->ns", weights, gram, weights)
    best = value.argmin(1)[:, None, None].expand(n, 1, p)
    return weights.gather(1, best)[:, 0].masked_fill(bad, torch.nan)


def _check_index(name: str, index: object, n: int, d: int) -> None:
    """Features (n, p) in [0, d)."""
    good = isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 2 and len(index) == n
    if (
        not isinstance(index, Tensor)
        or not good
        or not index.numel()
        or bool(((index < 0) | (index >= d)).any())
    ):
        raise ValueError(f"{name} must be features (n, p) in [0, {d}), one row for each of the {n} inputs")


def common_descent(
    explain: Explain,
    x: Inputs,
    target: Int[Tensor, " n"],
    first: Int[Tensor, "n p"],
    second: Int[Tensor, "n p"],
) -> Inputs:
    """The direction d = -sum_p l_p grad h_p that lowers every gap h_p = I_first - I_second; zero if none does.

    >>> x, target = torch.tensor([[2.0, 1.0]]), torch.tensor([0])
    >>> common_descent(lambda v, t: v, x, target, torch.tensor([[0]]), torch.tensor([[1]]))
    tensor([[-1.,  1.]])
    """
    check_batch("x", x)
    for name, index in (("first", first), ("second", second)):
        _check_index(name, index, len(x), x[0].numel())
    p = first.shape[1]
    _, rows = score_rows(explain, x, target, torch.cat((first, second), 1))
    gradients = rows[:, :p] - rows[:, p:]
    return -(min_norm_weights(gradients)[:, None] @ gradients)[:, 0].reshape(x.shape)


def iterations_to_break(
    model: Network,
    x: Inputs,
    target: Target = None,
    *,
    k: SupportsIndex,
    step: SupportsFloat,
    max_steps: SupportsIndex = 200,
    direction: str = "sum",
    n_pairs: SupportsIndex = 2,
    explain: Explain | None = None,
) -> Break:
    """Steps of l2 length `step` until the top-k set differs from the clean one, the prediction kept.

    direction: 'sum' follows the gradient of the sum of all gaps; 'common' lowers together the gaps of the `n_pairs`
    smallest of the clean top k against the `n_pairs` largest of the rest (n_pairs^2 gaps, n_pairs at most 3). A step
    that flips the prediction is undone and the sample's step halved. `step` sets the resolution: choose it well below
    the distances of interest. UserWarning where explain has no graph to x; ValueError for arguments out of range.
    9 parameters, as both directions of the paper are there.

    >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> iterations_to_break(net, torch.zeros(3, 6), k=2, step=0.1, max_steps=5).iterations.shape
    torch.Size([3])
    """
    check_perturb(model, x, None)
    check_name("direction", direction, BREAK_DIRECTIONS)
    size, max_steps = check_positive("step", step), check_count("max_steps", max_steps)
    explain = Saliency(model) if explain is None else explain  # pyright: ignore[reportArgumentType]
    scores, linked = read(explain), False
    with torch.inference_mode(False):
        x = x.detach().clone()
        with torch.no_grad():
            t, label = as_target(target, logits := logits_of(model, x)), predicted(logits)
            clean = scores(x, t).flatten(1)
        k = check_k(k, clean.shape[1])
        gaps = _sum_of_gaps if direction == "sum" else _all_gaps
        pull = gaps(explain, t, clean, k, check_count("n_pairs", n_pairs))
        size = x.new_full((len(x),), size)
        length, iterations = torch.zeros_like(size), torch.zeros_like(t)
        broken, stuck = torch.zeros_like(t, dtype=torch.bool), ~ordered(clean)
        for _ in range(max_steps):
            d, has_graph = pull(x)
            linked = linked or has_graph
            stuck = stuck | (~broken & (d == 0).flatten(1).all(1))
            going = ~broken & ~stuck
            if not going.any():
                break
            with torch.no_grad():
                candidate = x + per_sample(size, x) * unit(d)
                same = same_class(logits_of(model, candidate), label)
                forward = going & same
                x = torch.where(per_sample(forward, x), candidate, x)
                length = torch.where(forward, length + size, length)
                size = torch.where(same, size, size / 2)
                iterations += going
                kept = precision_at_k(clean, scores(x, t).flatten(1), k)
            broken = broken | (forward & (kept < 1))
            stuck = stuck | (forward & kept.isnan())
    if not linked:
        warn_unfollowed()
    return Break(torch.where(broken | stuck, iterations, max_steps), length, broken, stuck)


def iteration_bound(radius: Float[Tensor, " n"], step: SupportsFloat) -> Int[Tensor, " n"]:
    """The fewest steps of length `step` that can leave a ball of the certified radius, (n,): ceil(radius / step).

    ValueError for a radius that is negative or not finite: a number of steps cannot be NaN.

    >>> iteration_bound(torch.tensor([0.0, 0.25]), 0.1)
    tensor([0, 3])
    """
    step = check_positive("step", step)
    check_floats("radius", radius)
    if radius.ndim != 1 or not bool((radius.isfinite() & (radius >= 0)).all()):
        raise ValueError(
            "radius must be finite numbers >= 0 of shape (n,); leave out samples without a certificate"
        )
    return torch.tensor([math.ceil(r / step - 1e-9) for r in radius.tolist()], device=radius.device)


Pull = Callable[[Tensor], tuple[Tensor, bool]]
"""From inputs to the direction that lowers the gaps, zero where none does, and whether it has a graph at all."""


def _sum_of_gaps(explain: Explain, t: Tensor, clean: Tensor, k: int, n_pairs: int) -> Pull:
    scores, weights = read(explain), pair_weights(clean, k=k)

    def pull(x: Tensor) -> tuple[Tensor, bool]:
        found = derivative(lambda v: (scores(v, t).flatten(1) * weights).sum(1), x)
        return -found.gradient, found.linked

    return pull


def _all_gaps(explain: Explain, t: Tensor, clean: Tensor, k: int, n_pairs: int) -> Pull:
    """Of the m^2 pairs between ranks k-m+1..k and k+1..k+m, m = n_pairs or as many as there are."""
    m = min(n_pairs, k, clean.shape[1] - k)
    order = clean.topk(k + m).indices
    pairs = order[:, k - m : k].repeat_interleave(m, 1), order[:, k:].repeat(1, m)

    def pull(x: Tensor) -> tuple[Tensor, bool]:
        d = common_descent(explain, x, t, *pairs)  # refuses what has no graph
        return torch.where(torch.isfinite(d), d, 0), True

    return pull
