"""Two small networks for quick studies: a multilayer perceptron for tables, and a plain convolutional network
for images as small as 8 x 8.

Their activations are modules, ReLU or softplus, so that they can be hooked and replaced. It knows nothing about
training or explanations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_floats
from robustxai.nets.activations import activation
from robustxai.nets.seeds import draw_into
from robustxai.nets.sizes import check_pictures, check_whole


def initialize_plainly(model: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """Draw weights and biases of linear layers and convolutions uniformly within 1 / sqrt(fan in), as torch does when
    it makes a layer; from `generator`.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            for parameter in module.parameters(recurse=False):
                draw_into(parameter, nn.init.uniform_, -bound, bound, generator=generator)


class MLP(nn.Module):
    """A classifier of table rows (n, inputs): linear layers with an activation after each but the last.

    widths: of the hidden layers. softplus: None for ReLU, or beta. `generator` seeds the initial weights;
    `arguments` rebuilds the network.

    >>> MLP(28)(torch.zeros(4, 28)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        inputs: int,
        classes: int = 2,
        *,
        widths: Sequence[int] = (32, 16),
        softplus: float | int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(inputs=inputs, widths=widths, classes=classes)
        sizes = (inputs, *widths, classes)
        if min(sizes) < 1:
            raise ValueError(f"inputs, widths and classes must be 1 or more; got {sizes}")
        self.arguments = dict(inputs=inputs, classes=classes, widths=list(widths), softplus=softplus)
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), activation(softplus))]
        self.layers = nn.Sequential(*layers[:-1])
        initialize_plainly(self, generator=generator)

    def forward(self, x: Float[Tensor, "n feature"]) -> Float[Tensor, "n classes"]:
        return self.layers(check_floats("x", x, least=2))


class SmallConvNet(nn.Module):
    """conv 3x3 - activation - conv 3x3 of stride 2 - activation - linear - activation - linear, no pooling.

    size: side of the square images in pixels. widths: channels of the two convolutions. hidden: width of the
    linear layer between. softplus, generator, arguments: as in `MLP`.

    >>> SmallConvNet()(torch.zeros(4, 1, 8, 8)).shape
    torch.Size([4, 10])
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        in_channels: int = 1,
        size: int = 8,
        widths: Sequence[int] = (16, 32),
        hidden: int = 64,
        softplus: float | int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(1, classes=classes, in_channels=in_channels, size=size, widths=widths, hidden=hidden)
        if len(widths) != 2:
            raise ValueError(f"widths must be 2 numbers, one a convolution; got {tuple(widths)}")
        self.arguments = dict(
            classes=classes, in_channels=in_channels, size=size, widths=list(widths), hidden=hidden,
            softplus=softplus,
        )  # fmt: skip
        first, second = widths
        side = (size + 1) // 2
        with torch.random.fork_rng(devices=[]):
            self.layers = nn.Sequential(
                nn.Conv2d(in_channels, first, 3, padding=1), activation(softplus),
                nn.Conv2d(first, second, 3, 2, 1), activation(softplus), nn.Flatten(),
                nn.Linear(second * side * side, hidden), activation(softplus), nn.Linear(hidden, classes),
            )  # fmt: skip
        initialize_plainly(self, generator=generator)

    def forward(self, x: Float[Tensor, "n channel height width"]) -> Float[Tensor, "n classes"]:
        return self.layers(check_pictures(x))
