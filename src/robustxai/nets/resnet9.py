"""ResNet9, the nine-layer residual network that quick CIFAR-10 studies use.

It knows its own normalisation and nothing about data, training or explanations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.nets.activations import activation
from robustxai.nets.adapters import IMAGENET_MEAN, IMAGENET_STD
from robustxai.nets.resnet import Normalize, initialize
from robustxai.nets.sizes import channel_numbers, check_whole


class Residual(nn.Module):
    """x + body(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResNet9(nn.Module):
    """A classifier from images (n, 3, 32, 32) in [0, 1] to logits, in blocks of conv 3x3, batch norm, activation.

    One block of widths[0]; widths[1] and a 2x2 max pool; a residual of two blocks; widths[2] and a pool;
    widths[3] and a pool; a residual of two blocks; the maximum over all positions; one linear layer. Images of
    8 pixels and more will do. mean, std: per channel. softplus: None for ReLU, or beta. `generator` seeds the
    initial weights; `arguments` rebuilds the network.

    >>> ResNet9(widths=(4, 4, 8, 8))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        softplus: float | int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(1, classes=classes, widths=widths)
        mean, std = channel_numbers("mean", mean), channel_numbers("std", std, low=0.0)
        if len(widths) != 4 or len(mean) != len(std):
            raise ValueError(
                f"widths must be 4 numbers, mean and std one a channel; got {len(widths)}, {len(mean)}, {len(std)}"
            )
        self.arguments = dict(
            classes=classes, widths=list(widths), mean=list(mean), std=list(std), softplus=softplus
        )

        def block(inputs: int, outputs: int, *, pool: bool = False) -> nn.Sequential:
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            parts = [convolution, nn.BatchNorm2d(outputs), activation(softplus)]
            return nn.Sequential(*parts, nn.MaxPool2d(2)) if pool else nn.Sequential(*parts)

        a, b, c, d = widths
        self.normalize = Normalize(mean, std)
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.body = nn.Sequential(
                block(len(mean), a), block(a, b, pool=True), Residual(block(b, b), block(b, b)),
                block(b, c, pool=True), block(c, d, pool=True), Residual(block(d, d), block(d, d)),
                nn.AdaptiveMaxPool2d(1), nn.Flatten(),
            )  # fmt: skip
            self.head = nn.Linear(d, classes)
        initialize(self, generator=generator)

    def forward(self, x: Float[Tensor, "n channel height width"]) -> Float[Tensor, "n classes"]:
        return self.head(self.body(self.normalize(x)))
