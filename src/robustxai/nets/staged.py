"""Two small classifiers for 64 pixel images whose five blocks are named b1 to b5: for probes at hidden layers.

After each of b1 to b4 follows at least one nonlinear block; after b5 only global average pooling and a linear
layer. They know their own normalisation and nothing about data, training or explanations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.nets.miniatures import Branches, conv_unit
from robustxai.nets.resnet import Normalize, initialize
from robustxai.nets.sizes import channel_numbers, check_whole
from robustxai.shapes import Images, Logits

STAGES = ("b1", "b2", "b3", "b4", "b5")


class _Staged(nn.Module):
    """Normalise, b1 to b5, global average pooling, one linear layer; `arguments` rebuilds the network."""

    gap_layer = "b5"
    widths: tuple[int, ...]
    multiples = False  # of 8, after the second width

    def __init__(
        self,
        classes: int,
        *,
        widths: Sequence[int] | None = None,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = self.widths if widths is None else widths
        check_whole(classes=classes, widths=widths)
        if self.multiples and any(width % 8 for width in widths[2:]):
            raise ValueError(f"widths must be multiples of 8 after the second; got {tuple(widths)}")
        mean, std = channel_numbers("mean", mean), channel_numbers("std", std, low=0.0)
        if len(widths) != len(STAGES) or min(*widths, classes) < 1:
            raise ValueError(
                f"widths must be {len(STAGES)} numbers of 1 or more, one a block, and classes 1 or more; "
                f"got {tuple(widths)} and {classes}"
            )
        self.arguments = dict(classes=classes, widths=list(widths), mean=list(mean), std=list(std))
        self.normalize = Normalize(mean, std)
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            for name, block in zip(STAGES, self.blocks(len(mean), list(widths)), strict=True):
                self.add_module(name, block)
            self.head = nn.Linear(widths[-1], classes)
        initialize(self, generator=generator)

    def blocks(self, inputs: int, widths: list[int]) -> list[nn.Module]:
        """The five blocks."""
        raise NotImplementedError

    def features(self, x: Images) -> Float[Tensor, "n feature rows columns"]:
        """The map that enters global average pooling, a 16th of the sides."""
        x = self.normalize(x)
        for name in STAGES:
            x = self.get_submodule(name)(x)
        return x

    def forward(self, x: Images) -> Logits:
        return self.head(self.features(x).mean((2, 3)))


class PlainConvNet(_Staged):
    """Convolutions in a row: b1 5x5 and b2 3x3 with stride 2, b3 with a pool behind it, b4, b5 behind a pool.

    widths: channels of the blocks, 24, 48, 80, 112, 112 by default. mean, std: per channel. `generator` seeds the
    initial weights. Raises ValueError when an argument is not accepted.

    >>> PlainConvNet(11)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 11])
    """

    widths = (24, 48, 80, 112, 112)

    def blocks(self, inputs: int, widths: list[int]) -> list[nn.Module]:
        a, b, c, d, e = widths
        return [
            conv_unit(inputs, a, 5, "relu", stride=2),
            conv_unit(a, b, 3, "relu", stride=2),
            nn.Sequential(conv_unit(b, c, 3, "relu"), nn.MaxPool2d(2)),
            conv_unit(c, d, 3, "relu"),
            nn.Sequential(nn.MaxPool2d(2), conv_unit(d, e, 3, "relu")),
        ]


class MiniInception(_Staged):
    """Two strided convolutions (7x7, 3x3), then three Inception blocks, the last two behind a pool.

    widths: channels of the blocks, multiples of 8 after the second, 24, 48, 96, 128, 160 by default; other arguments as
    in `PlainConvNet`.

    >>> MiniInception(11)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 11])
    """

    widths, multiples = (24, 48, 96, 128, 160), True

    def blocks(self, inputs: int, widths: list[int]) -> list[nn.Module]:
        a, b, c, d, e = widths
        return [
            conv_unit(inputs, a, 7, "relu", stride=2),
            conv_unit(a, b, 3, "relu", stride=2),
            Branches(b, c, "relu"),
            nn.Sequential(nn.MaxPool2d(2), Branches(c, d, "relu")),
            nn.Sequential(nn.MaxPool2d(2), Branches(d, e, "relu")),
        ]
