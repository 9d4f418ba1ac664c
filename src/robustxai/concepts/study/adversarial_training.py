"""Adversarial training, a defence that the specification names: what it minimises, and what it reaches.

In every step of training, one signed step from a random start inside the attacker's budget ("fast" adversarial
training, Wong, Rice and Kolter 2020).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.attacks.budget import Budget
from robustxai.concepts.attacks.base import pgd
from robustxai.metrics.perturbation import derivative
from robustxai.models import logits_of
from robustxai.nets import accuracy_of
from robustxai.scores.explained import two_columns

EPS = 8 / 255
BOX = Budget(EPS)
STRIDE = 1.25  # length of the step, in budgets


def adversarial(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy on images within `EPS` of `x` that one signed step from a random start has made worse.

    Draws the start from torch's default generator.
    """
    start = (x + (2 * torch.rand_like(x) - 1) * EPS).clamp(0, 1)
    found = derivative(lambda v: _loss(model, v, y), start)
    return _loss(model, BOX.project(start + STRIDE * EPS * found.gradient.sign(), x), y)


def _loss(model: nn.Module, x: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    return F.cross_entropy(two_columns(logits_of(model, x)), y, reduction=reduction)


def attacked_accuracy(model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 20) -> float:
    """The share of right answers on images (n, ...) of the uint8 grid that signed gradient steps within `EPS` have
    moved away from their class; nan where no step had a gradient to follow."""

    def objective(images: Tensor, rows: Tensor) -> Tensor:
        return -_loss(model, images, y[rows], "none")

    found = pgd(x, objective, eps=EPS, steps=steps)
    return accuracy_of(model, found.x, y) if bool(found.followed.any()) else float("nan")
