"""Token pushing: exemplars whose activations lie near another set's centroid, the primary attack (spec 4.2 to 4.4).

The attacker changes only the concept's exemplars, knows the network and the layer, and wants the honest pipeline to
find the concept important (towards exemplars of a concept that is) or not (towards random pictures, or a concept
that is anti-important). Knows nothing about CAVs.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.concepts.activations import check_images, check_model
from robustxai.concepts.attacks.common import Perturbed, pgd
from robustxai.concepts.attacks.distances import VARIANTS, centroids, squared_distances

Images = Float[Tensor, "n channel height width"]
Others = Float[Tensor, "m channel height width"]


class TokenPushing:
    """Minimise |f_l(x + delta) - mu|^2 for every exemplar within an l_inf budget (spec 4.2).

    layer: module path of the attacked layer. variant: "full" maps, "cosine" (channels normalised at every position,
    as in GCAV's script) or "pooled". away: push away from the exemplars' own clean centroid instead, bounded by
    eps and steps only. eps: budget in [0, 1]; step: a quarter of eps by default; start: "zero" or "uniform".
    """

    def __init__(
        self,
        layer: str,
        *,
        variant: str = "full",
        away: bool = False,
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 20,
        start: str = "zero",
        chunk: int = 128,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant!r}; accepted are {', '.join(VARIANTS)}")
        self.layer, self.variant, self.away, self.eps = layer, variant, away, eps
        self.step, self.steps, self.start, self.chunk = step, steps, start, chunk

    def perturb(
        self,
        model: nn.Module,
        x: Images,
        towards: Others | None = None,
        *,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """Attack exemplars `x`, pixels k/255; `towards` are the pictures whose centroid is the goal.

        eps: another budget, or several at once. Raises ValueError for pixels off the grid, a layer that does not
        exist, a model in training mode, and `towards` missing (or given, when pushing away).
        """
        check_model(model, [self.layer])
        check_images("x", x)
        if (towards is None) is not self.away:
            raise ValueError(
                f"towards is {'missing' if towards is None else 'given'}; accepted are images, or None for away=True"
            )
        goal = x if towards is None else towards
        check_images("towards", goal)
        centres = centroids(model, goal, [self.layer], self.variant)
        sign = -1 if self.away else 1

        def objective(images: Tensor, rows: Tensor) -> Tensor:
            return sign * squared_distances(model, images, centres, self.variant)[self.layer]

        return pgd(
            x, objective, eps=self.eps if eps is None else eps, step=self.step, steps=self.steps, start=self.start,
            chunk=self.chunk, generator=generator,
        )  # fmt: skip
