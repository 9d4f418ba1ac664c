"""Fish, bird, snail and turtle as painted layers, from back to front."""

import torch
from torch import Tensor

from .animal_parts import PaintedShape, about, ear, legs_to, round_eye
from .sdf import Points, capsule, disc, ellipse, move, oval, path, smooth_union, union


def fish(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    reach = 1 + 0.15 * leg
    body = torch.maximum(oval(p, 0.12, 0.36, 0.78, 0.8), oval(p, 0.12, -0.36, 0.78, 0.8)) - 0.02
    gill = 0.48 - 0.07 * head
    tail = union(
        ear(p, -0.42, -0.02, -0.86, -0.4, -0.66, 0.0, 0.05), ear(p, -0.42, 0.02, -0.86, 0.4, -0.66, 0.0, 0.05)
    )
    return [
        PaintedShape("tail", "shade", tail),
        PaintedShape("trim", "dark", ear(p, -0.2, -0.36, 0.28, -0.38, -0.22, -0.42 - 0.18 * reach, 0.05)),
        PaintedShape("trim", "dark", ear(p, -0.1, 0.36, 0.2, 0.38, -0.18, 0.4 + 0.12 * reach, 0.05)),
        PaintedShape("body", "coat", body),
        PaintedShape("head", "light", torch.maximum(body, 0.62 - disc(p, gill - 0.7, 0.0, 0.0))),
        PaintedShape("trim", "shade", oval(p, 0.02, 0.1, 0.17, 0.1, -0.35)),
        PaintedShape("face", "accent", oval(p, 0.74, 0.13, 0.08, 0.045, -0.5)),
        PaintedShape("face", "white", disc(p, 0.56, -0.1, 0.12)),
        *round_eye(p, 0.58, -0.1, 0.075),
    ]


def bird(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    foot = 0.72 + 0.09 * leg
    h = about(p, 0.3, -0.34, 1 + 0.12 * head)
    body = smooth_union(oval(p, -0.04, 0.1, 0.5, 0.38, -0.35), disc(p, 0.22, -0.12, 0.26), 0.1)
    shins = union(capsule(p, -0.08, 0.4, -0.04, foot, 0.03), capsule(p, 0.1, 0.4, 0.14, foot, 0.03))
    toes = union(
        capsule(p, -0.12, foot + 0.03, 0.06, foot + 0.03, 0.035),
        capsule(p, 0.06, foot + 0.03, 0.24, foot + 0.03, 0.035),
    )
    return [
        PaintedShape("legs", "accent", union(shins, toes)),
        PaintedShape("tail", "shade", ear(p, -0.38, 0.12, -0.84, 0.1, -0.72, 0.4, 0.05)),
        PaintedShape("tail", "dark", ear(p, -0.38, 0.12, -0.8, 0.26, -0.62, 0.42, 0.04)),
        PaintedShape("face", "accent", ear(h, 0.52, -0.46, 0.52, -0.28, 0.84, -0.32, 0.03)),
        PaintedShape("body", "coat", body),
        PaintedShape("trim", "light", torch.maximum(body, oval(p, 0.26, 0.22, 0.24, 0.34, -0.5))),
        PaintedShape(
            "trim",
            "dark",
            path(h, (0.3, -0.6), (0.25, -0.74), (0.15, -0.81), (0.05, -0.79), r0=0.055, r1=0.04),
        ),
        PaintedShape("head", "coat", disc(h, 0.32, -0.36, 0.28)),
        PaintedShape(
            "trim",
            "shade",
            torch.maximum(oval(p, -0.2, 0.02, 0.38, 0.3, 0.1), -oval(p, -0.2, -0.32, 0.6, 0.3)),
        ),
        *round_eye(h, 0.42, -0.42, 0.065),
    ]


def snail(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
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
        PaintedShape("ears", "light", stalks),
        PaintedShape("legs", "light", slug),
        PaintedShape("head", "light", disc(h, 0.66, 0.1, 0.17)),
        PaintedShape("body", "coat", d[0]),
        PaintedShape("trim", "dark", torch.maximum(union(d[1], d[2]), ellipse(q, 0.5, 0.5))),
        PaintedShape("ears", "white", knobs),
        PaintedShape("face", "dark", pupils),
        PaintedShape("face", "accent", disc(h, 0.66, 0.16, 0.045)),
        PaintedShape("face", "dark", torch.maximum(disc(h, 0.74, 0.1, 0.08).abs() - 0.015, 0.13 - h[..., 1])),
    ]


def turtle(p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    foot = 0.5 + 0.06 * leg
    h = about(p, 0.72, 0.0, 1 + 0.12 * head)
    dome = torch.maximum(oval(p, -0.12, 0.22, 0.6, 0.62), p[..., 1] - 0.24)
    return [
        PaintedShape("tail", "light", ear(p, -0.6, 0.22, -0.6, 0.34, -0.86, 0.36, 0.03)),
        PaintedShape("legs", "shade", legs_to(p, (-0.3, 0.16), 0.3, foot - 0.04, 0.1, 0.1)),
        PaintedShape("legs", "light", legs_to(p, (-0.52, 0.34), 0.3, foot, 0.12, 0.11)),
        PaintedShape(
            "head",
            "light",
            union(capsule(h, 0.4, 0.22, 0.7, 0.0, 0.1, 0.1), oval(h, 0.73, -0.05, 0.19, 0.16)),
        ),
        PaintedShape("body", "coat", dome),
        PaintedShape("trim", "dark", capsule(p, -0.68, 0.27, 0.44, 0.27, 0.075)),
        PaintedShape(
            "face", "dark", torch.maximum(disc(h, 0.79, -0.03, 0.1).abs() - 0.016, 0.02 - h[..., 1])
        ),
        PaintedShape("face", "accent", oval(h, 0.66, 0.03, 0.05, 0.035)),
        *round_eye(h, 0.77, -0.11, 0.052),
    ]
