"""The contracts of the public door: each function raises one ValueError of one sentence, or returns what it checked.

They are called once by whatever a user calls, and never inside a loop. Knows nothing about explanations.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

COUPLED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""Modules that in training mode make a sample depend on its batch or on chance."""


def check_name(name: str, value: object, accepted: Sequence[str]) -> None:
    """`value` is one of the `accepted` names."""
    if value not in accepted:
        raise ValueError(f"{name} is {value!r}; accepted are {', '.join(accepted)}")


def check_positive(name: str, value: float | int) -> float:
    """`value` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; accepted are finite numbers above 0")
    return float(value)


def check_count(name: str, value: int, low: int = 1) -> int:
    """`value` is a whole number, `low` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} is {value}; accepted are whole numbers from {low}")
    return value


def check_k(k: int, d: int) -> int:
    """`k` leaves at least one feature in the top set and one outside: 1 <= k < d."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < d:
        raise ValueError(
            f"k is {k}; accepted are whole numbers from 1 to {d - 1}, one less than the {d} features"
        )
    return k


def check_scores(name: str, scores: Tensor) -> Tensor:
    """A batch of explanations (n, ...) as a matrix (n, d), not empty."""
    if scores.ndim < 2 or scores.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(scores.shape)}; accepted are batches (n, ...), not empty")
    return scores.flatten(1)


def check_inputs(model: nn.Module, x: Tensor) -> None:
    """`x` is a batch (n, ...) of finite floats, and no module of `model` couples or perturbs its samples."""
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; accepted are tables (n, d) and images (n, C, H, W), not empty"
        )
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; accepted are floating-point inputs")
    bad = int((~torch.isfinite(x).flatten(1).all(1)).sum())
    if bad:
        raise ValueError(
            f"x holds NaN or infinite values in {bad} of {len(x)} rows; accepted are finite inputs"
        )
    coupled = [
        name or "the model" for name, m in model.named_modules() if m.training and isinstance(m, COUPLED)
    ]
    if coupled:
        raise ValueError(
            f"model has {len(coupled)} modules such as {coupled[0]} in training mode, where a batch or chance "
            "changes a sample's result; accepted is model.eval()"
        )


def as_target(target: int | Tensor | None, logits: Tensor) -> Tensor:
    """Class indices (n,) on the device of `logits` (n, C); None is the predicted class, ties: the lower index."""
    if logits.ndim != 2:
        raise ValueError(f"model returned shape {tuple(logits.shape)}; accepted are logits (n, classes)")
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
