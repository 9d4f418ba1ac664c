"""What a portrait is made of: backdrop, body, head, lines of age, mouth, eyes, brows and glasses, each a list of layers.

A layer is one part's name, one colour per image and one coverage map; a later layer lies on top of an earlier one.
Each factor moves its own part only (a smile never narrows the eyes), so that a part's mask is the truth about where a factor shows.
Knows nothing about sampling, labels or compositing; hair is in `portraits_hair`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .portraits_factors import blend
from .sdf import (
    Distance,
    Points,
    bcast,
    box,
    capsule,
    circle,
    coverage,
    ellipse,
    move,
    points,
    rotate,
    safe_norm,
    smooth_union,
    union,
)

Colour = Float[Tensor, "batch 3"]
Factors = Mapping[str, Float[Tensor, "batch"]]

BACKDROPS = ((1.0, 0.76, 0.65), (1.0, 0.87, 0.58), (0.72, 0.89, 0.75), (0.62, 0.83, 0.94), (0.76, 0.74, 0.95))
CLOTHES = ((0.90, 0.36, 0.33), (0.95, 0.68, 0.24), (0.36, 0.66, 0.47), (0.13, 0.53, 0.58), (0.24, 0.29, 0.55))
SKINS = ((1.0, 0.86, 0.76), (0.97, 0.77, 0.62), (0.85, 0.62, 0.45), (0.66, 0.44, 0.30), (0.44, 0.28, 0.20))
IRISES = ((0.33, 0.19, 0.11), (0.52, 0.38, 0.16), (0.27, 0.53, 0.33), (0.20, 0.47, 0.77), (0.45, 0.55, 0.63))


class Layer(NamedTuple):
    """One flat colour laid over what is below with the given coverage."""

    part: str
    colour: Colour
    alpha: Distance


@dataclass(frozen=True)
class View:
    """The pixel grid seen from the body, from the head (tilted) and from the face (turned), in head units."""

    body: Points
    head: Points
    face: Points
    scale: Tensor
    size: int

    def ink(self, d: Distance) -> Distance:
        """Coverage of the shape with distance d."""
        return coverage(d * bcast(self.scale, d), self.size)


def view(f: Factors, p: Points, size: int) -> View:
    """Place the figure: x, y and scale move all of it, roll tilts the head about the neck, yaw slides and stretches the face."""
    scale = 1.1 * f["scale"]
    body = move(p, f["x"], f["y"] + 0.05) / bcast(scale, p)[..., None]
    head = move(rotate(move(body, 0.0, 0.42), f["roll"]), 0.0, -0.5)
    yaw = bcast(f["yaw"], p)
    v = head[..., 0] - 0.085 * yaw
    return View(body, head, points(v * (1 + 0.3 * yaw * v), head[..., 1]), scale, size)


def mirror(p: Points) -> Points:
    """Points folded about the vertical axis, so that one shape is drawn on both sides."""
    return points(p[..., 0].abs(), p[..., 1])


def tint(colour: Colour, toward: tuple[float, float, float], share: float) -> Colour:
    """A colour moved a share of the way toward another."""
    return colour * (1 - share) + colour.new_tensor(toward) * share


def flat(like: Tensor, red: float, green: float, blue: float) -> Colour:
    """The same colour for every image."""
    return like.new_tensor((red, green, blue)).expand(len(like), 3)


def arc(p: Points, w: Tensor | float, bend: Tensor | float, r: Tensor | float) -> Distance:
    """Distance to a round-ended stroke of radius r along a parabola of half width w whose middle lies `bend` below its ends."""
    w, bend = bcast(w, p), bcast(bend, p)
    u = torch.maximum(torch.minimum(p[..., 0], w), -w)
    slope = -2 * bend * u / (w * w)
    return safe_norm(
        p[..., 0] - u, (p[..., 1] - bend * (1 - (u / w) ** 2)) / torch.sqrt(1 + slope**2)
    ) - bcast(r, p)


def skin_tone(f: Factors) -> Colour:
    """Skin colour of each image."""
    return blend(f["skin"], SKINS)


def backdrop(f: Factors, v: View, p: Points) -> list[Layer]:
    """A plain wall with a pale disc, darker towards the bottom by `gradient`."""
    wall = blend(f["background"], BACKDROPS)
    ramp = bcast(f["gradient"], p) * (p[..., 1] + 1) / 2
    disc = coverage(circle(p, 0.88), v.size) * (1 - 0.8 * ramp) * 0.55
    return [
        Layer("background", wall, torch.ones_like(ramp)),
        Layer("background", wall * wall * 0.8, 0.75 * ramp),
        Layer("background", tint(wall, (1.0, 1.0, 1.0), 0.6), disc),
    ]


def face_shape(f: Factors, p: Points) -> Distance:
    """Outline of the head: a round skull that runs into a narrower jaw."""
    wide = bcast(1 + 0.07 * f["face_width"], p)
    q = points(p[..., 0] / wide, p[..., 1])
    return smooth_union(
        ellipse(move(q, 0.0, -0.08), 0.40, 0.41), ellipse(move(q, 0.0, 0.15), 0.315, 0.315), 0.16
    )


def body(f: Factors, v: View) -> list[Layer]:
    """Shoulders in a jumper with a collar, and the neck with the shadow of the chin."""
    cloth, skin = blend(f["clothes"], CLOTHES), skin_tone(f)
    top = v.ink(box(move(v.body, 0.0, 2.03), 0.66, 1.5, 0.36))
    neckline = move(v.body, 0.0, 0.515)
    neck = v.ink(
        smooth_union(box(move(v.body, 0.0, 0.35), 0.145, 0.3, 0.05), ellipse(neckline, 0.205, 0.115), 0.05)
    )
    chin = v.ink(face_shape(f, move(v.head, 0.0, 0.085)))
    sleeve = v.ink(box(move(mirror(v.body), 0.44, 1.21), 0.012, 0.42, 0.012))
    return [
        Layer("clothes", cloth, top),
        Layer("clothes", tint(cloth, (0.1, 0.05, 0.2), 0.25), top * sleeve),
        Layer("clothes", tint(cloth, (1.0, 1.0, 1.0), 0.35), v.ink(ellipse(neckline, 0.265, 0.17)) * top),
        Layer("face", skin, neck),
        Layer("face", tint(skin, (0.35, 0.1, 0.15), 0.28), neck * chin),
    ]


def head(f: Factors, v: View) -> list[Layer]:
    """Ears, face, rosy cheeks and the nose."""
    skin = skin_tone(f)
    shade, rose = tint(skin, (0.45, 0.1, 0.12), 0.25), tint(skin, (0.95, 0.35, 0.35), 0.38)
    yaw = f["yaw"]
    wide = bcast(1 + 0.07 * f["face_width"], v.scale.new_zeros(1, 1, 1))
    ears = move(mirror(move(v.head, -0.03 * yaw, 0.05)), 0.405 * wide[:, 0, 0], 0.0)
    nose = move(v.face, 0.03 * yaw, 0.135)
    tip = v.ink(ellipse(nose, 0.062, 0.052)) * (1 - v.ink(ellipse(move(nose, 0.0, -0.028), 0.066, 0.052)))
    skull = v.ink(face_shape(f, move(v.head, 0.015 * yaw, 0.0)))
    cheek = (1 + circle(move(mirror(v.face), 0.235, 0.185), 0.0) / -0.10).clamp_min(0)
    return [
        Layer("face", skin, v.ink(ellipse(ears, 0.075, 0.1))),
        Layer("face", shade, v.ink(ellipse(ears, 0.035, 0.055))),
        Layer("face", skin, skull),
        Layer("face", rose, (cheek * cheek * (3 - 2 * cheek)) * 0.8 * skull),
        Layer("face", shade, tip),
    ]


def age_lines(f: Factors, v: View) -> list[Layer]:
    """Forehead lines, crow's feet, bags under the eyes and folds beside the mouth."""
    m = mirror(v.face)
    lines = union(
        arc(move(v.face, 0.0, -0.235), 0.15, -0.022, 0.007),
        arc(move(v.face, 0.0, -0.295), 0.11, -0.018, 0.006),
        capsule(m, 0.285, 0.02, 0.335, -0.005, 0.008, 0.005),
        capsule(m, 0.285, 0.045, 0.335, 0.06, 0.008, 0.005),
        arc(move(m, 0.165, 0.125), 0.06, 0.022, 0.006),
        arc(rotate(move(m, 0.175, 0.225), 1.1), 0.075, -0.018, 0.008),
    )
    return [
        Layer(
            "age_lines",
            tint(skin_tone(f), (0.3, 0.05, 0.1), 0.5),
            v.ink(lines) * bcast(f["age_lines"], lines),
        )
    ]


