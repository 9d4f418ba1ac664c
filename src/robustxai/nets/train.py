"""The one training loop: seeded, resumable after a kill, for any module, any loss, any subset of parameters.

It knows nothing about explanations, datasets or files other than its checkpoint. All randomness is drawn from
`(seed, epoch, step)`, so nothing about it has to be stored, and a resumed run gives the same bits as an
uninterrupted one. The caller's global random state is left as it was.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robustxai.checks import as_target, check_callable, check_count, check_number
from robustxai.models import logits_of
from robustxai.nets.arguments import check_pair, check_rates, check_run, several, steps_of
from robustxai.nets.checkpoint import Checkpoint, digest
from robustxai.nets.layout import Layout, narrow
from robustxai.nets.rules import follow, learning_rate, optimizer_of
from robustxai.nets.seeds import generator_of, mix, seed_default
from robustxai.nets.select import accuracy, set_training, trainable
from robustxai.scores.explained import two_columns

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass
class History:
    """What training measured: one number an epoch. `loss` is the mean training loss, `accuracy` is in [0, 1]
    (on `validation`, else on the first 1,000 training samples; NaN when `y` holds no class numbers).

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
    bits. channels_last: about 1.3 times faster for convolutions on a CPU while it trains; left out where it is not
    safe, and where the network flattens by `view`; afterwards, also after an exception, the weights lie in memory as
    before. A last batch of one row joins the batch before it where batch norms train. seed: decides the order, the
    augmentation and the default generator; not the initial weights. checkpoint: file written at most every
    `checkpoint_seconds` and at the end; if it exists, training goes on from there. measure: called as
    `measure(model, x, y)` after every epoch on `validation`, or else on the first 1,000 training samples; its number
    goes to `history.accuracy`. on_epoch: called with (epoch, history) after every epoch.
    progress: False for none, a string for its title; it is silent when stderr is no terminal. Raises
    ValueError for arguments that do not fit, and FloatingPointError when the loss is no longer finite.
    """
    epochs, batch_size = check_run(
        model, x, y, epochs=epochs, optimizer=optimizer, schedule=schedule, batch_size=batch_size
    )
    if validation is not None:
        check_pair("validation", validation)
    check_rates(lr=lr, weight_decay=weight_decay, momentum=momentum, ema=ema, clip=clip)
    seed = check_count("seed", seed, 0)
    check_number("checkpoint_seconds", checkpoint_seconds)
    for name, part in (("loss", loss), ("measure", measure)):
        check_callable(name, part)
    for name, part in (("augment", augment), ("train_mode", train_mode), ("on_epoch", on_epoch)):
        if part is not None:
            check_callable(name, part)
    chosen = trainable(model, params)
    set_modes = partial(set_training, chosen=params) if train_mode is None else train_mode
    layout = Layout(model, wanted=channels_last and x.ndim == 4 and not narrow(model))
    try:
        weights = list(chosen.values())
        rule = optimizer_of(optimizer, weights, lr=lr, weight_decay=weight_decay, momentum=momentum)
        average = None
        if ema is not None:
            average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
        runner = cast(nn.Module, torch.compile(model)) if compile else model

        def moved() -> None:
            follow(rule)
            if average is not None:
                average.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]

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
        set_modes(model)
        steps = steps_of(model, len(x), batch_size)
        judged = validation if validation is not None else (x[:1000], y[:1000])
        cuda = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), _bar(progress) as bar:
            task = bar.add_task(
                progress if isinstance(progress, str) else "train", total=epochs * steps, note=""
            )
            for epoch in range(done // steps, epochs):
                began = time.monotonic()
                set_modes(model)
                order = torch.randperm(len(x), generator=generator_of(seed, epoch), device="cpu").to(x.device)
                total = torch.tensor(summed, device=x.device)
                for step in range(done % steps, steps):
                    picked = order[step * batch_size : (step + 1) * batch_size if step + 1 < steps else None]
                    batch, target = x[picked], y[picked]
                    seed_default(x.device, mix(seed, epoch, step, 1))
                    if augment is not None:
                        batch = augment(batch, generator_of(seed, epoch, step))
                    with (
                        torch.autocast(x.device.type, torch.bfloat16) if bf16 else nullcontext(),
                        several(len(picked)),
                    ):
                        value = layout.first(batch, lambda b, t=target: loss(runner, b, t), moved)
                    value.backward(inputs=weights)
                    if clip is not None:
                        nn.utils.clip_grad_norm_(weights, clip)
                    rule.param_groups[0]["lr"] = learning_rate(
                        done, epochs * steps, peak=lr, schedule=schedule
                    )
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
    finally:  # an exception, too, leaves a network that runs
        for parameter in chosen.values():
            parameter.grad = None
        layout.restore()
        model.eval()
    return history


def _bar(progress: bool | str) -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console,
        disable=not progress or not console.is_terminal,
    )  # fmt: skip
