"""Ten animals as painted layers of signed distances, each inside the unit disc and facing right.

`draw(name, p, leg, head)` returns the layers from back to front. `leg` and `head` are per-image vectors in
[-1, 1] that make legs longer and the head bigger. Knows nothing about colours, textures, pose or background.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .sdf import Points, capsule, disc, ellipse, move, oval, path, smooth_union, triangle, union

ANIMALS = ("horse", "corgi", "elephant", "giraffe", "fish", "bird", "snail", "turtle", "rabbit", "cat")
PARTS = ("body", "head", "legs", "ears", "tail", "face", "trim")
ROLES = ("coat", "shade", "light", "dark", "accent", "white")


# How each drawing is fitted into the unit disc: the drawing's centre x, y, and the factor it is shrunk by.
FRAME: dict[str, tuple[float, float, float]] = {
    "horse": (0.0, 0.0, 1.02),
    "corgi": (0.0, -0.1, 1.05),
    "elephant": (0.03, 0.1, 1.07),
    "giraffe": (-0.01, 0.0, 1.06),
    "fish": (-0.02, 0.0, 1.02),
    "bird": (0.0, -0.02, 1.02),
    "snail": (0.03, 0.06, 1.06),
    "turtle": (0.0, 0.1, 1.0),
    "rabbit": (0.0, -0.08, 1.03),
    "cat": (-0.06, -0.02, 1.03),
}

# Where each animal's shadow lies: centre x, centre y and half width, in the drawing's units.
SHADOW: dict[str, tuple[float, float, float]] = {
    "horse": (-0.1, 0.74, 0.66),
    "corgi": (-0.08, 0.6, 0.72),
    "elephant": (-0.1, 0.74, 0.74),
    "giraffe": (-0.1, 0.84, 0.5),
    "fish": (0.05, 0.86, 0.6),
    "bird": (0.02, 0.78, 0.44),
    "snail": (0.0, 0.63, 0.84),
    "turtle": (-0.05, 0.6, 0.76),
    "rabbit": (-0.08, 0.76, 0.56),
    "cat": (-0.1, 0.76, 0.58),
}


class Layer(NamedTuple):
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


def eyes(p: Points, x: float, y: float, r: float) -> list[Layer]:
    """One round eye with a glint."""
    return [
        Layer("face", "dark", disc(p, x, y, r)),
        Layer("face", "white", disc(p, x + 0.35 * r, y - 0.35 * r, 0.42 * r)),
    ]


def horse(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    foot = 0.68 + 0.08 * leg
    h = about(p, 0.48, -0.52, 1 + 0.12 * head)
    body = smooth_union(oval(p, -0.12, 0.0, 0.5, 0.25), capsule(p, 0.2, -0.04, 0.47, -0.5, 0.2, 0.12), 0.12)
    skull = capsule(h, 0.48, -0.58, 0.76, -0.38, 0.135, 0.095)
    return [
        Layer("tail", "dark", path(p, (-0.56, -0.12), (-0.74, 0.02), (-0.76, 0.36), r0=0.06, r1=0.09)),
        Layer("legs", "shade", legs_to(p, (-0.3, 0.32), 0.1, foot - 0.04, 0.1, 0.065)),
        Layer("legs", "dark", hooves(p, (-0.3, 0.32), foot - 0.04, 0.07)),
        Layer("legs", "coat", legs_to(p, (-0.5, 0.15), 0.08, foot, 0.12, 0.068)),
        Layer("legs", "dark", hooves(p, (-0.5, 0.15), foot, 0.074)),
        Layer("ears", "coat", ear(h, 0.4, -0.68, 0.5, -0.7, 0.42, -0.82, 0.03)),
        Layer("body", "coat", body),
        Layer("trim", "dark", path(p, (0.44, -0.72), (0.27, -0.5), (0.08, -0.22), r0=0.09, r1=0.07)),
        Layer("head", "coat", skull),
        Layer("face", "light", torch.maximum(skull, disc(h, 0.84, -0.33, 0.2))),
        Layer("face", "dark", disc(h, 0.79, -0.36, 0.025)),
        *eyes(h, 0.55, -0.57, 0.05),
    ]


def corgi(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    foot = 0.53 + 0.05 * leg
    h = about(p, 0.5, -0.2, 1 + 0.1 * head)
    body = union(capsule(p, -0.52, 0.14, 0.34, 0.12, 0.24), capsule(p, 0.36, 0.08, 0.48, -0.15, 0.23, 0.17))
    return [
        Layer("tail", "light", oval(p, -0.76, 0.0, 0.11, 0.09, -0.5)),
        Layer("legs", "shade", legs_to(p, (-0.42, 0.4), 0.25, foot - 0.03, 0.09, 0.075)),
        Layer("legs", "coat", legs_to(p, (-0.6, 0.22), 0.25, foot, 0.11, 0.08)),
        Layer("legs", "light", hooves(p, (-0.6, 0.22), foot, 0.09)),
        Layer("body", "coat", body),
        Layer("trim", "light", torch.maximum(body, oval(p, 0.55, 0.22, 0.17, 0.34, 0.25))),
        Layer("ears", "coat", ear(h, 0.3, -0.36, 0.46, -0.42, 0.3, -0.72, 0.06)),
        Layer("ears", "coat", ear(h, 0.54, -0.4, 0.68, -0.36, 0.66, -0.72, 0.06)),
        Layer("ears", "accent", ear(h, 0.35, -0.42, 0.42, -0.44, 0.33, -0.64, 0.02)),
        Layer("ears", "accent", ear(h, 0.6, -0.42, 0.65, -0.42, 0.64, -0.64, 0.02)),
        Layer("head", "coat", oval(h, 0.5, -0.24, 0.26, 0.22)),
        Layer("face", "light", oval(h, 0.66, -0.14, 0.17, 0.12)),
        Layer("face", "accent", oval(h, 0.68, -0.03, 0.05, 0.07)),
        Layer("face", "dark", oval(h, 0.76, -0.2, 0.07, 0.05)),
        *eyes(h, 0.52, -0.29, 0.055),
    ]


def elephant(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    foot = 0.6 + 0.07 * leg
    h = about(p, 0.4, -0.15, 1 + 0.07 * head)
    body = oval(p, -0.16, -0.02, 0.58, 0.43)
    trunk = path(h, (0.6, -0.1), (0.74, 0.14), (0.76, 0.38), (0.88, 0.46), r0=0.17, r1=0.065)
    return [
        Layer("tail", "dark", path(p, (-0.7, -0.1), (-0.84, 0.1), (-0.82, 0.28), r0=0.03, r1=0.045)),
        Layer("legs", "shade", legs_to(p, (-0.32, 0.26), 0.15, foot - 0.03, 0.15, 0.12)),
        Layer("legs", "coat", legs_to(p, (-0.54, 0.04), 0.15, foot, 0.17, 0.135)),
        Layer("legs", "light", hooves(p, (-0.56, 0.02), foot + 0.08, 0.06)),
        Layer("body", "coat", body),
        Layer("face", "white", path(h, (0.56, 0.04), (0.66, 0.22), (0.8, 0.24), r0=0.06, r1=0.03)),
        Layer("head", "coat", union(disc(h, 0.46, -0.2, 0.3), trunk)),
        Layer("ears", "shade", oval(h, 0.2, -0.16, 0.25, 0.34, 0.15)),
        Layer("ears", "accent", oval(h, 0.2, -0.14, 0.16, 0.24, 0.15)),
        *eyes(h, 0.56, -0.26, 0.052),
    ]


def giraffe(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    foot = 0.78 + 0.06 * leg
    h = about(p, 0.3, -0.68, 1 + 0.1 * head)
    body = smooth_union(
        oval(p, -0.14, 0.14, 0.38, 0.21), capsule(p, 0.06, 0.08, 0.27, -0.62, 0.17, 0.085), 0.12
    )
    horns = union(capsule(h, 0.24, -0.74, 0.21, -0.9, 0.025), capsule(h, 0.34, -0.76, 0.33, -0.9, 0.025))
    knobs = union(disc(h, 0.21, -0.9, 0.05), disc(h, 0.33, -0.9, 0.05))
    return [
        Layer("tail", "shade", capsule(p, -0.48, 0.06, -0.6, 0.3, 0.03)),
        Layer("tail", "dark", oval(p, -0.61, 0.36, 0.05, 0.09, 0.2)),
        Layer("legs", "shade", legs_to(p, (-0.24, 0.2), 0.2, foot - 0.03, 0.08, 0.055)),
        Layer("legs", "coat", legs_to(p, (-0.42, 0.04), 0.16, foot, 0.1, 0.058)),
        Layer("legs", "dark", hooves(p, (-0.42, 0.04), foot + 0.02, 0.062)),
        Layer("trim", "dark", knobs),
        Layer("trim", "shade", horns),
        Layer("ears", "coat", oval(h, 0.13, -0.72, 0.12, 0.055, 0.3)),
        Layer("trim", "dark", path(p, (0.16, -0.6), (0.06, -0.34), (-0.06, -0.02), r0=0.045, r1=0.05)),
        Layer("body", "coat", body),
        Layer("head", "coat", capsule(h, 0.29, -0.7, 0.52, -0.6, 0.12, 0.09)),
        Layer("face", "light", oval(h, 0.56, -0.58, 0.09, 0.085)),
        Layer("face", "dark", disc(h, 0.59, -0.61, 0.02)),
        *eyes(h, 0.35, -0.72, 0.045),
    ]


def fish(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    reach = 1 + 0.15 * leg
    body = torch.maximum(oval(p, 0.12, 0.36, 0.78, 0.8), oval(p, 0.12, -0.36, 0.78, 0.8)) - 0.02
    gill = 0.48 - 0.07 * head
    tail = union(
        ear(p, -0.42, -0.02, -0.86, -0.4, -0.66, 0.0, 0.05), ear(p, -0.42, 0.02, -0.86, 0.4, -0.66, 0.0, 0.05)
    )
    return [
        Layer("tail", "shade", tail),
        Layer("trim", "dark", ear(p, -0.2, -0.36, 0.28, -0.38, -0.22, -0.42 - 0.18 * reach, 0.05)),
        Layer("trim", "dark", ear(p, -0.1, 0.36, 0.2, 0.38, -0.18, 0.4 + 0.12 * reach, 0.05)),
        Layer("body", "coat", body),
        Layer("head", "light", torch.maximum(body, 0.62 - disc(p, gill - 0.7, 0.0, 0.0))),
        Layer("trim", "shade", oval(p, 0.02, 0.1, 0.17, 0.1, -0.35)),
        Layer("face", "accent", oval(p, 0.74, 0.13, 0.08, 0.045, -0.5)),
        Layer("face", "white", disc(p, 0.56, -0.1, 0.12)),
        *eyes(p, 0.58, -0.1, 0.075),
    ]


def bird(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    foot = 0.72 + 0.09 * leg
    h = about(p, 0.3, -0.34, 1 + 0.12 * head)
    body = smooth_union(oval(p, -0.04, 0.1, 0.5, 0.38, -0.35), disc(p, 0.22, -0.12, 0.26), 0.1)
    shins = union(capsule(p, -0.08, 0.4, -0.04, foot, 0.03), capsule(p, 0.1, 0.4, 0.14, foot, 0.03))
    toes = union(
        capsule(p, -0.12, foot + 0.03, 0.06, foot + 0.03, 0.035),
        capsule(p, 0.06, foot + 0.03, 0.24, foot + 0.03, 0.035),
    )
    return [
        Layer("legs", "accent", union(shins, toes)),
        Layer("tail", "shade", ear(p, -0.38, 0.12, -0.84, 0.1, -0.72, 0.4, 0.05)),
        Layer("tail", "dark", ear(p, -0.38, 0.12, -0.8, 0.26, -0.62, 0.42, 0.04)),
        Layer("face", "accent", ear(h, 0.52, -0.46, 0.52, -0.28, 0.84, -0.32, 0.03)),
        Layer("body", "coat", body),
        Layer("trim", "light", torch.maximum(body, oval(p, 0.26, 0.22, 0.24, 0.34, -0.5))),
        Layer(
            "trim",
            "dark",
            path(h, (0.3, -0.6), (0.25, -0.74), (0.15, -0.81), (0.05, -0.79), r0=0.055, r1=0.04),
        ),
        Layer("head", "coat", disc(h, 0.32, -0.36, 0.28)),
        Layer(
            "trim",
            "shade",
            torch.maximum(oval(p, -0.2, 0.02, 0.38, 0.3, 0.1), -oval(p, -0.2, -0.32, 0.6, 0.3)),
        ),
        *eyes(h, 0.42, -0.42, 0.065),
    ]


def snail(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    h = about(p, 0.66, 0.1, 1 + 0.14 * head)
    reach = 0.1 * leg
    slug = union(
        capsule(p, -0.76, 0.56, 0.5, 0.52, 0.07, 0.14),
        path(p, (0.48, 0.5), (0.64, 0.36), (0.66, 0.08), r0=0.15, r1=0.13),
    )
    stalks = union(
        capsule(h, 0.6, 0.02, 0.52, -0.32 - reach, 0.035), capsule(h, 0.7, 0.02, 0.78, -0.3 - reach, 0.035)
    )
    q = move(p, -0.12, 0.0)
    d = [
        disc(p, -0.12, 0.0, 0.5),
        disc(p, -0.05, 0.04, 0.31).abs() - 0.03,
        disc(p, -0.09, 0.0, 0.14).abs() - 0.03,
    ]
    knobs = union(disc(h, 0.52, -0.34 - reach, 0.075), disc(h, 0.78, -0.32 - reach, 0.075))
    pupils = union(disc(h, 0.54, -0.34 - reach, 0.04), disc(h, 0.8, -0.32 - reach, 0.04))
    return [
        Layer("ears", "light", stalks),
        Layer("legs", "light", slug),
        Layer("head", "light", disc(h, 0.66, 0.1, 0.17)),
        Layer("body", "coat", d[0]),
        Layer("trim", "dark", torch.maximum(union(d[1], d[2]), ellipse(q, 0.5, 0.5))),
        Layer("ears", "white", knobs),
        Layer("face", "dark", pupils),
        Layer("face", "accent", disc(h, 0.66, 0.16, 0.045)),
        Layer("face", "dark", torch.maximum(disc(h, 0.74, 0.1, 0.08).abs() - 0.015, 0.13 - h[..., 1])),
    ]


def turtle(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    foot = 0.5 + 0.06 * leg
    h = about(p, 0.72, 0.0, 1 + 0.12 * head)
    dome = torch.maximum(oval(p, -0.12, 0.22, 0.6, 0.62), p[..., 1] - 0.24)
    return [
        Layer("tail", "light", ear(p, -0.6, 0.22, -0.6, 0.34, -0.86, 0.36, 0.03)),
        Layer("legs", "shade", legs_to(p, (-0.3, 0.16), 0.3, foot - 0.04, 0.1, 0.1)),
        Layer("legs", "light", legs_to(p, (-0.52, 0.34), 0.3, foot, 0.12, 0.11)),
        Layer(
            "head",
            "light",
            union(capsule(h, 0.4, 0.22, 0.7, 0.0, 0.1, 0.1), oval(h, 0.73, -0.05, 0.19, 0.16)),
        ),
        Layer("body", "coat", dome),
        Layer("trim", "dark", capsule(p, -0.68, 0.27, 0.44, 0.27, 0.075)),
        Layer("face", "dark", torch.maximum(disc(h, 0.79, -0.03, 0.1).abs() - 0.016, 0.02 - h[..., 1])),
        Layer("face", "accent", oval(h, 0.66, 0.03, 0.05, 0.035)),
        *eyes(h, 0.77, -0.11, 0.052),
    ]


def rabbit(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    h = about(p, 0.28, -0.06, 1 + 0.08 * head)
    stretch = 0.06 * leg
    body = smooth_union(oval(p, -0.16, 0.36, 0.42, 0.36), capsule(p, 0.08, 0.3, 0.24, 0.02, 0.24, 0.2), 0.1)
    return [
        Layer("tail", "white", disc(p, -0.58, 0.5, 0.15)),
        Layer("ears", "shade", capsule(h, 0.36, -0.24, 0.44, -0.8, 0.07, 0.095)),
        Layer("legs", "shade", capsule(p, 0.3, 0.34, 0.34 + stretch, 0.66, 0.08, 0.075)),
        Layer("body", "coat", body),
        Layer("legs", "coat", capsule(p, 0.18, 0.3, 0.22 + stretch, 0.68, 0.09, 0.08)),
        Layer("legs", "shade", oval(p, -0.26, 0.5, 0.26, 0.22)),
        Layer("legs", "light", capsule(p, -0.36, 0.7, -0.02 + stretch, 0.7, 0.085)),
        Layer("ears", "coat", capsule(h, 0.22, -0.26, 0.1, -0.8, 0.08, 0.105)),
        Layer("ears", "accent", capsule(h, 0.2, -0.36, 0.11, -0.78, 0.025, 0.05)),
        Layer("head", "coat", oval(h, 0.3, -0.12, 0.28, 0.24)),
        Layer("face", "light", oval(h, 0.45, -0.02, 0.14, 0.11)),
        Layer("face", "accent", union(oval(h, 0.55, -0.08, 0.045, 0.035), oval(h, 0.26, -0.01, 0.06, 0.04))),
        *eyes(h, 0.36, -0.18, 0.058),
    ]


def cat(p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    h = about(p, 0.16, -0.3, 1 + 0.08 * head)
    stretch = 0.05 * leg
    body = smooth_union(oval(p, -0.06, 0.4, 0.36, 0.36), capsule(p, 0.04, 0.3, 0.12, -0.1, 0.26, 0.19), 0.1)
    tail = path(
        p, (-0.28, 0.62), (-0.6, 0.6), (-0.74, 0.36), (-0.66, 0.08), (-0.74, -0.14), r0=0.085, r1=0.07
    )
    whiskers = union(
        *(
            capsule(h, 0.16 + 0.2 * s, -0.17, 0.16 + 0.44 * s, y, 0.014)
            for s in (-1, 1)
            for y in (-0.24, -0.13)
        )
    )
    brow = union(*(capsule(h, x, -0.55, 0.5 * (x + 0.16), -0.42, 0.026) for x in (0.06, 0.16, 0.26)))
    paws = union(
        capsule(p, 0.02, 0.3, 0.02 - stretch, 0.7, 0.085), capsule(p, 0.22, 0.28, 0.24 + stretch, 0.7, 0.085)
    )
    return [
        Layer("tail", "coat", tail),
        Layer("tail", "light", disc(p, -0.74, -0.14, 0.085)),
        Layer("body", "coat", body),
        Layer("legs", "shade", oval(p, -0.24, 0.56, 0.2, 0.2)),
        Layer("trim", "light", oval(p, 0.14, 0.16, 0.13, 0.2)),
        Layer("legs", "coat", paws),
        Layer(
            "legs", "light", union(disc(p, 0.04 - stretch, 0.71, 0.09), disc(p, 0.27 + stretch, 0.71, 0.09))
        ),
        Layer(
            "ears",
            "coat",
            union(
                ear(h, -0.12, -0.4, 0.1, -0.52, -0.12, -0.76, 0.05),
                ear(h, 0.22, -0.52, 0.44, -0.4, 0.44, -0.76, 0.05),
            ),
        ),
        Layer(
            "ears",
            "accent",
            union(
                ear(h, -0.07, -0.5, 0.02, -0.54, -0.09, -0.67, 0.02),
                ear(h, 0.3, -0.54, 0.39, -0.5, 0.41, -0.67, 0.02),
            ),
        ),
        Layer("head", "coat", oval(h, 0.16, -0.3, 0.36, 0.28)),
        Layer("trim", "dark", brow),
        Layer("face", "light", union(disc(h, 0.1, -0.17, 0.09), disc(h, 0.22, -0.17, 0.09))),
        Layer("face", "dark", whiskers),
        Layer("face", "accent", oval(h, 0.16, -0.23, 0.05, 0.035)),
        *eyes(h, 0.02, -0.33, 0.06),
        *eyes(h, 0.3, -0.33, 0.06),
    ]


def draw(name: str, p: Points, leg: Tensor, head: Tensor) -> list[Layer]:
    """The layers of an animal fitted into the unit disc, back to front; distances times FRAME[name][2]."""
    cx, cy, shrink = FRAME[name]
    return DRAW[name](p * shrink + p.new_tensor((cx, cy)), leg, head)


def shadow_of(name: str) -> tuple[float, float, float]:
    """Centre x, y and half width of an animal's shadow, in units of the disc's radius."""
    cx, cy, shrink = FRAME[name]
    x, y, width = SHADOW[name]
    return (x - cx) / shrink, (y - cy) / shrink, width / shrink


DRAW: dict[str, Callable[[Points, Tensor, Tensor], list[Layer]]] = {
    "horse": horse,
    "corgi": corgi,
    "elephant": elephant,
    "giraffe": giraffe,
    "fish": fish,
    "bird": bird,
    "snail": snail,
    "turtle": turtle,
    "rabbit": rabbit,
    "cat": cat,
}
