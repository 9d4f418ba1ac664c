"""Rows of activations (n, d): what is accepted as rows, and which of them are used where sets have several sizes."""

import torch
from torch import Tensor

from robustxai.checks import check_finite, shown


def drawn(m: int, n: int, seed: int = 0) -> Tensor | slice:
    """Which n of m examples are used: all of them, or n drawn by `seed`, in their order.

    >>> drawn(3, 3), drawn(100, 3)
    (slice(None, None, None), tensor([19, 44, 93]))
    """
    if n == m:
        return slice(None)
    order = torch.randperm(m, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
    return order[:n].sort().values


def check_feature_rows(name: str, rows: Tensor) -> Tensor:
    """Rows (n, d), one or more, of finite numbers, as float32 or float64. Raises ValueError that names the argument."""
    if not isinstance(rows, Tensor) or rows.ndim != 2 or not rows.numel():
        raise ValueError(f"{name} must be rows (n, d), one or more, got {shown(rows)}")
    check_finite(name, rows, "rows")
    return rows.float() if rows.element_size() < 4 else rows


def check_channels(a: Tensor) -> None:
    """Activations whose second axis is channels: maps (n, K, h, w) or rows (n, d). ValueError for tokens (n, T, D)."""
    if a.ndim == 3:
        raise ValueError(
            "layer must give maps (n, K, h, w) for pooling and unit channel vectors, got tokens of shape "
            f"{tuple(a.shape)}, whose second axis is no channel: use pool=False and variant 'full', or another layer"
        )


def check_alike(name: str, a: Tensor, other: str, b: Tensor) -> None:
    """Rows of one length, dtype and device. Raises ValueError that names the arguments."""
    kinds = [(tuple(x.shape), x.dtype, x.device) for x in (a, b)]
    if a.shape[1:] != b.shape[1:] or kinds[0][1:] != kinds[1][1:]:
        said = ["shape {}, {} on {}".format(*kind) for kind in kinds]
        raise ValueError(
            f"{name} and {other} must be rows of one length and kind, got {said[0]} and {said[1]}"
        )
