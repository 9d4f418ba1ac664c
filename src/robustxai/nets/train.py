"""The one training loop: seeded, resumable after a kill, for any module, any loss, any subset of parameters.

It knows nothing about explanations, datasets or files other than its checkpoint. All randomness is drawn from
`(seed, epoch, step)`, so nothing about it has to be stored, and a resumed run gives the same bits as an
uninterrupted one. The caller's global random state is left as it was.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robustxai.nets.checkpoint import Checkpoint, digest
from robustxai.nets.select import accuracy, set_training, trainable

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]
OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("onecycle", "cosine", "constant")


@dataclass
class History:
    """What training measured: one number an epoch. `loss` is the mean training loss, `accuracy` is in [0, 1]
    (on `validation`, else on the first 1,000 training samples; NaN when `y` holds no class numbers)."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The default loss: mean cross-entropy of `model(x)` against class numbers `y`."""
    return F.cross_entropy(model(x), y)


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    loss: Loss = cross_entropy,
    lr: float = 3e-3,
    optimizer: str = "adamw",
    schedule: str = "onecycle",
    weight_decay: float = 1e-3,
    momentum: float = 0.9,
    batch_size: int = 64,
    augment: Augmentation | None = None,
    params: Sequence[str | nn.Module] | None = None,
    train_mode: Callable[[nn.Module], object] | None = None,
    ema: float | None = None,
    clip: float | None = None,
    bf16: bool = False,
    compile: bool = False,
    channels_last: bool = True,
    seed: int = 0,
    validation: tuple[Tensor, Tensor] | None = None,
    measure: Callable[[nn.Module, Tensor, Tensor], float] = accuracy,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    on_epoch: Callable[[int, History], object] | None = None,
    progress: bool | str = True,
) -> History:
    """Train `model` in place on samples `x` (n, ...) with targets `y` (n, ...), and leave it in eval mode.

    loss: called as `loss(model, x, y)` on a batch, returns a scalar; it may draw from torch's default
    generator, which is seeded for each step. augment: `augment(x, generator)` on each batch. params: train
    only these modules (or names of modules or parameters); all else stays in eval mode and keeps its bits,
    batch-norm statistics included. train_mode: called with the model to set the modes instead. schedule:
    the learning rate rises to `lr` in the first 30% of the steps and falls to zero ("onecycle"), falls from
    the start ("cosine"), or stays ("constant"). clip: largest gradient norm. ema: decay in (0, 1); the
    averaged weights are the ones left in the model. bf16, compile: off by default because they change the
    bits. channels_last: about 1.3 times faster for convolutions on a CPU, and left out where it is not safe.
    seed: decides the order, the augmentation and the default generator; not the initial weights. checkpoint: file
    written at most every `checkpoint_seconds` and at the end; if it exists, training goes on from there. measure:
    called as `measure(model, x, y)` after every epoch on `validation`, or else on the first 1,000 training samples;
    its number goes to `history.accuracy`. on_epoch: called with (epoch, history) after every epoch.
    progress: False for none, a string for its title; it is silent when stderr is no terminal. Raises
    ValueError for arguments that do not fit, and FloatingPointError when the loss is no longer finite.
    """
    _check(model, x, y, epochs=epochs, optimizer=optimizer, schedule=schedule, batch_size=batch_size)
    channels_last = channels_last and x.ndim == 4 and not _narrow(model)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if channels_last:
        model.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    chosen = trainable(model, params)
    weights = list(chosen.values())
    rule = _optimizer(optimizer, weights, lr=lr, weight_decay=weight_decay, momentum=momentum)
    average = None
    if ema is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
    runner = cast(nn.Module, torch.compile(model)) if compile else model
    settings: dict[str, Any] = dict(
        epochs=epochs, lr=lr, optimizer=optimizer, schedule=schedule, weight_decay=weight_decay,
        momentum=momentum, batch_size=batch_size, augment=repr(augment), params=sorted(chosen), ema=ema,
        clip=clip, bf16=bf16, seed=seed, data=digest(x, y),
    )  # fmt: skip
    store = Checkpoint(
        checkpoint, settings, seconds=checkpoint_seconds, model=model, average=average, rule=rule
    )
    done, summed, numbers = store.load()
    history = History(**numbers)
    steps = math.ceil(len(x) / batch_size)
    judged = validation if validation is not None else (x[:1000], y[:1000])
    cuda = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _bar(progress) as bar:
        task = bar.add_task(progress if isinstance(progress, str) else "train", total=epochs * steps, note="")
        for epoch in range(done // steps, epochs):
            began = time.monotonic()
            train_mode(model) if train_mode is not None else set_training(model, params)
            order = torch.randperm(len(x), generator=_generator(seed, epoch)).to(x.device)
            total = torch.tensor(summed, device=x.device)
            for step in range(done % steps, steps):
                picked = order[step * batch_size : (step + 1) * batch_size]
                batch, target = x[picked], y[picked]
                _seed_default(x.device, _mix(seed, epoch, step, 1))
                if augment is not None:
                    batch = augment(batch, _generator(seed, epoch, step))
                batch = batch.contiguous(memory_format=layout)  # an augmentation may have changed it
                with torch.autocast(x.device.type, torch.bfloat16) if bf16 else nullcontext():
                    value = loss(runner, batch, target)
                value.backward(inputs=weights)
                if clip is not None:
                    nn.utils.clip_grad_norm_(weights, clip)
                rule.param_groups[0]["lr"] = learning_rate(done, epochs * steps, peak=lr, schedule=schedule)
                rule.step()
                rule.zero_grad()
                if average is not None:
                    average.update_parameters(model)
                total += value.detach() * len(picked)
                done += 1
                bar.update(task, completed=done)
                if step + 1 < steps:
                    store.save_if_due(done, float(total), history)
            summed = 0.0
            if not math.isfinite(float(total)):
                raise FloatingPointError(f"the loss is not finite in epoch {epoch}; try an lr below {lr}")
            history.loss.append(float(total) / len(x))
            history.accuracy.append(measure(average.module if average is not None else model, *judged))
            history.seconds.append(time.monotonic() - began)
            bar.update(task, note=f"loss {history.loss[-1]:.3f}  accuracy {history.accuracy[-1]:.3f}")
            store.save_if_due(done, 0.0, history, now=epoch + 1 == epochs)
            if on_epoch is not None:
                on_epoch(epoch, history)
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    return history


def learning_rate(step: int, steps: int, *, peak: float, schedule: str) -> float:
    """The learning rate of `step` in [0, steps): "onecycle" starts at peak/25 and peaks at 30% of the
    steps.
    """
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / steps))
    rise = 0.3 * steps
    if step < rise:
        return peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _narrow(model: nn.Module) -> bool:
    """Whether a strided 1x1 convolution reads fewer than 8 channels: with channels last and one thread its weight
    gradient writes past its memory on processors without AVX-512 (oneDNN in torch 2.15), which ends the process."""
    return any(
        isinstance(m, nn.Conv2d) and m.in_channels < 8 and set(m.kernel_size) == {1} and max(m.stride) > 1
        for m in model.modules()
    )


def _check(
    model: nn.Module, x: Tensor, y: Tensor, *, epochs: int, optimizer: str, schedule: str, batch_size: int
) -> None:
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x and y must have the same length, at least 1; got {len(x)} and {len(y)}")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs and batch_size must be 1 or more; got {epochs} and {batch_size}")
    devices = {str(x.device), str(y.device), *(str(p.device) for p in model.parameters())}
    if len(devices) != 1:
        raise ValueError(f"model, x and y must be on one device; got {', '.join(sorted(devices))}")


def _optimizer(
    name: str, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, momentum: float
) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(
            parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0, fused=True
        )
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(parameters, lr, weight_decay=weight_decay, fused=True)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mix(*numbers))


def _seed_default(device: torch.device, seed: int) -> None:
    """Seed torch's default generator of this device, for dropout and for losses that draw from it."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(seed)


def _bar(progress: bool | str) -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console,
        disable=not progress or not console.is_terminal,
    )  # fmt: skip
