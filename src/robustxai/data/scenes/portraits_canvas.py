"""Where portraits are rendered: the figure's coordinates inside tight pixel windows, and the compositing of
flat layers.

A part that covers a tenth of the image is drawn in a tenth of its pixels. Layers are composited front to
back, so that the weight of a layer in a pixel is also its share of the masks. Knows nothing about what the
layers show.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .sdf import Distance, Points, bcast, param, pixel_coverage, points

Colour = Float[Tensor, "batch 3"]
Factors = Mapping[str, Tensor]

FIGURE = 1.1  # size of the figure at scale 1
DROP = 0.05  # it sits this much below the middle of the image
NECK_HEIGHT = 0.42  # the head turns about this height of the body
HEAD = -0.5  # centre of the head above the neck
TURN, STRETCH = 0.085, 0.3  # how far yaw slides the face, how much it stretches the near side


class Box(NamedTuple):
    """A box that a part never leaves: centre and half sides in the coordinates of body, head or face."""

    x: float
    y: float
    half_x: float
    half_y: float
    frame: Literal["body", "head", "face"] = "face"


class ColourLayer(NamedTuple):
    """One flat colour laid over what is below with the given coverage."""

    part: str
    colour: Colour
    alpha: Distance


class View:
    """A window of pixels seen from the body, from the (tilted) head and from the (turned) face, in figure
    units."""

    def __init__(self, f: Factors, size: int, columns: Tensor, rows: Tensor, pixels: Tensor | None) -> None:
        self.f, self.size, self.pixels = (
            f,
            size,
            pixels,
        )  # pixels: flat numbers (N, h * w); None for the whole image
        self.scale = FIGURE * f["scale"]
        self.px = ((columns.to(self.scale.dtype) + 0.5) * (2 / size) - 1)[:, None, :]
        self.py = ((rows.to(self.scale.dtype) + 0.5) * (2 / size) - 1)[:, :, None]
        self.bx = (self.px - bcast(f["x"], self.px)) / bcast(self.scale, self.px)
        self.by = (self.py - bcast(f["y"] + DROP, self.py)) / bcast(self.scale, self.py)

    @cached_property
    def image(self) -> Points:
        """Image coordinates."""
        return points(*torch.broadcast_tensors(self.px, self.py))

    @cached_property
    def body(self) -> Points:
        """Upright coordinates that move with the figure."""
        return points(*torch.broadcast_tensors(self.bx, self.by))

    @cached_property
    def head(self) -> Points:
        """Coordinates of the head, tilted about the neck."""
        roll = bcast(self.f["roll"], self.px)
        c, s = torch.cos(roll), torch.sin(roll)
        return points(
            c * self.bx + s * (self.by - NECK_HEIGHT), c * (self.by - NECK_HEIGHT) - HEAD - s * self.bx
        )

    @cached_property
    def face(self) -> Points:
        """Coordinates of the face, turned with the head."""
        yaw = bcast(self.f["yaw"], self.px)
        v = self.head[..., 0] - TURN * yaw
        return points(v + STRETCH * yaw * v * v, self.head[..., 1])

    def on_head(
        self,
        x: Tensor | float,
        y: Tensor | float,
        turn: Tensor | float = 0.0,
        *,
        wide: Tensor | float = 1.0,
        shift: Tensor | float = 0.0,
    ) -> Points:
        """Points seen from a shape at (x, y) on a head stretched by `wide` about `shift`, turned clockwise.

        The same as `rotate(move(...))` of the head's points, but one affine map of the pixels: a third of the work.
        """
        x, y, turn, wide, shift = (torch.as_tensor(v).to(self.scale) for v in (x, y, turn, wide, shift))
        c, s, ct, st = *(g(self.f["roll"]) for g in (torch.cos, torch.sin)), torch.cos(turn), torch.sin(turn)
        dx, dy = shift / wide + x, HEAD + y
        by = self.by - NECK_HEIGHT

        def coordinate(along: Tensor, down: Tensor, offset: Tensor) -> Tensor:
            return bcast(along, by) * self.bx + (bcast(down, by) * by + bcast(offset, by))

        return points(
            coordinate(ct * c / wide - st * s, ct * s / wide + st * c, -ct * dx - st * dy),
            coordinate(-ct * s - st * c / wide, ct * c - st * s / wide, st * dx - ct * dy),
        )

    def ink(self, d: Distance) -> Distance:
        """Coverage of the shape with distance d, given in figure units."""
        return pixel_coverage(d, self.size, scale=self.scale)


def egg(p: Points, x: Tensor | float, y: Tensor | float, rx: Tensor | float, ry: Tensor | float) -> Distance:
    """The ellipse of `sdf.oval` as (k^2 - 1) / |grad k^2|: equal to it on the boundary, and two thirds of the work."""
    dx, dy = p[..., 0] - param(x, p), p[..., 1] - param(y, p)
    x2, y2 = dx * dx, dy * dy
    wx, wy = (param(r, p) ** -2 * p.new_ones(()) for r in (rx, ry))
    f = torch.addcmul(wy * y2, wx, x2) - 1
    return f * torch.rsqrt(torch.addcmul(4 * wy**2 * y2, 4 * wx**2, x2) + 1e-12)


def view(f: Factors, size: int, box: Box | None = None) -> View:
    """The whole image, or the smallest window (one size, a place per image) that holds the box of every
    face."""
    device, n = f["x"].device, len(f["x"])
    if box is None:
        every = torch.arange(size, device=device).expand(n, size)
        return View(f, size, every, every, None)
    with torch.no_grad():
        scale, turned = FIGURE * f["scale"], box.frame == "face"
        roll = torch.zeros_like(scale) if box.frame == "body" else f["roll"]
        pivot, rise = (0.0, 0.0) if box.frame == "body" else (NECK_HEIGHT, HEAD)
        hx, hy = box.x + (TURN * f["yaw"] if turned else 0.0), box.y + rise
        x = f["x"] + scale * (torch.cos(roll) * hx - torch.sin(roll) * hy)
        y = f["y"] + DROP + scale * (torch.sin(roll) * hx + torch.cos(roll) * hy + pivot)
        tilt = min(float(roll.abs().max()), math.pi / 2)
        c, s, reach = math.cos(tilt), math.sin(tilt), float(scale.max()) * size
        half_x = box.half_x + (STRETCH * box.half_x**2 if turned else 0.0)
        wide = min(size, int(reach * (half_x * c + box.half_y * s)) + 8)
        high = min(size, int(reach * (box.half_y * c + half_x * s)) + 8)
        left = ((x + 1) * (size / 2) - wide / 2).round().clamp(0, size - wide).long()
        top = ((y + 1) * (size / 2) - high / 2).round().clamp(0, size - high).long()
        columns = left[:, None] + torch.arange(wide, device=device)
        rows = top[:, None] + torch.arange(high, device=device)
    return View(f, size, columns, rows, (rows[:, :, None] * size + columns[:, None, :]).flatten(1))


def composite(
    groups: Sequence[tuple[View, list[ColourLayer]]], parts: Sequence[str], like: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Image (N, 3, size, size) and part masks (N, P, size, size) of groups of layers, back to front, on
    black."""
    n, area = len(like), size * size
    light = like.new_ones(n, area)  # share of the light that the layers in front let through
    whole: list[tuple[ColourLayer, Tensor]] = []
    values, places = [], []
    for v, layers in reversed(groups):
        seen = light if v.pixels is None else light.gather(1, v.pixels)
        weighted: list[tuple[ColourLayer, Tensor]] = []
        for layer in reversed(layers):
            weighted.append((layer, seen * layer.alpha.flatten(1)))
            seen = seen - weighted[-1][1]
        if v.pixels is None:
            light = seen
            whole += weighted
        elif weighted:
            light = light.scatter(1, v.pixels, seen)
            present = [name for name in parts if any(layer.part == name for layer, _ in weighted)]
            plane = torch.tensor([0, 1, 2, *(3 + parts.index(name) for name in present)], device=like.device)
            values.append(_planes(weighted, present).flatten(1))
            places.append((v.pixels[:, None, :] + plane[:, None] * area).flatten(1))
    flat = (_planes(whole, parts) if whole else like.new_zeros(n, 3 + len(parts), area)).flatten(1)
    if values:
        flat = flat.scatter_add_(1, torch.cat(places, 1), torch.cat(values, 1))
    planes = flat.unflatten(1, (-1, size, size))
    return planes[:, :3], planes[:, 3:]


def _planes(weighted: Sequence[tuple[ColourLayer, Tensor]], parts: Sequence[str]) -> Tensor:
    """Red, green, blue and the parts' shares, (N, 3 + P, pixels): one small matrix product per pixel."""
    paint = torch.stack([layer.colour for layer, _ in weighted], 2)
    member = paint.new_tensor([[float(layer.part == name) for layer, _ in weighted] for name in parts])
    return torch.cat((paint, member.expand(len(paint), -1, -1)), 1) @ torch.stack([w for _, w in weighted], 1)
