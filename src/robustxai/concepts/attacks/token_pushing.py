"""Token pushing: exemplars whose activations lie near another set's centroid, the primary attack (spec 4.2 to 4.4).

The attacker changes only the concept's exemplars, knows the network and the layer, and wants the honest pipeline to
find the concept important (towards exemplars of a concept that is) or not (towards random images, or a concept
that is anti-important).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.checks import check_images, shown
from robustxai.concepts.activations import check_model, check_runs, check_size
from robustxai.concepts.attacks.base import ExemplarAttack, Perturbed
from robustxai.concepts.attacks.centroid_distance import centroids, check_variant, squared_distances
from robustxai.shapes import Images, OtherImages


class TokenPushing(ExemplarAttack):
    """Minimise |f_l(x + delta) - mu|^2 for every exemplar within an l_inf budget (spec 4.2).

    layer: module path of the attacked layer. variant: "full" maps, "cosine" (channels normalised at every position,
    as in GCAV's script) or "pooled". away: push away from the exemplars' own clean centroid instead, bounded by
    eps and steps only. options: of `ExemplarAttack`.

    >>> from robustxai.concepts import concept_sets
    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> sets = concept_sets(["striped", "dotted"], n=6, size=16)
    >>> p = TokenPushing("b3", steps=5).perturb(net, sets["dotted"], sets["striped"])
    >>> round(p.linf), bool((p.loss < p.clean_loss).all())
    (8, True)
    """

    def __init__(
        self,
        layer: str,
        *,
        variant: str = "full",
        away: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_variant(variant)
        self.layer, self.variant, self.away = layer, variant, away

    def perturb(
        self,
        model: nn.Module,
        x: Images,
        towards: OtherImages | None = None,
        *,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """Attack exemplars `x`, pixels k/255; `towards` are the images whose centroid is the goal.

        eps: another budget, or several at once. Raises ValueError for pixels off the grid, a layer that does not
        exist or runs several times without a named call ("act:3"), a model in training mode, images of several sizes,
        and `towards` missing (or given, when pushing away). Warns where the layer has no gradient to the images.
        """
        check_model(model, [self.layer])
        check_images("x", x)
        if (towards is None) is not self.away:
            raise ValueError(
                f"towards must be images, or None for away=True, got {shown(towards)} for away={self.away}"
            )
        goal = x if towards is None else towards
        check_images("towards", goal)
        check_size("towards", goal, "x", x)
        check_runs(model, x, [self.layer])
        centres = centroids(model, goal, [self.layer], self.variant)
        sign = -1 if self.away else 1

        def objective(images: Tensor, rows: Tensor) -> Tensor:
            return sign * squared_distances(model, images, centres, self.variant)[self.layer]

        return self.minimise(x, objective, eps, generator)
