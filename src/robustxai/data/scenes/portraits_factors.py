"""The factors of the portraits world: one table, and how a labelled, perhaps confounded, sample of them is
drawn.

A factor vector is a row of numbers in the order of `FACTORS`. Continuous factors are uniform on their range;
a factor that is the label or the confounder is drawn in two halves, with an empty margin around the middle.
Knows nothing about pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .base import FactorSpec

HAIR_STYLES = ("buzz", "side part", "quiff", "curls", "bob", "long", "afro", "bun")


@dataclass(frozen=True)
class Factor(FactorSpec):
    """One column of the factor table, with the names of its lower and upper half for when it is a label."""

    classes: tuple[str, str]


FACTORS: tuple[Factor, ...] = (
    Factor("smile", -1.0, 1.0, "continuous", "curvature of the mouth", ("frown", "smile")),
    Factor("mouth_open", 0.0, 1.0, "continuous", "opening of the mouth", ("mouth closed", "mouth open")),
    Factor("eye_open", 0.2, 1.0, "continuous", "opening of the eyelids", ("eyes narrow", "eyes wide")),
    Factor("eye_size", 0.8, 1.25, "continuous", "size of the eyes, 1 = usual", ("small eyes", "large eyes")),
    Factor("eye_colour", 0.0, 1.0, "continuous", "brown over green to blue", ("brown eyes", "blue eyes")),
    Factor("gaze_x", -1.0, 1.0, "continuous", "gaze, left to right", ("looks left", "looks right")),
    Factor("gaze_y", -1.0, 1.0, "continuous", "gaze, up to down", ("looks up", "looks down")),
    Factor("brow_height", -1.0, 1.0, "continuous", "height of the brows", ("brows low", "brows high")),
    Factor("brow_angle", -1.0, 1.0, "continuous", "stern to worried brows", ("stern", "worried")),
    Factor("glasses", 0.0, 1.0, "discrete", "see-through between 0 and 1", ("no glasses", "glasses")),
    Factor("hair_style", 0.0, 7.0, "discrete", ", ".join(HAIR_STYLES), ("short hair", "full hair")),
    Factor("hair_length", 0.0, 1.0, "continuous", "length or volume of the style", ("trimmed", "grown")),
    Factor("hair_colour", 0.0, 1.0, "continuous", "black over ginger to blond", ("dark hair", "fair hair")),
    Factor("grey_hair", 0.0, 1.0, "continuous", "grey in hair and brows", ("hair coloured", "hair grey")),
    Factor("skin", 0.0, 1.0, "continuous", "skin tone, light to dark", ("light skin", "dark skin")),
    Factor("age_lines", 0.0, 1.0, "continuous", "strength of the lines of age", ("smooth", "lined")),
    Factor("face_width", -1.0, 1.0, "continuous", "width of the face", ("narrow face", "wide face")),
    Factor("x", -0.12, 0.12, "continuous", "shift to the right, half images", ("left", "right")),
    Factor("y", -0.08, 0.12, "continuous", "shift down, half images", ("high", "low")),
    Factor("scale", 0.88, 1.12, "continuous", "size of the figure, 1 = usual", ("far", "near")),
    Factor("roll", -0.25, 0.25, "continuous", "tilt of the head, radians", ("tilts left", "tilts right")),
    Factor("yaw", -1.0, 1.0, "continuous", "turn of the head", ("turns left", "turns right")),
    Factor("background", 0.0, 1.0, "continuous", "hue of the backdrop", ("warm backdrop", "cool backdrop")),
    Factor("gradient", 0.0, 1.0, "continuous", "darker backdrop below", ("even backdrop", "graded backdrop")),
    Factor("clothes", 0.0, 1.0, "continuous", "hue of the clothes", ("warm clothes", "cool clothes")),
)

FACTOR_NAMES: tuple[str, ...] = tuple(f.name for f in FACTORS)


def factor(name: str, *, argument: str = "label") -> Factor:
    """The table row called `name`; ValueError names the accepted ones."""
    if name not in FACTOR_NAMES:
        raise ValueError(f"{argument} must be one of {', '.join(FACTOR_NAMES)}, got {name!r}")
    return FACTORS[FACTOR_NAMES.index(name)]


def within(row: Factor, u: Tensor, half: Tensor, margin: float) -> Tensor:
    """Uniform draws u in [0, 1) sent to the lower (half 0) or upper (1) half of a range, `margin` off its
    middle."""
    if row.kind == "discrete":
        count = (row.high - row.low + 1) / 2
        return row.low + (u * count).floor() + half * count
    radius = (row.high - row.low) / 2
    side = 2 * half.to(u.dtype) - 1
    return (row.low + row.high) / 2 + side * radius * (margin + (1 - margin) * u)


def sample_factors(
    n: int,
    *,
    label: str = "smile",
    confounder: str | None = None,
    correlation: float = 0.0,
    margin: float = 0.2,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "n f"], Int64[Tensor, " n"]]:
    """Draw n factor vectors (float64, on the generator's device) and their balanced binary labels.

    Arguments are those of `portraits`; raises ValueError on an unknown factor, a confounder that is the
    label, or a number out of range.
    """
    factor(label)
    if confounder is not None:
        factor(confounder, argument="confounder")
    if label == confounder:
        raise ValueError(f"confounder must be another factor than the label, got {confounder!r} for both")
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation must be in [-1, 1], got {correlation}")
    if confounder is None and correlation != 0:
        raise ValueError(
            f"correlation must be 0 without a confounder, got {correlation}; name one factor other than the label"
        )
    if not 0 <= margin < 1:
        raise ValueError(f"margin must be in [0, 1), got {margin}")
    if n < 1:
        raise ValueError(f"n must be an integer >= 1, got {n}")
    device = "cpu" if generator is None else generator.device
    u = torch.rand(n, len(FACTORS), 2, generator=generator, device=device, dtype=torch.float64)
    coin = torch.rand(n, generator=generator, device=device, dtype=torch.float64)
    half = (u[..., 0] < 0.5).long()
    target = half[:, FACTOR_NAMES.index(label)]
    if (
        confounder is not None
    ):  # agree with the label with probability (1 + phi) / 2: both balanced, correlation phi
        half[:, FACTOR_NAMES.index(confounder)] = torch.where(
            coin < (1 + correlation) / 2, target, 1 - target
        )
    columns = [
        within(row, u[:, i, 1], half[:, i], margin if row.name in (label, confounder) else 0.0)
        for i, row in enumerate(FACTORS)
    ]
    return torch.stack(columns, 1), target


def blend(
    position: Float[Tensor, " n"], colours: Sequence[tuple[float, float, float]]
) -> Float[Tensor, "n 3"]:
    """Smooth walk through a palette: position 0 is near the first colour, 1 near the last; no kinks on the
    way."""
    table = position.new_tensor(colours)
    knots = torch.linspace(0, 1, len(table), device=position.device, dtype=position.dtype)
    return torch.softmax(-(((position[:, None] - knots) * 2 * (len(table) - 1)) ** 2), 1) @ table
