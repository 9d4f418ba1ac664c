"""What the fast geodesic solver minimises: the energy of curves given by sine coefficients, and its gradient.

Rows are independent, so they can be evaluated in any groups.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from robustxai.explainers.decoder import Decoder, decode
from robustxai.manifold_ig import sine_curves
from robustxai.manifold_ig.pullback_metric import curve_energy

Penalty = Callable[[Tensor], Tensor]


@torch.no_grad()
def decoded_ends(decoder: Decoder, z0: Tensor, z1: Tensor, batch_size: int | None) -> Tensor:
    """The images of the ends, (2, n, *image), each as the decoder gives it for these codes alone, to the bit."""
    return torch.cat([decode(decoder, z[None], batch_size=batch_size) for z in (z0, z1)])


class PenalisedEnergy:
    """E + weight * mean penalty of curves given by sine coefficients, with its gradient, row by row."""

    def __init__(
        self,
        decoder: Decoder,
        z0: Tensor,
        z1: Tensor,
        penalty: Penalty | None,
        weight: float | int,
        batch_size: int | None,
    ) -> None:
        self.decoder, self.z0, self.z1 = decoder, z0, z1
        self.penalty, self.weight, self.batch_size = penalty, weight, batch_size
        self.ends = decoded_ends(decoder, z0, z1, batch_size)

    def __call__(self, a: Tensor, rows: Tensor, n_points: int) -> tuple[Tensor, Tensor]:
        size = max(1, self.batch_size // (n_points - 2)) if self.batch_size else len(rows)
        parts = [
            self._part(*some, n_points) for some in zip(a.detach().split(size), rows.split(size), strict=True)
        ]
        values, gradients = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(gradients)

    def _part(self, a: Tensor, rows: Tensor, n_points: int) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            a = a.requires_grad_()
            inner = sine_curves.curve(a, self.z0[rows], self.z1[rows], n_points)[1:-1]
            images = decode(self.decoder, inner)
            value = curve_energy(torch.cat((self.ends[:1, rows], images, self.ends[1:, rows])))
            if self.penalty is not None:
                paid = self.penalty(inner.flatten(0, 1)).unflatten(0, inner.shape[:2])
                value = value + self.weight * paid.mean(0)
            return value.detach(), torch.autograd.grad(value.sum(), a)[0]
