"""How far each step of training goes: torch's optimizers, and the learning rate over the steps.

Knows names and numbers; knows nothing about networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

OPTIMIZERS = ("adamw", "adam", "sgd")
LEARNING_RATE_SCHEDULES = ("onecycle", "cosine", "constant")


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


def optimizer_of(
    name: str, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, momentum: float
) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(
            parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0, fused=True
        )
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(parameters, lr, weight_decay=weight_decay, fused=True)


def follow(rule: torch.optim.Optimizer) -> None:
    """The optimizer's numbers lie in memory as its parameters do, which fused kernels ask for."""
    for parameter, state in rule.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, requires_grad=False).copy_(value)
