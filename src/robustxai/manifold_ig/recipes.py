"""`robustxai train manifold_ig-vae-portraits --seed S`: the autoencoder of drawn faces at 64 pixels.

Two stages: a small network learns to tell some factors of the faces apart, and its first layers, frozen, are
the perceptual part of the VAE's loss. Black and white images are in the training set, so that these baselines
lie on the manifold (spec 3.1, pitfall P6). Only the VAE is stored.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.data.scenes import Scenes, portraits
from robustxai.manifold_ig.vae_loss import ConvFeatures, VAELoss, reconstruction_error
from robustxai.nets import CompactResNet, ConvVAE, RandomShift, fit
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights

SIZE = 64
IMAGES, EPOCHS = 5000, 40
TEACHER_EPOCHS = 6
PLAIN = 0.02  # share of black images, and of white ones, in the training set
STREAMS = {"train": 1000, "test": 2000}
TAUGHT = ("smile", "glasses", "eye_open", "brow_angle", "gaze_x", "roll", "yaw", "hair_style")
RATE, BATCH = 2e-3, 64


def faces(split: str, n: int, *, size: int = SIZE) -> Scenes:
    """n portraits; 'train' and 'test' come from different streams."""
    if split not in STREAMS:
        raise ValueError(f"split is {split!r}; accepted are {', '.join(STREAMS)}")
    return portraits(n, size=size, generator=torch.Generator().manual_seed(STREAMS[split]))


def with_plain_images(images: Tensor, share: float = PLAIN) -> Tensor:
    """The images, and black and white ones after them, each `share` of their number (at least one)."""
    count = max(1, round(share * len(images)))
    plain = images.new_zeros(count, *images.shape[1:])
    return torch.cat((images, plain, plain + 1))


def train_teacher(scenes: Scenes, job: Job, *, epochs: int = TEACHER_EPOCHS) -> nn.Module:
    """A network that says which half of its range each factor of `TAUGHT` is in; frozen."""
    values = torch.stack([scenes.factor(name) for name in TAUGHT], 1)
    upper = (values > values.median(0).values).float().to(job.device)
    teacher = CompactResNet(len(TAUGHT), generator=torch.Generator().manual_seed(job.seed)).to(job.device)
    fit(
        teacher, scenes.images.to(job.device), upper, epochs=epochs, seed=job.seed, measure=hit_rate,
        loss=lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y),
        checkpoint=job.checkpoint("teacher"), progress=job.progress and "faces: teacher",
    )  # fmt: skip
    return teacher.requires_grad_(False).eval()


@torch.no_grad()
def hit_rate(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of factors that are put into the right half, in eval mode."""
    model.eval()
    return float(((torch.cat([model(part) for part in x.split(256)]) > 0) == (y > 0.5)).float().mean())


def train_vae(
    images: Tensor, teacher: nn.Module, job: Job, *, epochs: int = EPOCHS, **arguments: object
) -> ConvVAE:
    """The VAE of `images` (n, C, H, W) in [0, 1], in eval mode; `arguments` go to `ConvVAE`."""
    x = with_plain_images(images).to(job.device)
    vae = ConvVAE(generator=torch.Generator().manual_seed(job.seed), **arguments).to(job.device)  # pyright: ignore[reportArgumentType]
    fit(
        vae, x, torch.zeros(len(x), device=x.device), epochs=epochs, loss=VAELoss(ConvFeatures(teacher)),
        lr=RATE, batch_size=BATCH, weight_decay=1e-4, clip=1.0, augment=RandomShift(0, flip=True),
        measure=reconstruction_error, seed=job.seed, checkpoint=job.checkpoint("vae"),
        progress=job.progress and "faces: VAE",
    )  # fmt: skip
    return vae


def metrics(vae: ConvVAE, test: Tensor) -> dict[str, float]:
    """Mean squared errors per pixel on test images, on black and on white, and the relative error."""
    plain = torch.zeros_like(test[:1])
    energy = float(test.square().mean())
    error = reconstruction_error(vae, test)
    return {
        "test_mse": round(error, 6),
        "test_relative_error": round((error / energy) ** 0.5, 4),
        "black_mse": round(reconstruction_error(vae, plain), 7),
        "white_mse": round(reconstruction_error(vae, plain + 1), 7),
    }


def build(job: Job, *, n: int = IMAGES, epochs: int = EPOCHS) -> Sequence[Net]:
    """Train the teacher, then the VAE, with the job's seed."""
    train, test = faces("train", n), faces("test", 500)
    teacher = train_teacher(train, job)
    vae = train_vae(train.images, teacher, job, epochs=epochs)
    round_weights(vae)
    dataset = f"portraits, {SIZE} px, {n} images, and 2 % black and 2 % white ones"
    return [
        Net(f"manifold_ig-vae-portraits-s{job.seed}", vae, dataset, metrics(vae, test.images.to(job.device)))
    ]


RECIPES = {
    "manifold_ig-vae-portraits": Recipe(
        "manifold_ig-vae-portraits", "convolutional VAE of drawn faces, 64 px, with black and white images",
        build, "manifold_ig.safetensors",
    )
}  # fmt: skip
