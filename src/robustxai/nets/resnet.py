"""A compact residual network for 28-64 pixel images, small enough to train in minutes on two CPU cores.

It knows its own normalisation and nothing about data, training or explanations. The last feature map is the
output of an activation, ReLU by default, and goes through global average pooling (GAP) into one linear layer,
so every closed form for "GAP + linear" heads holds exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.nets.activations import Kind, activation
from robustxai.nets.seeds import draw_into
from robustxai.nets.sizes import channel_numbers, check_pictures, check_whole

STAGE_STRIDES = (1, 2, 2, 1)
Padding = Literal["zeros", "circular", "reflect", "replicate"]
PADDING_MODES = ("zeros", "circular", "reflect", "replicate")


class Normalize(nn.Module):
    """Shift and scale each channel: (x - mean) / std, with mean and std as buffers, one number a channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer(
            "mean", torch.tensor(channel_numbers("mean", mean), dtype=torch.float32).view(-1, 1, 1)
        )
        divisors = channel_numbers("std", std, low=0.0)
        self.register_buffer("std", torch.tensor(divisors, dtype=torch.float32).view(-1, 1, 1))

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        return (check_pictures(x) - self.mean) / self.std


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input, then an activation (never in place)."""

    def __init__(self, inputs: int, outputs: int, stride: int, padding_mode: Padding, kind: Kind) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False, padding_mode=padding_mode)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = activation(kind)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False, padding_mode=padding_mode)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.relu2 = activation(kind)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


class CompactResNet(nn.Module):
    """A residual classifier from images in [0, 1] to logits: `features(x)` enters GAP, then the linear
    `head`.

    classes: number of logits. widths: channels of the four stages, whose strides are 1, 2, 2, 1.
    stem_stride: 2 for 56 or 64 pixels, 1 for 28 or 32; either way the last map is 7x7 or 8x8. blocks:
    residual blocks in each stage. padding_mode: "zeros", "circular", "reflect" or "replicate". activation:
    "relu", "silu" or a number beta for softplus. mean, std: one number per channel, or one for all.
    `generator` seeds the initial weights. `gap_layer` names the module whose output enters GAP; `arguments`
    rebuilds the network. 10 parameters, as it stands in for the ResNets of all chapters. Raises ValueError when an
    argument does not fit the others.

    >>> net = CompactResNet(4)
    >>> net(torch.zeros(2, 3, 56, 56)).shape, net.features(torch.zeros(2, 3, 56, 56)).shape
    (torch.Size([2, 4]), torch.Size([2, 64, 7, 7]))
    """

    gap_layer = "body"

    def __init__(
        self,
        classes: int,
        *,
        widths: Sequence[int] = (16, 32, 64, 64),
        stem_stride: int = 2,
        in_channels: int = 3,
        blocks: int = 1,
        padding_mode: str = "zeros",
        mean: Sequence[float] | float = 0.5,
        std: Sequence[float] | float = 0.25,
        activation: str | float | int = "relu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(
            1, classes=classes, widths=widths, stem_stride=stem_stride, in_channels=in_channels, blocks=blocks
        )
        if len(widths) != len(STAGE_STRIDES):
            raise ValueError(f"widths must be {len(STAGE_STRIDES)} numbers, one a stage; got {tuple(widths)}")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}; got {padding_mode!r}")
        self.arguments = dict(
            classes=classes, widths=list(widths), stem_stride=stem_stride, in_channels=in_channels,
            blocks=blocks, padding_mode=padding_mode, mean=_plain(mean), std=_plain(std),
            activation=activation,
        )  # fmt: skip
        self.normalize = Normalize(
            _per_channel("mean", mean, in_channels), _per_channel("std", std, in_channels)
        )
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.body = nn.Sequential(
                *_stages(widths, in_channels, stem_stride, blocks, cast(Padding, padding_mode), activation)
            )
            self.head = nn.Linear(widths[-1], classes)
        initialize(self, generator=generator)

    def features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch feature rows columns"]:
        """The map that enters GAP: the last activation's output (0 or more for ReLU), 7x7 for 28 and 56 pixels."""
        return self.body(self.normalize(x))

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.features(x).mean((2, 3)))


def _stages(
    widths: Sequence[int], in_channels: int, stem_stride: int, blocks: int, padding_mode: Padding, kind: Kind
) -> list[nn.Sequential]:
    stem = nn.Conv2d(in_channels, widths[0], 3, stem_stride, 1, bias=False, padding_mode=padding_mode)
    stages = [nn.Sequential(stem, nn.BatchNorm2d(widths[0]), activation(kind))]
    inputs = widths[0]
    for outputs, stride in zip(widths, STAGE_STRIDES, strict=True):
        first = BasicBlock(inputs, outputs, stride, padding_mode, kind)
        rest = [BasicBlock(outputs, outputs, 1, padding_mode, kind) for _ in range(blocks - 1)]
        stages.append(nn.Sequential(first, *rest))
        inputs = outputs
    return stages


def initialize(model: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """Draw the weights of convolutions (He, fan out) and linear layers (1/sqrt(fan in)) from `generator`."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            rule = nn.init.kaiming_normal_
            draw_into(module.weight, rule, mode="fan_out", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            draw_into(module.weight, nn.init.uniform_, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _per_channel(name: str, value: Sequence[float] | float, channels: int) -> tuple[float, ...]:
    values = channel_numbers(name, (value,) * channels if isinstance(value, int | float) else value)
    if len(values) != channels:
        raise ValueError(f"{name} must be one number or {channels} (one a channel); got {len(values)}")
    return values


def _plain(value: Sequence[float] | float) -> list[float] | float:
    return value if isinstance(value, int | float) else list(value)
