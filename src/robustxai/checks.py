"""Contracts of public doors that chapters share: each raises one ValueError of one sentence that names the argument.

They are called once by whatever a user calls, and never inside a loop. Knows names, numbers, networks and classes;
knows nothing about images, tables or explanations.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def check_name(name: str, value: object, accepted: Sequence[str]) -> None:
    """`value` is one of the `accepted` names."""
    if value not in accepted:
        raise ValueError(f"{name} is {value!r}; accepted are {', '.join(accepted)}")


def check_number(name: str, value: float | int, *, low: float = 0.0, strict: bool = False) -> float:
    """`value` is a finite number from `low` on, or above it if `strict`.

    >>> check_number("eps", 0)
    0.0
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < low or (strict and value == low):
        raise ValueError(
            f"{name} is {value}; accepted are finite numbers {'above' if strict else 'from'} {low:g}"
        )
    return float(value)


def check_positive(name: str, value: float | int) -> float:
    """`value` is a finite number above 0."""
    return check_number(name, value, strict=True)


def check_count(name: str, value: int, low: int = 1) -> int:
    """`value` is a whole number, `low` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} is {value}; accepted are whole numbers from {low}")
    return value


def check_calm(name: str, net: nn.Module) -> None:
    """No module of `net` lets a batch or chance change a result: no batch norm or dropout in training mode."""
    found = [path or "a layer" for path, m in net.named_modules() if m.training and _couples(m)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ValueError(
            f"{name} has {found[0]}{more} in training mode, where a batch or chance changes a sample's result; "
            f"accepted is {name}.eval()"
        )


def _couples(module: nn.Module) -> bool:
    drops = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
    return drops or isinstance(module, nn.modules.batchnorm._BatchNorm)


def as_target(target: int | Tensor | None, logits: Tensor, *, model: str = "model") -> Tensor:
    """Class indices (n,) on the device of `logits` (n, C); None is the predicted class, ties: the lower index.

    A single logit is a sigmoid with classes 0 and 1. model: what sentences call the network.

    >>> as_target(None, torch.tensor([[0.0, 2.0], [1.0, 1.0]]))
    tensor([1, 0])
    """
    if logits.ndim != 2:
        raise ValueError(f"{model} returned shape {tuple(logits.shape)}; accepted are logits (n, classes)")
    n, classes = len(logits), max(logits.shape[1], 2)
    if target is None:
        return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    t = torch.as_tensor(target, device=logits.device)
    if t.is_floating_point() or t.dtype == torch.bool or t.ndim > 1 or (t.ndim == 1 and len(t) != n):
        raise ValueError(
            f"target has shape {tuple(t.shape)} and dtype {t.dtype}; "
            f"accepted are an int, an integer tensor ({n},) and None"
        )
    if t.min() < 0 or t.max() >= classes:
        raise ValueError(
            f"target holds classes {int(t.min())} to {int(t.max())}; accepted are 0 to {classes - 1}"
        )
    return t.long().expand(n).clone()  # a target made in inference mode becomes an ordinary tensor