def mouth(f: Factors, v: View) -> list[Layer]:
    """Lips around a region between two parabolas through the same corners; teeth and tongue where it opens."""
    p = move(v.face, 0.0, 0.285)
    smile, gap = f["smile"], f["mouth_open"]
    w = bcast(0.115 + 0.03 * smile * smile, p)
    bend = 0.075 * smile
    p = move(p, 0.0, -0.5 * bend)
    up, low = bcast(bend - 0.030 * gap, p), bcast(bend + 0.105 * gap, p)
    u = torch.maximum(torch.minimum(p[..., 0], w), -w)
    q, slope = 1 - (u / w) ** 2, 2 * u / (w * w)
    from_top = (up * q - p[..., 1]) / torch.sqrt(1 + (up * slope) ** 2)
    from_low = (p[..., 1] - low * q) / torch.sqrt(1 + (low * slope) ** 2)
    inner = torch.maximum(from_top, from_low)
    region = safe_norm(p[..., 0] - u, inner.clamp_min(0)) + inner.clamp_max(0)
    lips, open_ = v.ink(region - 0.017), v.ink(region + 0.004) * bcast((gap / 0.15).clamp(0, 1), p)
    skin = skin_tone(f)
    teeth = v.ink(p[..., 1] - up * q - 0.034)
    tongue = v.ink(ellipse(move(p, 0.0, bend + 0.11 * gap), 0.075, 0.045))
    return [
        Layer("mouth", tint(skin * 0.62, (0.72, 0.14, 0.20), 0.6), lips),
        Layer("mouth", flat(skin, 0.36, 0.07, 0.12), open_),
        Layer("mouth", flat(skin, 0.90, 0.42, 0.44), open_ * tongue),
        Layer("mouth", flat(skin, 1.0, 0.98, 0.95), open_ * teeth),
    ]


