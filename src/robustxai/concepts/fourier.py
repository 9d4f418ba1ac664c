"""Images as spectra with decorrelated colours, and random moves: the parts of feature visualisation (spec 3.2)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

COLOUR_CORRELATION = torch.tensor(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float32, device="cpu"
)
"""Square root of the colour covariance of natural images, to be divided by its largest column norm."""


class Painting:
    """n square images whose parameters are real spectra, N(0, 0.01^2) at first.

    Frequencies are weighted by 1 / max(|f|, 1 / size); then orthonormal inverse FFT over 4, colours, sigmoid.
    """

    def __init__(
        self, n: int, size: int, *, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> None:
        self.size = size
        start = 0.01 * torch.randn(
            n, 3, size, size // 2 + 1, 2, generator=generator, device=generator.device, dtype=torch.float32
        )
        self.spectrum = start.to(device).requires_grad_()
        fy = torch.fft.fftfreq(size, device="cpu", dtype=torch.float32)[:, None]
        fx = torch.fft.rfftfreq(size, device="cpu", dtype=torch.float32)[None]
        self.weight = (1 / (fx.square() + fy.square()).sqrt().clamp_min(1 / size)).to(device)
        self.colours = (COLOUR_CORRELATION / COLOUR_CORRELATION.norm(dim=0).max()).to(device)

    def images(self) -> Float[Tensor, "n 3 size size"]:
        """The images in [0, 1], differentiable in the spectrum."""
        spectrum = torch.view_as_complex(self.spectrum.contiguous()) * self.weight
        plane = torch.fft.irfft2(spectrum, s=(self.size, self.size), norm="ortho") / 4
        return torch.einsum("dc,nchw->ndhw", self.colours, plane).sigmoid()


def augmented(
    x: Float[Tensor, "n channel height width"],
    jitter: int,
    scale: float,
    rotate: float,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "n channel height width"]:
    """The same random shift (pixels), zoom (share) and turn (degrees) for the whole batch, on grey ground.

    All 0 returns x itself. Draws from the generator all the same, so that what follows does not depend on x.
    """
    v = torch.rand(4, generator=generator, device=generator.device, dtype=torch.float32)
    v = (2 * v - 1).tolist()
    if not (jitter or scale or rotate):
        return x
    angle, zoom = math.radians(rotate * v[0]), 1 + scale * v[1]
    shift = [2 * jitter * s / side for s, side in zip(v[2:], x.shape[:1:-1], strict=True)]
    c, s = math.cos(angle) / zoom, math.sin(angle) / zoom
    theta = x.new_tensor([[c, -s, shift[0]], [s, c, shift[1]]]).expand(len(x), 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x - 0.5, grid, align_corners=False) + 0.5
