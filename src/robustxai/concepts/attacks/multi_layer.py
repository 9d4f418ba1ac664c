"""Token pushing at several layers, and on several networks, at once (spec 4.6 and 4.7).

Against the analyst who looks at several layers or architectures.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.checks import check_images, check_sequence
from robustxai.concepts.activations import check_model, check_runs, check_size
from robustxai.concepts.attacks.base import ExemplarAttack, Perturbed
from robustxai.concepts.attacks.centroid_distance import centroids, check_variant, squared_distances
from robustxai.shapes import Images, OtherImages


class MultiLayerPushing(ExemplarAttack):
    """Minimise the sum over layers of the pushing distance, each divided by its clean value (spec 4.6).

    layers: module paths, the same in every network that is attacked. variant: as in
    `TokenPushing`. options: of `ExemplarAttack`.

    >>> from robustxai.concepts import concept_sets
    >>> from robustxai.nets import PlainConvNet
    >>> net = PlainConvNet(11, widths=(4, 6, 8, 8, 8), generator=torch.Generator().manual_seed(0)).eval()
    >>> sets = concept_sets(["striped", "dotted"], n=6, size=16)
    >>> p = MultiLayerPushing(["b2", "b3"], steps=5).perturb(net, sets["dotted"], sets["striped"])
    >>> p.x.shape, bool((p.loss < p.clean_loss).all())
    (torch.Size([6, 3, 16, 16]), True)
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        variant: str = "full",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_variant(variant)
        check_sequence("layers", layers, "module names")
        self.layers, self.variant = tuple(layers), variant

    def perturb(
        self,
        model: nn.Module | Sequence[nn.Module],
        x: Images,
        towards: OtherImages,
        *,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """Attack exemplars `x`, pixels k/255; `model` is a network, or several: an ensemble surrogate."""
        models = [model] if isinstance(model, nn.Module) else list(model)
        if not models:
            raise ValueError("model must be one network or more, got an empty sequence")
        for m in models:
            check_model(m, self.layers)
        check_images("x", x)
        check_images("towards", towards)
        check_size("towards", towards, "x", x)
        for m in models:
            check_runs(m, x, self.layers)
        centres = [centroids(m, towards, self.layers, self.variant) for m in models]

        def parts(images: Tensor) -> Tensor:
            """Distances (n, networks * layers)."""
            pairs = zip(models, centres, strict=True)
            return torch.stack(
                [d for m, c in pairs for d in squared_distances(m, images, c, self.variant).values()], 1
            )

        with torch.inference_mode(False), torch.no_grad():
            clean = torch.cat([parts(part) for part in x.split(self.batch_size)])

        def objective(images: Tensor, rows: Tensor) -> Tensor:
            return (parts(images) / clean[rows].clamp_min(torch.finfo(x.dtype).tiny)).sum(1)

        return self.minimise(x, objective, eps, generator)
