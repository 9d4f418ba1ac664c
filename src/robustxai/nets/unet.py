"""A small denoising network for diffusion: diffusers' `UNet2DModel` that works on patches of pixels.

It predicts the noise in z = sqrt(abar_t) x + sqrt(1 - abar_t) noise, with x in [-1, 1]. It knows nothing about
training, samplers or explanations. This module needs diffusers, so `robustxai.nets` does not import it by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn

TRAIN_STEPS = 1000


class CompactUNet(UNet2DModel):
    """A `UNet2DModel` whose first convolution has the stride `patch`, and whose last one fills the patches again.

    With patch=2 all blocks work at half the side, which costs a quarter; patch=1 is the usual network. size: side of
    the square images. widths: channels of the levels, multiples of 8, each level half as large as the one before.
    layers: residual blocks a level. trained_steps: it was trained for the base timesteps 0 to trained_steps - 1 only.
    `generator` seeds the initial weights; `arguments` rebuilds the network, and `scheduler` is its schedule. It is
    stored in the zoo, not by `save_pretrained`. Raises ValueError when a size does not fit.

    >>> import torch
    >>> unet = CompactUNet(widths=(8, 16)).eval()
    >>> unet(torch.zeros(2, 3, 32, 32), torch.tensor([0, 40])).sample.shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        *,
        size: int = 32,
        channels: int = 3,
        widths: Sequence[int] = (48, 48, 64),
        layers: int = 1,
        patch: int = 2,
        trained_steps: int = TRAIN_STEPS,
        generator: torch.Generator | None = None,
    ) -> None:
        if len(widths) < 1 or min(widths) < 8 or any(width % 8 for width in widths):
            raise ValueError(f"widths must be one multiple of 8 or more, got {tuple(widths)}")
        if patch < 1 or size % (patch * 2 ** (len(widths) - 1)):
            raise ValueError(
                f"size must be a multiple of {max(patch, 1) * 2 ** (len(widths) - 1)} with patch={patch} and "
                f"{len(widths)} widths, got {size}"
            )
        if not 1 <= trained_steps <= TRAIN_STEPS:
            raise ValueError(f"trained_steps must be in [1, {TRAIN_STEPS}], got {trained_steps}")
        with torch.random.fork_rng(devices=[]):  # layers draw from the global generator when they are made
            torch.default_generator.manual_seed(0 if generator is None else draw_seed(generator))
            super().__init__(
                sample_size=size, in_channels=channels, out_channels=channels, layers_per_block=layers,
                block_out_channels=tuple(widths), down_block_types=("DownBlock2D",) * len(widths),
                up_block_types=("UpBlock2D",) * len(widths), norm_num_groups=8, attention_head_dim=min(16, widths[-1]),
            )  # fmt: skip
            if patch > 1:
                self.conv_in = nn.Conv2d(channels, widths[0], patch, patch)
                last = nn.Conv2d(widths[0], channels * patch**2, 3, padding=1)
                self.conv_out = nn.Sequential(last, nn.PixelShuffle(patch))
        self.trained_steps = trained_steps
        self.arguments = dict(
            size=size, channels=channels, widths=list(widths), layers=layers, patch=patch,
            trained_steps=trained_steps,
        )  # fmt: skip

    @property
    def scheduler(self) -> DDPMScheduler:
        """The linear schedule of 1000 steps, for predicted noise (spec 8.4)."""
        return DDPMScheduler(num_train_timesteps=TRAIN_STEPS, beta_schedule="linear", clip_sample=True)


def draw_seed(generator: torch.Generator) -> int:
    """A seed from a generator, on the generator's own device."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
