"""Batched, seeded image augmentation: `augment(x, generator)`. It knows nothing about training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

PADDINGS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


@dataclass(frozen=True)
class RandomShift:
    """Shift every image by its own whole number of pixels in [-pixels, pixels], and maybe mirror it.

    padding: what comes in at the border: "reflect" (default), "zeros", "replicate" or "circular".
    flip: mirror left-right with probability one half. Raises ValueError for other values.
    """

    pixels: int = 3
    padding: str = "reflect"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {self.padding!r}")
        if self.pixels < 0:
            raise ValueError(f"pixels must be 0 or more; got {self.pixels}")

    def __call__(
        self, x: Float[Tensor, "batch channel height width"], generator: torch.Generator
    ) -> Float[Tensor, "batch channel height width"]:
        """Return shifted copies; all random numbers come from `generator` (drawn on its own device)."""
        count, _, height, width = x.shape
        span = 2 * self.pixels + 1
        shifts = torch.randint(span, (2, count), generator=generator, device=generator.device).to(x.device)
        flipped = None
        if self.flip:
            flipped = torch.rand(count, generator=generator, device=generator.device).to(x.device) < 0.5
        padded = F.pad(x, (self.pixels,) * 4, PADDINGS[self.padding])
        rows = shifts[0, :, None] + torch.arange(height, device=x.device)
        columns = shifts[1, :, None] + torch.arange(width, device=x.device)
        if flipped is not None:
            columns = torch.where(flipped[:, None], columns.flip(1), columns)
        last = padded.permute(0, 2, 3, 1)  # channels last: one gather copies whole pixels
        picked = last[torch.arange(count, device=x.device)[:, None, None], rows[:, :, None], columns[:, None]]
        return picked.permute(0, 3, 1, 2)
