"""`robustxai train ace-ddpm-portraits` and `robustxai train ace-classifiers-portraits --seed S`: drawn faces, 32 px.

The denoiser learns from unlabelled faces and small noise only, as that is all the filter visits. The classifiers are
trained as usual, without attacks and without images from the denoiser: one on smiles; one on smiles that go along
with glasses; a third, of another architecture and on other faces, as the oracle that flips must transfer to; and a
network that reads the drawing's factors. Names in the zoo: `ace-<kind>-portraits-s<seed>`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustxai.ace.denoise import denoising_error, denoising_loss
from robustxai.data.scenes import Scenes, portraits
from robustxai.nets import fit
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights

SIZE = 32
FILE = "ace.safetensors"
SEEDS = (0, 1, 2)
STREAMS = {"train": 1000, "oracle": 1500, "test": 2000, "ddpm": 3000}
IMAGES = {"train": 8000, "oracle": 8000, "test": 1000, "ddpm": 24_000}
CONFOUNDER, CORRELATION = "glasses", 0.9
"""Glasses have a part of their own that no mouth overlaps, so that an edit of theirs can be told from a smile."""
TRAINED_STEPS = 301  # the denoiser's base timesteps: 0 to 300 of 1000
EPOCHS, BATCH, RATE, EMA = 18, 64, 1.5e-3, 0.999


def faces(split: str, n: int | None = None, *, size: int = SIZE, **options: object) -> Scenes:
    """n portraits of a split of `STREAMS`, each its own random stream; `options` go to `portraits`."""
    if split not in STREAMS:
        raise ValueError(f"split is {split!r}; accepted are {', '.join(STREAMS)}")
    generator = torch.Generator().manual_seed(STREAMS[split])
    return portraits(n or IMAGES[split], size=size, generator=generator, **options)  # pyright: ignore[reportArgumentType]


def unlabelled(n: int, *, size: int = SIZE, part: int = 2000) -> Tensor:
    """n images for the denoiser, all factors over their whole range, drawn in parts to save memory."""
    generator = torch.Generator().manual_seed(STREAMS["ddpm"])
    counts = [part] * (n // part) + [n % part] * (n % part > 0)
    return torch.cat([portraits(m, size=size, margin=0.0, generator=generator).images for m in counts])


def train_denoiser(
    images: Tensor, test: Tensor, job: Job, *, epochs: int = EPOCHS, **arguments: object
) -> nn.Module:
    """A `CompactUNet` for `images` in [0, 1], its weights averaged over the run; `arguments` go to the network."""
    from robustxai.nets.unet import CompactUNet

    options = {"size": images.shape[-1], "trained_steps": TRAINED_STEPS} | arguments
    unet = CompactUNet(generator=torch.Generator().manual_seed(job.seed), **options).to(job.device)  # pyright: ignore[reportArgumentType]
    fit(
        unet, images.to(job.device), torch.zeros(len(images), device=job.device), epochs=epochs, lr=RATE,
        loss=denoising_loss, batch_size=BATCH, weight_decay=1e-4, clip=1.0, ema=EMA, bf16=True, seed=job.seed,
        validation=(test.to(job.device), torch.zeros(len(test), device=job.device)), measure=denoising_error,
        checkpoint=job.checkpoint("denoiser"), progress=job.progress and "denoiser",
    )  # fmt: skip
    return unet


def build_denoiser(job: Job, *, n: int = IMAGES["ddpm"], epochs: int = EPOCHS) -> Sequence[Net]:
    """Train the denoiser of the portraits."""
    test = faces("test", 256).images
    unet = train_denoiser(unlabelled(n), test, job, epochs=epochs)
    round_weights(unet)
    error = round(denoising_error(unet, test.to(job.device), test), 5)
    dataset = f"portraits, {SIZE} px, {n} images, noise of base timesteps below {TRAINED_STEPS}"
    return [Net(f"ace-ddpm-portraits-s{job.seed}", unet, dataset, {"test_noise_mse": error})]


def _recipe(name: str, help: str, build) -> Recipe:
    return Recipe(name, help, build, FILE)


RECIPES = {
    r.name: r
    for r in (
        _recipe("ace-ddpm-portraits", "denoiser of drawn faces, 32 px, small noise only", build_denoiser),
    )
}
