"""Shapes that several animals share: a painted layer, ears, legs, hooves, eyes."""

from typing import NamedTuple

from torch import Tensor

from .sdf import Points, capsule, disc, triangle, union


class PaintedShape(NamedTuple):
    """One painted shape: the part it belongs to, the role of its colour, its signed distance."""

    part: str
    role: str
    distance: Tensor


def ear(p: Points, ax, ay, bx, by, cx, cy, r: float = 0.04) -> Tensor:
    """A triangle with corners rounded by r."""
    return triangle(p, ax, ay, bx, by, cx, cy) - r


def about(p: Points, x: float, y: float, factor: Tensor) -> Points:
    """Points seen from a copy enlarged by `factor` about (x, y); distances on it are in enlarged units."""
    zoom = (1 / factor).reshape(-1, 1, 1, 1)
    return p * zoom + p.new_tensor((x, y)) * (1 - zoom)


def legs_to(p: Points, xs: tuple[float, ...], top: float, foot: Tensor, r0: float, r1: float) -> Tensor:
    """Straight legs hanging from height `top` at each x down to `foot`."""
    return union(*(capsule(p, x, top, x, foot, r0, r1) for x in xs))


def hooves(p: Points, xs: tuple[float, ...], foot: Tensor, r: float) -> Tensor:
    """Feet at the end of such legs."""
    return union(*(capsule(p, x, foot, x + 0.03, foot, r) for x in xs))


def round_eye(p: Points, x: float, y: float, r: float) -> list[PaintedShape]:
    """One round eye with a glint."""
    return [
        PaintedShape("face", "dark", disc(p, x, y, r)),
        PaintedShape("face", "white", disc(p, x + 0.35 * r, y - 0.35 * r, 0.42 * r)),
    ]
