"""What a computation cost: images that went forward through networks, and gradients that came back.

Counted by watching, nothing is left on a network; seconds differ between machines, these numbers do not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from robustxai.capture import observed


@dataclass
class Passes:
    """forwards: images through a network. backwards: images whose gradient came back to its first layer with weights; a
    gradient of a gradient counts as one more. What ends before that layer, such as a CAM's own gradient, is none.
    """

    forwards: int = 0
    backwards: int = 0

    def __sub__(self, other: "Passes") -> "Passes":
        return Passes(self.forwards - other.forwards, self.backwards - other.backwards)

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(self.forwards + other.forwards, self.backwards + other.backwards)

    def copy(self) -> "Passes":
        """The counts so far."""
        return Passes(self.forwards, self.backwards)


@contextmanager
def count_passes(*networks: nn.Module) -> Iterator[Passes]:
    """Inside the block, what goes through these networks in this thread is counted; a network given twice counts once.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> with count_passes(net) as passes:
    ...     x = torch.zeros(5, 3, requires_grad=True)
    ...     _ = torch.autograd.grad(net(x).sum(), x)
    >>> passes
    Passes(forwards=5, backwards=5)
    """
    passes = Passes()

    def at_end(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        passes.forwards += len(inputs[0])

    def at_first(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(came_back)

    def came_back(gradient: Tensor) -> None:
        passes.backwards += len(gradient)

    unique = list(dict.fromkeys(networks))
    firsts = [first for network in unique if (first := _first(network)) is not None]
    alone = [(network, at_end) for network in unique]
    with observed(*alone), observed(*((first, at_first) for first in firsts)):
        yield passes


def _first(network: nn.Module) -> nn.Module | None:
    """The first module with weights of its own, in the order in which they are registered."""
    return next((m for m in network.modules() if next(m.parameters(recurse=False), None) is not None), None)
