"""What the drawn faces know and no photograph does: which factors moved, and where the edit should have been.

A network that reads factors gives one number per factor, scaled so that the range is from -1 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Images = Float[Tensor, "n channel height width"]
Reader = Callable[[Tensor], Tensor]


@torch.no_grad()
def _read(reader: Reader, x: Tensor, max_batch: int) -> Tensor:
    return torch.cat([reader(part) for part in x.split(max_batch)])


def upper_half(reader: Reader, x: Images, *, max_batch: int = 256) -> Bool[Tensor, "n factor"]:
    """Whether each factor is read in the upper half of its range: the drawn faces' yes-no attributes."""
    return _read(reader, x, max_batch) > 0


def factor_shift(
    reader: Reader, x: Images, image: Images, *, max_batch: int = 256
) -> Float[Tensor, "n factor"]:
    """How far each factor is read to have moved, in half ranges: 2 is from one end to the other."""
    return _read(reader, image, max_batch) - _read(reader, x, max_batch)


def mask_iou(
    mask: Bool[Tensor, "n 1 height width"], truth: Bool[Tensor, "n height width"]
) -> Float[Tensor, " n"]:
    """Intersection over union of the edited pixels and the true ones; NaN where both are empty.

    >>> mask_iou(torch.tensor([[[[True, True, False]]]]), torch.tensor([[[False, True, True]]]))
    tensor([0.3333])
    """
    edited = mask[:, 0]
    both, either = ((edited & truth).flatten(1).sum(1), (edited | truth).flatten(1).sum(1))
    return both / either
