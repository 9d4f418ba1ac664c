"""How a network is trained: all options of `fit`, validated once.

Knows numbers and names; knows nothing about how a step is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.checks import (
    as_target,
    check_callable,
    check_count,
    check_number,
    check_positive,
    check_share,
)
from robustxai.models import logits_of
from robustxai.nets.arguments import check_pair
from robustxai.nets.rules import LEARNING_RATE_SCHEDULES, OPTIMIZERS
from robustxai.nets.select import accuracy_of
from robustxai.scores.explained import two_columns

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass
class History:
    """What training measured: one number an epoch. `loss` is the mean training loss, `accuracy` is in [0, 1]
    (on `validation`, else on the first 1,000 training samples; NaN when `y` holds no class numbers).

    >>> from robustxai.nets import fit
    >>> x, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
    >>> len(fit(nn.Linear(4, 2), x, y, epochs=3, progress=False).loss)
    3
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The default loss: mean cross-entropy of the logits of `x` against class numbers `y` (n,).

    The logits may come in any way that `robustxai.models` knows; a single one is a sigmoid with classes 0 and 1. Other
    targets than class numbers (n,) go to torch with what the model returns.
    """
    if isinstance(y, Tensor) and y.ndim != 1:
        return F.cross_entropy(model(x), y)
    if y is None:
        raise ValueError("y must be class numbers (n,), got None")
    logits = logits_of(model, x)
    return F.cross_entropy(two_columns(logits), as_target(y, logits, name="y"))


@dataclass(frozen=True, kw_only=True)
class Training:
    """The options of `fit`.

    Args:
        epochs: how often every sample is seen.
        loss: called as `loss(model, x, y)` on a batch, returns a scalar; it may draw from torch's default generator,
            which is seeded for each step.
        lr: the largest learning rate.
        optimizer: "adamw", "adam" or "sgd".
        schedule: the learning rate rises to `lr` in the first 30% of the steps and falls to zero ("onecycle"), falls
            from the start ("cosine"), or stays ("constant").
        weight_decay, momentum: of the optimizer; momentum of "sgd" only.
        batch_size: samples a step. A last batch of one row joins the batch before it where batch norms train.
        augment: `augment(x, generator)` on each batch.
        params: train only these modules (or names of modules or parameters); all else stays in eval mode and keeps its
            bits, batch-norm statistics included.
        train_mode: called with the model to set the modes instead.
        ema: decay in (0, 1); the averaged weights are the ones left in the model.
        clip: largest gradient norm.
        bf16, compile: off by default because they change the bits.
        channels_last: about 1.3 times faster for convolutions on a CPU while it trains; left out where it is not safe,
            and where the network flattens by `view`; afterwards, also after an exception, the weights lie in memory as
            before.
        seed: decides the order, the augmentation and the default generator; not the initial weights.
        validation: samples and targets to measure on, in place of the first 1,000 training samples.
        measure: called as `measure(model, x, y)` after every epoch; its number goes to `history.accuracy`.
        checkpoint: file written at most every `checkpoint_seconds` and at the end; if it exists, training goes on from
            there.
        on_epoch: called with (epoch, history) after every epoch.
        progress: False for none, a string for its title; it is silent when stderr is no terminal.

    Raises ValueError for a value that is none of these.

    >>> Training(epochs=2, lr=0.1).schedule
    'onecycle'
    """

    epochs: int
    loss: Loss = cross_entropy
    lr: float = 3e-3
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    weight_decay: float = 1e-3
    momentum: float = 0.9
    batch_size: int = 64
    augment: Augmentation | None = None
    params: Sequence[str | nn.Module] | None = None
    train_mode: Callable[[nn.Module], object] | None = None
    ema: float | None = None
    clip: float | None = None
    bf16: bool = False
    compile: bool = False
    channels_last: bool = True
    seed: int = 0
    validation: tuple[Tensor, Tensor] | None = None
    measure: Callable[[nn.Module, Tensor, Tensor], float] = accuracy_of
    checkpoint: str | Path | None = None
    checkpoint_seconds: float = 30.0
    on_epoch: Callable[[int, History], object] | None = None
    progress: bool | str = True

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", LEARNING_RATE_SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        for name, low in (("epochs", -(2**63)), ("batch_size", -(2**63)), ("seed", 0)):
            object.__setattr__(
                self, name, check_count(name, getattr(self, name), low)
            )  # NumPy's are ints now
        if min(self.epochs, self.batch_size) < 1:
            raise ValueError(
                f"epochs and batch_size must be 1 or more; got {self.epochs} and {self.batch_size}"
            )
        if self.validation is not None:
            check_pair("validation", self.validation)
        check_positive("lr", self.lr)
        for name in ("weight_decay", "momentum", "checkpoint_seconds"):
            check_number(name, getattr(self, name))
        if self.ema is not None:
            check_share("ema", self.ema, open=True)
        if self.clip is not None:
            check_positive("clip", self.clip)
        for name in ("loss", "measure"):
            check_callable(name, getattr(self, name))
        for name in ("augment", "train_mode", "on_epoch"):
            if getattr(self, name) is not None:
                check_callable(name, getattr(self, name))


class TrainingOptions(TypedDict, total=False):
    """The fields of `Training` as keywords of `fit`."""

    epochs: int
    loss: Loss
    lr: float
    optimizer: str
    schedule: str
    weight_decay: float
    momentum: float
    batch_size: int
    augment: Augmentation | None
    params: Sequence[str | nn.Module] | None
    train_mode: Callable[[nn.Module], object] | None
    ema: float | None
    clip: float | None
    bf16: bool
    compile: bool
    channels_last: bool
    seed: int
    validation: tuple[Tensor, Tensor] | None
    measure: Callable[[nn.Module, Tensor, Tensor], float]
    checkpoint: str | Path | None
    checkpoint_seconds: float
    on_epoch: Callable[[int, History], object] | None
    progress: bool | str
