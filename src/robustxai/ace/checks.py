"""Input validation for ACE beside that of `robustxai.checks`: pairs of images, finite logits, and the target class.

Each raises one ValueError of one sentence, or returns what it checked; called once by whatever a user calls.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import as_target, check_images
from robustxai.metrics.predictions import predicted
from robustxai.models import Network, logits_of
from robustxai.scores.explained import two_columns

GivenTarget = int | Int[Tensor, " n"]
"""A class for all images or one for each; there is no predicted one to fall back on."""


def check_image_pair(x: object, image: object, *, name: str = "image") -> None:
    """`x` and `image` are batches of finite images of one shape, of any range, not empty."""
    x, image = (check_images(n, value, low=None, high=None) for n, value in (("x", x), (name, image)))
    if image.shape != x.shape:
        raise ValueError(f"{name} must have the shape of x, {tuple(x.shape)}, got {tuple(image.shape)}")


def check_logits(logits: object) -> Tensor:
    """`logits` are a tensor (n, classes) of one or more samples, or (n, 1)."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.numel():
        found = (
            f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"type {type(logits).__name__}"
        )
        raise ValueError(f"logits must be a tensor (n, classes), not empty, got {found}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating-point numbers, got dtype {logits.dtype}")
    return logits


def check_flags(name: str, value: object, ndim: int, meaning: str) -> Tensor:
    """`value` is a tensor of truth values with `ndim` axes, such as a mask."""
    if not isinstance(value, Tensor) or value.dtype != torch.bool or value.ndim != ndim:
        found = (
            f"shape {tuple(value.shape)} and dtype {value.dtype}"
            if isinstance(value, Tensor)
            else f"type {type(value).__name__}"
        )
        raise ValueError(f"{name} must be truth values {meaning}, got {found}")
    return value


def classify(classifier: Network, x: Tensor, *, name: str = "classifier") -> Float[Tensor, "n classes"]:
    """The logits of a classifier, all finite; NaN makes no decision. Raises ValueError."""
    logits = logits_of(classifier, x, name=name)
    if not logits.isfinite().all():
        raise ValueError(f"{name} must return finite logits, got logits that are not finite")
    return logits


def given_class(target: Any, logits: Tensor, *, name: str = "target") -> Tensor:
    """The class (n,) that a caller has to name: an int, or one for each image; None is none."""
    if target is None:
        raise ValueError(f"{name} must be an int or integers of shape ({len(logits)},), got None")
    return as_target(target, logits, model="classifier", name=name)


def counter_class(logits: Tensor) -> Tensor:
    """The class (n,) that each image is moved to by default: the most probable but for the predicted one."""
    rest = two_columns(logits).clone()
    rest.scatter_(1, predicted(logits)[:, None], -torch.inf)
    return rest.argmax(1)


def target_class(target: Any, logits: Tensor) -> Tensor:
    """Target classes (n,), none of them the predicted one; None is `counter_class`."""
    given = as_target(target, logits, model="classifier")
    if target is None:
        return counter_class(logits)
    same = int((given == predicted(logits)).sum())
    if same:
        raise ValueError(
            f"target must not be the predicted class, got the predicted class of {same} of {len(given)} images"
        )
    return given
