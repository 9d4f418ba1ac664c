"""Attribution along a path of images: sums of classifier gradients times displacements.

Every form is one sum, sum_p weight_p * grad F(point_p), elementwise: the forms differ in points and weights (see
`quadrature_rules`). Half precision is added up in float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import as_target, check_count, check_finite
from robustxai.eval_mode import check_calm
from robustxai.explainers.first_layer import Segment, entered
from robustxai.explainers.gradient_steadiness import Turning
from robustxai.explainers.input_gradient import score_and_gradient
from robustxai.explainers.path_checks import check_curve, check_rows, check_same
from robustxai.explainers.precision import widened
from robustxai.explainers.quadrature_rules import nodes
from robustxai.models import Network, logits_of
from robustxai.scores.explained import check_score
from robustxai.shapes import Nodes, Path, Target


class Integral(NamedTuple):
    """values: attributions (n, *sample). scores: F at the points whose gradients were taken, (points, n).
    noise: mean of 1 - cos between neighbouring gradients (n,), see `Turning`; None if off or with a graph.
    """

    values: Float[Tensor, " n *sample"]
    scores: Float[Tensor, "points n"]
    noise: Float[Tensor, " n"] | None = None


def accumulated(
    model: Network,
    images: Path,
    target: Target = None,
    score: str = "logit",
    *,
    batch_size: int | None = None,
) -> Float[Tensor, "points n *sample"]:
    """The attribution gathered from the start of the path to each of its points (form A, trapezoid rule).

    target: the class, or one for each path; None for the one predicted where the path ends. batch_size: most
    points in a pass of the model; None for all at once. Raises ValueError for fewer than 2 points, another number of
    targets than paths, a class or score that is not there, or a network in training mode.
    """
    check_curve("images", images, kind="paths")
    check_finite("images", images)
    index, size = _checked(model, images[-1], target, score, batch_size)
    flat, classes = images.flatten(0, 1), index.repeat(len(images))
    parts = [
        score_and_gradient(model, flat[cut], classes[cut], score)[1].detach()
        for cut in _cuts(len(flat), size or len(flat))
    ]
    slopes = torch.cat(parts).reshape(images.shape)
    pieces = (slopes[1:] + slopes[:-1]) / 2 * images.diff(dim=0)
    return torch.cat((torch.zeros_like(pieces[:1]), pieces.cumsum(0)))


def weighted_gradients(
    model: Network,
    points: Nodes,
    weights: Nodes,
    target: Target = None,
    *,
    score: str = "logit",
    batch_size: int | None = None,
    steady: bool = False,
) -> Integral:
    """sum_p weights_p * grad F(points_p), with at most `batch_size` points in a pass of the model.

    No graph is kept unless the points or weights carry one (an attack differentiates the attribution). target: the
    class, or one for each path; None for the one predicted at the last point. steady: with the noise of the gradients,
    which takes a tenth of the time of a small network. Raises ValueError for weights of another shape than the points,
    and as `accumulated`.
    """
    check_curve("points", points, least=1)
    check_finite("weights", weights, "weights")
    if weights.shape != points.shape:
        raise ValueError(
            f"weights must have the shape of points, {tuple(points.shape)}, got {tuple(weights.shape)}"
        )
    index, size = _checked(model, points[-1], target, score, batch_size)
    return node_integral(model, points, weights, index, score=score, batch_size=size, steady=steady)


def node_integral(
    model: Network, points: Tensor, weights: Tensor, target: Tensor, **options: Any
) -> Integral:
    """`weighted_gradients` of what is checked already."""
    part = lambda times, rows: (points[times, rows], weights[times, rows])  # noqa: E731
    return made_gradients(model, part, len(points), target, **options)


def made_gradients(
    model: Network,
    part: Callable[[slice, slice], tuple[Tensor, Tensor]],
    times: int,
    target: Int[Tensor, " n"],
    *,
    score: str = "logit",
    batch_size: int | None = None,
    steady: bool = False,
) -> Integral:
    """As `weighted_gradients`, with points and weights that are made as they are needed, never all at once.

    part: from a slice of the `times` points of each path, and one of the samples, to these points and their weights.
    """
    size = batch_size or times * len(target)

    def some(rows: slice) -> Integral:
        own = lambda cut: part(cut, rows)  # noqa: E731
        return _summed(model, own, times, target[rows], score, size, steady)

    return _joined([some(rows) for rows in _cuts(len(target), size)])


def straight_integral(
    model: Network,
    start: Float[Tensor, " n *sample"],
    end: Float[Tensor, " n *sample"],
    target: Target = None,
    *,
    n_steps: int = 50,
    rule: str = "midpoint",
    score: str = "logit",
    batch_size: int | None = None,
    steady: bool = False,
) -> Integral:
    """(end - start) * sum_p w_p grad F(start + t_p (end - start)): Integrated Gradients (spec 3.8, item 1).

    The points are made in passes of at most `batch_size`, never all at once; behind the network's first layer
    where that is the same (see `entered`), unless `steady` needs the gradients of single points. rule: "midpoint",
    "left", "right", "trapezoid" (n_steps + 1 points of total weight 1), "released" (as left) or "gausslegendre".

    target: the class, or one for each sample; None for the one predicted at `end`. 9 parameters, as a line has two
    ends and everything else is that of `IntegratedGradients`. Raises ValueError for ends of different shapes or types,
    another rule, no steps, and as `accumulated`.
    """
    check_rows("end", end)
    check_same("start", start, "end", end)
    index, size = _checked(model, end, target, score, batch_size)
    return line_integral(
        model, start, end, index, n_steps=n_steps, rule=rule, score=score, batch_size=size, steady=steady
    )


def line_integral(
    model: Network,
    start: Tensor,
    end: Tensor,
    target: Tensor,
    *,
    n_steps: int,
    rule: str,
    score: str,
    batch_size: int | None,
    steady: bool = False,
) -> Integral:
    """`straight_integral` of what is checked already; 9 parameters, as that has."""
    t, w = (v.to(widened(end)) for v in nodes(n_steps, rule))
    size = batch_size or len(t) * len(end)

    def some(cut: slice) -> Integral:
        path = (Segment if steady else entered)(model, start[cut], end[cut])
        own_t, own_w = (v.view(-1, *[1] * path.end.ndim) for v in (t, w))
        ends = widened(path.start), widened(path.end)
        part = lambda times: (torch.lerp(*ends, own_t[times]).to(path.end), own_w[times])  # noqa: E731
        found = _summed(path.model, part, len(t), target[cut], score, size, steady)
        return found._replace(values=(end[cut] - start[cut]) * path.pull(found.values))

    few = max(1, size // min(len(t), 8))  # paths at a time, as their ends and their sum stay in memory
    return _joined([some(cut) for cut in _cuts(len(end), few)])


def _checked(
    model: Network, x: Tensor, target: Target, score: str, batch_size: int | None
) -> tuple[Tensor, int | None]:
    """The classes of samples x, and the size of a pass; ValueError as the public functions say."""
    check_calm("model", model)
    check_score("score", score)
    size = None if batch_size is None else check_count("batch_size", batch_size)
    check_finite("x", x)
    return as_target(target, logits_of(model, x[:1].detach()).detach().expand(len(x), -1)), size


def _summed(
    model: Network,
    part: Callable[[slice], tuple[Tensor, Tensor]],
    times: int,
    target: Tensor,
    score: str,
    size: int,
    steady: bool,
) -> Integral:
    """sum_p weight_p * grad F(point_p) of some samples; `part` makes the points and weights of a pass."""
    total, scores, turning, kind = torch.zeros((), device="cpu"), [], Turning(steady), None
    for cut in _cuts(times, max(1, size // len(target))):
        points, weights = part(cut)
        f, slopes = score_and_gradient(model, points.flatten(0, 1), target.repeat(len(points)), score)
        slopes, kind = widened(slopes.reshape(points.shape)), points.dtype
        turning.see(slopes)
        total = sum(map(torch.mul, weights, slopes), total)  # in memory, one product at a time
        scores.append(f.reshape(points.shape[:2]))
        del points, slopes  # not beside those of the next pass
    return Integral(total.to(kind), torch.cat(scores), turning.mean())


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(i, i + size) for i in range(0, n, size)]


def _joined(parts: list[Integral]) -> Integral:
    values, scores, noise = zip(*parts, strict=True)
    seen = [one for one in noise if one is not None]
    return Integral(
        torch.cat(values), torch.cat(scores, 1), torch.cat(seen) if len(seen) == len(noise) else None
    )
