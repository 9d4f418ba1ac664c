"""Small changes of inputs: unit steps, the box around a point, and the gradient of what may have none.

Metrics and attacks move inputs alike. Knows tensors only.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.shapes import Inputs


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Values (n,) shaped so that they broadcast over the samples of `like` (n, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def unit(g: Inputs) -> Inputs:
    """Each sample divided by its l2 norm; zero stays zero. Scaled first, so that no gradient is too small."""
    top = g.flatten(1).abs().amax(1)
    g = g / per_sample(torch.where(top > 0, top, 1), g)
    norm = g.flatten(1).norm(dim=1)
    return g / per_sample(torch.where(norm > 0, norm, 1), g)


def in_box(
    x: Inputs, clean: Inputs, eps: float | Tensor, clip: tuple[float | int, float | int] | None
) -> Inputs:
    """The nearest point to `x` in the box of half side eps around `clean`, then inside the range `clip`.

    >>> in_box(torch.tensor([[0.9, 0.52]]), torch.tensor([[0.95, 0.5]]), 0.25, (0, 0.8))
    tensor([[0.8000, 0.5200]])
    """
    x = torch.clamp(x, clean - eps, clean + eps)
    return x if clip is None else x.clamp(*clip)


class Derivative(NamedTuple):
    """Values of a function at x, the `gradient` of their weighted sum, and whether a graph links the two (`linked`)."""

    values: Tensor
    gradient: Tensor
    linked: bool

    @property
    def followed(self) -> Bool[Tensor, " n"]:
        """For which samples the gradient is not zero: where an attack has something to follow."""
        return (self.gradient != 0).flatten(1).any(1)


def derivative(f: Callable[[Tensor], Tensor], x: Inputs, *, weight: float = 1.0) -> Derivative:
    """`f` at x and the gradient of `weight` times the sum of its values: zero where there is none or none that is
    finite.

    >>> derivative(lambda v: v.square().sum(1), torch.tensor([[1.0, 2.0]])).gradient
    tensor([[2., 4.]])
    >>> derivative(lambda v: v.detach().sum(1), torch.tensor([[1.0, 2.0]])).linked
    False
    """
    with torch.inference_mode(False), torch.enable_grad():
        v = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
        values, g = f(v), None
        if values.requires_grad:
            (g,) = torch.autograd.grad((weight * values).sum(), v, allow_unused=True)
    found = torch.zeros_like(v) if g is None else torch.where(torch.isfinite(g), g, 0)
    return Derivative(values.detach(), found.detach(), g is not None)
