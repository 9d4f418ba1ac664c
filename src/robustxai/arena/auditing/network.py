"""A user's network as the arena wants it: images in [0, 1] to logits, and never running after its time is up.

Knows how a network is called and how its outputs are read; knows nothing about where it came from.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robustxai.eval_mode import check_calm
from robustxai.models import logits_of
from robustxai.nets.resnet import Normalize

Outputs = Literal["logits", "softmax", "sigmoid"]
SQUASHERS: dict[Any, Outputs] = {
    torch.softmax: "softmax", Tensor.softmax: "softmax", nn.functional.softmax: "softmax",
    torch.sigmoid: "sigmoid", Tensor.sigmoid: "sigmoid", nn.functional.sigmoid: "sigmoid",
}  # fmt: skip
"""Functions of torch that make probabilities of logits."""
LEAST = 1e-12
"""Probabilities below this count as this, so that their logarithm exists."""


class OutOfTime(Exception):
    """A network was called after its time was up.

    >>> issubclass(OutOfTime, Exception)
    True
    """


class Clock:
    """When the network must stop; copies of a network share one clock.

    >>> clock = Clock()
    >>> clock.start(minutes=0)
    >>> clock.over
    True
    """

    def __init__(self) -> None:
        self.end: float | int | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Clock":
        return self

    def start(self, minutes: float | int) -> None:
        """The time is up so many minutes from now."""
        self.end = time.monotonic() + 60 * minutes

    def stop(self) -> None:
        """There is no end any more: what is left is short."""
        self.end = None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.end is not None and time.monotonic() >= self.end


class AuditedNetwork(nn.Module):
    """Images (n, C, H, W) in [0, 1] to logits (n, classes): normalised, unwrapped, and of probabilities the logarithm.

    net: the user's network, in eval mode. mean, std: per channel, None where it normalises by itself. outputs: what
    the network returns; of "softmax" log p is read, of "sigmoid" log p / (1 - p). The layers of the network are called
    `net.<name>` here. Raises ValueError for a network in training mode where a batch changes a sample's result.

    >>> AuditedNetwork(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)))(torch.zeros(2, 3, 2, 2)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        mean: Sequence[float | int] | None = None,
        std: Sequence[float | int] | None = None,
        outputs: Outputs = "logits",
    ) -> None:
        super().__init__()
        check_calm("model", net)
        self.normalize = nn.Identity() if mean is None or std is None else Normalize(mean, std)
        self.net, self.outputs, self.clock = net, outputs, Clock()
        self.eval()

    @property
    def chain(self) -> tuple[nn.Module, ...] | None:
        """The modules of which this is a chain; None where logarithms stand behind them."""
        return (self.normalize, self.net) if self.outputs == "logits" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.clock.over:
            raise OutOfTime("the time that the audit was given is over")
        found = logits_of(self.net, self.normalize(x))
        if self.outputs == "softmax":
            return found.clamp_min(LEAST).log()
        return torch.logit(found, LEAST) if self.outputs == "sigmoid" else found


class _Squashed(TorchFunctionMode):
    """Inside the block, remembers which probabilities were made and from what."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Outputs, Tensor]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in SQUASHERS and isinstance(found, Tensor):
            self.made.append((SQUASHERS[func], found))
        return found


def kind_of_outputs(model: nn.Module, x: Tensor) -> Outputs:
    """Whether a network returns logits, or probabilities made by a softmax or a sigmoid at its end.

    Seen where the function runs, not guessed from the numbers; for two classes or more, rows in [0, 1] that add up to 1
    count as a softmax, whatever made them.

    >>> kind_of_outputs(nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1)), torch.rand(3, 1, 2, 2))
    'softmax'
    """
    with torch.no_grad(), _Squashed() as seen:
        found = logits_of(model, x)
    for kind, made in reversed(seen.made):
        if made.numel() == found.numel() and torch.equal(made.reshape(found.shape), found):
            return kind
    sums = found.sum(1)
    simplex = (
        found.shape[1] > 1
        and bool((found >= 0).all())
        and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    )
    return "softmax" if simplex else "logits"
