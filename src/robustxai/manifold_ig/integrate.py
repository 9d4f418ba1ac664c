"""Attribution along a path of images: sums of classifier gradients times displacements.

Every form is one sum, sum_p weight_p * grad F(point_p), elementwise: the forms differ in points and weights.
Form A is the paper's integral ("midpoint", "trapezoid", "left"), form B what the released code computes
("released"). Knows nothing about where the path comes from.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.manifold_ig.entrance import Segment, entered
from robustxai.manifold_ig.explained import class_scores
from robustxai.manifold_ig.turning import Turning

Model = Callable[[Tensor], Tensor]
Images = Float[Tensor, "points n *sample"]
Nodes = Float[Tensor, "nodes n *sample"]
RULES = ("midpoint", "trapezoid", "left", "released")


class Integral(NamedTuple):
    """values: attributions (n, *sample). scores: F at the points whose gradients were taken, (points, n).
    noise: mean of 1 - cos between neighbouring gradients (n,), see `Turning`; None where nobody asked or with a graph.
    """

    values: Float[Tensor, " n *sample"]
    scores: Float[Tensor, "points n"]
    noise: Float[Tensor, " n"] | None = None


def quadrature(images: Images, rule: str = "midpoint") -> tuple[Nodes, Nodes]:
    """Points and weights of a rule on the path `images` y_0 ... y_N, with delta_i = y_{i+1} - y_i.

    midpoint: grad F((y_i + y_{i+1})/2) * delta_i. trapezoid: (grad F(y_i) + grad F(y_{i+1}))/2 * delta_i.
    left: grad F(y_i) * delta_i. released (form B): (y_N - y_0) * mean_i grad F(y_i), which is an integral
    only for straight paths of constant speed (spec 3.6). Raises ValueError for another rule or one point.
    """
    if len(images) < 2:
        raise ValueError(f"images has {len(images)} point; accepted are paths of 2 points or more")
    delta = images.diff(dim=0)
    if rule == "midpoint":
        return (images[1:] + images[:-1]) / 2, delta
    if rule == "left":
        return images[:-1], delta
    if rule == "trapezoid":
        edge = torch.zeros_like(delta[:1])
        return images, (torch.cat((edge, delta)) + torch.cat((delta, edge))) / 2
    if rule == "released":
        return images, ((images[-1:] - images[:1]) / len(images)).expand_as(images)
    raise ValueError(f"rule is {rule!r}; accepted are {', '.join(RULES)}")


def gradients(
    model: Model, x: Float[Tensor, " n *sample"], target: Int[Tensor, " n"], score: str = "logit"
) -> tuple[Float[Tensor, " n *sample"], Float[Tensor, " n"]]:
    """grad F and F at each sample. Attached to the graph of `x` when `x` has one and gradients are on."""
    attached = torch.is_grad_enabled() and x.requires_grad
    with torch.inference_mode(False), torch.enable_grad():
        if not attached:
            x = (x.clone() if x.is_inference() else x).detach().requires_grad_()
        f = class_scores(model(x), target, score)
        gradient = torch.autograd.grad(f.sum(), x, create_graph=attached, materialize_grads=True)[0]
    return gradient, f if attached else f.detach()


def accumulated(
    model: Model,
    images: Images,
    target: Int[Tensor, " n"],
    score: str = "logit",
    *,
    internal_batch_size: int | None = None,
) -> Float[Tensor, "points n *sample"]:
    """The attribution gathered from the start of the path to each of its points (form A, trapezoid rule).

    internal_batch_size: most points in a pass of the model; None for all at once.
    """
    flat, classes = images.flatten(0, 1), target.repeat(len(images))
    parts = [
        gradients(model, flat[cut], classes[cut], score)[0].detach()
        for cut in _cuts(len(flat), internal_batch_size or len(flat))
    ]
    slope = torch.cat(parts).reshape(images.shape)
    pieces = (slope[1:] + slope[:-1]) / 2 * images.diff(dim=0)
    return torch.cat((torch.zeros_like(pieces[:1]), pieces.cumsum(0)))


def weighted_gradients(
    model: Model,
    points: Nodes,
    weights: Nodes,
    target: Int[Tensor, " n"],
    *,
    score: str = "logit",
    internal_batch_size: int | None = None,
    steady: bool = False,
) -> Integral:
    """sum_p weights_p * grad F(points_p), with at most `internal_batch_size` points in a pass of the model.

    No graph is kept unless the points or weights carry one (an attack differentiates the attribution). steady: with
    the noise of the gradients, which takes a tenth of the time of a small network.
    """
    part = lambda times, rows: (points[times, rows], weights[times, rows])  # noqa: E731
    return made_gradients(
        model, part, len(points), target, score=score, internal_batch_size=internal_batch_size, steady=steady
    )


def made_gradients(
    model: Model,
    part: Callable[[slice, slice], tuple[Tensor, Tensor]],
    times: int,
    target: Int[Tensor, " n"],
    *,
    score: str = "logit",
    internal_batch_size: int | None = None,
    steady: bool = False,
) -> Integral:
    """As `weighted_gradients`, with points and weights that are made as they are asked for, never all at once.

    part: from a slice of the `times` points of each path, and one of the samples, to these points and their weights.
    """
    size = internal_batch_size or times * len(target)

    def some(rows: slice) -> Integral:
        own = lambda cut: part(cut, rows)  # noqa: E731
        return _summed(model, own, times, target[rows], score, size, steady)

    return _joined([some(rows) for rows in _cuts(len(target), size)])


def straight_integral(
    model: Model,
    start: Float[Tensor, " n *sample"],
    end: Float[Tensor, " n *sample"],
    target: Int[Tensor, " n"],
    *,
    steps: int = 50,
    rule: str = "midpoint",
    score: str = "logit",
    internal_batch_size: int | None = None,
    steady: bool = False,
) -> Integral:
    """(end - start) * sum_p w_p grad F(start + t_p (end - start)): Integrated Gradients (spec 3.8, item 1).

    The points are made in passes of at most `internal_batch_size`, never all at once; behind the network's first layer
    where that is the same (see `entered`), unless `steady` asks for the gradients of single points. rule: "midpoint",
    "left", "right", "trapezoid" (steps + 1 points of total weight 1), "released" (as left) or "gausslegendre".
    """
    t, w = (torch.as_tensor(v).to(end) for v in nodes(steps, rule))
    size = internal_batch_size or len(t) * len(end)

    def some(cut: slice) -> Integral:
        path = (Segment if steady else entered)(model, start[cut], end[cut])
        own_t, own_w = (v.view(-1, *[1] * path.end.ndim) for v in (t, w))
        part = lambda times: (torch.lerp(path.start, path.end, own_t[times]), own_w[times])  # noqa: E731
        found = _summed(path.model, part, len(t), target[cut], score, size, steady)
        return found._replace(values=(end[cut] - start[cut]) * path.pull(found.values))

    few = max(1, size // min(len(t), 8))  # paths at a time, as their ends and their sum stay in memory
    return _joined([some(cut) for cut in _cuts(len(end), few)])


def _summed(
    model: Model,
    part: Callable[[slice], tuple[Tensor, Tensor]],
    times: int,
    target: Tensor,
    score: str,
    size: int,
    steady: bool,
) -> Integral:
    """sum_p weight_p * grad F(point_p) of some samples; `part` makes the points and weights of a pass."""
    total, scores, turning = torch.zeros(()), [], Turning(steady)
    for cut in _cuts(times, max(1, size // len(target))):
        points, weights = part(cut)
        slope, f = gradients(model, points.flatten(0, 1), target.repeat(len(points)), score)
        slope = slope.reshape(points.shape)
        turning.see(slope)
        total = sum(map(torch.mul, weights, slope), total)  # in memory, one product at a time
        scores.append(f.reshape(points.shape[:2]))
        del points, slope  # not beside those of the next pass
    return Integral(total, torch.cat(scores), turning.mean())


def nodes(steps: int, rule: str) -> tuple[Tensor, Tensor]:
    """Times in [0, 1] and weights of sum 1 of a rule for straight paths, float64."""
    i = torch.arange(steps, dtype=torch.float64)
    even = torch.full((steps,), 1 / steps, dtype=torch.float64)
    if rule == "trapezoid":
        w = torch.full((steps + 1,), 1 / steps, dtype=torch.float64)
        w[[0, -1]] /= 2
        return torch.arange(steps + 1, dtype=torch.float64) / steps, w
    if rule == "gausslegendre":
        import numpy as np

        t, w = np.polynomial.legendre.leggauss(steps)
        return torch.from_numpy((t + 1) / 2), torch.from_numpy(w / 2)
    shifts = {"midpoint": 0.5, "left": 0.0, "released": 0.0, "right": 1.0}
    if rule not in shifts:
        raise ValueError(f"rule is {rule!r}; accepted are {', '.join(shifts)}, trapezoid and gausslegendre")
    return (i + shifts[rule]) / steps, even


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(i, i + size) for i in range(0, n, size)]


def _joined(parts: list[Integral]) -> Integral:
    values, scores, noise = zip(*parts, strict=True)
    seen = [one for one in noise if one is not None]
    return Integral(
        torch.cat(values), torch.cat(scores, 1), torch.cat(seen) if len(seen) == len(noise) else None
    )
