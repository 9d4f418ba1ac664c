"""Signed distance functions, batched and differentiable: the alphabet of both scene worlds.

A point grid `p` has shape (N, H, W, 2), coordinates (x right, y down) in image units: the image is the square
[-1, 1]^2. Every primitive takes `p` and parameters, numbers or one per image (N,), and returns a distance
(N, H, W), negative inside.
Knows nothing about animals, faces, textures or labels.
"""

import math
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "batch height width 2"]
Distance = Float[Tensor, "batch height width"]


def grid(
    n: int, size: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Points:
    """Pixel centres of an image of `size` x `size`, shape (n, size, size, 2), coordinates in (-1, 1)."""
    c = (torch.arange(size, device=device, dtype=dtype) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(c, c, indexing="ij")
    return points(x, y).expand(n, size, size, 2)


def points(x: Tensor, y: Tensor) -> Tensor:
    """Two coordinate maps (..., H, W) as points (..., H, W, 2); x and y stay contiguous."""
    return torch.stack((x, y)).movedim(0, -1)


def bcast(value: Tensor | float, like: Tensor) -> Tensor:
    """A number or a per-image vector (N,) as a tensor that broadcasts over (N, H, W)."""
    t = torch.as_tensor(value, device=like.device, dtype=like.dtype)
    return t.reshape(-1, 1, 1) if t.ndim == 1 else t


def move(p: Points, x: Tensor | float, y: Tensor | float) -> Points:
    """Points seen from a shape whose origin is at (x, y)."""
    return points(p[..., 0] - param(x, p), p[..., 1] - param(y, p))


def rotate(p: Points, angle: Tensor | float) -> Points:
    """Points seen from a shape turned clockwise on the screen by `angle` radians."""
    a = bcast(angle, p)
    c, s = torch.cos(a), torch.sin(a)
    return points(c * p[..., 0] + s * p[..., 1], c * p[..., 1] - s * p[..., 0])


def param(value: Tensor | float, like: Tensor) -> Tensor | float:
    """A plain number as it is, a per-image vector (N,) as a tensor that broadcasts over (N, H, W)."""
    if not isinstance(value, Tensor):
        return float(value)
    return bcast(value, like)


def safe_norm(x: Tensor, y: Tensor) -> Tensor:
    """sqrt(x^2 + y^2) with a gradient that is finite at the origin; x and y broadcast."""
    return torch.sqrt(torch.addcmul(x * x, y, y) + 1e-12)


def circle(p: Points, r: Tensor | float) -> Distance:
    """Distance to a disc of radius r at the origin."""
    return safe_norm(p[..., 0], p[..., 1]) - param(r, p)


def _ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    u, v = x / rx, y / ry
    k = safe_norm(u, v)
    g = safe_norm(u / rx, v / ry)
    return k * (k - 1) / g.clamp_min(1e-6)


def ellipse(p: Points, rx: Tensor | float, ry: Tensor | float) -> Distance:
    """Approximate distance to an axis-aligned ellipse (first-order: f / |grad f|), exact on the boundary."""
    return _ellipse(p[..., 0], p[..., 1], param(rx, p), param(ry, p))


def box(p: Points, hx: Tensor | float, hy: Tensor | float, r: Tensor | float = 0.0) -> Distance:
    """Distance to a box with half sides (hx, hy) and corner radius r."""
    hx, hy, r = (param(v, p) for v in (hx, hy, r))
    qx, qy = p[..., 0].abs() - (hx - r), p[..., 1].abs() - (hy - r)
    return safe_norm(qx.clamp_min(0), qy.clamp_min(0)) + torch.maximum(qx, qy).clamp_max(0) - r


def capsule(p: Points, ax, ay, bx, by, r0: Tensor | float, r1: Tensor | float | None = None) -> Distance:
    """Distance to a thick segment from (ax, ay) to (bx, by) of radius r0 to r1 (limbs, tails, brows)."""
    ax, ay, bx, by = (param(v, p) for v in (ax, ay, bx, by))
    r0 = param(r0, p)
    px, py, dx, dy = p[..., 0] - ax, p[..., 1] - ay, bx - ax, by - ay
    length2 = dx * dx + dy * dy + 1e-12
    t = (px * (dx / length2) + py * (dy / length2)).clamp(0, 1)
    d = safe_norm(px - t * dx, py - t * dy) - r0
    return d if r1 is None else d - t * (param(r1, p) - r0)


def triangle(p: Points, ax, ay, bx, by, cx, cy) -> Distance:
    """Distance to the triangle a-b-c, vertices in either order (ears, beaks, fins)."""
    v = [(param(x, p), param(y, p)) for x, y in ((ax, ay), (bx, by), (cx, cy))]
    area = (v[1][0] - v[0][0]) * (v[2][1] - v[0][1]) - (v[1][1] - v[0][1]) * (v[2][0] - v[0][0])
    sign = torch.sign(area) if isinstance(area, Tensor) else math.copysign(1.0, area)
    edge, sides = [], []
    for (x0, y0), (x1, y1) in zip(v, v[1:] + v[:1], strict=True):
        ex, ey, wx, wy = x1 - x0, y1 - y0, p[..., 0] - x0, p[..., 1] - y0
        length2 = ex * ex + ey * ey + 1e-12
        t = (wx * (ex / length2) + wy * (ey / length2)).clamp(0, 1)
        edge.append(safe_norm(wx - t * ex, wy - t * ey))
        sides.append(wy * (sign * ex) - wx * (sign * ey))
    d = union(*edge)
    return torch.where(union(*sides) >= 0, -d, d)


def union(*d: Distance) -> Distance:
    """The nearest of several shapes."""
    return reduce(torch.minimum, d)


def smooth_union(a: Distance, b: Distance, k: float = 0.05) -> Distance:
    """Union whose joint is rounded over a width k (polynomial smooth minimum)."""
    h = (0.5 + 0.5 * (b - a) / k).clamp(0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def disc(p: Points, x: Tensor | float, y: Tensor | float, r: Tensor | float) -> Distance:
    """Distance to a disc of radius r centred at (x, y)."""
    return safe_norm(p[..., 0] - param(x, p), p[..., 1] - param(y, p)) - param(r, p)


def oval(p: Points, x, y, rx: Tensor | float, ry: Tensor | float, angle: float = 0.0) -> Distance:
    """Approximate distance to an ellipse centred at (x, y) and turned clockwise by `angle` radians."""
    dx, dy = p[..., 0] - param(x, p), p[..., 1] - param(y, p)
    if angle:
        c, s = math.cos(angle), math.sin(angle)
        dx, dy = c * dx + s * dy, c * dy - s * dx
    return _ellipse(dx, dy, param(rx, p), param(ry, p))


def path(p: Points, *knots: tuple[float | Tensor, float | Tensor], r0: float, r1: float) -> Distance:
    """Distance to a thick polyline whose radius goes from r0 to r1 (trunks, curled tails)."""
    n = len(knots) - 1
    radii = [r0 + (r1 - r0) * i / n for i in range(n + 1)]
    return union(*(capsule(p, *knots[i], *knots[i + 1], r0=radii[i], r1=radii[i + 1]) for i in range(n)))


def pixel_coverage(d: Distance, size: int, *, blur: float = 1.0, scale: Tensor | float = 1.0) -> Distance:
    """Anti-aliased coverage in [0, 1]: a smooth step two pixels wide (times `blur`) around the boundary.

    `scale` is the length, in image units, of the unit in which d is measured.
    """
    t = (0.5 - d * (param(scale, d) * (size / (4 * blur)))).clamp(0, 1)
    square = t * t
    return torch.addcmul(3 * square, square, t, value=-2)
