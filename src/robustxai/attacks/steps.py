"""Step rules of a descent: where an iterate goes next, before the budget and the rule of keeping have their say."""

from typing import Protocol

import torch
from torch import Tensor, nn

from robustxai.attacks.budget import Budget
from robustxai.metrics.perturbation import per_sample


class Step(Protocol):
    """The state of one rule over a batch: from x, a gradient and the scale (n,) of each sample's step to a new x."""

    def __call__(self, x: Tensor, g: Tensor, scale: Tensor) -> Tensor: ...


class Steepest:
    """Steps of one length along the steepest descent in the norm of the budget: signs, or unit l2 steps."""

    def __init__(self, like: Tensor, budget: Budget, length: float):
        self.length, self.budget = like.new_full((len(like),), length), budget

    def __call__(self, x: Tensor, g: Tensor, scale: Tensor) -> Tensor:
        return x - per_sample(self.length * scale, x) * self.budget.steepest(g)


class Adam:
    """Adam on the inputs; its steps have their own lengths, whatever the scale."""

    def __init__(self, like: Tensor, lr: float):
        self.point = nn.Parameter(like.clone())
        self.adam = torch.optim.Adam([self.point], lr=lr)

    def __call__(self, x: Tensor, g: Tensor, scale: Tensor) -> Tensor:
        self.point.data.copy_(x)
        self.point.grad = g
        self.adam.step()
        return self.point.detach().clone()
