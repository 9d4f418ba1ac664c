"""Hair of the portraits: eight styles, each one row of shape numbers at its shortest and one at its longest.

All styles are the same few shapes (a cap over the skull with one or two openings for the face, a tuft or
knot on top, a fall of hair behind), so a new style is two rows of numbers; `hair_length` walks from the
first row to the second. Knows nothing about the face under it.
"""

import torch
from torch import Tensor

from .portraits_canvas import Colour, ColourLayer, Factors, View, egg
from .portraits_factors import HAIR_STYLES, blend
from .portraits_parts import arc, tint
from .sdf import Distance, Points, bcast, box, smooth_union, union

HAIRS = ((0.12, 0.10, 0.13), (0.27, 0.16, 0.12), (0.46, 0.25, 0.14), (0.80, 0.40, 0.16), (0.95, 0.77, 0.42))
GREY = (0.84, 0.84, 0.87)

HAIR_COLUMNS = (
    *("grow", "side"),  # cap: its thickness, how far down it reaches
    *("ox", "oy", "ow", "oh", "or", "ot"),  # first opening: centre, half sides, corner radius, turn
    *("px", "py", "pw", "ph", "pr", "pt"),  # second opening
    *("tx", "ty", "tw", "th", "tt"),  # tuft or knot: centre, radii, turn
    *(
        "bw",
        "bh",
        "by",
        "dw",
        "dy",
    ),  # behind: radii and height of the mass, width and end of the fall
    *("curl", "waves", "shade"),  # height and number of the curls; how much darker the hair behind is
)
ROUND = (0.0, 0.18, 0.335, 0.46, 0.27, 0.0)

Numbers = tuple[float, ...]


def row(
    cap: Numbers,
    first: Numbers = ROUND,
    second: Numbers | None = None,
    tuft: Numbers = (0.0, -0.2, 0.1, 0.1, 0.0),
    behind: Numbers = (0.2, 0.2, 0.0, 0.1, 0.1),
    curl: Numbers = (0.0, 12.0, 0.3),
) -> Numbers:
    """Shape numbers in the order of HAIR_COLUMNS; by default a round hairline, no tuft and nothing behind the
    head."""
    return (*cap, *first, *(second or first), *tuft, *behind, *curl)


STYLES: dict[str, tuple[Numbers, Numbers]] = {
    "buzz": (row((0.015, -0.01)), row((0.060, 0.05))),
    "side part": (
        row(
            (0.045, 0.02),
            (0.07, 0.21, 0.36, 0.42, 0.30, 0.25),
            (-0.20, 0.20, 0.17, 0.44, 0.15, -0.12),
            tuft=(0.12, -0.42, 0.26, 0.10, 0.25),
        ),
        row(
            (0.075, 0.12),
            (0.07, 0.24, 0.36, 0.42, 0.30, 0.32),
            (-0.20, 0.22, 0.16, 0.44, 0.14, -0.14),
            tuft=(0.14, -0.46, 0.30, 0.15, 0.25),
        ),
    ),
    "quiff": (
        row((0.020, -0.04), tuft=(0.02, -0.42, 0.30, 0.13, -0.12)),
        row((0.030, 0.00), tuft=(0.06, -0.50, 0.36, 0.20, -0.22)),
    ),
    "curls": (
        row((0.050, -0.02), tuft=(0.0, -0.36, 0.32, 0.14, 0.0), curl=(0.030, 22.0, 0.15)),
        row(
            (0.110, 0.12),
            (0.0, 0.22, 0.32, 0.46, 0.27, 0.0),
            tuft=(0.0, -0.42, 0.38, 0.20, 0.0),
            behind=(0.46, 0.44, -0.05, 0.1, 0.1),
            curl=(0.045, 22.0, 0.15),
        ),
    ),
    "bob": (
        row((0.060, 0.26), (0.0, 0.29, 0.325, 0.48, 0.14, 0.0), behind=(0.48, 0.47, -0.06, 0.475, 0.26)),
        row((0.085, 0.46), (0.0, 0.32, 0.315, 0.48, 0.14, 0.0), behind=(0.51, 0.50, -0.06, 0.520, 0.48)),
    ),
    "long": (
        row(
            (0.055, 0.30),
            (0.13, 0.22, 0.20, 0.56, 0.20, -0.22),
            (-0.13, 0.22, 0.20, 0.56, 0.20, 0.22),
            behind=(0.47, 0.47, -0.06, 0.46, 0.55),
        ),
        row(
            (0.075, 0.40),
            (0.13, 0.22, 0.19, 0.56, 0.19, -0.22),
            (-0.13, 0.22, 0.19, 0.56, 0.19, 0.22),
            behind=(0.50, 0.50, -0.06, 0.56, 1.10),
        ),
    ),
    "afro": (
        row((0.090, 0.05), behind=(0.56, 0.54, -0.14, 0.1, 0.1), curl=(0.022, 30.0, 0.06)),
        row((0.120, 0.12), behind=(0.74, 0.68, -0.20, 0.1, 0.1), curl=(0.028, 30.0, 0.06)),
    ),
    "bun": (
        row((0.030, 0.08), (0.0, 0.16, 0.36, 0.50, 0.34, 0.0), tuft=(0.0, -0.58, 0.13, 0.12, 0.0)),
        row((0.045, 0.12), (0.0, 0.16, 0.36, 0.50, 0.34, 0.0), tuft=(0.0, -0.64, 0.22, 0.19, 0.0)),
    ),
}


