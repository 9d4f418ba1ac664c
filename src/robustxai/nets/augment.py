"""Batched, seeded image augmentation: `augment(x, generator)`. It knows nothing about training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from robustxai.checks import check_count

PADDINGS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


@dataclass(frozen=True)
class RandomShift:
    """Shift every image by its own whole number of pixels in [-pixels, pixels], and maybe mirror it.

    padding: what comes in at the border: "reflect" (default), "zeros", "replicate" or "circular".
    flip: mirror left-right with probability one half. Raises ValueError for other values.

    >>> RandomShift(1)(torch.rand(2, 3, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """

    pixels: int = 3
    padding: str = "reflect"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.padding not in tuple(PADDINGS):
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {self.padding!r}")
        if check_count("pixels", self.pixels, -(2**63)) < 0:
            raise ValueError(f"pixels must be 0 or more; got {self.pixels}")

    def __call__(
        self, x: Float[Tensor, "batch channel height width"], generator: torch.Generator
    ) -> Float[Tensor, "batch channel height width"]:
        """Return shifted copies; all random numbers come from `generator` (drawn on its own device)."""
        if not isinstance(x, torch.Tensor) or x.ndim != 4 or not x.is_floating_point():
            got = f"shape {tuple(x.shape)}, {x.dtype}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise ValueError(f"x must be images (n, C, H, W), got {got}")
        if not isinstance(generator, torch.Generator):
            raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
        least = min(x.shape[2:]) - (self.padding == "reflect")
        if self.pixels > least and self.padding in ("reflect", "circular"):
            raise ValueError(f"pixels must be at most {least} for images of this size, got {self.pixels}")
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
