"""Where are the data? Two ways to keep geodesics away from latent regions without codes (spec 9.1, P4).

A deterministic decoder offers cheap shortcuts through such regions. `AggregatedPosterior` is a penalty for
`geodesic(penalty=...)`; `VarianceDecoder` adds an uncertainty that grows away from the codes to the metric
(Arvanitidis et al. 2018). Both know codes only, nothing about images.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_callable, check_floats, check_number, check_positive, shown
from robustxai.explainers.decoder import Codes, Decoder
from robustxai.explainers.path_checks import check_rows


def code_spacing(codes: Codes) -> float:
    """The median distance of a code to its nearest other code: the natural length of a set of codes."""
    flat = codes.flatten(1)
    apart = torch.cdist(flat, flat).fill_diagonal_(math.inf)
    return float(apart.amin(1).median())


class _Kernel:
    """log sum_j exp(-||z - c_j||^2 / (2 scale^2)) over codes c (m, *latent); scale None: `code_spacing`."""

    def __init__(self, codes: Codes, scale: float | int | None) -> None:
        check_floats("codes", codes)
        if codes.ndim < 2 or len(codes) < 2 or not codes.isfinite().all():
            raise ValueError(f"codes must be 2 or more finite codes (m, ...), got {shown(codes)}")
        self.scale = check_positive("scale", code_spacing(codes) if scale is None else scale)
        self.codes = codes.detach().flatten(1)

    def log_sum(self, z: Codes) -> Float[Tensor, " n"]:
        check_rows("z", z)
        flat = z.flatten(1)
        if flat.shape[1] != self.codes.shape[1]:
            raise ValueError(
                f"z must have codes of {self.codes.shape[1]} numbers, got shape {tuple(z.shape)}"
            )
        square = (
            flat.square().sum(1, keepdim=True)
            - 2 * flat @ self.codes.T
            + self.codes.square().sum(1)  # cdist has no second derivative at 0
        )
        return torch.logsumexp(-square / (2 * self.scale**2), 1)


class AggregatedPosterior(_Kernel):
    """-log of the aggregated posterior, in nats, up to a constant: `penalty(z)` for codes z (n, *latent).

    The density is the mean of normal distributions of standard deviation `scale` around the `codes` of the
    training images. None sets it to the median distance between nearest codes.

    >>> penalty = AggregatedPosterior(torch.tensor([[0.0], [1.0]]), scale=1.0)
    >>> penalty(torch.tensor([[0.5], [5.0]]))
    tensor([0.1250, 8.6821])
    """

    def __init__(self, codes: Codes, *, scale: float | int | None = None) -> None:
        super().__init__(codes, scale)

    def __call__(self, z: Codes) -> Float[Tensor, " n"]:
        return math.log(len(self.codes)) - self.log_sum(z)


class VarianceDecoder(_Kernel):
    """A decoder of (image, uncertainty), whose pull-back metric is J_mu^T J_mu + J_sigma^T J_sigma.

    All pixels share one standard deviation sigma(z), of precision 1/sigma^2 = 1/high^2 + kernel(z)/low^2 with
    kernel the sum of exp(-||z - c||^2 / (2 scale^2)) over the codes c: about `low` at a lone code, `high` far
    from all. So one number, sqrt(pixels) * sigma, stands for all of J_sigma; outputs are (n, pixels + 1).
    Meant for `geodesic` and the `geometry` of ManifoldIG, not to be looked at.

    >>> doubtful = VarianceDecoder(lambda z: 2 * z, torch.tensor([[0.0], [1.0]]), scale=1.0)
    >>> doubtful(torch.tensor([[0.5], [9.0]]))
    tensor([[ 1.0000,  0.0376],
            [18.0000,  1.0000]])
    """

    def __init__(
        self,
        decoder: Decoder,
        codes: Codes,
        *,
        scale: float | int | None = None,
        low: float | int = 0.05,
        high: float | int = 1.0,
    ) -> None:
        super().__init__(codes, scale)
        if not 0 < check_number("low", low) < check_number("high", high):
            raise ValueError(f"low and high must be 0 < low < high, got {low} and {high}")
        check_callable("decoder", decoder)
        self.decoder, self.low, self.high = decoder, low, high

    def sigma(self, z: Codes) -> Float[Tensor, " n"]:
        """The standard deviation of every pixel at each code, at most `high`."""
        precision = self.high**-2 + self.log_sum(z).exp() / self.low**2
        return precision.rsqrt()

    def __call__(self, z: Codes) -> Float[Tensor, "n outputs"]:
        check_rows("z", z)
        image = self.decoder(z).flatten(1)
        return torch.cat((image, math.sqrt(image.shape[1]) * self.sigma(z)[:, None]), 1)
