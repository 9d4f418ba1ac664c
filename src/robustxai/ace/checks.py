"""The chapter's own contracts, beside those of `robustxai.checks`: images, channels, and the class that is wanted.

Each raises one ValueError of one sentence, or returns what it checked; called once by whatever a user calls.
"""

import torch
from torch import Tensor, nn

from robustxai.checks import as_target
from robustxai.metrics.predictions import predicted, two_columns


def check_images(x: Tensor) -> None:
    """`x` is a batch (n, C, H, W) of finite floats in [0, 1], not empty."""
    if x.ndim != 4 or x.numel() == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}; accepted are images (n, C, H, W), not empty")
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; accepted are floating-point images in [0, 1]")
    low, high = float(x.detach().min()), float(x.detach().max())
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise ValueError(f"x holds values from {low:.4g} to {high:.4g}; accepted are images in [0, 1]")


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


def wanted_class(target: int | Tensor | None, logits: Tensor) -> Tensor:
    """Wanted classes (n,), none of them the predicted one; None is `counter_class`."""
    given = as_target(target, logits, model="classifier")
    if not logits.isfinite().all():
        raise ValueError("classifier returned logits that are not finite; accepted are finite ones")
    if target is None:
        return counter_class(logits)
    same = int((given == predicted(logits)).sum())
    if same:
        raise ValueError(
            f"target is already the predicted class of {same} of {len(given)} images; accepted are other classes"
        )
    return given
