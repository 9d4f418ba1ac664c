"""The one training loop: seeded, resumable after a kill, for any module, any loss, any subset of parameters.

It knows nothing about explanations, datasets or files other than its checkpoint. All randomness is drawn from
`(seed, epoch, step)`, so nothing about it has to be stored, and a resumed run gives the same bits as an
uninterrupted one. The caller's global random state is left as it was.
"""

from __future__ import annotations

import math
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robustxai.nets.checkpoint import load_tensors, save_tensors
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

    loss: called as `loss(model, x, y)` on a batch, returns a scalar; it may draw from torch's default generator,
    which is seeded for each step. augment: `augment(x, generator)` on each batch. params: train only these
    modules (or names of modules or parameters); everything else stays in eval mode and keeps its bits, batch-norm
    statistics included. train_mode: called with the model to set the modes instead. ema: decay in (0, 1); the
    averaged weights are the ones left in the model. clip: largest gradient norm. schedule: the learning rate
    rises to `lr` in the first 30% and falls to zero ("onecycle"), falls ("cosine"), or stays ("constant").
    bf16, compile: faster on some devices; off by default because they change the bits. channels_last: about 1.3
    times faster for convolutions on a CPU. checkpoint: file written at most every `checkpoint_seconds` and at the
    end; if it exists, training goes on from there. measure: called as `measure(model, x, y)` after every epoch on
    `validation`, or on the first 1,000 training samples; its number goes to `history.accuracy`. on_epoch: called with (epoch, history) after every epoch.
    progress: False for none, a string for its title; it is silent when stderr is no terminal.
    Raises ValueError for arguments that do not fit, and FloatingPointError when the loss is no longer finite.
    """
    _check(model, x, y, epochs=epochs, optimizer=optimizer, schedule=schedule, batch_size=batch_size)
    if channels_last and x.ndim == 4:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    chosen = trainable(model, params)
    set_mode = train_mode or (lambda net: set_training(net, params))
    rule = _optimizer(optimizer, list(chosen.values()), lr=lr, weight_decay=weight_decay, momentum=momentum)
    average = None
    if ema is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)
    runner = torch.compile(model) if compile else model
    steps = math.ceil(len(x) / batch_size)
    settings: dict[str, Any] = dict(
        epochs=epochs, lr=lr, optimizer=optimizer, schedule=schedule, weight_decay=weight_decay,
        momentum=momentum, batch_size=batch_size, augment=repr(augment), params=sorted(chosen), ema=ema,
        clip=clip, bf16=bf16, seed=seed, data=_digest(x, y),
    )  # fmt: skip
    history = History()
    path = Path(checkpoint) if checkpoint is not None else None
    done, running = 0, 0.0
    if path is not None and path.exists():
        done, running, history = _restore(path, settings, model, average, rule)
    saved = time.monotonic()
    cuda = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _bar(progress) as bar:
        task = bar.add_task(progress if isinstance(progress, str) else "train", total=epochs * steps, note="")
        for epoch in range(done // steps, epochs):
            began = time.monotonic()
            order = torch.randperm(len(x), generator=_generator(seed, epoch)).to(x.device)
            set_mode(model)
            total = torch.tensor(running, device=x.device, dtype=torch.float64)
            for step in range(done % steps, steps):
                picked = order[step * batch_size : (step + 1) * batch_size]
                batch, target = x[picked], y[picked]
                torch.manual_seed(_mix(seed, epoch, step, 1))
                if augment is not None:
                    batch = augment(batch, _generator(seed, epoch, step))
                if channels_last and batch.ndim == 4:
                    batch = batch.contiguous(memory_format=torch.channels_last)
                for group in rule.param_groups:
                    group["lr"] = learning_rate(done, epochs * steps, peak=lr, schedule=schedule)
                with torch.autocast(x.device.type, torch.bfloat16) if bf16 else nullcontext():
                    value = loss(runner, batch, target)
                value.backward(inputs=list(chosen.values()))
                if clip is not None:
                    nn.utils.clip_grad_norm_(chosen.values(), clip)
                rule.step()
                rule.zero_grad()
                if average is not None:
                    average.update_parameters(model)
                total += value.detach() * len(picked)
                done += 1
                bar.update(task, completed=done)
                if path is not None and step + 1 < steps and time.monotonic() - saved > checkpoint_seconds:
                    _save(path, settings, done, float(total), history, model, average, rule)
                    saved = time.monotonic()
            running = 0.0
            if not math.isfinite(float(total)):
                raise FloatingPointError(
                    f"the loss is not finite in epoch {epoch}; try a smaller lr than {lr}"
                )
            history.loss.append(float(total) / len(x))
            judged = validation if validation is not None else (x[:1000], y[:1000])
            history.accuracy.append(measure(average.module if average is not None else model, *judged))
            history.seconds.append(time.monotonic() - began)
            bar.update(task, note=f"loss {history.loss[-1]:.3f}  accuracy {history.accuracy[-1]:.3f}")
            if path is not None and (epoch + 1 == epochs or time.monotonic() - saved > checkpoint_seconds):
                _save(path, settings, done, 0.0, history, model, average, rule)
                saved = time.monotonic()
            if on_epoch is not None:
                on_epoch(epoch, history)
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    return history


def learning_rate(step: int, steps: int, *, peak: float, schedule: str) -> float:
    """The learning rate of `step` in [0, steps): "onecycle" starts at peak/25 and peaks at 30% of the steps."""
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / steps))
    rise = 0.3 * steps
    if step < rise:
        return peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


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


def _digest(*tensors: Tensor) -> str:
    """Shapes and a checksum of at most 65,536 elements each: enough to refuse another data set."""
    parts = []
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 65536)].cpu().contiguous()
        parts.append(f"{tuple(tensor.shape)}:{zlib.crc32(sample.numpy().tobytes()):08x}")
    return " ".join(parts)


def _bar(progress: bool | str) -> Progress:
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console,
        disable=not progress or not console.is_terminal,
    )  # fmt: skip


def _save(
    path: Path,
    settings: dict[str, Any],
    done: int,
    running: float,
    history: History,
    model: nn.Module,
    average: AveragedModel | None,
    rule: torch.optim.Optimizer,
) -> None:
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"ema/{name}": value for name, value in average.state_dict().items()}
    for index, state in rule.state_dict()["state"].items():
        tensors |= {f"rule/{index}/{key}": v for key, v in state.items() if isinstance(v, Tensor)}
    record = dict(settings=settings, done=done, running=running, history=asdict(history))
    save_tensors(path, tensors, record)


def _restore(
    path: Path,
    settings: dict[str, Any],
    model: nn.Module,
    average: AveragedModel | None,
    rule: torch.optim.Optimizer,
) -> tuple[int, float, History]:
    tensors, record = load_tensors(path)
    for key, value in settings.items():
        if record.get("settings", {}).get(key) != value:
            was = record.get("settings", {}).get(key)
            raise ValueError(
                f"checkpoint {path} was made with {key}={was!r}, not {value!r}; delete it or use another"
            )
    groups: dict[str, dict[str, Any]] = {"model": {}, "ema": {}, "rule": {}}
    for name, tensor in tensors.items():
        group, rest = name.split("/", 1)
        groups[group][rest] = tensor
    model.load_state_dict(groups["model"])
    if average is not None:
        average.load_state_dict(groups["ema"])
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["rule"].items():
        index, key = name.split("/")
        parameter = rule.param_groups[0]["params"][int(index)]
        if tensor.shape == parameter.shape:  # fused kernels need the parameter's own memory order
            tensor = torch.empty_like(parameter).copy_(tensor)
        states.setdefault(int(index), {})[key] = tensor
    rule.load_state_dict({"state": states, "param_groups": rule.state_dict()["param_groups"]})
    return record["done"], record["running"], History(**record["history"])
