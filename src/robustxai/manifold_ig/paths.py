"""Paths of images from a baseline to an input, points first: (points, n, *image).

Straight lines, blur paths and guided paths, and the bridges that join a path between reconstructions to the raw
images. Decoded lines are in `latent_path`, geodesics in `geodesic`.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_callable, check_count, check_name, check_number, check_positive
from robustxai.explainers.path_checks import check_curve, check_rows, check_same
from robustxai.explainers.precision import widened, widest
from robustxai.manifold_ig.sine_curves import line
from robustxai.shapes import Inputs, Path

ENDPOINTS = ("recon", "bridge", "anchor")


def straight(start: Inputs, end: Inputs, n_points: int) -> Path:
    """The straight line from `start` to `end`, both exact: the path of Integrated Gradients. 2 points or more."""
    check_rows("end", end)
    check_same("start", start, "end", end)
    check_count("n_points", n_points, 2)
    return line(start, end, n_points)


def endpoints(
    path: Path, start: Inputs, end: Inputs, mode: str = "recon", *, points: int = 1
) -> Float[Tensor, "more n *sample"]:
    """Treat the gap between a path of reconstructions and the raw images (spec 3.5).

    recon: leave the path as it is. bridge: `points` more at each end, evenly on the straight lines from
    `start` to the path and from the path to `end`. anchor: the first and last point become `start` and
    `end`. Raises ValueError for another mode, no points, or ends that are not like the images of the path.
    """
    check_name("endpoint mode", mode, ENDPOINTS)
    points = check_count("points", points)
    check_curve("path", path, kind="paths")
    for name, image in (("start", start), ("end", end)):
        check_rows(name, image)
        if image.shape != path.shape[1:]:
            raise ValueError(
                f"{name} must have the shape of the path's images, {tuple(path.shape[1:])}, got {tuple(image.shape)}"
            )
    if mode == "recon":
        return path
    if mode == "anchor":
        return torch.cat((start[None], path[1:-1], end[None]))
    return torch.cat((line(start, path[0], points + 1)[:-1], path, line(path[-1], end, points + 1)[1:]))


def gaussian_matrix(size: int, sigma: float, *, like: Tensor) -> Float[Tensor, "size size"]:
    """Gaussian smoothing of a signal of `size` numbers, zero outside, as a matrix; cut off at 4 sigma."""
    radius = int(4 * sigma + 0.5)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64, device="cpu")
    kernel = torch.exp(-0.5 * (offset / sigma).square()) if radius else torch.ones_like(offset)
    kernel = kernel / kernel.sum()
    place = torch.arange(size, device="cpu")
    apart = place[:, None] - place + radius
    inside = (apart >= 0) & (apart < len(kernel))
    return torch.where(inside, kernel[apart.clamp(0, len(kernel) - 1)], 0).to(like)


def blur(x: Float[Tensor, "n channel height width"], sigma: float) -> Float[Tensor, "n channel height width"]:
    """Gaussian blur with standard deviation `sigma` in pixels and zero padding; 0 changes nothing.

    Half precision comes out as float32: differences of blurred images would be lost in it.
    """
    x = widened(x)
    rows, columns = (gaussian_matrix(size, sigma, like=x) for size in x.shape[2:])
    return rows @ x @ columns.T


def blur_scales(sigma_max: float, n_steps: int, *, spacing: str = "linear") -> list[float]:
    """sigma_i for i = 0 ... steps from 0 to `sigma_max`: "linear" in sigma, or "sqrt", linear in sigma^2."""
    check_name("spacing", spacing, ("linear", "sqrt"))
    n_steps, sigma_max = check_count("n_steps", n_steps), check_positive("sigma_max", sigma_max)
    shares = [i / n_steps for i in range(n_steps + 1)]
    return [sigma_max * (math.sqrt(share) if spacing == "sqrt" else share) for share in shares]


def blur_path(
    x: Float[Tensor, "n channel height width"], scales: list[float]
) -> Float[Tensor, "points n channel height width"]:
    """The images blurred by each of `scales`, most blurred first: BlurIG's way from its baseline to `x`.

    In float32 for half precision. Raises ValueError for no scales or negative ones, and what are no images.
    """
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point() or not x.numel():
        raise ValueError(f"x must be images (n, c, h, w) of floats, got {_kind(x)}")
    if isinstance(scales, str) or not isinstance(scales, Sequence):
        raise ValueError(f"scales must be standard deviations, got {scales!r}")
    if not len(scales):
        raise ValueError("scales must hold one standard deviation or more, got none")
    scales = [check_number("scales", sigma) for sigma in scales]
    return torch.stack([blur(x, sigma) for sigma in sorted(scales, reverse=True)])


def guided_path(
    gradient: Callable[[Tensor], Tensor],
    start: Inputs,
    end: Inputs,
    *,
    n_steps: int = 200,
    fraction: float | int = 0.25,
    max_dist: float | int = 0.02,
) -> tuple[Path, Float[Tensor, "steps n *sample"]]:
    """The path of Guided IG (spec 3.8, item 5): features with the smallest gradients move first.

    gradient: images (n, *sample) to grad F. fraction: share of features that move at a time. max_dist: how
    far, in time, features may be from the straight line (1: unbounded). Each step spends the same L1
    distance. Returns the images (steps + 1, n, *sample) and the gradients at all but the last. Raises ValueError for
    ends that differ in shape or type, no steps, a fraction outside (0, 1] or a max_dist outside [0, 1].
    """
    check_rows("end", end)
    check_same("start", start, "end", end)
    n_steps = check_count("n_steps", n_steps)
    check_guiding(fraction, max_dist)
    check_callable("gradient", gradient)
    way = list(guided_steps(gradient, start, end, n_steps=n_steps, fraction=fraction, max_dist=max_dist))
    return torch.stack([start, *(after for _, _, after in way)]), torch.stack([slope for _, slope, _ in way])


def check_guiding(fraction: float | int, max_dist: float | int) -> None:
    """The numbers that steer a guided path."""
    check_number("fraction", fraction, high=1.0, strict=True)
    check_number("max_dist", max_dist, high=1.0)


def guided_steps(
    gradient: Callable[[Tensor], Tensor],
    start: Inputs,
    end: Inputs,
    *,
    n_steps: int,
    fraction: float | int,
    max_dist: float | int,
) -> Iterator[tuple[Inputs, Inputs, Inputs]]:
    """The steps of `guided_path` one by one: the images before, the gradient there, the images after."""
    shape, goal, origin = end.shape, end.flatten(1), start.flatten(1)
    span = goal - origin
    total = span.abs().sum(1, dtype=widest(end.device))
    x = origin.clone()
    for step in range(n_steps):
        before = x.reshape(shape)
        slope = gradient(before)
        time = (step + 1) / n_steps
        low = origin + max(time - max_dist, 0.0) * span
        high = origin + min(time + max_dist, 1.0) * span
        x = _spend(x, slope.flatten(1).abs(), low, high, goal, total * (1 - time), fraction)
        yield before, slope, x.reshape(shape)


def _spend(x, size, low, high, goal, target, fraction):
    """One step of Guided IG for all rows: move small-gradient features until the L1 distance is `target`."""
    rank = math.floor(fraction * (x.shape[1] - 1)) + 1
    up = torch.sign(high - low)
    active, wide = torch.ones(len(x), dtype=torch.bool, device=x.device), widest(x.device)
    tiny = 1e-6 * (target + (goal - x).abs().sum(1, dtype=wide))
    while active.any():
        lagging = active[:, None] & ((low - x) * up > 0)
        x = torch.where(lagging, low, x)
        left = (goal - x).abs().sum(1, dtype=wide) - target
        free = torch.where((x == high) | (up == 0), torch.inf, size)
        active &= (left > tiny) & free.isfinite().any(1)
        threshold = free.kthvalue(rank, dim=1, keepdim=True).values
        chosen = active[:, None] & free.isfinite() & (free <= threshold)
        way = torch.where(chosen, (high - x).abs(), 0).sum(1, dtype=wide)
        share = torch.where(way > 0, left / torch.where(way > 0, way, 1), torch.inf)
        whole = (share > 1)[:, None]
        x = torch.where(chosen & whole, high, x)
        x = torch.where(chosen & ~whole, x + (high - x) * share[:, None].to(x), x)
        active &= whole[:, 0]
    return x


def _kind(x: object) -> str:
    return f"shape {tuple(x.shape)} and type {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
