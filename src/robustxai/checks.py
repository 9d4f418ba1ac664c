"""Input validation that all rooms share: each raises one ValueError of one sentence that names the argument.

Called once by whatever a user calls, and never inside a loop. Knows names, numbers, images, classes and modes of
networks; how a network is called is in `models`.
"""

import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsFloat

import numpy as np
import torch
from torch import Tensor, nn

ROUNDING = 1e-5
"""How far resizing may leave [0, 1]: torchvision's leaves 1 + 2.4e-7."""


def shown(value: object) -> str:
    """What came, for a message: shape and dtype of a tensor or array, else its repr, cut to 40 letters of one line.

    >>> shown(torch.zeros(3, 4)), shown("fast")
    ('shape (3, 4) and dtype torch.float32', "'fast'")
    """
    if isinstance(value, (Tensor, np.ndarray)) and value.ndim:
        return f"shape {tuple(value.shape)} and dtype {value.dtype}"
    plain = value.item() if isinstance(value, np.generic) else value
    return " ".join(f"{plain!r:.40}".split())


def check_name(name: str, value: object, accepted: Iterable[str]) -> None:
    """`value` is one of the `accepted` names."""
    if value not in tuple(accepted):  # what has no hash is in no dict
        raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {shown(value)}")


def check_number(
    name: str,
    value: SupportsFloat,
    *,
    low: float | int = 0.0,
    high: float | int = math.inf,
    strict: bool = False,
) -> float:
    """`value` is a finite number from `low` on, or above it if `strict`, and at most `high`. NumPy's numbers count.

    >>> check_number("eps", 0)
    0.0
    """
    number = _float(value)
    if number is None or not math.isfinite(number) or not low <= number <= high or (strict and number == low):
        above = f" {'>' if strict else '>='} {low:g}" if low > -math.inf else ""
        rule = f" in {'(' if strict else '['}{low:g}, {high:g}]" if high < math.inf else above
        raise ValueError(f"{name} must be a finite number{rule}, got {shown(value)}")
    return number


def check_positive(name: str, value: SupportsFloat) -> float:
    """`value` is a finite number above 0."""
    return check_number(name, value, strict=True)


def check_share(name: str, value: SupportsFloat, *, open: bool = False) -> float:
    """`value` is a number in [0, 1], or in (0, 1) if `open`.

    >>> check_share("confidence", 0.95, open=True)
    0.95
    """
    number = _float(value)
    if number is None or not 0 <= number <= 1 or (open and number in (0, 1)):  # false for NaN as well
        raise ValueError(f"{name} must be a number in {'(0, 1)' if open else '[0, 1]'}, got {shown(value)}")
    return number


def check_count(name: str, value: Any, low: int = 1) -> int:
    """`value` is a whole number, `low` or more, as a Python int. NumPy's integers count.

    >>> check_count("steps", 5)
    5
    """
    count = _integer(value)
    if count is None or count < low:
        raise ValueError(f"{name} must be an integer >= {low}, got {shown(value)}")
    return count


def check_k(k: Any, d: int) -> int:
    """`k` leaves at least one of d features in the top set and one outside: 1 <= k < d. NumPy's integers count."""
    count = _integer(k)
    if count is None or not 1 <= count < d:
        raise ValueError(f"k must be an integer in [1, {d - 1}] for {d} features, got {shown(k)}")
    return count


def check_callable(name: str, value: object) -> None:
    """`value` is a function or a network."""
    if not callable(value):
        raise ValueError(f"{name} must be a function or a network, got {shown(value)}")


def check_module(name: str, value: object) -> None:
    """`value` is a network whose layers can be looked at."""
    if not isinstance(value, nn.Module):
        raise ValueError(f"{name} must be a network (nn.Module), got {shown(value)}")


def check_generator(name: str, value: object) -> None:
    """`value` draws random numbers, or is None."""
    if not (value is None or isinstance(value, torch.Generator)):
        raise ValueError(f"{name} must be a torch.Generator or None, got {shown(value)}")


def check_sequence(name: str, values: object, kind: str, least: int = 1) -> None:
    """`values` is a list, a tuple or the like, with `least` entries or more; `kind` says of what. A string is none.

    >>> check_sequence("layers", ["body"], "module names")
    """
    if isinstance(values, (str, bytes)) or not (hasattr(values, "__len__") and hasattr(values, "__iter__")):
        raise ValueError(f"{name} must be a sequence of {kind}, got {shown(values)}")
    if len(values) < least:  # pyright: ignore[reportArgumentType]
        raise ValueError(f"{name} must hold {least} or more {kind}, got {len(values)}")  # pyright: ignore[reportArgumentType]


