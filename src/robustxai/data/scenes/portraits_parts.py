"""What a portrait is made of: backdrop, body, head, lines of age, mouth, eyes, brows, glasses, as lists of
layers.

Each factor moves its own part only (a smile never narrows the eyes), so that a part's mask is the truth
about where the factor shows. Knows nothing about sampling, labels or compositing; hair is in
`portraits_hair`.
"""

import torch
from torch import Tensor

from .portraits_canvas import Colour, ColourLayer, Factors, View, egg
from .portraits_factors import blend
from .sdf import (
    Distance,
    Points,
    bcast,
    box,
    capsule,
    disc,
    move,
    points,
    rotate,
    safe_norm,
    smooth_union,
    union,
)

BACKDROPS = ((1.0, 0.76, 0.65), (1.0, 0.87, 0.58), (0.72, 0.89, 0.75), (0.62, 0.83, 0.94), (0.76, 0.74, 0.95))
CLOTHES = ((0.90, 0.36, 0.33), (0.95, 0.68, 0.24), (0.36, 0.66, 0.47), (0.13, 0.53, 0.58), (0.24, 0.29, 0.55))
SKINS = ((1.0, 0.86, 0.76), (0.97, 0.77, 0.62), (0.85, 0.62, 0.45), (0.66, 0.44, 0.30), (0.44, 0.28, 0.20))
IRISES = ((0.33, 0.19, 0.11), (0.52, 0.38, 0.16), (0.27, 0.53, 0.33), (0.20, 0.47, 0.77), (0.45, 0.55, 0.63))
EYE = (0.165, 0.03)  # centre of the right eye in the face


def mirror(p: Points) -> Points:
    """Points folded about the vertical axis, so that one shape is drawn on both sides."""
    return points(p[..., 0].abs(), p[..., 1])


def tint(colour: Colour, toward: tuple[float, float, float], share: float) -> Colour:
    """A colour moved a share of the way toward another."""
    return colour * (1 - share) + colour.new_tensor(toward) * share


def flat_colour(like: Tensor, red: float, green: float, blue: float) -> Colour:
    """The same colour for every image."""
    return like.new_tensor((red, green, blue)).expand(len(like), 3)


def arc(p: Points, x: float, y: float, w: float, bend: float, r: float) -> Distance:
    """Distance to a round-ended stroke of radius r on a parabola about (x, y), half width w, middle `bend`
    lower."""
    dx, dy = p[..., 0] - x, p[..., 1] - y
    u = dx.clamp(-w, w)
    rise = dy - bend + u * u * (bend / w**2)
    return safe_norm(dx - u, rise * torch.rsqrt(1 + u * u * (4 * bend**2 / w**4))) - r


def skin_tone(f: Factors) -> Colour:
    """Skin colour of each image."""
    return blend(f["skin"], SKINS)


def backdrop(f: Factors, v: View) -> list[ColourLayer]:
    """A plain wall with a pale disc, darker towards the bottom by `gradient`."""
    wall, p = blend(f["background"], BACKDROPS), v.image
    ramp = bcast(0.5 * f["gradient"], p) * (p[..., 1] + 1)
    pale = v.ink(disc(p, 0.0, 0.0, 0.88)) * (0.55 - 0.44 * ramp)
    return [
        ColourLayer("background", wall, torch.ones_like(ramp)),
        ColourLayer("background", wall * wall * 0.8, 0.75 * ramp),
        ColourLayer("background", tint(wall, (1.0, 1.0, 1.0), 0.6), pale),
    ]


def face_shape(f: Factors, p: Points, x: Tensor | float = 0.0, y: float = 0.0) -> Distance:
    """Outline of the head about (x, y): a round skull that runs into a narrower jaw."""
    wide = 1 + 0.07 * f["face_width"]
    return smooth_union(
        egg(p, x, y - 0.08, 0.40 * wide, 0.41), egg(p, x, y + 0.15, 0.315 * wide, 0.315), 0.16
    )


