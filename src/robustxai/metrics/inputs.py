"""What measures accept and how they compute: floats, generators, images that broadcast, double precision.

Each check raises one ValueError of one sentence that names the argument. Knows nothing about any measure.
"""

from typing import Any

import torch
from torch import Tensor

from robustxai.checks import check_count, check_finite


def wide(t: Tensor) -> Tensor:
    """`t` in double precision on the CPU: some devices have none.

    >>> wide(torch.ones(2)).dtype
    torch.float64
    """
    return t.detach().cpu().double()


def as_generator(generator: Any) -> torch.Generator:
    """The generator, or for None a new one with seed 0."""
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator or None, got {generator!r}")
    return generator


def as_floats(name: str, t: Any) -> Tensor:
    """A tensor of real floating-point numbers; integers and booleans become float32."""
    if not isinstance(t, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(t).__name__}")
    if t.is_complex():
        raise ValueError(f"{name} must hold real numbers, got {t.dtype}")
    return t if t.is_floating_point() else t.float()


def as_filling(name: str, value: Any, x: Tensor) -> Tensor:
    """A finite number or tensor that broadcasts over `x`, in its dtype and on its device."""
    try:
        filling = torch.as_tensor(value, dtype=x.dtype, device=x.device)
        filling.expand_as(x)
    except (TypeError, ValueError, RuntimeError):
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ValueError(
            f"{name} must be a number or a tensor that broadcasts over x, {tuple(x.shape)}, got {got}"
        ) from None
    check_finite(name, filling, "numbers")
    return filling


def as_size(size: Any) -> tuple[int, int]:
    """(height, width), each one pixel or more."""
    try:
        height, width = size
    except (TypeError, ValueError):
        raise ValueError(f"size must be (height, width), got {size!r}") from None
    return check_count("size", height), check_count("size", width)
