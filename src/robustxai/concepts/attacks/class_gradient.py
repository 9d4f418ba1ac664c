"""Class-gradient push: exemplars moved along the class's own mean gradient, a stronger white-box attack (spec 4.5).

The attacker also knows the logit and has some images of the class. They must not be the images that score it: a
shared image is a leak.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.checks import check_images
from robustxai.concepts.activations import (
    activation_rows,
    check_model,
    check_size,
    class_gradients,
    forward_to,
    gradient_rows,
)
from robustxai.concepts.attacks.base import ExemplarAttack, Perturbed
from robustxai.shapes import Images, OtherImages


class ClassGradientPush(ExemplarAttack):
    """Move f_l(x + delta) along s u_k, u_k the mean unit class gradient; s = +1 induces, -1 removes (spec 4.5).

    pool: aim at probes of the mean over positions. options: of `ExemplarAttack`.

    >>> from robustxai.concepts import concept_sets, scored_images
    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> sets = concept_sets(["dotted"], n=6, size=16)
    >>> own = scored_images("zebra", 6, size=16, split="attack")
    >>> p = ClassGradientPush("b3", steps=5).perturb(net, sets["dotted"], own, 1)
    >>> p.x.shape, bool(p.loss.mean() < p.clean_loss.mean())
    (torch.Size([6, 3, 16, 16]), True)
    """

    def __init__(
        self,
        layer: str,
        *,
        sign: int = 1,
        pool: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if sign not in (1, -1):
            raise ValueError(f"sign must be 1 (induce) or -1 (remove), got {sign}")
        self.layer, self.sign, self.pool = layer, sign, pool

    def direction(self, model: nn.Module, class_images: Images, target: int) -> Float[Tensor, " d"]:
        """u_k: the mean of the unit gradients of class `target` over the attacker's images of it."""
        with torch.inference_mode(False), torch.no_grad():
            (g,) = class_gradients(model, class_images, target, [self.layer]).values()
            return F.normalize(gradient_rows(g, pool=self.pool), dim=1).mean(0)

    def perturb(
        self,
        model: nn.Module,
        x: Images,
        class_images: OtherImages,
        target: int,
        *,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """Attack exemplars `x`, pixels k/255, for class `target`; `class_images` are the attacker's own.

        Raises ValueError for pixels off the grid, a layer that does not exist, runs several times without a named call
        or has no gradient to the logit, an unknown class, a model in training mode, and images of several sizes.
        """
        check_model(model, [self.layer])
        check_images("x", x)
        check_images("class_images", class_images)
        check_size("class_images", class_images, "x", x)
        u = self.direction(model, class_images, target)

        def objective(images: Tensor, _rows: Tensor) -> Tensor:
            (a,) = forward_to(model, images, [self.layer]).values()
            return -self.sign * (activation_rows(a, pool=self.pool) @ u)

        return self.minimise(x, objective, eps, generator)
