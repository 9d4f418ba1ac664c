"""In which type a number is computed, where the type of the images would lose it or the device lacks a wider one.

Knows types and devices only.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn

Many = TypeVar("Many", Tensor, nn.Module)

HALF = (torch.float16, torch.bfloat16)
WITHOUT_DOUBLE = ("mps",)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32, for sums and differences that it would lose; other types as they are.

    >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype, widened(torch.zeros(1, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return x.float() if x.dtype in HALF else x


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device that has no float64 (Apple's)."""
    return torch.float32 if device.type in WITHOUT_DOUBLE else torch.float64


def as_double(what: Many) -> Many:
    """A tensor, or a network in place, in double precision: where it is, or on the CPU if its device has none (MPS).

    >>> as_double(torch.zeros(1)).dtype
    torch.float64
    """
    like = next(what.parameters()) if isinstance(what, nn.Module) else what
    return (what.cpu() if like.device.type in WITHOUT_DOUBLE else what).double()
