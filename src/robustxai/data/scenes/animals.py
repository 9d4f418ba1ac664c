"""Ten animals as painted layers of signed distances, each inside the unit disc and facing right.

`draw_animal(name, p, leg, head)` returns the layers from back to front. `leg` and `head` are per-image vectors in
[-1, 1] that make legs longer and the head bigger. Knows nothing about colours, textures, pose or background.
"""

from collections.abc import Callable

from torch import Tensor

from .animal_parts import PaintedShape
from .mammals import cat, corgi, elephant, giraffe, horse, rabbit
from .other_animals import bird, fish, snail, turtle
from .sdf import Points

ANIMALS = ("horse", "corgi", "elephant", "giraffe", "fish", "bird", "snail", "turtle", "rabbit", "cat")
ANIMAL_PARTS = ("body", "head", "legs", "ears", "tail", "face", "trim")

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


def draw_animal(name: str, p: Points, leg: Tensor, head: Tensor) -> list[PaintedShape]:
    """The layers of an animal fitted into the unit disc, back to front; distances times FRAME[name][2]."""
    cx, cy, shrink = FRAME[name]
    return DRAW[name](p * shrink + p.new_tensor((cx, cy)), leg, head)


def shadow_of(name: str) -> tuple[float, float, float]:
    """Centre x, y and half width of an animal's shadow, in units of the disc's radius."""
    cx, cy, shrink = FRAME[name]
    x, y, width = SHADOW[name]
    return (x - cx) / shrink, (y - cy) / shrink, width / shrink


DRAW: dict[str, Callable[[Points, Tensor, Tensor], list[PaintedShape]]] = {
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
