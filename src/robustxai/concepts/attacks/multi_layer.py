"""Token pushing at several layers, and on several networks, at once (spec 4.6 and 4.7).

Against the analyst who looks at several layers or architectures. Knows nothing about CAVs.
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


class MultiLayerPushing:
    """Minimise the sum over layers of the pushing distance, each divided by its clean value (spec 4.6).

    layers: module paths, the same in every network that is attacked. Other arguments as in `TokenPushing`.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        variant: str = "full",
        eps: float | int = 8 / 255,
        step: float | None = None,
        steps: int = 20,
        start: str = "zero",
        chunk: int = 128,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant!r}; accepted are {', '.join(VARIANTS)}")
        self.layers, self.variant, self.eps = tuple(layers), variant, eps
        self.step, self.steps, self.start, self.chunk = step, steps, start, chunk

    def perturb(
        self,
        model: nn.Module | Sequence[nn.Module],
        x: Images,
        towards: Others,
        *,
        eps: float | int | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Perturbed:
        """Attack exemplars `x`, pixels k/255; `model` is a network, or several: an ensemble surrogate."""
        models = [model] if isinstance(model, nn.Module) else list(model)
        if not models:
            raise ValueError("model is an empty sequence; accepted are one network and more")
        for m in models:
            check_model(m, self.layers)
        check_images("x", x)
        check_images("towards", towards)
        centres = [centroids(m, towards, self.layers, self.variant) for m in models]

        def parts(images: Tensor) -> Tensor:
            """Distances (n, networks * layers)."""
            pairs = zip(models, centres, strict=True)
            return torch.stack(
                [d for m, c in pairs for d in squared_distances(m, images, c, self.variant).values()], 1
            )

        with torch.no_grad():
            clean = torch.cat([parts(part) for part in x.split(self.chunk)])

        def objective(images: Tensor, rows: Tensor) -> Tensor:
            return (parts(images) / clean[rows].clamp_min(torch.finfo(x.dtype).tiny)).sum(1)

        return pgd(
            x, objective, eps=self.eps if eps is None else eps, step=self.step, steps=self.steps, start=self.start,
            chunk=self.chunk, generator=generator,
        )  # fmt: skip
