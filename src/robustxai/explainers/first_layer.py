"""A straight line of images is a straight line behind the network's first layer, too: no need to enter at each point.

Up to the output h of its first convolution or linear layer, and of the batch norm on it, a network is as a rule an
affine map of the image. Then h(start + t (end - start)) = h0 + t (h1 - h0), and a gradient in the image is J^T times
the gradient in h, with one matrix J = dh/dx for all points, which can be applied once, to their sum. That is exact up
to rounding and saves each point the first layer, forward and backward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from robustxai.explainers.input_gradient import slope
from robustxai.models import Network, as_logits, logits_of
from robustxai.shapes import Inputs

Model = Callable[[Tensor], Tensor]
Kinds = frozenset[Callable[..., Any]]
LAYERS: Kinds = frozenset((F.linear, F.conv1d, F.conv2d, F.conv3d))
NORM_LAYERS: Kinds = frozenset((F.batch_norm,))
TIMES = (0.381966, 0.854102)  # two points in no simple place


class Segment(NamedTuple):
    """Straight paths from `start` to `end`, one a sample, with what evaluates a network at their points.

    model: points (n, ...) to what the network returns. pull: the sum of gradients in the points to that of gradients
    in the images.
    """

    model: Network
    start: Tensor
    end: Tensor
    pull: Model = lambda gradient: gradient


def entered(model: Network, start: Inputs, end: Inputs) -> Segment:
    """The paths from `start` to `end` behind the first layer that `model` runs, or as they are where they differ.

    Verified by values: the output of the first layer is affine along each path; and at two points of the longest path
    the logits stay when that output is given and the network is shown another image. Both within the square root of
    the epsilon of the type. So the paths stay as they are with a skip from the image, noise, a front that is not
    affine, another type behind it, torch.compile, or no such layer. A check costs four images forward, at most ten.

    Nothing in the network is replaced: its calls are intercepted, in this thread, until the first layer is through.
    Hooks fire, those on modules up to there with stand-ins. On a CPU maps have their channels last from there on,
    where the network accepts that, which is faster. Differentiable in `start` and `end`.

    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()).eval()
    >>> entered(model, torch.zeros(1, 3), torch.ones(1, 3)).end.shape
    torch.Size([1, 2])
    """
    way, hidden = _entrance(model, start.detach(), end.detach())
    if way is None:
        return Segment(model, start, end)
    if torch.is_grad_enabled() and (start.requires_grad or end.requires_grad):
        hidden = way.first(start), way.first(end)
    return Segment(way.rest, hidden[0], hidden[1], way.pull)


@torch.no_grad()
def _entrance(model: Network, start: Tensor, end: Tensor) -> "tuple[Entrance | None, tuple[Tensor, ...]]":
    """The first entrance that fits, and h of `start` and `end`."""
    if hasattr(model, "_orig_mod"):  # torch.compile would compile anew for each interception
        return None, ()
    longest = int((end - start).flatten(1).abs().amax(1).argmax())
    expected = logits_of(model, _points(start[longest], end[longest]))
    with torch.inference_mode(False):
        images = end.clone()
    faster = [torch.channels_last] if end.ndim == 4 and end.device.type == "cpu" else []
    for layers, layout in product(((LAYERS, NORM_LAYERS), (LAYERS,)), (*faster, torch.preserve_format)):
        way = Entrance(model, images, layers, layout)
        if hidden := way.fitting(start, end, longest, expected):
            return way, hidden
    return None, ()


@dataclass(frozen=True)
class Entrance:
    """A network entered behind its first `layers`, whose output h is kept in `layout`; before them it sees `images`."""

    model: Network
    images: Tensor
    layers: tuple[Kinds, ...]
    layout: torch.memory_format

    def first(self, x: Tensor) -> Tensor:
        """h, without the rest of the network; empty where its first layers are others."""
        intercept = _Intercept(self.layers)
        try:
            with intercept:
                self.model(x)
        except _Reached:
            pass
        return intercept.found.to(memory_format=self.layout)

    def rest(self, h: Tensor) -> Any:
        """What the network returns from h, which stays as it is: the next layer may be a ReLU that works in place."""
        with _Intercept(self.layers, h.clone(memory_format=self.layout)):
            return self.model(self.images[:1].expand(len(h), *self.images.shape[1:]))

    def pull(self, gradient: Tensor) -> Tensor:
        """J^T gradient, with J = dh/dx at the images, as anywhere else; keeps the graph of the gradient."""
        attached = torch.is_grad_enabled() and gradient.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            x = self.images.detach().requires_grad_()
            return slope(self.first(x), x, gradient, create_graph=attached)

    def fitting(self, start: Tensor, end: Tensor, longest: int, expected: Tensor) -> tuple[Tensor, ...]:
        """h of `start` and `end`; nothing unless it is affine between and gives the logits `expected` at `_points`."""
        try:  # errors: such as that of a network that flattens maps by `view`, where channels come last
            one = self.first(end[longest, None])
            if one.shape[:1] != (1,) or (one.dtype, one.device) != (end.dtype, end.device):
                return ()
            h0, h1, between = (self.first(x) for x in (start, end, torch.lerp(start, end, TIMES[0])))
            affine = _close(torch.lerp(h0, h1, TIMES[0]), between)
            logits = as_logits(self.rest(_points(h0[longest], h1[longest])), 2) if affine else None
            same = logits is not None and _close(logits, expected)
            return (h0, h1) if same else ()
        except (RuntimeError, ValueError):
            return ()


def _points(start: Tensor, end: Tensor) -> Tensor:
    return torch.stack([torch.lerp(start, end, t) for t in TIMES])


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal to the square root of the type's epsilon, compared with the largest number of a sample; NaN is not."""
    if one.shape != other.shape:
        return False
    tolerance = torch.finfo(other.dtype).eps ** 0.5 * other.flatten(1).abs().amax(1)
    return bool(((one - other).flatten(1).abs().amax(1) <= tolerance).all())


class _Reached(BaseException):
    """Ends a run of a network behind its first layers."""


class _Intercept(TorchFunctionMode):
    """The first layers that run give `given`; without that, the run ends, with their output in `found`."""

    def __init__(self, layers: tuple[Kinds, ...], given: Tensor | None = None) -> None:
        super().__init__()
        self.ahead, self.given, self.found = list(layers), given, torch.empty(0, device="cpu")

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not self.ahead or func not in LAYERS | NORM_LAYERS:
            return func(*args, **(kwargs or {}))
        kinds = self.ahead.pop(0)
        if self.given is not None:
            return self.given
        if func in kinds:
            output = func(*args, **(kwargs or {}))
            if self.ahead:
                return output
            self.found = output
        raise _Reached
