"""The chapter's own contracts, beside those of `robustxai.checks`: batches of scores, features, classes.

Each raises one ValueError of one sentence, or returns what it checked; called once by whatever a user calls. Knows
nothing about explanations.
"""

from typing import Any

import torch
from torch import Tensor

from robustxai.checks import shown


def check_scores(name: str, scores: object) -> Tensor:
    """A batch of explanations (n, ...) as a matrix (n, d), not empty."""
    if not isinstance(scores, Tensor) or scores.ndim < 2 or scores.numel() == 0:
        raise ValueError(f"{name} must be a batch (n, ...), not empty, got {shown(scores)}")
    if not scores.is_floating_point():
        raise ValueError(f"{name} must be floating-point scores, got dtype {scores.dtype}")
    return scores.flatten(1)


def check_matrix(name: str, scores: object) -> Tensor:
    """Scores (n, d), not empty."""
    flat = check_scores(name, scores)
    if isinstance(scores, Tensor) and scores.ndim != 2:
        raise ValueError(f"{name} must be scores (n, d), got shape {tuple(scores.shape)}")
    return flat


def check_like(name: str, value: Tensor, other: str, like: Tensor) -> None:
    """`value` has the shape of `like`, which sentences call `other`."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise ValueError(
            f"{name} must be floats in the shape of {other}, got {getattr(value, 'dtype', type(value).__name__)}"
        )
    if value.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape of {other}, {tuple(like.shape)}, got {tuple(value.shape)}"
        )


def check_features(name: str, index: Any, n: int, d: int) -> Tensor:
    """Features as a tensor (n,): an index in [0, d), or one for each of n samples."""
    found = _indices(index, n)
    if found is None or bool((found >= d).any()):
        raise ValueError(
            f"{name} must be a feature in [0, {d}), or one for each of the {n} inputs, got {index}"
        )
    return found


def check_classes(name: str, target: Any, n: int) -> Tensor:
    """Class indices as a tensor (n,), where nothing says how many classes there are."""
    found = _indices(target, n)
    if found is None:
        raise ValueError(
            f"{name} must be a class index >= 0, or one for each of the {n} inputs, got {target}"
        )
    return found


def _indices(value: Any, n: int) -> Tensor | None:
    """One integer or n of them, none negative, as a tensor (n,); None for anything else."""
    try:
        found = torch.as_tensor(value, device=None if isinstance(value, Tensor) else "cpu")
    except (TypeError, ValueError, RuntimeError):
        return None
    if (
        found.is_floating_point()
        or found.is_complex()
        or found.dtype == torch.bool
        or found.shape not in ((), (n,))
    ):
        return None
    return None if bool((found < 0).any()) else found.long().expand(n)
