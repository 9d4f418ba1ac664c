"""`robustxai train ace-ddpm-portraits` and `robustxai train ace-classifiers-portraits --seed S`: rendered faces, 32 px.

The denoiser learns from unlabelled faces and small noise only, as that is all the filter visits. The classifiers are
trained as usual, without attacks and without images from the denoiser: one on smiles; one on smiles that go along
with glasses; a third, of another architecture and on other faces, as the oracle that flips must transfer to; and a
network that reads the renderer's factors. Names in the zoo: `ace-<kind>-portraits-s<seed>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.ace.study.denoiser_training import EPOCHS, TRAINED_STEPS, denoising_error, train_denoiser
from robustxai.ace.study.faces import CONFOUNDER, CORRELATION, IMAGES, SIZE, faces, unlabelled
from robustxai.ace.study.photographs import build as build_photographs
from robustxai.data.scenes import Scenes
from robustxai.data.scenes.portraits_factors import FACTORS
from robustxai.nets import CompactResNet, CompactVGG, RandomShift, accuracy_of, fit
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights

FILE = "ace.safetensors"
SEEDS = (0, 1, 2)
CLASSIFIER_EPOCHS, ORACLE_EPOCHS, FACTOR_EPOCHS = 6, 10, 12
NETWORK = {"widths": (16, 24, 32, 32), "stem_stride": 1}
FACTOR_NETWORK = {"widths": (16, 24, 48, 48), "stem_stride": 1}


def zoo_name(kind: str, seed: int = 0) -> str:
    """Name of a shipped network; kind is "ddpm", "smile", "confounded", "oracle" or "factors"."""
    return f"ace-{kind}-portraits-s{seed}"


def build_denoiser(job: Job, *, n: int = IMAGES["ddpm"], epochs: int = EPOCHS) -> Sequence[Net]:
    """Train the denoiser of the portraits."""
    test = faces("test", 256).images
    unet = train_denoiser(unlabelled(n), test, job, epochs=epochs)
    round_weights(unet)
    error = round(denoising_error(unet, test.to(job.device), test), 5)
    dataset = f"close portraits, {SIZE} px, {n} images, noise of base timesteps below {TRAINED_STEPS}"
    return [Net(zoo_name("ddpm", job.seed), unet, dataset, {"test_noise_mse": error})]


def train_classifier(
    model: nn.Module, scenes: Scenes, job: Job, *, stage: str, epochs: int = CLASSIFIER_EPOCHS
) -> nn.Module:
    """Fit a classifier to the labels of `scenes`, mirrored and shifted by up to a pixel, nothing else."""
    fit(
        model.to(job.device), scenes.images.to(job.device), scenes.labels.to(job.device), epochs=epochs,
        augment=RandomShift(1, flip=True), seed=job.seed, checkpoint=job.checkpoint(stage),
        progress=job.progress and stage,
    )  # fmt: skip
    return round_weights(model)


def factor_targets(scenes: Scenes) -> Tensor:
    """The factors (n, f) scaled to mean 0 and half range 1, what the factor network learns to read."""
    low = scenes.factors.new_tensor([f.low for f in FACTORS])
    high = scenes.factors.new_tensor([f.high for f in FACTORS])
    return (2 * scenes.factors - low - high) / (high - low)


def train_factors(model: nn.Module, scenes: Scenes, job: Job, *, epochs: int = FACTOR_EPOCHS) -> nn.Module:
    """Fit a network to `factor_targets`, by least squares; no augmentation, as a shift is a factor itself."""
    fit(
        model.to(job.device), scenes.images.to(job.device), factor_targets(scenes).to(job.device), epochs=epochs,
        loss=lambda net, x, y: F.mse_loss(net(x), y), measure=lambda net, x, y: float(r_squared(net, x, y).mean()),
        seed=job.seed, checkpoint=job.checkpoint("factors"), progress=job.progress and "factors",
    )  # fmt: skip
    return round_weights(model)


@torch.no_grad()
def r_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The share of variance of each column of y (n, f) that the network explains, (f,)."""
    model.eval()
    left = (torch.cat([model(part) for part in x.split(256)]) - y).square().mean(0)
    return 1 - left / y.var(0, correction=0)


