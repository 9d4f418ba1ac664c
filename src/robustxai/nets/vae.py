"""A convolutional residual variational autoencoder with a spatial latent: images in [0, 1] to codes and back.

The kind that Manifold Integrated Gradients uses, scaled down: all activations are smooth, so that the decoder
has the second derivatives that a geodesic solver needs. It knows nothing about losses, training or geometry.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.checks import check_name
from robustxai.nets.seeds import draw_into
from robustxai.nets.sizes import check_pictures, check_whole
from robustxai.shapes import Images

ACTIVATIONS = {"silu": nn.SiLU, "elu": nn.ELU, "softplus": nn.Softplus}
LOGVAR = 10.0

LatentMaps = Float[Tensor, "n latent rows columns"]


class ResidualBlock(nn.Module):
    """act(main(x) + skip(x)): two 3x3 convolutions with batch norm through half the channels, and a skip.

    resample: "down" halves the sides by stride, "up" doubles them by nearest neighbours first, "same" keeps
    them. skip_kernel: 3 with stride, as in the paper's network; or 1, after a mean over 2x2 pixels for
    "down" and before the doubling for "up", which costs a ninth and a 36th.
    """

    def __init__(self, inputs: int, outputs: int, resample: str, activation: str, skip_kernel: int) -> None:
        super().__init__()
        stride, half, act = 2 if resample == "down" else 1, outputs // 2, ACTIVATIONS[activation]
        if resample == "same":
            half = inputs // 2
        self.doubled: nn.Module = (
            nn.Upsample(scale_factor=2.0, mode="nearest") if resample == "up" else nn.Identity()
        )
        self.main = nn.Sequential(
            nn.Conv2d(inputs, half, 3, stride, 1), nn.BatchNorm2d(half, eps=1e-4), act(),
            nn.Conv2d(half, outputs, 3, 1, 1), nn.BatchNorm2d(outputs, eps=1e-4),
        )  # fmt: skip
        self.skip: nn.Module = nn.Identity()
        if resample != "same" or inputs != outputs:
            self.skip = nn.Conv2d(inputs, outputs, 3, stride, 1)
            if skip_kernel == 1:
                self.skip = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1))
        # a 1x1 convolution commutes with nearest neighbours
        self.early_skip = resample == "up" and skip_kernel == 1
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        if self.early_skip:
            skip = F.interpolate(self.skip(x), scale_factor=2.0, mode="nearest")
            return self.act(self.main(self.doubled(x)) + skip)
        x = self.doubled(x)
        return self.act(self.main(x) + self.skip(x))


class ConvVAE(nn.Module):
    """Convolutional residual VAE: `encode(x)` gives the code's mean, `decode(z)` images in (0, 1).

    widths: channels at full size, half size, ... ; there are as many halvings as widths, the last one to as
    many channels as before it, so that four widths take 64 pixels to 4. latent: channels of the code, which
    is (latent, height / 2^len(widths), width / 2^len(widths)). blocks: residual blocks at the smallest size.
    encoder_activation, decoder_activation: "silu" and "softplus" are smooth; "elu", the paper's decoder, has
    a jump in its second derivative at 0. skip_kernel: of the skips, 3 (paper) or 1. `generator` seeds the
    initial weights; `arguments` rebuilds the network. Raises ValueError when an argument is not accepted.

    >>> vae = ConvVAE(widths=(8, 8, 8)).eval()
    >>> z = vae.encode(torch.rand(2, 3, 32, 32))
    >>> z.shape, vae.decode(z).shape
    (torch.Size([2, 16, 4, 4]), torch.Size([2, 3, 32, 32]))
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 64, 128),
        latent: int = 16,
        in_channels: int = 3,
        blocks: int = 2,
        encoder_activation: str = "silu",
        decoder_activation: str = "silu",
        skip_kernel: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(widths=widths, latent=latent, blocks=blocks)
        check_whole(1, in_channels=in_channels)
        for name, kind in (
            ("encoder_activation", encoder_activation),
            ("decoder_activation", decoder_activation),
        ):
            check_name(name, kind, ACTIVATIONS)
        if len(widths) < 1 or min(widths) < 2 or latent < 1 or blocks < 0:
            raise ValueError(
                "widths must be one integer >= 2 or more, latent an integer >= 1 and blocks an integer >= 0, "
                f"got {tuple(widths)}, {latent} and {blocks}"
            )
        if skip_kernel not in (1, 3):
            raise ValueError(f"skip_kernel must be one of 1, 3, got {skip_kernel}")
        self.arguments = dict(
            widths=list(widths), latent=latent, in_channels=in_channels, blocks=blocks,
            encoder_activation=encoder_activation, decoder_activation=decoder_activation,
            skip_kernel=skip_kernel,
        )  # fmt: skip
        self.factor = 2 ** len(widths)
        top, stages = widths[-1], list(zip(widths, [*widths[1:], widths[-1]], strict=True))
        down, up = (encoder_activation, skip_kernel), (decoder_activation, skip_kernel)
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            self.encoder = nn.Sequential(
                nn.Conv2d(in_channels, widths[0], 3, 1, 1), ACTIVATIONS[encoder_activation](),
                *(ResidualBlock(i, o, "down", *down) for i, o in stages),
                *(ResidualBlock(top, top, "same", *down) for _ in range(blocks)),
            )  # fmt: skip
            self.mean = nn.Conv2d(top, latent, 1)
            self.log_variance = nn.Conv2d(top, latent, 1)
            self.decoder = nn.Sequential(
                nn.Conv2d(latent, top, 1), ACTIVATIONS[decoder_activation](),
                *(ResidualBlock(top, top, "same", *up) for _ in range(blocks)),
                *(ResidualBlock(o, i, "up", *up) for i, o in reversed(stages)),
                nn.Conv2d(widths[0], in_channels, 3, 1, 1), nn.Sigmoid(),
            )  # fmt: skip
        _initialize(self, generator=generator)

    def moments(self, x: Images) -> tuple[LatentMaps, LatentMaps]:
        """Mean and log variance of the code of each image; the log variance is kept within +-10."""
        check_pictures(x)
        if x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            raise ValueError(
                f"x must have sides that are multiples of {self.factor} pixels, got {tuple(x.shape[-2:])}"
            )
        features = self.encoder(x)
        return self.mean(features), self.log_variance(features).clamp(-LOGVAR, LOGVAR)

    def encode(self, x: Images) -> LatentMaps:
        """The mean code of each image."""
        return self.moments(x)[0]

    def decode(self, z: LatentMaps) -> Images:
        """The image of each code, in (0, 1)."""
        return self.decoder(z)

    def forward(self, x: Images) -> Images:
        """The reconstruction decode(encode(x))."""
        return self.decode(self.encode(x))


def _initialize(model: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """He (fan in) for every convolution; the last one and the log variance start small."""
    last = [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            draw_into(module.weight, nn.init.kaiming_normal_, nonlinearity="relu", generator=generator)
            if name == "log_variance" or module is last:
                module.weight.data.mul_(0.1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
