"""One perturbation for all exemplars of a concept, found on some and applied to others (spec 4.8).

The loop is its own, because the exemplars share what is searched: no one of them has an iterate to keep or refuse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_images
from robustxai.concepts.activations import check_model, check_runs, check_size
from robustxai.concepts.attacks.base import (
    ExemplarAttack,
    Perturbed,
    check_exemplars,
    in_bytes,
    levels_of,
    packed,
    swept,
    values,
    warn_unled,
)
from robustxai.concepts.attacks.centroid_distance import centroids, check_variant, squared_distances
from robustxai.metrics.perturbation import derivative
from robustxai.shapes import Images, OtherImages

Goal = Float[Tensor, "m channel height width"]


@dataclass(frozen=True)
class Universal(Perturbed):
    """The exemplars it was found on, as in `Perturbed`, and `shared` (*sweep, 1, C, H, W), the perturbation.

    >>> grey, change = torch.full((2, 3, 2, 2), 100 / 255), torch.full((1, 3, 2, 2), 4 / 255)
    >>> found = Universal(grey + change, grey, 8 / 255, torch.zeros(2), torch.ones(2), torch.tensor([True] * 2), change)
    >>> found.apply(grey[:1] + 1 / 255).mul(255).round().unique()
    tensor([105.])
    """

    shared: Float[Tensor, "*sweep one channel height width"]

    def apply(self, x: Images) -> Float[Tensor, "*sweep n channel height width"]:
        """Other exemplars of the same size with the perturbation added, within eps, on the uint8 grid."""
        check_exemplars(x)
        check_size("x", x, "the perturbation", self.clean)
        if not isinstance(self.eps, tuple):
            return in_bytes(self.eps).project(x + self.shared, x)
        return torch.stack(
            [in_bytes(e).project(x + d, x) for d, e in zip(self.shared, self.eps, strict=True)]
        )


class UniversalPushing(ExemplarAttack):
    """Minimise the mean pushing distance over exemplars with one shared delta: mean gradient, sign step, projection.

    Other arguments as in `TokenPushing`.

    >>> from robustxai.concepts import concept_sets
    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> sets = concept_sets(["striped", "dotted"], n=6, size=16)
    >>> p = UniversalPushing("b3", steps=5).perturb(net, sets["dotted"], sets["striped"])
    >>> p.shared.shape, p.apply(sets["striped"]).shape
    (torch.Size([1, 3, 16, 16]), torch.Size([6, 3, 16, 16]))
    """

    def __init__(
        self,
        layer: str,
        *,
        variant: str = "full",
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 40,
        batch_size: int = 128,
    ) -> None:
        super().__init__(eps=eps, step=step, steps=steps, batch_size=batch_size)
        check_variant(variant)
        self.layer, self.variant = layer, variant

    def perturb(
        self,
        model: nn.Module,
        x: Images,
        towards: OtherImages,
        *,
        eps: float | int | Sequence[float] | None = None,
    ) -> Universal:
        """Find the perturbation on exemplars `x`, pixels k/255; apply it to others with the result's `apply`."""
        check_model(model, [self.layer])
        check_exemplars(x)
        check_images("towards", towards)
        check_size("towards", towards, "x", x)
        check_runs(model, x, [self.layer])
        x = x.detach()
        eps = self.eps if eps is None else eps
        centres = centroids(model, towards, [self.layer], self.variant)

        def objective(images: Tensor, _rows: Tensor) -> Tensor:
            return squared_distances(model, images, centres, self.variant)[self.layer]

        order = torch.arange(len(x), device=x.device)
        shared, moved, losses, followed = [], [], [], []
        for e in levels_of(eps):
            budget = in_bytes(e)
            delta = torch.zeros_like(x[:1])
            led = torch.zeros(1, dtype=torch.bool, device=x.device)
            for _ in range(self.steps):
                g = torch.zeros_like(delta)
                for part in order.split(self.batch_size):
                    found = derivative(lambda v: objective(v, part), (x[part] + delta).clamp(0, 1))  # noqa: B023
                    g += found.gradient.sum(0, keepdim=True)
                led |= (g != 0).any() & (e > 0)
                delta = budget.within(
                    delta - (e / 4 if self.step is None else self.step) * budget.steepest(g)
                )
            changed = budget.project(x + delta, x)
            shared.append(delta)
            moved.append(changed)
            followed.append(led.expand(len(x)))
            losses.append(torch.cat([values(changed[r], r, objective) for r in order.split(self.batch_size)]))
        before = torch.cat([values(x[r], r, objective) for r in order.split(self.batch_size)])
        led = torch.cat(followed)
        warn_unled(led, levels_of(eps))
        p = packed(torch.cat(moved), x, eps, torch.cat(losses), before, led)
        every = torch.stack(shared) if swept(eps) else shared[0]
        return Universal(p.x, p.clean, p.eps, p.loss, p.clean_loss, p.followed, every)
