"""What paths and their ends must be, and the sentences that say so.

Knows shapes, and nothing about what is done with them.
"""

from typing import Any

from torch import Tensor


def check_curve(name: str, curve: Any, *, least: int = 2, kind: str = "curves") -> None:
    """Curves (points, n, ...) of floats, `least` points or more. NaN is allowed: it stays NaN."""
    if not isinstance(curve, Tensor) or curve.ndim < 3 or not curve.is_floating_point() or not curve.numel():
        raise ValueError(f"{name} must be floats (points, n, ...), none of them 0, got {_shape(curve)}")
    if len(curve) < least:
        raise ValueError(
            f"{name} must be {kind} of {least} points or more, got {len(curve)} point{'s' * (len(curve) > 1)}"
        )


def check_rows(name: str, z: Any) -> None:
    """Codes or samples (n, ...) of floats, one or more. NaN is allowed: it stays NaN."""
    if not isinstance(z, Tensor) or z.ndim < 2 or not z.is_floating_point() or not z.numel():
        raise ValueError(f"{name} must be floats (n, ...), one row or more, got {_shape(z)}")


def check_same(name: str, a: Tensor, other: str, b: Tensor) -> None:
    """Two tensors of one shape, type and device."""
    if not isinstance(a, Tensor) or (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
        raise ValueError(f"{name} must be like {other}, {_shape(b)}, got {_shape(a)}")


def _shape(x: Any) -> str:
    return f"shape {tuple(x.shape)}, {x.dtype} on {x.device}" if isinstance(x, Tensor) else type(x).__name__
