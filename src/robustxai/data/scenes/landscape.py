"""The soft landscape behind the animals: sky, sun, clouds, hills, ground, and small things scattered over it.

A pure function of its factors; there is no hidden noise. Knows nothing about animals.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from .base import FactorSpec
from .sdf import Points, coverage, disc, oval, safe_norm, union

TURN = 2 * math.pi


def _c(name: str, low: float, high: float, meaning: str) -> FactorSpec:
    return FactorSpec(name, low, high, "continuous", meaning)


FACTORS = (
    _c("day", 0.0, 1.0, "time of day, from dusk to noon"),
    _c("sky_hue", -0.06, 0.06, "shift of the sky's hue, in turns"),
    _c("ground_hue", 0.0, 1.0, "hue of the ground, in turns"),
    _c("ground_tone", 0.0, 1.0, "how saturated the ground is, from sand-pale to meadow"),
    _c("horizon", -0.3, 0.1, "height of the horizon, image units, down"),
    _c("hill_height", 0.05, 0.2, "height of the hills, image units"),
    _c("far_phase", 0.0, TURN, "where the far hills rise, radians"),
    _c("near_phase", 0.0, TURN, "where the near hills rise, radians"),
    _c("mottle_phase", 0.0, TURN, "phase of the low-frequency light on the ground, radians"),
    _c("sun_x", -0.9, 0.9, "sun, image units"),
    _c("sun_y", -0.9, -0.3, "sun, image units, down"),
    *(
        _c(f"cloud{i}_{a}", lo, hi, f"cloud {i}, image units")
        for i in (1, 2)
        for a, lo, hi in (("x", -0.95, 0.95), ("y", -0.92, -0.35))
    ),
    *(
        _c(f"flower{i}_{a}", lo, hi, f"flower {i}, image units")
        for i in (1, 2, 3)
        for a, lo, hi in (("x", -0.95, 0.95), ("y", 0.2, 0.92))
    ),
    _c("flower_hue", 0.0, 1.0, "hue of flowers and drifting leaves, in turns"),
    *(
        _c(f"pebble{i}_{a}", lo, hi, f"pebble {i}, image units")
        for i in (1, 2, 3)
        for a, lo, hi in (("x", -0.95, 0.95), ("y", 0.2, 0.95))
    ),
    *(
        _c(f"leaf{i}_{a}", -0.93, 0.93, f"drifting leaf {i}, image units, anywhere")
        for i in (1, 2, 3)
        for a in ("x", "y")
    ),
)


def wheel(hue: Tensor, light: Tensor | float, chroma: Tensor | float) -> Float[Tensor, "n 3"]:
    """Smooth colour wheel: RGB of a hue (N,) in turns at a mean lightness and chroma; differentiable everywhere."""
    thirds = torch.arange(3, device=hue.device, dtype=hue.dtype) / 3
    light, chroma = (
        torch.as_tensor(v, device=hue.device, dtype=hue.dtype).reshape(-1, 1) for v in (light, chroma)
    )
    return light + chroma * torch.cos(TURN * (hue[:, None] - thirds))


def mix(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Colours (N, 3) between a and b by the per-image amount t (N,)."""
    return a + (b - a) * t[:, None]


