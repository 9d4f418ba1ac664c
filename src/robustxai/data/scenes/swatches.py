"""Swatches: a texture of the menagerie in two of its colours, filling the whole image.

The images that a person would collect to show what "striped" means. Knows nothing about animals, networks
or concepts.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .base import FactorSpec, Scenes, uniform_factors
from .landscape import mix_colours
from .sdf import grid, pixel_coverage, rotate
from .textures import TEXTURES, pattern

FACTORS: tuple[FactorSpec, ...] = (
    FactorSpec("texture", 0, len(TEXTURES) - 1, "discrete", "index into TEXTURES"),
    FactorSpec("red", 0.12, 0.96, "continuous", "first colour"),
    FactorSpec("green", 0.12, 0.96, "continuous", "first colour"),
    FactorSpec("blue", 0.12, 0.96, "continuous", "first colour"),
    FactorSpec(
        "dark", 0, 1, "discrete", "second colour: 0 lighter, 1 darker; swatches() sets it by the first"
    ),
    FactorSpec("contrast", 0.75, 1.0, "continuous", "how far the second colour is from the first"),
    FactorSpec(
        "period", 0.14, 0.3, "continuous", "period of the texture, image units (the image is [-1, 1])"
    ),
    FactorSpec("phase_u", 0.0, 1.0, "continuous", "shift across the texture, in periods"),
    FactorSpec("phase_v", 0.0, 1.0, "continuous", "shift along the texture, in periods"),
    FactorSpec("angle", 0.0, math.pi, "continuous", "turn of the texture, radians"),
    FactorSpec("light_x", -0.1, 0.1, "continuous", "slope of the light to the right, per image unit"),
    FactorSpec("light_y", -0.1, 0.1, "continuous", "slope of the light down, per image unit"),
)
FACTOR_NAMES: tuple[str, ...] = tuple(s.name for s in FACTORS)
PARTS = ("texture", "ground")


def swatches(
    n: int,
    *,
    size: int = 64,
    textures: tuple[str, ...] = TEXTURES[1:],
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Scenes:
    """Draw n full-frame textures of size x size pixels; the label is the texture, as balanced as n allows.

    Raises ValueError for an unknown texture, none at all, and for n or size below 1.
    """
    if n < 1 or size < 1:
        raise ValueError(f"n and size must be integers >= 1, got {n} and {size}")
    unknown = [t for t in textures if t not in TEXTURES]
    if unknown or not textures:
        raise ValueError(f"textures must be one or more names among {', '.join(TEXTURES)}, got {textures!r}")
    factors = uniform_factors(FACTORS, n, generator=generator)
    labels = torch.arange(n, device=factors.device) % len(textures)
    labels = labels[torch.randperm(n, generator=generator, device=factors.device)]
    factors[:, 0] = torch.tensor([TEXTURES.index(t) for t in textures], device=factors.device).to(factors)[
        labels
    ]
    bright = factors[:, [FACTOR_NAMES.index(c) for c in ("red", "green", "blue")]].mean(1) > 0.5
    factors[:, FACTOR_NAMES.index("dark")] = bright.to(factors)  # so that the texture is always visible
    factors = factors.to(device=device, dtype=dtype)
    images, covered = render_swatches(factors, size)
    masks = torch.stack((covered, 1 - covered), 1)
    return Scenes(images, labels.to(device), factors, FACTOR_NAMES, masks, PARTS, textures)


def render_swatches(
    factors: Float[Tensor, "n f"], size: int
) -> tuple[Float[Tensor, "n 3 size size"], Float[Tensor, "n size size"]]:
    """Images in [0, 1] and the coverage by the second colour, differentiable in the continuous factors."""
    f = dict(zip(FACTOR_NAMES, factors.unbind(1), strict=True))
    p = grid(len(factors), size, device=factors.device, dtype=factors.dtype)
    turned = rotate(p, f["angle"])
    shape = (-1, 1, 1)
    u = turned[..., 0] / f["period"].reshape(shape) + f["phase_u"].reshape(shape)
    v = turned[..., 1] / f["period"].reshape(shape) + f["phase_v"].reshape(shape)
    kinds = factors.detach()[:, 0].round().long()
    covered = torch.zeros_like(u)
    for kind in kinds.unique().tolist():
        rows = torch.nonzero(kinds == kind)[:, 0]
        if kind:
            drawn = pixel_coverage(pattern(kind, u[rows], v[rows]), size, scale=f["period"][rows])
            covered = covered.index_copy(0, rows, drawn)
    first = torch.stack((f["red"], f["green"], f["blue"]), 1)
    light = first + (first.new_tensor((1.0, 0.97, 0.90)) - first) * 0.78
    dark = first + (first.new_tensor((0.12, 0.09, 0.16)) - first) * 0.72
    second = mix_colours(first, mix_colours(light, dark, f["dark"].round()), f["contrast"])
    flat = first[:, :, None, None] + (second - first)[:, :, None, None] * covered[:, None]
    slope = 1 + f["light_x"].reshape(shape) * p[..., 0] + f["light_y"].reshape(shape) * p[..., 1]
    return (flat * slope[:, None]).clamp(0, 1), covered
