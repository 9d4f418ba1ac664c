"""Gaussian noise for explainers that average over noisy copies of a sample, the same for every sample and every call.

So a map depends on its sample and on the generator, never on its batch. The noise comes in pairs +e and -e: its mean is
0 for an even number of copies and a linear network is explained exactly; what is estimated is the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai.checks import check_count, check_generator, check_number


@dataclass(frozen=True)
class Noise:
    """Args:
        samples: number of noisy copies.
        std: standard deviation in units of the sample, a number or a tensor that broadcasts over a sample.
        generator: its state when the noise is made is where every call begins; it is left as it is. None: seed 0.
            Numbers are drawn on its device.

    Raises ValueError for numbers out of range.

    >>> Noise(samples=4, std=0.1).draw(torch.zeros(2, 3)).shape
    torch.Size([4, 1, 3])
    """

    samples: int = 25
    std: float | int | Tensor = 0.1
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_count("samples", self.samples)
        if not isinstance(self.std, Tensor):
            check_number("std", self.std)
        elif not ((self.std >= 0) & self.std.isfinite()).all():
            low, high = float(self.std.min()), float(self.std.max())
            raise ValueError(f"std must be finite numbers >= 0, got values from {low:g} to {high:g}")
        check_generator("generator", self.generator)
        begin = (self.generator or torch.Generator().manual_seed(0)).clone_state()
        object.__setattr__(self, "samples", int(self.samples))
        object.__setattr__(self, "generator", begin)

    def begin(self) -> torch.Generator:
        """A generator where every call begins."""
        assert self.generator is not None
        return self.generator.clone_state()

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(samples, 1, *sample), in pairs of opposite signs, like x (n, *sample); from the beginning by default."""
        generator = generator or self.begin()
        size = ((self.samples + 1) // 2, 1, *x.shape[1:])
        e = torch.randn(size, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
        e = e * broadcasting("std", self.std, x)
        return torch.stack((e, -e), 1).flatten(0, 1)[: self.samples]


def broadcasting(name: str, value: float | int | Tensor, x: Tensor) -> Tensor:
    """A number, or a tensor that broadcasts over a sample of x (n, *sample), with the dtype and on the device of x."""
    found = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    try:
        fits = torch.broadcast_shapes(found.shape, x[:1].shape) == x[:1].shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must broadcast over samples of shape {tuple(x.shape[1:])}, got shape {tuple(found.shape)}"
        )
    return found
