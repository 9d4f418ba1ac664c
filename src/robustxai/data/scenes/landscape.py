"""The soft landscape behind the animals: sky, sun, clouds, hills, ground, and small things scattered over it.

A pure function of its factors; there is no hidden noise. Knows nothing about animals.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.data.scenes.sdf import pixel_coverage

from .base import FactorSpec
from .sdf import safe_norm, union

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
    """Smooth colour wheel: RGB of a hue (N,) in turns at a mean lightness and chroma."""
    thirds = torch.arange(3, device=hue.device, dtype=hue.dtype) / 3
    light, chroma = (
        torch.as_tensor(v, device=hue.device, dtype=hue.dtype).reshape(-1, 1) for v in (light, chroma)
    )
    return light + chroma * torch.cos(TURN * (hue[:, None] - thirds))


def mix_colours(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Colours (N, 3) between a and b by the per-image amount t (N,)."""
    return a + (b - a) * t[:, None]


Stack = list[tuple[Tensor, Tensor]]  # (colour (N, 3), weight (N, H, W))


def weighted_sum(layers: Stack) -> Float[Tensor, "n 3 height width"]:
    """The sum of weighted colours: one small matrix product per pixel."""
    colours = torch.stack([c for c, _ in layers], 2)
    weights = torch.stack([w for _, w in layers], 1)
    return (colours @ weights.flatten(2)).unflatten(2, weights.shape[2:])


class _View:
    """Factor columns over the pixels of an image, and the layers put so far, front to back."""

    def __init__(self, f: Mapping[str, Tensor], size: int) -> None:
        self.f, self.size, self.day = f, size, f["day"]
        day = self.day
        axis = (torch.arange(size, device=day.device, dtype=day.dtype) + 0.5) * (2 / size) - 1
        self.x, self.y = axis.expand(len(day), 1, size), axis[:, None].expand(len(day), size, 1)
        tint = wheel(0.58 + f["sky_hue"], 0.0, 0.10)
        self.zenith = (
            mix_colours(self.rgb(0.62, 0.58, 0.80), self.rgb(0.50, 0.76, 0.94), day) + tint * day[:, None]
        )
        self.glow = mix_colours(self.rgb(1.0, 0.80, 0.70), self.rgb(0.90, 0.96, 0.98), day) + 0.3 * tint
        self.light = mix_colours(self.rgb(0.90, 0.82, 0.90), self.rgb(1.0, 1.0, 1.0), day)
        self.ground = wheel(f["ground_hue"], 0.75, 0.05 + 0.09 * f["ground_tone"]) * self.light
        self.layers: Stack = []
        self.clear = torch.ones(len(day), size, size, device=day.device, dtype=day.dtype)

    def at(self, name: str) -> Tensor:
        return self.f[name].reshape(-1, 1, 1)

    def rgb(self, r: float, green: float, b: float) -> Tensor:
        return self.day.new_tensor((r, green, b)).expand(len(self.day), 3)

    def disc(self, cx: Tensor, cy: Tensor, r: float) -> Tensor:
        return safe_norm(self.x - cx, self.y - cy) - r

    def cover(self, *distances: Tensor) -> Tensor:
        return pixel_coverage(union(*distances), self.size)

    def put(self, colour: Tensor, alpha: Tensor, weight: Tensor | float = 1.0) -> None:
        """A layer takes its coverage of what the layers before it leave visible."""
        seen = self.clear * alpha
        self.clear = self.clear - seen
        self.layers.append((colour, seen * weight))


def render_landscape(
    f: Mapping[str, Tensor], size: int, *, shadow: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
) -> Float[Tensor, "n 3 size size"]:
    """The background for factor columns `f` (each (N,)), with an optional soft shadow (x, y, rx, ry)."""
    view = _View(f, size)
    _scattered(view)
    if shadow is not None:
        _shadow(view, *(v.reshape(-1, 1, 1) for v in shadow))
    _hills(view)
    _sky(view)
    view.layers.append((view.zenith, view.clear))
    return weighted_sum(view.layers)


