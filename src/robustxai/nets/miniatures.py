"""A VGG-like and an Inception-like classifier for 64 pixel images, below 250 000 parameters each.

Beside `CompactResNet` they vary the architecture of a study. Pooling is by averages, so that with a smooth
activation the logits have second derivatives everywhere. They know their own normalisation and nothing about
data, training or explanations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from robustxai.nets.activations import Kind, activation as make
from robustxai.nets.resnet import Normalize, initialize
from robustxai.nets.sizes import channel_numbers, check_whole
from robustxai.shapes import Images, Logits


def conv_unit(inputs: int, outputs: int, kernel: int, kind: Kind, *, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the sides (divided by `stride`), batch norm, activation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), make(kind))


class Branches(nn.Module):
    """An Inception block: 1x1, 1x1-3x3, 1x1-5x5 and pool-1x1 side by side, their channels joined.

    Of `outputs` channels, a multiple of 8, the branches give 1/4, 1/2, 1/8 and 1/8.
    """

    def __init__(self, inputs: int, outputs: int, kind: Kind) -> None:
        super().__init__()
        part = outputs // 8
        self.branches = nn.ModuleList(
            (
                conv_unit(inputs, 2 * part, 1, kind),
                nn.Sequential(conv_unit(inputs, 3 * part, 1, kind), conv_unit(3 * part, 4 * part, 3, kind)),
                nn.Sequential(conv_unit(inputs, part, 1, kind), conv_unit(part, part, 5, kind)),
                nn.Sequential(
                    nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv_unit(inputs, part, 1, kind)
                ),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class _Classifier(nn.Module):
    """What the two share: normalise, body, head; weights from a generator, arguments that rebuild the network."""

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        mean, std = channel_numbers("mean", mean), channel_numbers("std", std, low=0.0)
        if len(mean) != len(std):
            raise ValueError(f"mean and std must be one number a channel; got {len(mean)} and {len(std)}")
        self.normalize = Normalize(mean, std)
        self.body: nn.Module = nn.Identity()
        self.head: nn.Module = nn.Identity()

    def forward(self, x: Images) -> Logits:
        return self.head(self.body(self.normalize(x)))


class CompactVGG(_Classifier):
    """Blocks of 3x3 convolutions and pools, then two linear layers on what is left of the image, as in VGG.

    One convolution of widths[0], then two of each further width, each block followed by a 2x2 pool; 2 x 2
    positions enter a hidden layer of `hidden`. activation: "relu", "silu" or a number beta for softplus. mean,
    std: per channel. `generator` seeds the initial weights; `arguments` rebuilds the network. Raises
    ValueError when an argument is not accepted.

    >>> CompactVGG(8)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        classes: int,
        *,
        widths: Sequence[int] = (16, 32, 64, 64),
        hidden: int = 64,
        activation: str | float | int = "relu",
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        generator: torch.Generator | None = None,
    ) -> None:
        check_whole(classes=classes, widths=widths)
        super().__init__(mean=mean, std=std)
        check_whole(hidden=hidden)
        if len(widths) < 1 or min(*widths, classes, hidden) < 1:
            raise ValueError(
                f"widths, hidden and classes must be 1 or more; got {tuple(widths)}, {hidden}, {classes}"
            )
        self.arguments = dict(
            classes=classes, widths=list(widths), hidden=hidden, activation=activation, mean=list(mean), std=list(std)
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            layers, inputs = [], len(mean)
            for i, outputs in enumerate(widths):
                layers.append(conv_unit(inputs, outputs, 3, activation))
                if i:
                    layers.append(conv_unit(outputs, outputs, 3, activation))
                layers.append(nn.AvgPool2d(2))
                inputs = outputs
            self.body = nn.Sequential(*layers)
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * inputs, hidden), make(activation),
                nn.Linear(hidden, classes),
            )  # fmt: skip
        initialize(self, generator=generator)


class CompactInception(_Classifier):
    """A strided 3x3 convolution, then pairs of Inception blocks with a 2x2 pool between; GAP and one linear layer.

    widths: of the first convolution, then of each pair of blocks, multiples of 8. Other arguments as in
    `CompactVGG`.

    >>> CompactInception(8)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        classes: int,
        *,
        widths: Sequence[int] = (16, 48, 96, 128),
        activation: str | float | int = "relu",
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        generator: torch.Generator | None = None,
    ) -> None:
        check_whole(classes=classes, widths=widths)
        super().__init__(mean=mean, std=std)
        if len(widths) < 2 or min(*widths, classes) < 1 or any(width % 8 for width in widths[1:]):
            raise ValueError(
                "widths must be 2 numbers or more, multiples of 8 after the first, and classes 1 or more; "
                f"got {tuple(widths)} and {classes}"
            )
        self.arguments = dict(
            classes=classes, widths=list(widths), activation=activation, mean=list(mean), std=list(std)
        )
        with torch.random.fork_rng(devices=[]):
            layers: list[nn.Module] = [conv_unit(len(mean), widths[0], 3, activation, stride=2)]
            for i, (inputs, outputs) in enumerate(pairwise(widths)):
                pool = [nn.AvgPool2d(2)] if i else []
                layers += [
                    *pool,
                    Branches(inputs, outputs, activation),
                    Branches(outputs, outputs, activation),
                ]
            self.body = nn.Sequential(*layers)
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))
        initialize(self, generator=generator)