def classifiers(seed: int) -> dict[str, nn.Module]:
    """Fresh networks by kind: "smile", "confounded", "oracle" and "factors"."""
    generators = [torch.Generator().manual_seed(10 * seed + i) for i in range(4)]
    smile, confounded = (CompactResNet(2, generator=g, **NETWORK) for g in generators[:2])
    oracle = CompactVGG(2, widths=(16, 24, 32), hidden=32, activation="silu", generator=generators[2])
    factors = CompactResNet(len(FACTORS), generator=generators[3], **FACTOR_NETWORK)
    return {"smile": smile, "confounded": confounded, "oracle": oracle, "factors": factors}


def build_classifiers(job: Job, *, n: int | None = None, epochs: int = CLASSIFIER_EPOCHS) -> Sequence[Net]:
    """Train the smile classifier, the confounded one and the oracle; with seed 0 the factor network as well."""
    fresh, test = classifiers(job.seed), faces("test", n and n // 8)
    data = {
        "smile": faces("train", n),
        "confounded": faces("train", n, confounded=True),
        "oracle": faces("oracle", n),
    }
    x, y = test.images.to(job.device), test.labels.to(job.device)
    wears = (test.factor(CONFOUNDER) > 0.5).long().to(job.device)
    nets = []
    for kind, scenes in data.items():
        rounds = min(ORACLE_EPOCHS, 2 * epochs) if kind == "oracle" else epochs
        model = train_classifier(fresh[kind], scenes, job, stage=kind, epochs=rounds)
        metrics = {
            "test_accuracy": accuracy_of(model, x, y),
            f"{CONFOUNDER}_agreement": accuracy_of(model, x, wears),
        }
        nets.append(_net(kind, job.seed, model, scenes, {k: round(v, 4) for k, v in metrics.items()}))
    if job.seed == SEEDS[0]:
        scenes = data["oracle"]
        model = train_factors(fresh["factors"], scenes, job, epochs=min(FACTOR_EPOCHS, 2 * epochs))
        explained = r_squared(model, x, factor_targets(test).to(job.device))
        r2 = {f.name: round(float(v), 3) for f, v in zip(FACTORS, explained, strict=True)}
        nets.append(_net("factors", job.seed, model, scenes, {"test_r2": r2}))
    return nets


def _net(kind: str, seed: int, model: nn.Module, scenes: Scenes, metrics: dict) -> Net:
    along = f", correlation {CORRELATION} with {CONFOUNDER}" if kind == "confounded" else ""
    dataset = f"close portraits, {SIZE} px, {len(scenes)} images{along}"
    return Net(zoo_name(kind, seed), model, dataset, metrics)


RECIPES = {
    r.name: r
    for r in (
        Recipe(
            "ace-ddpm-portraits", "denoiser of drawn faces, 32 px, small noise only", build_denoiser, FILE
        ),
        Recipe(
            "ace-classifiers-portraits",
            "smile: plain, confounded with glasses, and an oracle",
            build_classifiers,
            FILE,
        ),
        Recipe(
            "ace-cifar",
            "cars and trucks: denoiser, classifier, oracle",
            partial(build_photographs, name="cifar"),
            "ace-cifar.safetensors",
        ),
        Recipe(
            "ace-smiles",
            "photographed smiles, 32 px: denoiser, classifier, oracle",
            partial(build_photographs, name="smiles"),
            "ace-smiles.safetensors",
        ),
        Recipe(
            "ace-celebahq",
            "faces of CelebA-HQ, 64 px: denoiser, classifier, oracle, a reader of 40 attributes; hours",
            partial(build_photographs, name="celebahq"),
            "ace-celebahq.safetensors",
        ),
    )
}
