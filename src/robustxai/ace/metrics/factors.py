"""What the rendered faces know and no photograph does: which factors moved, and where the edit should have been.

A network that reads factors gives one number per factor, scaled so that the range is from -1 to 1.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.ace.checks import check_flags, check_image_pair
from robustxai.ace.metrics.flips import logits_in_parts
from robustxai.models import Network
from robustxai.shapes import Images


def _read(reader: Network, x: Tensor, batch_size: int) -> Tensor:
    return logits_in_parts(reader, x, batch_size, name="reader")


def upper_half(reader: Network, x: Images, *, batch_size: int = 256) -> Bool[Tensor, "n factor"]:
    """Whether each factor is read in the upper half of its range: the rendered faces' yes-no attributes.

    Raises ValueError for a reader that returns other than finite numbers (n, factors).

    >>> import torch
    >>> upper_half(lambda x: x.mean((2, 3)) - 0.5, torch.ones(1, 2, 4, 4))
    tensor([[True, True]])
    """
    return _read(reader, x, batch_size) > 0


def factor_shift(
    reader: Network, x: Images, image: Images, *, batch_size: int = 256
) -> Float[Tensor, "n factor"]:
    """How far each factor is read to have moved, in half ranges: 2 is from one end to the other."""
    check_image_pair(x, image)
    return _read(reader, image, batch_size) - _read(reader, x, batch_size)


def mask_iou(
    mask: Bool[Tensor, "n 1 height width"], truth: Bool[Tensor, "n height width"]
) -> Float[Tensor, " n"]:
    """Intersection over union of the edited pixels and the true ones; NaN where both are empty.

    Raises ValueError for other than truth values, and for other shapes.

    >>> import torch
    >>> mask_iou(torch.tensor([[[[True, True, False]]]]), torch.tensor([[[False, True, True]]]))
    tensor([0.3333])
    """
    edited = check_flags("mask", mask, 4, "(n, 1, H, W)")[:, 0]
    if check_flags("truth", truth, 3, "(n, H, W)").shape != edited.shape or mask.shape[1] != 1:
        raise ValueError(
            f"truth must have the shape of mask[:, 0], {tuple(edited.shape)}, got {tuple(truth.shape)}"
        )
    both, either = ((edited & truth).flatten(1).sum(1), (edited | truth).flatten(1).sum(1))
    return both / either
