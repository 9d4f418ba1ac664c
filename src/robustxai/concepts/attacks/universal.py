"""One perturbation for all exemplars of a concept, found on some and applied to others (spec 4.8).

Knows nothing about CAVs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.concepts.activations import check_images, check_model, check_size
from robustxai.concepts.attacks.common import (
    Attack,
    Perturbed,
    check,
    gradient,
    levels_of,
    packed,
    stored,
    values,
)
from robustxai.concepts.attacks.distances import centroids, check_variant, squared_distances

Images = Float[Tensor, "n channel height width"]
Others = Float[Tensor, "m channel height width"]


@dataclass(frozen=True)
class Universal(Perturbed):
    """The exemplars it was found on, as in `Perturbed`, and `shared` (*sweep, 1, C, H, W), the perturbation."""

    shared: Float[Tensor, "*sweep one channel height width"]

    def apply(self, x: Images) -> Float[Tensor, "*sweep n channel height width"]:
        """Other exemplars of the same size with the perturbation added, within eps, on the uint8 grid."""
        check(x)
        check_size("x", x, "the perturbation", self.clean)
        if not isinstance(self.eps, tuple):
            return stored(x + self.shared, x, self.eps)
        return torch.stack([stored(x + d, x, e) for d, e in zip(self.shared, self.eps, strict=True)])


class UniversalPushing(Attack):
    """Minimise the mean pushing distance over exemplars with one shared delta: mean gradient, sign step, projection.

    Other arguments as in `TokenPushing`.
    """

    def __init__(
        self,
        layer: str,
        *,
        variant: str = "full",
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 40,
        chunk: int = 128,
    ) -> None:
        super().__init__(eps=eps, step=step, steps=steps, chunk=chunk)
        check_variant(variant)
        self.layer, self.variant = layer, variant

    def perturb(
        self,
        model: nn.Module,
        x: Images,
        towards: Others,
        *,
        eps: float | int | Sequence[float] | None = None,
    ) -> Universal:
        """Find the perturbation on exemplars `x`, pixels k/255; apply it to others with the result's `apply`."""
        check_model(model, [self.layer])
        check(x)
        check_images("towards", towards)
        check_size("towards", towards, "x", x)
        budget = self.eps if eps is None else eps
        centres = centroids(model, towards, [self.layer], self.variant)

        def objective(images: Tensor, _rows: Tensor) -> Tensor:
            return squared_distances(model, images, centres, self.variant)[self.layer]

        order = torch.arange(len(x), device=x.device)
        shared, found, losses = [], [], []
        for e in levels_of(budget):
            delta = torch.zeros_like(x[:1])
            for _ in range(self.steps):
                g = torch.zeros_like(delta)
                for part in order.split(self.chunk):
                    g += gradient((x[part] + delta).clamp(0, 1), part, objective).sum(0, keepdim=True)
                delta = (delta - (e / 4 if self.step is None else self.step) * g.sign()).clamp(-e, e)
            moved = stored(x + delta, x, e)
            shared.append(delta)
            found.append(moved)
            losses.append(torch.cat([values(moved[r], r, objective) for r in order.split(self.chunk)]))
        before = torch.cat([values(x[r], r, objective) for r in order.split(self.chunk)])
        p = packed(torch.cat(found), x, budget, torch.cat(losses), before)
        sweep = isinstance(budget, Sequence)
        return Universal(
            p.x, p.clean, p.eps, p.loss, p.clean_loss, torch.stack(shared) if sweep else shared[0]
        )