def body(f: Factors, v: View) -> list[ColourLayer]:
    """Shoulders in a jumper with a collar."""
    cloth = blend(f["clothes"], CLOTHES)
    top = v.ink(box(move(v.body, 0.0, 2.03), 0.66, 1.5, 0.36))
    seam = v.ink(capsule(mirror(v.body), 0.44, 0.80, 0.44, 1.62, 0.012))
    return [
        ColourLayer("clothes", cloth, top),
        ColourLayer("clothes", tint(cloth, (0.1, 0.05, 0.2), 0.25), top * seam),
        ColourLayer(
            "clothes", tint(cloth, (1.0, 1.0, 1.0), 0.35), v.ink(egg(v.body, 0.0, 0.515, 0.265, 0.17)) * top
        ),
    ]


def neck(f: Factors, v: View) -> list[ColourLayer]:
    """The neck, and on it the shadow of the chin."""
    skin, column = skin_tone(f), box(move(v.body, 0.0, 0.43), 0.145, 0.22, 0.05)
    shape = v.ink(smooth_union(column, egg(v.body, 0.0, 0.515, 0.205, 0.115)))
    shade = shape * v.ink(face_shape(f, v.head, y=0.085))
    return [ColourLayer("face", skin, shape), ColourLayer("face", tint(skin, (0.35, 0.1, 0.15), 0.28), shade)]


def head(f: Factors, v: View) -> list[ColourLayer]:
    """Ears and face."""
    skin = skin_tone(f)
    p = mirror(v.on_head(-0.03 * f["yaw"], 0.05))
    ears = egg(p, 0.405 + 0.028 * f["face_width"], 0.0, 0.075, 0.1)
    return [
        ColourLayer("face", skin, v.ink(ears)),
        ColourLayer("face", tint(skin, (0.45, 0.1, 0.12), 0.25), v.ink(ears + 0.042)),
        ColourLayer("face", skin, v.ink(face_shape(f, v.head, x=0.015 * f["yaw"]))),
    ]


def nose_and_cheeks(f: Factors, v: View) -> list[ColourLayer]:
    """Rosy cheeks and the tip of the nose."""
    skin = skin_tone(f)
    x = 0.03 * f["yaw"]
    tip = v.ink(egg(v.face, x, 0.135, 0.062, 0.052)) * (1 - v.ink(egg(v.face, x, 0.107, 0.066, 0.052)))
    cheek = (disc(mirror(v.face), 0.235, 0.185, 0.10) * -10).clamp_min(0)
    return [
        ColourLayer("face", tint(skin, (0.95, 0.35, 0.35), 0.38), cheek * cheek * (2.4 - 1.6 * cheek)),
        ColourLayer("face", tint(skin, (0.45, 0.1, 0.12), 0.25), tip),
    ]


def age_lines(f: Factors, v: View) -> list[ColourLayer]:
    """Forehead lines, crow's feet, bags under the eyes and folds beside the mouth."""
    m = mirror(v.face)
    lines = union(
        arc(v.face, 0.0, -0.235, 0.15, -0.022, 0.007),
        arc(v.face, 0.0, -0.295, 0.11, -0.018, 0.006),
        capsule(m, 0.285, 0.02, 0.335, -0.005, 0.007),
        capsule(m, 0.285, 0.045, 0.335, 0.06, 0.007),
        arc(m, 0.165, 0.125, 0.06, 0.022, 0.006),
        arc(rotate(move(m, 0.175, 0.225), 1.1), 0.0, 0.0, 0.075, -0.018, 0.008),
    )
    return [
        ColourLayer(
            "age_lines", tint(skin_tone(f), (0.3, 0.05, 0.1), 0.5), v.ink(lines) * bcast(f["age_lines"], m)
        )
    ]