def check_floats(name: str, x: object, *axes: str, least: int = 1) -> Tensor:
    """`x` is a tensor of floats with these axes, or with `least` or more where none are named. NaN is allowed.

    >>> check_floats("maps", torch.zeros(2, 7, 7), "n", "h", "w").shape
    torch.Size([2, 7, 7])
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a tensor of floats, got {type(x).__name__}")
    if not x.is_floating_point() or (x.ndim != len(axes) if axes else x.ndim < least):
        wanted = f"({', '.join(axes)})" if axes else f"with {least} axes or more"
        raise ValueError(f"{name} must be floats {wanted}, got shape {tuple(x.shape)} and dtype {x.dtype}")
    return x


def check_length(name: str, values: Any, other: str, n: int) -> None:
    """`values` has one entry for each of the n of `other`."""
    if len(values) != n:
        raise ValueError(f"{name} must have one entry for each of the {n} of {other}, got {len(values)}")


def check_images(
    name: str, x: object, *, low: float | None = 0.0, high: float | None = 1.0, empty: bool = False
) -> Tensor:
    """`x` is a batch (n, C, H, W) of finite floats in [low, high], one or more; None is no limit.

    Half precision counts, and 1e-5 over the limits, which resizing leaves. Raises ValueError.
    """
    if not isinstance(x, Tensor) or x.ndim != 4 or (x.numel() == 0 and not empty):
        raise ValueError(f"{name} must be images (n, C, H, W), not empty, got {shown(x)}")
    check_finite(name, x, "images in [0, 1]")
    if not x.numel():
        return x
    least, most = map(float, x.detach().aminmax())
    if (low is not None and least < low - ROUNDING) or (high is not None and most > high + ROUNDING):
        raise ValueError(f"{name} must be images in [0, 1], got pixels from {least:.3g} to {most:.3g}")
    return x


def check_batch(name: str, x: object) -> Tensor:
    """`x` is a batch (n, ...) of finite floats, one or more: images (n, C, H, W) or tables (n, d)."""
    if not isinstance(x, Tensor) or x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"{name} must be a table (n, d) or images (n, C, H, W), not empty, got {shown(x)}")
    check_finite(name, x, "inputs")
    return x


def check_finite(name: str, x: Tensor, kind: str = "inputs") -> None:
    """`x` holds floating-point numbers, none of them NaN or infinite."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise ValueError(f"{name} must be floating-point {kind}, got dtype {x.dtype}")
    if not x.numel():
        return
    least, most = map(float, x.detach().aminmax())  # NaN wins in both, and no mask of the size of x is made
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ValueError(f"{name} must be finite {kind}, got NaN or infinite numbers")


def _float(value: Any) -> float | None:
    """A number as a float; None for bools, strings and what is no number."""
    if isinstance(value, (bool, str, bytes)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _integer(value: Any) -> int | None:
    """A whole number as an int; None for bools and what is no whole number."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def as_target(target: Any, logits: Tensor, *, model: str = "model", name: str = "target") -> Tensor:
    """Class indices (n,) on the device of `logits` (n, C); None is the predicted class, ties: the lower index.

    target: an int, integers (n,) as a tensor, an array or a list, or None. A single logit is a sigmoid with classes 0
    and 1. model, name: what sentences call the network and the argument. Raises ValueError.

    >>> as_target(None, torch.tensor([[0.0, 2.0], [1.0, 1.0]]))
    tensor([1, 0])
    """
    if not isinstance(logits, Tensor):
        raise ValueError(f"{model} must return a tensor of logits, got {type(logits).__name__}")
    if logits.ndim != 2:
        raise ValueError(f"{model} must return logits (n, classes), got shape {tuple(logits.shape)}")
    n, classes = len(logits), max(logits.shape[1], 2)
    if target is None:
        return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    try:
        t = torch.as_tensor(target, device=logits.device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must be an int, integers of shape ({n},) or None, got {shown(target)}"
        ) from None
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool or t.shape not in ((), (n,)):
        raise ValueError(
            f"{name} must be an int, integers of shape ({n},) or None, "
            f"got shape {tuple(t.shape)} and dtype {t.dtype}"
        )
    if (wrong := t[(t < 0) | (t >= classes)]).numel():
        raise ValueError(f"{name} must be classes in [0, {classes - 1}], got class {int(wrong.flatten()[0])}")
    return t.long().expand(n).clone()  # a target made in inference mode becomes an ordinary tensor
