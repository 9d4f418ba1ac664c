"""The samples that `fit` accepts, and how their rows are cut into batches. Raises ValueError, one sentence that names
the argument.

Knows sizes; knows nothing about losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from robustxai.checks import check_finite, check_module


def check_pair(name: str, pair: object) -> None:
    """Samples and labels: two tensors of one length, one or more."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{name} must be a pair of tensors (n, ...), got {pair!r:.40}")
    if not all(isinstance(part, Tensor) and part.ndim for part in pair):
        kinds = " and ".join(type(part).__name__ for part in pair)
        raise ValueError(f"{name} must be tensors (n, ...), got {kinds}")
    if not len(pair[0]) == len(pair[1]) > 0:
        sizes = " and ".join(str(len(part)) for part in pair)
        raise ValueError(f"{name} must have the same length, at least 1; got {sizes}")


def check_data(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """A network with samples and targets, all on one device."""
    check_module("model", model)
    check_pair("x and y", (x, y))
    if x.is_floating_point():
        check_finite("x", x)
    devices = {str(x.device), str(y.device), *(str(p.device) for p in model.parameters())}
    if len(devices) != 1:
        raise ValueError(f"model, x and y must be on one device; got {', '.join(sorted(devices))}")


def steps_of(model: nn.Module, n: int, batch_size: int) -> int:
    """Steps an epoch: a last batch of one row joins the one before it where batch norms train."""
    joins = n % batch_size == 1 and n > batch_size > 1
    if joins and any(isinstance(m, _BatchNorm) and m.training for m in model.modules()):
        return n // batch_size
    return math.ceil(n / batch_size)


@contextmanager
def several(n: int) -> Iterator[None]:
    """torch's sentence about a batch of one row names the argument."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size must leave two rows or more to a batch for batch norm, got {n}"
        ) from error
