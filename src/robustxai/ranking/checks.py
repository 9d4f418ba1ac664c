"""The chapter's own contracts, beside those of `robustxai.checks`: k, batches of explanations, inputs of a model.

Each raises one ValueError of one sentence, or returns what it checked; called once by whatever a user calls. Knows
nothing about explanations.
"""

import torch
from torch import Tensor, nn

from robustxai.checks import check_calm


def check_k(k: int, d: int) -> int:
    """`k` leaves at least one feature in the top set and one outside: 1 <= k < d."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < d:
        raise ValueError(
            f"k is {k}; accepted are whole numbers from 1 to {d - 1}, one less than the {d} features"
        )
    return k


def check_scores(name: str, scores: Tensor) -> Tensor:
    """A batch of explanations (n, ...) as a matrix (n, d), not empty."""
    if scores.ndim < 2 or scores.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(scores.shape)}; accepted are batches (n, ...), not empty")
    return scores.flatten(1)


def check_inputs(model: nn.Module, x: Tensor) -> None:
    """`x` is a batch (n, ...) of finite floats, and no module of `model` couples or perturbs its samples."""
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; accepted are tables (n, d) and images (n, C, H, W), not empty"
        )
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; accepted are floating-point inputs")
    bad = int((~torch.isfinite(x).flatten(1).all(1)).sum())
    if bad:
        raise ValueError(
            f"x holds NaN or infinite values in {bad} of {len(x)} rows; accepted are finite inputs"
        )
    check_calm("model", model)
