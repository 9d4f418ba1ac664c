"""Which parameters train, which modules are in train mode, and accuracy. Knows nothing about losses."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustxai.checks import check_count, check_floats, check_length, check_module
from robustxai.metrics.predictions import predicted
from robustxai.models import logits_of


def trainable(model: nn.Module, chosen: Sequence[str | nn.Module] | None = None) -> dict[str, nn.Parameter]:
    """The parameters, by name, that belong to the `chosen` modules or names; None chooses all.

    Raises ValueError for a name that is neither a module nor a parameter, and when nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    if chosen is None:
        picked = parameters
    else:
        roots = [_name(model, item) for item in chosen]
        picked = {
            name: p
            for name, p in parameters.items()
            if any(r in ("", name) or name.startswith(f"{r}.") for r in roots)
        }
    if not picked:
        raise ValueError(f"params must choose at least one parameter; got {chosen!r}")
    return picked


def set_training(model: nn.Module, chosen: Sequence[str | nn.Module] | None = None) -> None:
    """Put the `chosen` modules in train mode and all others in eval mode; None chooses all."""
    if chosen is None:
        model.train()
        return
    model.eval()
    modules = dict(model.named_modules())
    for item in chosen:
        name = _name(model, item)
        if name in modules:
            modules[name].train()


@torch.no_grad()
def accuracy_of(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 256) -> float:
    """The share in [0, 1] of samples whose largest logit is class `y`, in eval mode; the modes are put back.

    A single logit is two classes. NaN when `y` does not hold one class of the network a sample, when a logit is NaN
    or infinite, and for no samples. Raises ValueError for another number of labels than samples.

    >>> accuracy_of(nn.Identity(), torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([1, 1]))
    0.5
    """
    check_count("batch_size", batch_size)
    if not isinstance(y, Tensor) or y.ndim != 1 or y.is_floating_point() or y.dtype == torch.bool:
        return math.nan
    check_module("model", model)
    check_length("y", y, "x", len(check_floats("x", x)))
    if not len(y):
        return math.nan
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        right, known = 0, True
        for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits = logits_of(model, a)
            classes = max(2, logits.shape[1])
            known &= bool(logits.isfinite().all() and (b >= 0).all() and (b < classes).all())
            right += (predicted(logits) == b).sum().item()
    finally:
        for module, mode in modes.items():
            module.training = mode
    return right / len(y) if known else math.nan


def _name(model: nn.Module, item: str | nn.Module) -> str:
    if isinstance(item, nn.Module):
        for name, module in model.named_modules():
            if module is item:
                return name
        raise ValueError(f"params must be parts of the model, got a {type(item).__name__} that is none")
    names = [name for name, _ in model.named_modules()] + [name for name, _ in model.named_parameters()]
    if item not in names:
        near = difflib.get_close_matches(item, names, n=3, cutoff=0.4)
        raise ValueError(
            f"params must be names of the model, got {item!r}; near: {', '.join(near) or 'none'}"
        )
    return item
