"""The one training loop: seeded, resumable after a kill, for any module, any loss, any subset of parameters.

It knows nothing about explanations, datasets or files other than its checkpoint. All randomness is drawn from
`(seed, epoch, step)`, so nothing about it has to be stored, and a resumed run gives the same bits as an
uninterrupted one. The caller's global random state is left as it was.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Unpack, cast

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robustxai.nets.arguments import check_data, several, steps_of
from robustxai.nets.checkpoint import Checkpoint, tensor_digest
from robustxai.nets.layout import Layout, narrow
from robustxai.nets.rules import follow, learning_rate, optimizer_of
from robustxai.nets.seeds import generator_of, mix, seed_default
from robustxai.nets.select import set_training, trainable
from robustxai.nets.training import History, Training, TrainingOptions
from robustxai.options import merged, says_options


@says_options(Training)
def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    how: Training | None = None,
    **options: Unpack[TrainingOptions],
) -> History:
    """Train `model` in place on samples `x` (n, ...) with targets `y` (n, ...), and leave it in eval mode.

    how, options: a `Training`, or its fields by name, or both: `fit(model, x, y, epochs=3, lr=0.01)`. `epochs` is
    needed; `Training` says what each is, and its default. Raises ValueError for arguments that do not fit, and
    FloatingPointError when the loss is no longer finite.
    """
    how = merged(Training, how, options)
    check_data(model, x, y)
    run = _Run(model, x, y, how)
    try:
        return run.train()
    finally:  # an exception, too, leaves a network that runs
        run.leave()


class _Run:
    """One training of a network on its samples."""

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, how: Training) -> None:
        self.model, self.x, self.y, self.how = model, x, y, how
        self.chosen = trainable(model, how.params)
        set_chosen = partial(set_training, chosen=how.params)
        self.set_modes = set_chosen if how.train_mode is None else how.train_mode
        self.layout = Layout(model, wanted=how.channels_last and x.ndim == 4 and not narrow(model))

    def train(self) -> History:
        how, model, x, y = self.how, self.model, self.x, self.y
        self.weights = list(self.chosen.values())
        self.rule = optimizer_of(
            how.optimizer, self.weights, lr=how.lr, weight_decay=how.weight_decay, momentum=how.momentum
        )
        self.average = None
        if how.ema is not None:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(how.ema), use_buffers=True)
        self.runner = cast(nn.Module, torch.compile(model)) if how.compile else model
        self.store = Checkpoint(
            how.checkpoint, self._settings(), seconds=how.checkpoint_seconds, model=model,
            average=self.average, rule=self.rule,
        )  # fmt: skip
        self.done, summed, numbers = self.store.load()
        self.history = history = History(**numbers)
        self.set_modes(model)
        self.steps = steps_of(model, len(x), how.batch_size)
        judged = how.validation if how.validation is not None else (x[:1000], y[:1000])
        cuda = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda), _bar(how.progress) as bar:
            title = how.progress if isinstance(how.progress, str) else "train"
            task = bar.add_task(title, total=how.epochs * self.steps, note="")
            for epoch in range(self.done // self.steps, how.epochs):
                began = time.monotonic()
                total = self._epoch(epoch, summed, lambda: bar.update(task, completed=self.done))
                summed = 0.0
                if not math.isfinite(total):
                    raise FloatingPointError(
                        f"the loss is not finite in epoch {epoch}; try an lr below {how.lr}"
                    )
                history.loss.append(total / len(x))
                shown = model if self.average is None else self.average.module
                history.accuracy.append(how.measure(shown, *judged))
                history.seconds.append(time.monotonic() - began)
                bar.update(task, note=f"loss {history.loss[-1]:.3f}  accuracy {history.accuracy[-1]:.3f}")
                self.store.save_if_due(self.done, 0.0, history, now=epoch + 1 == how.epochs)
                if how.on_epoch is not None:
                    how.on_epoch(epoch, history)
        if self.average is not None:
            model.load_state_dict(self.average.module.state_dict())
        return history

    def leave(self) -> None:
        """The network without gradients, in eval mode, and in memory as it was."""
        for parameter in self.chosen.values():
            parameter.grad = None
        self.layout.restore()
        self.model.eval()

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a stored run to go on."""
        how = self.how
        return dict(
            epochs=how.epochs, lr=how.lr, optimizer=how.optimizer, schedule=how.schedule,
            weight_decay=how.weight_decay, momentum=how.momentum, batch_size=how.batch_size,
            augment=repr(how.augment), params=sorted(self.chosen), ema=how.ema, clip=how.clip, bf16=how.bf16,
            seed=how.seed, data=tensor_digest(self.x, self.y),
        )  # fmt: skip

    def _epoch(self, epoch: int, summed: float, tell: Callable[[], object]) -> float:
        """The loss of an epoch, summed over its samples, from the step on where the run stands."""
        x, how, size = self.x, self.how, self.how.batch_size
        self.set_modes(self.model)
        order = torch.randperm(len(x), generator=generator_of(how.seed, epoch), device="cpu").to(x.device)
        total = torch.tensor(summed, device=x.device)
        for step in range(self.done % self.steps, self.steps):
            picked = order[step * size : (step + 1) * size if step + 1 < self.steps else None]
            total += self._step(epoch, step, picked) * len(picked)
            self.done += 1
            tell()
            if step + 1 < self.steps:
                self.store.save_if_due(self.done, float(total), self.history)
        return float(total)

    def _step(self, epoch: int, step: int, picked: Tensor) -> Tensor:
        """One step on the picked rows; their mean loss before it."""
        how, batch, target = self.how, self.x[picked], self.y[picked]
        seed_default(self.x.device, mix(how.seed, epoch, step, 1))
        if how.augment is not None:
            batch = how.augment(batch, generator_of(how.seed, epoch, step))
        autocast = torch.autocast(self.x.device.type, torch.bfloat16) if how.bf16 else nullcontext()
        with autocast, several(len(picked)):
            value = self.layout.first(batch, lambda b: how.loss(self.runner, b, target), self._moved)
        value.backward(inputs=self.weights)
        if how.clip is not None:
            nn.utils.clip_grad_norm_(self.weights, how.clip)
        steps = how.epochs * self.steps
        self.rule.param_groups[0]["lr"] = learning_rate(self.done, steps, peak=how.lr, schedule=how.schedule)
        self.rule.step()
        self.rule.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return value.detach()

    def _moved(self) -> None:
        """The weights lie otherwise in memory now: so do the optimizer's numbers, and the average."""
        follow(self.rule)
        if self.average is not None:
            self.average.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


def _bar(progress: bool | str) -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console,
        disable=not progress or not console.is_terminal,
    )  # fmt: skip