def hair_colour(f: Factors) -> Colour:
    """Colour of the hair, greyed."""
    grey = 0.92 * f["grey_hair"][:, None]
    return blend(f["hair_colour"], HAIRS) * (1 - grey) + f["skin"].new_tensor(GREY) * grey


def shape_numbers(f: Factors) -> dict[str, Tensor]:
    """The row of shape numbers of each image: its style (rounded to the nearest), walked along its length."""
    table = f["skin"].new_tensor([STYLES[name] for name in HAIR_STYLES])
    pair = table[f["hair_style"].detach().round().long().clamp(0, len(HAIR_STYLES) - 1)]
    numbers = pair[:, 0] + f["hair_length"][:, None] * (pair[:, 1] - pair[:, 0])
    return dict(zip(HAIR_COLUMNS, numbers.unbind(1), strict=True))


def curls(p: Points, s: dict[str, Tensor]) -> Distance:
    """How far curls lift the outline of a shape about the origin: half waves along the angle."""
    angle = torch.atan2(p[..., 1], p[..., 0])
    return bcast(s["curl"], p) * torch.cos(angle * bcast(s["waves"] / 2, p)).abs()


def hair_back(f: Factors, v: View) -> list[ColourLayer]:
    """The hair behind head and shoulders, a shade darker."""
    s, shift = shape_numbers(f), -0.02 * f["yaw"]
    p = v.on_head(shift, s["by"])
    mass = egg(p, 0.0, 0.0, s["bw"], s["bh"]) - curls(p, s)
    half = (s["dy"] - s["by"]) / 2
    fall = box(v.on_head(shift, s["by"] + half), s["dw"], half, torch.minimum(half, s["dw"]).clamp_max(0.14))
    shade = s["shade"][:, None]
    colour = hair_colour(f) * (1 - shade) + f["skin"].new_tensor((0.08, 0.03, 0.10)) * shade
    return [ColourLayer("hair", colour, v.ink(union(mass, fall)))]


def hair_front(f: Factors, v: View) -> list[ColourLayer]:
    """The cap over the skull with its openings for the face, the tuft, and a sheen."""
    s, yaw = shape_numbers(f), f["yaw"]
    stretch = {"wide": 1 + 0.07 * f["face_width"], "shift": 0.01 * yaw}
    p = v.on_head(0.0, -0.08, **stretch)
    below = p[..., 1] - bcast(s["side"] + 0.08, p)
    cap = torch.maximum(egg(p, 0.0, 0.0, 0.40 + s["grow"], 0.41 + s["grow"]), below)
    tuft = egg(v.on_head(s["tx"], s["ty"], s["tt"], **stretch), 0.0, 0.0, s["tw"], s["th"])
    first, second = (
        box(
            v.on_head(s[k + "x"] + 0.07 * yaw, s[k + "y"], s[k + "t"], **stretch),
            *(s[k + "w"], s[k + "h"], s[k + "r"]),
        )
        for k in "op"
    )
    outline = smooth_union(cap, tuft, 0.04) - curls(p, s)
    cover = v.ink(torch.maximum(outline, -union(first, second)))
    sheen = v.ink(arc(v.on_head(-0.04, -0.38, -0.12, **stretch), 0.0, 0.0, 0.15, -0.055, 0.020))
    colour = hair_colour(f)
    return [
        ColourLayer("hair", colour, cover),
        ColourLayer("hair", tint(colour, (1.0, 0.95, 0.9), 0.25), cover * sheen),
    ]
