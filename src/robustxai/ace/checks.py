"""The contracts of the public door: each function raises one ValueError of one sentence, or returns what it checked.

Called once by whatever a user calls, and never inside a loop.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustxai.metrics.predictions import predicted, two_columns


def check_name(name: str, value: object, accepted: Sequence[str]) -> None:
    """`value` is one of the `accepted` names."""
    if value not in accepted:
        raise ValueError(f"{name} is {value!r}; accepted are {', '.join(accepted)}")


def check_number(name: str, value: float | int, *, low: float = 0.0, strict: bool = False) -> None:
    """`value` is a finite number from `low` on, or above it if `strict`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < low or (strict and value == low):
        raise ValueError(
            f"{name} is {value}; accepted are finite numbers {'above' if strict else 'from'} {low:g}"
        )


def check_count(name: str, value: int, low: int = 1) -> None:
    """`value` is a whole number, `low` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} is {value}; accepted are whole numbers from {low}")


def check_images(x: Tensor) -> None:
    """`x` is a batch (n, C, H, W) of finite floats in [0, 1], not empty."""
    if x.ndim != 4 or x.numel() == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}; accepted are images (n, C, H, W), not empty")
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; accepted are floating-point images in [0, 1]")
    low, high = float(x.detach().min()), float(x.detach().max())
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise ValueError(f"x holds values from {low:.4g} to {high:.4g}; accepted are images in [0, 1]")


def check_calm(name: str, net: nn.Module) -> None:
    """No module of `net` lets a batch or chance change a result: no batch norm or dropout in training mode."""
    for path, m in net.named_modules():
        drops = isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0
        if m.training and (drops or isinstance(m, nn.modules.batchnorm._BatchNorm)):
            raise ValueError(
                f"{name} has {path or 'a layer'} in training mode, where a batch or chance changes a result; "
                f"accepted is {name}.eval()"
            )


def check_channels(name: str, net: nn.Module, channels: int) -> None:
    """The first convolution of `net`, if there is one, takes this number of channels."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != channels:
        raise ValueError(
            f"{name} takes images of {first.in_channels} channels and x has {channels}; accepted are equal numbers"
        )


def counter_class(logits: Tensor) -> Tensor:
    """The class (n,) that each image is moved to by default: the most probable but for the predicted one."""
    rest = two_columns(logits).clone()
    rest.scatter_(1, predicted(logits)[:, None], -torch.inf)
    return rest.argmax(1)


def as_target(target: int | Tensor | None, logits: Tensor) -> Tensor:
    """Wanted classes (n,), none of them the predicted one. A single logit is a sigmoid with classes 0 and 1."""
    if logits.ndim != 2:
        raise ValueError(f"classifier returned shape {tuple(logits.shape)}; accepted are logits (n, classes)")
    if not logits.isfinite().all():
        raise ValueError("classifier returned logits that are not finite; accepted are finite ones")
    now, classes = predicted(logits), max(logits.shape[1], 2)
    if target is None:
        return counter_class(logits)
    t = torch.as_tensor(target, device=logits.device)
    if t.is_floating_point() or t.dtype == torch.bool or t.ndim > 1 or (t.ndim == 1 and len(t) != len(now)):
        raise ValueError(
            f"target has shape {tuple(t.shape)} and dtype {t.dtype}; "
            f"accepted are an int, an integer tensor ({len(now)},) and None"
        )
    if t.min() < 0 or t.max() >= classes:
        raise ValueError(
            f"target holds classes {int(t.min())} to {int(t.max())}; accepted are 0 to {classes - 1}"
        )
    t = t.long().expand(len(now)).clone()
    same = int((t == now).sum())
    if same:
        raise ValueError(
            f"target is already the predicted class of {same} of {len(now)} images; accepted are other classes"
        )
    return t