def _scattered(view: _View) -> None:
    """Drifting leaves, flowers and pebbles."""
    x, y, at, hue = view.x, view.y, view.at, view.f["flower_hue"]
    leaves, spots, petals = [], [], []
    for i in (1, 2, 3):
        c, s = math.cos(0.7 * i), math.sin(0.7 * i)
        dx, dy = x - at(f"leaf{i}_x"), y - at(f"leaf{i}_y")
        leaves.append(safe_norm((c / 2) * dx + (s / 2) * dy, c * dy - s * dx) - 0.03)
    view.put(wheel(hue + 0.35, 0.74, 0.17), view.cover(*leaves))
    for i in (1, 2, 3):
        dx = x - at(f"flower{i}_x")
        r = safe_norm(dx, y - at(f"flower{i}_y"))
        c = dx / r
        c2 = c * c
        spots.append(r)
        petals.append(r - ((0.32 * c2 - 0.4) * c2 + 0.1) * c)  # 0.02 cos(5 angle)
    view.put(view.rgb(0.99, 0.90, 0.56), pixel_coverage(union(*spots) - 0.026, view.size))
    view.put(wheel(hue, 0.80, 0.18), pixel_coverage(union(*petals) - 0.055, view.size))
    stones = [safe_norm(0.65 * (x - at(f"pebble{i}_x")), y - at(f"pebble{i}_y")) - 0.035 for i in (1, 2, 3)]
    grey = 0.62 * view.light * view.rgb(0.62, 0.60, 0.62)
    view.put(0.35 * view.ground + grey, view.cover(*stones))


def _shadow(view: _View, sx: Tensor, sy: Tensor, rx: Tensor, ry: Tensor) -> None:
    x, y = view.x, view.y
    r2 = torch.addcmul(((x - sx) / rx) ** 2, (y - sy) / ry, (y - sy) / ry)
    t = (1.25 - r2 / 1.4).clamp(0, 1)
    view.put(0.5 * view.ground + view.rgb(0.06, 0.05, 0.10), 0.5 * t * t * (3 - 2 * t))


def _hills(view: _View) -> None:
    """The ground, the near hills and the far ones."""
    x, y, at, size = view.x, view.y, view.at, view.size
    waves = 0.03 * torch.sin(3.1 * x + 2.3 * y + at("mottle_phase"))
    near, far, height, horizon = at("near_phase"), at("far_phase"), at("hill_height"), at("horizon")
    front_line = horizon + 0.16 + 0.04 * torch.sin(2.1 * x - near + far)
    near_line = horizon + height * (0.55 * torch.sin(3.7 * x + near) - 0.1)
    far_line = horizon + height * (torch.sin(2.6 * x + far) - 1.1)
    view.put(view.ground, pixel_coverage(front_line - y, size), waves + (1.0 + 0.09 * (y - 0.2)))
    view.put(0.90 * view.ground, pixel_coverage((near_line - y) * 0.94, size))
    view.put(0.55 * view.ground + 0.43 * view.glow, pixel_coverage((far_line - y) * 0.92, size))


def _sky(view: _View) -> None:
    """Clouds, the sun with its halo, and the glow over the horizon."""
    at, day, puffs = view.at, view.day, []
    for i in ("1", "2"):
        cx, cy = at(f"cloud{i}_x"), at(f"cloud{i}_y")
        puffs += [
            view.disc(cx - 0.12, cy, 0.08), view.disc(cx, cy - 0.05, 0.115), view.disc(cx + 0.13, cy, 0.085)
        ]  # fmt: skip
    view.put(mix_colours(view.glow, view.rgb(1.0, 1.0, 1.0), 0.5 + 0.4 * day), 0.85 * view.cover(*puffs))
    warm = mix_colours(view.rgb(1.0, 0.87, 0.66), view.rgb(1.0, 0.95, 0.74), day)
    sun = view.disc(at("sun_x"), at("sun_y"), 0.0)
    view.put(warm, pixel_coverage(sun - 0.13, view.size))
    halo = (1 - sun * sun / 0.3).clamp_min(0)
    view.put(warm, 0.45 * halo * halo)
    view.put(view.glow, ((view.y + 1) / (at("horizon") + 1.1)).clamp(0, 1))
