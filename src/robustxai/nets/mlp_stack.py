"""Several multilayer perceptrons of one shape as one network: trained, attacked and stored at once.

A small network on a batch of a hundred rows spends its time on calls, not on numbers; thirty of them in one call cost
little more than one. Knows layers and rows; knows nothing about data or training.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_count, check_floats
from robustxai.nets.activations import activation
from robustxai.nets.mlp import MLP
from robustxai.nets.sizes import check_whole


class LinearStack(nn.Module):
    """A linear layer a network: (count, n, inputs) to (count, n, outputs), each with its own weights; zero at first.

    >>> LinearStack(2, 3, 4)(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(count, outputs))

    def forward(self, x: Float[Tensor, "count n inputs"]) -> Float[Tensor, "count n outputs"]:
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class MLPStack(nn.Module):
    """`count` networks of the class `MLP` side by side: row i of a batch belongs to network i modulo `count`.

    So a batch is (n * count, inputs), in which the rows of one record number lie together, and every batch has the same
    number of rows for each network. Joining batches, and repeating one as a whole, keeps this order; so all that takes
    each row for itself, such as attacks and explainers, finds for every network what it would find for it alone. Other
    arguments as for `MLP`; `arguments` rebuilds the stack. The weights are zero until `of` or a stored state fills
    them. Raises ValueError for a batch that cannot be dealt out evenly.

    >>> MLPStack(3, 28)(torch.zeros(6, 28)).shape
    torch.Size([6, 2])
    """

    def __init__(
        self,
        count: int,
        inputs: int,
        classes: int = 2,
        *,
        widths: Sequence[int] = (32, 16),
        softplus: float | int | None = None,
    ) -> None:
        super().__init__()
        self.count = check_count("count", count)
        check_whole(1, inputs=inputs, widths=widths, classes=classes)
        self.arguments: dict[str, Any] = dict(
            count=self.count, inputs=inputs, classes=classes, widths=list(widths), softplus=softplus
        )
        sizes = (inputs, *widths, classes)
        layers = [
            part for a, b in pairwise(sizes) for part in (LinearStack(self.count, a, b), activation(softplus))
        ]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows classes"]:
        if len(check_floats("x", x, least=2)) % self.count:
            raise ValueError(f"x must have a multiple of {self.count} rows, one network each, got {len(x)}")
        return self.layers(x.unflatten(0, (-1, self.count)).transpose(0, 1)).transpose(0, 1).flatten(0, 1)

    @staticmethod
    @torch.no_grad()
    def of(networks: Sequence[nn.Module]) -> MLPStack:
        """The stack of networks that are alike but for their weights, which are copied; in eval mode.

        Raises ValueError for none, and for networks of other arguments than the first.

        >>> MLPStack.of([MLP(4), MLP(4)]).count
        2
        """
        alike = [net for net in networks if isinstance(net, MLP) and net.arguments == networks[0].arguments]
        if not alike or len(alike) < len(networks):
            raise ValueError("networks must be one MLP or more, all with the same arguments")
        states = [net.state_dict() for net in alike]
        arguments: dict[str, Any] = alike[0].arguments
        stack = MLPStack(len(alike), **arguments).to(next(alike[0].parameters()))
        stack.load_state_dict({key: torch.stack([state[key] for state in states]) for key in states[0]})
        return stack.eval()

    @torch.no_grad()
    def member(self, i: int) -> MLP:
        """A copy of network i as a network of its own, in eval mode.

        >>> MLPStack(2, 4).member(1).arguments["inputs"]
        4
        """
        net = MLP(**{name: value for name, value in self.arguments.items() if name != "count"})
        net.load_state_dict({key: value[i] for key, value in self.state_dict().items()})
        return net.to(next(self.parameters())).eval()

    def some(self, members: Sequence[int]) -> MLPStack:
        """A stack of these members alone, in this order.

        >>> MLPStack(3, 4).some([2, 0]).count
        2
        """
        return MLPStack.of([self.member(i) for i in members])
