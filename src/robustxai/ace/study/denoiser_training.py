"""Training of a denoising diffusion network: noise at a random level is added, and the network predicts it.

Images come in [0, 1] and go to the network in [-1, 1]. The network is called as diffusers' are,
`unet(z, timesteps).sample`, and brings its schedule with it.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor, nn

from robustxai.nets import RandomShift, fit
from robustxai.nets.recipes import Job
from robustxai.shapes import Images

TRAINED_STEPS = 301  # base timesteps: 0 to 300 of 1000
EPOCHS, BATCH, RATE, EMA = 14, 32, 8e-4, 0.999
LEVELS = 10  # noise levels that `denoising_error` averages over


def noised(unet: nn.Module, x: Images, t: Int[Tensor, " n"], noise: Images) -> Images:
    """sqrt(abar_t) (2x - 1) + sqrt(1 - abar_t) noise, with the schedule of `unet` (spec 3.3, step 2)."""
    kept = unet.scheduler.alphas_cumprod.to(x)[t].view(-1, 1, 1, 1)  # pyright: ignore
    return kept.sqrt() * (2 * x - 1) + (1 - kept).sqrt() * noise


def denoising_loss(unet: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of the predicted noise at uniform timesteps below `unet.trained_steps`; y is not used.

    Draws from torch's default generator, as losses of `fit` may.
    """
    t = torch.randint(int(unet.trained_steps), (len(x),), device=x.device)  # pyright: ignore[reportArgumentType]
    noise = torch.randn_like(x)
    predicted = unet(noised(unet, x, t, noise), t).sample
    return (predicted.float() - noise).square().mean()


@torch.no_grad()
def denoising_error(unet: nn.Module, x: Tensor, y: Tensor) -> float:
    """The same error in eval mode with fixed noise, at `LEVELS` timesteps spread over the trained ones."""
    unet.eval()
    generator = torch.Generator(device=x.device).manual_seed(0)
    last = int(unet.trained_steps) - 1  # pyright: ignore[reportArgumentType]
    t = torch.linspace(0, last, LEVELS, device=x.device).round().long()
    t = t.repeat(-(-len(x) // LEVELS))[: len(x)]
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    errors = [
        (unet(noised(unet, part, s, n), s).sample - n).square().mean((1, 2, 3))
        for part, s, n in zip(x.split(256), t.split(256), noise.split(256), strict=True)
    ]
    return float(torch.cat(errors).mean())


def train_denoiser(
    images: Tensor,
    test: Tensor,
    job: Job,
    *,
    epochs: int = EPOCHS,
    augment: RandomShift | None = None,
    **arguments: object,
) -> nn.Module:
    """A `CompactUNet` for `images` in [0, 1], weights averaged over the run; `arguments` go to the network."""
    from robustxai.nets.unet import CompactUNet

    options = {"size": images.shape[-1], "trained_steps": TRAINED_STEPS} | arguments
    unet = CompactUNet(generator=torch.Generator().manual_seed(job.seed), **options).to(job.device)  # pyright: ignore[reportArgumentType]
    fit(
        unet, images.to(job.device), torch.zeros(len(images), device=job.device), epochs=epochs, lr=RATE,
        schedule="constant", loss=denoising_loss, batch_size=BATCH, weight_decay=1e-4, clip=1.0, ema=EMA, bf16=True,
        seed=job.seed, augment=augment, validation=(test.to(job.device), torch.zeros(len(test), device=job.device)),
        measure=denoising_error, checkpoint=job.checkpoint("denoiser"), progress=job.progress and "denoiser",
    )  # fmt: skip
    return unet
