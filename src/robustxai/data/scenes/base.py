"""The types both scene worlds share: a batch of scenes, the table of factors, and its sampler.

Knows nothing about what is rendered.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class FactorSpec:
    """One coordinate of the factor vector: its name, closed range, kind and meaning in one line.

    A discrete factor takes the whole numbers from `low` to `high`.
    """

    name: str
    low: int | float
    high: int | float
    kind: Literal["continuous", "discrete"]
    meaning: str


@dataclass(frozen=True)
class Scenes:
    """A batch of rendered scenes with everything that is known about them.

    images are in [0, 1]; `factors` has one column per name in `factor_names`, and the images are a
    deterministic function of it; `masks[:, k]` is the visible coverage, in [0, 1], of `parts[k]`; `labels`
    index `classes`.
    """

    images: Float[Tensor, "n 3 size size"]
    labels: Int64[Tensor, " n"]
    factors: Float[Tensor, "n f"]
    factor_names: tuple[str, ...]
    masks: Float[Tensor, "n p size size"]
    parts: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def factor(self, name: str) -> Float[Tensor, " n"]:
        """The column of one factor, by name."""
        return self.factors[:, self.factor_names.index(name)]

    def mask(self, part: str) -> Float[Tensor, "n size size"]:
        """The mask of one part, by name."""
        return self.masks[:, self.parts.index(part)]

    def subset(self, indices: Int64[Tensor, " m"]) -> "Scenes":
        """The scenes at these positions, in this order."""
        picked = {name: getattr(self, name)[indices] for name in ("images", "labels", "factors", "masks")}
        return replace(self, **picked)


def uniform_factors(
    specs: tuple[FactorSpec, ...], n: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "n f"]:
    """Draw n factor vectors, independent and uniform in their ranges, on the generator's device."""
    device = generator.device if generator is not None else torch.device("cpu")
    low = torch.tensor([s.low for s in specs], device=device)
    span = torch.tensor([s.high - s.low for s in specs], device=device)
    whole = torch.tensor([s.kind == "discrete" for s in specs], device=device)
    u = torch.rand(n, len(specs), generator=generator, device=device)
    steps = torch.minimum(torch.floor(u * (span + 1)), span)
    return low + torch.where(whole, steps, u * span)