def fill(colour: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 1 1"]:
    """A colour per image, ready to be painted."""
    return colour[:, :, None, None]


def paint(image: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    """Colour (N, 3) or (N, 3, H, W) over the image with coverage (N, H, W)."""
    return torch.lerp(image, (fill(colour) if colour.ndim == 2 else colour).expand_as(image), alpha[:, None])


def render_landscape(f: Mapping[str, Tensor], p: Points, size: int) -> Float[Tensor, "n 3 size size"]:
    """The background for factor columns `f` (each (N,)) on the pixel centres `p` of a size x size image."""
    x, y = p[..., 0], p[..., 1]
    g = {
        k: f[k].reshape(-1, 1, 1)
        for k in ("horizon", "hill_height", "far_phase", "near_phase", "mottle_phase")
    }
    day, flower_hue = f["day"], f["flower_hue"]

    def rgb(r: float, green: float, b: float) -> Tensor:
        return day.new_tensor((r, green, b)).expand(len(day), 3)

    tint = wheel(0.58 + f["sky_hue"], 0.0, 0.10)
    zenith = mix(rgb(0.50, 0.44, 0.66), rgb(0.52, 0.76, 0.94), day) + tint * day[:, None]
    glow = mix(rgb(0.98, 0.76, 0.66), rgb(0.90, 0.96, 0.98), day) + 0.3 * tint
    light = mix(rgb(0.80, 0.72, 0.82), rgb(1.0, 1.0, 1.0), day)
    t = ((y + 1) / (g["horizon"] + 1.1)).clamp(0, 1)[:, None]
    image = fill(zenith) + (fill(glow) - fill(zenith)) * t

    sun = safe_norm(x - f["sun_x"].reshape(-1, 1, 1), y - f["sun_y"].reshape(-1, 1, 1))
    warm = mix(rgb(1.0, 0.86, 0.66), rgb(1.0, 0.95, 0.74), day)
    image = paint(image, warm, 0.45 * torch.exp(-(sun * sun) / 0.09))
    image = paint(image, warm, coverage(sun - 0.13, size))
    puffs = []
    for i in ("1", "2"):
        cx, cy = f[f"cloud{i}_x"], f[f"cloud{i}_y"]
        puffs += [disc(p, cx - 0.12, cy, 0.08), disc(p, cx, cy - 0.05, 0.115), disc(p, cx + 0.13, cy, 0.085)]
    image = paint(image, mix(glow, rgb(1.0, 1.0, 1.0), 0.5 + 0.4 * day), 0.85 * coverage(union(*puffs), size))

    base = wheel(f["ground_hue"], 0.72, 0.05 + 0.09 * f["ground_tone"])
    far = g["horizon"] + g["hill_height"] * (torch.sin(2.6 * x + g["far_phase"]) - 1.1)
    near = g["horizon"] + g["hill_height"] * (0.55 * torch.sin(3.7 * x + g["near_phase"]) - 0.1)
    front = g["horizon"] + 0.16 + 0.04 * torch.sin(2.1 * x - g["near_phase"] + g["far_phase"])
    image = paint(image, (0.55 * base + 0.45 * glow) * 0.97 * light, coverage((far - y) * 0.92, size))
    image = paint(image, base * 0.90 * light, coverage((near - y) * 0.94, size))
    mottle = torch.sin(3.1 * x + 2.3 * y + g["mottle_phase"]) + torch.sin(
        4.4 * y - 2.7 * x + 2 * g["mottle_phase"]
    )
    meadow = fill(base * light) * (1.0 + 0.03 * mottle + 0.09 * (y - 0.2))[:, None]
    image = paint(image, meadow, coverage(front - y, size))

    stones = union(*(oval(p, f[f"pebble{i}_x"], f[f"pebble{i}_y"], 0.055, 0.035) for i in (1, 2, 3)))
    image = paint(
        image, mix(base, rgb(0.62, 0.60, 0.62), 0.7 + 0 * day) * 0.92 * light, coverage(stones, size)
    )
    spots = [safe_norm(x - fx, y - fy) for fx, fy in _places(f, "flower")]
    petals = []
    for (fx, fy), r in zip(_places(f, "flower"), spots, strict=True):
        c = (x - fx) / r
        petals.append(r - 0.055 - 0.02 * (((16 * c * c - 20) * c * c + 5) * c))
    image = paint(image, wheel(flower_hue, 0.78, 0.20), coverage(union(*petals), size))
    image = paint(image, rgb(0.99, 0.90, 0.56), coverage(union(*spots) - 0.026, size))
    leaves = union(*(oval(p, f[f"leaf{i}_x"], f[f"leaf{i}_y"], 0.06, 0.03, 0.7 * i) for i in (1, 2, 3)))
    return paint(image, wheel(flower_hue + 0.35, 0.74, 0.17), coverage(leaves, size))


def _places(f: Mapping[str, Tensor], name: str) -> list[tuple[Tensor, Tensor]]:
    return [(f[f"{name}{i}_x"].reshape(-1, 1, 1), f[f"{name}{i}_y"].reshape(-1, 1, 1)) for i in (1, 2, 3)]