def mouth(f: Factors, v: View) -> list[ColourLayer]:
    """Lips around the region between two parabolas that share their ends; teeth and tongue where it opens."""
    smile, gap, skin = f["smile"], f["mouth_open"], skin_tone(f)
    bend = 0.075 * smile
    p = move(v.face, 0.0, 0.285 - 0.5 * bend)
    x, y = p[..., 0], p[..., 1]
    w, up, low = bcast(0.115 + 0.03 * smile**2, p), bcast(bend - 0.030 * gap, p), bcast(bend + 0.105 * gap, p)
    u = torch.maximum(torch.minimum(x, w), -w)
    q, slope = 1 - (u / w) ** 2, 2 * u / (w * w)
    roof = y - up * q
    inner = torch.maximum(
        -roof * torch.rsqrt(1 + (up * slope) ** 2), (y - low * q) * torch.rsqrt(1 + (low * slope) ** 2)
    )
    region = safe_norm(x - u, inner.clamp_min(0)) + inner.clamp_max(0)
    opened = v.ink(region + 0.004) * bcast((gap / 0.15).clamp(0, 1), p)
    tongue = v.ink(egg(p, 0.0, bend + 0.11 * gap, 0.075, 0.045))
    return [
        ColourLayer("mouth", tint(skin * 0.62, (0.72, 0.14, 0.20), 0.6), v.ink(region - 0.017)),
        ColourLayer("mouth", flat_colour(skin, 0.36, 0.07, 0.12), opened),
        ColourLayer("mouth", flat_colour(skin, 0.90, 0.42, 0.44), opened * tongue),
        ColourLayer("mouth", flat_colour(skin, 1.0, 0.98, 0.95), opened * v.ink(roof - 0.034)),
    ]


def eyes(f: Factors, v: View) -> list[ColourLayer]:
    """Lash line, white, iris, pupil and a glint, clipped to the opening between the lids."""
    size, p = f["eye_size"], move(mirror(v.face), *EYE)
    rx, ry = 0.080 * size, 0.074 * size * f["eye_open"]
    opening = v.ink(egg(p, 0.0, 0.0, rx, ry))
    side = torch.where(v.face[..., 0] < 0, -1.0, 1.0).to(size.dtype)
    gx, gy = bcast(0.024 * f["gaze_x"], p), bcast(0.020 * f["gaze_y"] * f["eye_open"], p)
    x, y = p[..., 0] * side - gx, p[..., 1] - gy
    away = safe_norm(x, y)
    glint = safe_norm(x + 0.018, y + 0.020) - bcast(0.016 * size, x)
    return [
        ColourLayer(
            "eyes", flat_colour(size, 0.13, 0.09, 0.11), v.ink(egg(p, 0.004, -0.012, rx + 0.014, ry + 0.008))
        ),
        ColourLayer("eyes", flat_colour(size, 1.0, 0.99, 0.97), opening),
        ColourLayer("eyes", blend(f["eye_colour"], IRISES), opening * v.ink(away - bcast(0.050 * size, x))),
        ColourLayer(
            "eyes", flat_colour(size, 0.07, 0.06, 0.08), opening * v.ink(away - bcast(0.027 * size, x))
        ),
        ColourLayer("eyes", flat_colour(size, 1.0, 1.0, 1.0), opening * v.ink(glint)),
    ]


def brows(f: Factors, v: View, colour: Colour) -> list[ColourLayer]:
    """Two arched strokes above the eyes, in a darker shade of the hair."""
    p = rotate(
        move(mirror(v.face), EYE[0] + 0.005, -0.115 - 0.040 * f["brow_height"]), 0.34 * f["brow_angle"]
    )
    return [
        ColourLayer(
            "brows", tint(colour, (0.1, 0.05, 0.05), 0.35), v.ink(arc(p, 0.0, 0.0, 0.080, -0.026, 0.019))
        )
    ]


def glasses(f: Factors, v: View) -> list[ColourLayer]:
    """Round frames, bridge and arms, with faintly tinted lenses; all of it fades with the factor."""
    m, like = mirror(v.face), f["glasses"]
    p = move(m, EYE[0], EYE[1] + 0.005)
    rim = box(p, 0.130, 0.118, 0.105)
    bridge = arc(v.face, 0.0, 0.025, 0.04, -0.018, 0.013)
    frame = union(rim.abs() - 0.014, bridge, capsule(m, 0.30, 0.01, 0.37, -0.01, 0.012))
    on = bcast(like, rim)
    lens = v.ink(rim) * on
    return [
        ColourLayer("glasses", flat_colour(like, 0.80, 0.92, 1.0), 0.16 * lens),
        ColourLayer(
            "glasses",
            flat_colour(like, 1.0, 1.0, 1.0),
            0.55 * lens * v.ink(capsule(p, -0.027, -0.072, -0.073, -0.018, 0.013)),
        ),
        ColourLayer("glasses", flat_colour(like, 0.17, 0.15, 0.22), v.ink(frame) * on),
    ]