EYE = (0.165, 0.03)


def eyes(f: Factors, v: View) -> list[Layer]:
    """Lash line, white, iris, pupil and a glint, clipped to the opening between the lids."""
    p = move(mirror(v.face), *EYE)
    size = f["eye_size"]
    rx, ry = 0.080 * size, 0.074 * size * f["eye_open"]
    opening = v.ink(ellipse(p, rx, ry))
    side = torch.where(v.face[..., 0] < 0, -1.0, 1.0)
    gx, gy = bcast(0.024 * f["gaze_x"], p), bcast(0.020 * f["gaze_y"] * f["eye_open"], p)
    ball = points(p[..., 0] - gx * side, p[..., 1] - gy)
    glint = points(ball[..., 0] * side + 0.018, ball[..., 1] + 0.020)
    return [
        Layer(
            "eyes",
            flat(size, 0.13, 0.09, 0.11),
            v.ink(ellipse(move(p, 0.004, -0.012), rx + 0.014, ry + 0.008)),
        ),
        Layer("eyes", flat(size, 1.0, 0.99, 0.97), opening),
        Layer("eyes", blend(f["eye_colour"], IRISES), opening * v.ink(circle(ball, 0.050 * size))),
        Layer("eyes", flat(size, 0.07, 0.06, 0.08), opening * v.ink(circle(ball, 0.027 * size))),
        Layer("eyes", flat(size, 1.0, 1.0, 1.0), opening * v.ink(circle(glint, 0.016 * size))),
    ]


def brows(f: Factors, v: View, colour: Colour) -> list[Layer]:
    """Two arched strokes above the eyes, in a darker shade of the hair."""
    p = rotate(
        move(mirror(v.face), EYE[0] + 0.005, -0.115 - 0.040 * f["brow_height"]), 0.34 * f["brow_angle"]
    )
    return [Layer("brows", tint(colour, (0.1, 0.05, 0.05), 0.35), v.ink(arc(p, 0.080, -0.026, 0.019)))]


def glasses(f: Factors, v: View) -> list[Layer]:
    """Round frames, bridge and arms, with faintly tinted lenses; all of it fades with the factor."""
    m = mirror(v.face)
    p = move(m, EYE[0], EYE[1] + 0.005)
    rim = box(p, 0.130, 0.118, 0.105)
    frame = union(
        rim.abs() - 0.014,
        arc(move(v.face, 0.0, 0.025), 0.04, -0.018, 0.013),
        capsule(m, 0.30, 0.01, 0.37, -0.01, 0.012),
    )
    on = bcast(f["glasses"], rim)
    lens = v.ink(rim) * on
    glint = v.ink(capsule(rotate(move(p, 0.05, -0.045), 0.7), 0.0, -0.035, 0.0, 0.035, 0.013))
    return [
        Layer("glasses", flat(f["glasses"], 0.80, 0.92, 1.0), 0.16 * lens),
        Layer("glasses", flat(f["glasses"], 1.0, 1.0, 1.0), 0.55 * lens * glint),
        Layer("glasses", flat(f["glasses"], 0.17, 0.15, 0.22), v.ink(frame) * on),
    ]
