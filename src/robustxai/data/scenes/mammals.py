"""Horse, corgi, elephant, giraffe, rabbit and cat as painted layers, from back to front."""

import torch
from torch import Tensor

from .animal_parts import PaintedShape, about, ear, hooves, legs_to, round_eye
from .sdf import Points, capsule, disc, oval, path, smooth_union, union


def horse(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    foot = 0.68 + 0.08 * leg
    h = about(p, 0.48, -0.52, 1 + 0.12 * head)
    body = smooth_union(oval(p, -0.12, 0.0, 0.5, 0.25), capsule(p, 0.2, -0.04, 0.47, -0.5, 0.2, 0.12), 0.12)
    skull = capsule(h, 0.48, -0.58, 0.76, -0.38, 0.135, 0.095)
    return [
        PaintedShape("tail", "dark", path(p, (-0.56, -0.12), (-0.74, 0.02), (-0.76, 0.36), r0=0.06, r1=0.09)),
        PaintedShape("legs", "shade", legs_to(p, (-0.3, 0.32), 0.1, foot - 0.04, 0.1, 0.065)),
        PaintedShape("legs", "dark", hooves(p, (-0.3, 0.32), foot - 0.04, 0.07)),
        PaintedShape("legs", "coat", legs_to(p, (-0.5, 0.15), 0.08, foot, 0.12, 0.068)),
        PaintedShape("legs", "dark", hooves(p, (-0.5, 0.15), foot, 0.074)),
        PaintedShape("ears", "coat", ear(h, 0.4, -0.68, 0.5, -0.7, 0.42, -0.82, 0.03)),
        PaintedShape("body", "coat", body),
        PaintedShape("trim", "dark", path(p, (0.44, -0.72), (0.27, -0.5), (0.08, -0.22), r0=0.09, r1=0.07)),
        PaintedShape("head", "coat", skull),
        PaintedShape("face", "light", torch.maximum(skull, disc(h, 0.84, -0.33, 0.2))),
        PaintedShape("face", "dark", disc(h, 0.79, -0.36, 0.025)),
        *round_eye(h, 0.55, -0.57, 0.05),
    ]


def corgi(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    foot = 0.53 + 0.05 * leg
    h = about(p, 0.5, -0.2, 1 + 0.1 * head)
    body = union(capsule(p, -0.52, 0.14, 0.34, 0.12, 0.24), capsule(p, 0.36, 0.08, 0.48, -0.15, 0.23, 0.17))
    return [
        PaintedShape("tail", "light", oval(p, -0.76, 0.0, 0.11, 0.09, -0.5)),
        PaintedShape("legs", "shade", legs_to(p, (-0.42, 0.4), 0.25, foot - 0.03, 0.09, 0.075)),
        PaintedShape("legs", "coat", legs_to(p, (-0.6, 0.22), 0.25, foot, 0.11, 0.08)),
        PaintedShape("legs", "light", hooves(p, (-0.6, 0.22), foot, 0.09)),
        PaintedShape("body", "coat", body),
        PaintedShape("trim", "light", torch.maximum(body, oval(p, 0.55, 0.22, 0.17, 0.34, 0.25))),
        PaintedShape("ears", "coat", ear(h, 0.3, -0.36, 0.46, -0.42, 0.3, -0.72, 0.06)),
        PaintedShape("ears", "coat", ear(h, 0.54, -0.4, 0.68, -0.36, 0.66, -0.72, 0.06)),
        PaintedShape("ears", "accent", ear(h, 0.35, -0.42, 0.42, -0.44, 0.33, -0.64, 0.02)),
        PaintedShape("ears", "accent", ear(h, 0.6, -0.42, 0.65, -0.42, 0.64, -0.64, 0.02)),
        PaintedShape("head", "coat", oval(h, 0.5, -0.24, 0.26, 0.22)),
        PaintedShape("face", "light", oval(h, 0.66, -0.14, 0.17, 0.12)),
        PaintedShape("face", "accent", oval(h, 0.68, -0.03, 0.05, 0.07)),
        PaintedShape("face", "dark", oval(h, 0.76, -0.2, 0.07, 0.05)),
        *round_eye(h, 0.52, -0.29, 0.055),
    ]


def elephant(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    foot = 0.6 + 0.07 * leg
    h = about(p, 0.4, -0.15, 1 + 0.07 * head)
    body = oval(p, -0.16, -0.02, 0.58, 0.43)
    trunk = path(h, (0.6, -0.1), (0.74, 0.14), (0.76, 0.38), (0.88, 0.46), r0=0.17, r1=0.065)
    return [
        PaintedShape("tail", "dark", path(p, (-0.7, -0.1), (-0.84, 0.1), (-0.82, 0.28), r0=0.03, r1=0.045)),
        PaintedShape("legs", "shade", legs_to(p, (-0.32, 0.26), 0.15, foot - 0.03, 0.15, 0.12)),
        PaintedShape("legs", "coat", legs_to(p, (-0.54, 0.04), 0.15, foot, 0.17, 0.135)),
        PaintedShape("legs", "light", hooves(p, (-0.56, 0.02), foot + 0.08, 0.06)),
        PaintedShape("body", "coat", body),
        PaintedShape("face", "white", path(h, (0.56, 0.04), (0.66, 0.22), (0.8, 0.24), r0=0.06, r1=0.03)),
        PaintedShape("head", "coat", union(disc(h, 0.46, -0.2, 0.3), trunk)),
        PaintedShape("ears", "shade", oval(h, 0.2, -0.16, 0.25, 0.34, 0.15)),
        PaintedShape("ears", "accent", oval(h, 0.2, -0.14, 0.16, 0.24, 0.15)),
        *round_eye(h, 0.56, -0.26, 0.052),
    ]


def giraffe(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    foot = 0.78 + 0.06 * leg
    h = about(p, 0.3, -0.68, 1 + 0.1 * head)
    body = smooth_union(
        oval(p, -0.14, 0.14, 0.38, 0.21), capsule(p, 0.06, 0.08, 0.27, -0.62, 0.17, 0.085), 0.12
    )
    horns = union(capsule(h, 0.24, -0.74, 0.21, -0.9, 0.025), capsule(h, 0.34, -0.76, 0.33, -0.9, 0.025))
    knobs = union(disc(h, 0.21, -0.9, 0.05), disc(h, 0.33, -0.9, 0.05))
    return [
        PaintedShape("tail", "shade", capsule(p, -0.48, 0.06, -0.6, 0.3, 0.03)),
        PaintedShape("tail", "dark", oval(p, -0.61, 0.36, 0.05, 0.09, 0.2)),
        PaintedShape("legs", "shade", legs_to(p, (-0.24, 0.2), 0.2, foot - 0.03, 0.08, 0.055)),
        PaintedShape("legs", "coat", legs_to(p, (-0.42, 0.04), 0.16, foot, 0.1, 0.058)),
        PaintedShape("legs", "dark", hooves(p, (-0.42, 0.04), foot + 0.02, 0.062)),
        PaintedShape("trim", "dark", knobs),
        PaintedShape("trim", "shade", horns),
        PaintedShape("ears", "coat", oval(h, 0.13, -0.72, 0.12, 0.055, 0.3)),
        PaintedShape("trim", "dark", path(p, (0.16, -0.6), (0.06, -0.34), (-0.06, -0.02), r0=0.045, r1=0.05)),
        PaintedShape("body", "coat", body),
        PaintedShape("head", "coat", capsule(h, 0.29, -0.7, 0.52, -0.6, 0.12, 0.09)),
        PaintedShape("face", "light", oval(h, 0.56, -0.58, 0.09, 0.085)),
        PaintedShape("face", "dark", disc(h, 0.59, -0.61, 0.02)),
        *round_eye(h, 0.35, -0.72, 0.045),
    ]


def rabbit(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    h = about(p, 0.28, -0.06, 1 + 0.08 * head)
    stretch = 0.06 * leg
    body = smooth_union(oval(p, -0.16, 0.36, 0.42, 0.36), capsule(p, 0.08, 0.3, 0.24, 0.02, 0.24, 0.2), 0.1)
    return [
        PaintedShape("tail", "white", disc(p, -0.58, 0.5, 0.15)),
        PaintedShape("ears", "shade", capsule(h, 0.36, -0.24, 0.44, -0.8, 0.07, 0.095)),
        PaintedShape("legs", "shade", capsule(p, 0.3, 0.34, 0.34 + stretch, 0.66, 0.08, 0.075)),
        PaintedShape("body", "coat", body),
        PaintedShape("legs", "coat", capsule(p, 0.18, 0.3, 0.22 + stretch, 0.68, 0.09, 0.08)),
        PaintedShape("legs", "shade", oval(p, -0.26, 0.5, 0.26, 0.22)),
        PaintedShape("legs", "light", capsule(p, -0.36, 0.7, -0.02 + stretch, 0.7, 0.085)),
        PaintedShape("ears", "coat", capsule(h, 0.22, -0.26, 0.1, -0.8, 0.08, 0.105)),
        PaintedShape("ears", "accent", capsule(h, 0.2, -0.36, 0.11, -0.78, 0.025, 0.05)),
        PaintedShape("head", "coat", oval(h, 0.3, -0.12, 0.28, 0.24)),
        PaintedShape("face", "light", oval(h, 0.45, -0.02, 0.14, 0.11)),
        PaintedShape(
            "face", "accent", union(oval(h, 0.55, -0.08, 0.045, 0.035), oval(h, 0.26, -0.01, 0.06, 0.04))
        ),
        *round_eye(h, 0.36, -0.18, 0.058),
    ]


def cat(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
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
        PaintedShape("tail", "coat", tail),
        PaintedShape("tail", "light", disc(p, -0.74, -0.14, 0.085)),
        PaintedShape("body", "coat", body),
        PaintedShape("legs", "shade", oval(p, -0.24, 0.56, 0.2, 0.2)),
        PaintedShape("trim", "light", oval(p, 0.14, 0.16, 0.13, 0.2)),
        PaintedShape("legs", "coat", paws),
        PaintedShape(
            "legs", "light", union(disc(p, 0.04 - stretch, 0.71, 0.09), disc(p, 0.27 + stretch, 0.71, 0.09))
        ),
        PaintedShape(
            "ears",
            "coat",
            union(
                ear(h, -0.12, -0.4, 0.1, -0.52, -0.12, -0.76, 0.05),
                ear(h, 0.22, -0.52, 0.44, -0.4, 0.44, -0.76, 0.05),
            ),
        ),
        PaintedShape(
            "ears",
            "accent",
            union(
                ear(h, -0.07, -0.5, 0.02, -0.54, -0.09, -0.67, 0.02),
                ear(h, 0.3, -0.54, 0.39, -0.5, 0.41, -0.67, 0.02),
            ),
        ),
        PaintedShape("head", "coat", oval(h, 0.16, -0.3, 0.36, 0.28)),
        PaintedShape("trim", "dark", brow),
        PaintedShape("face", "light", union(disc(h, 0.1, -0.17, 0.09), disc(h, 0.22, -0.17, 0.09))),
        PaintedShape("face", "dark", whiskers),
        PaintedShape("face", "accent", oval(h, 0.16, -0.23, 0.05, 0.035)),
        *round_eye(h, 0.02, -0.33, 0.06),
        *round_eye(h, 0.3, -0.33, 0.06),
    ]
