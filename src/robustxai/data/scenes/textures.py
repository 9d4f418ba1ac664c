"""Six periodic textures as anti-aliased coverage maps in an object's own coordinates.

A texture is a periodic signed distance, negative where the second colour lies; its mean over a period hardly
depends on the resolution, so a small image is the average of a large one. Knows nothing about animals.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .sdf import safe_norm

TEXTURES = ("plain", "striped", "dotted", "honeycombed", "chequered", "zigzagged")

Map = Float[Tensor, "batch height width"]


def wave(u: Map) -> Map:
    """Triangle wave of period 1 and slope 1: from -1/4 at whole u to +1/4 half-way between."""
    return (u - torch.floor(u + 0.5)).abs() - 0.25


def striped(u: Map, v: Map) -> Map:
    """Bands across u, gently wavy, as wide as the gaps between them."""
    return wave(u + 0.12 * torch.sin(2.2 * v))


def dotted(u: Map, v: Map) -> Map:
    """Discs on a triangular lattice of spacing 1."""
    h = math.sqrt(3.0) / 2

    def lattice(x: Map, y: Map) -> Map:
        return safe_norm(x - torch.floor(x + 0.5), y - 2 * h * torch.floor(y / (2 * h) + 0.5))

    return torch.minimum(lattice(u, v), lattice(u + 0.5, v + h)) - 0.3


def honeycombed(u: Map, v: Map) -> Map:
    """The walls between hexagonal cells whose centres are 1.25 apart."""
    pitch = 1.25
    h = math.sqrt(3.0) / 2

    def to_wall(x: Map, y: Map) -> Map:
        x = (x - torch.floor(x + 0.5)).abs()
        y = (y - 2 * h * torch.floor(y / (2 * h) + 0.5)).abs()
        return 0.5 - torch.maximum(x, 0.5 * x + h * y)

    u, v = u / pitch, v / pitch
    return (torch.maximum(to_wall(u, v), to_wall(u + 0.5, v + h)) - 0.14) * pitch


def chequered(u: Map, v: Map) -> Map:
    """Squares of side 0.6, every second one filled."""
    a, b = wave(u / 1.2) * 1.2, wave(v / 1.2) * 1.2
    return torch.maximum(torch.minimum(a, b), -torch.maximum(a, b))


def zigzagged(u: Map, v: Map) -> Map:
    """Chevrons: bands along u that go up and down with slope one."""
    return wave((v + wave(u / 1.4) * 1.4) / 1.3) * 1.3 * math.sqrt(0.5)


PATTERNS: tuple[Callable[[Map, Map], Map] | None, ...] = (
    None,
    striped,
    dotted,
    honeycombed,
    chequered,
    zigzagged,
)


def pattern(kind: int, u: Map, v: Map) -> Map:
    """Periodic signed distance of texture `kind` (an index into TEXTURES, not 0) at (u, v), in periods."""
    draw = PATTERNS[kind]
    if draw is None:
        raise ValueError("kind must be in [1, 5], got 0, which is plain and has no pattern")
    return draw(u, v)
