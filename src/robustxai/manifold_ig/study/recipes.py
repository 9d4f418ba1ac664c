"""`robustxai train manifold_ig-vae-<set>` and `manifold_ig-classifiers-<set> --seed S`: the chapter's networks.

The autoencoder: a small network first learns the labels (of the rendered faces: to tell factors apart), and its first
layers, frozen, are the perceptual part of the VAE's loss; for the paper's photographs it is VGG-19, as in the paper.
Black and white images are in the training set, so that these baselines lie on the manifold (spec 3.1, pitfall P6). The
classifiers: three architectures trained on the reconstructions, as in the paper, and on the images themselves as a
control; those of the paper's photographs have been trained on ImageNet before.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.data.scenes import Scenes
from robustxai.manifold_ig.study.fine_tuning import fine_tune_classifier
from robustxai.manifold_ig.study.image_sets import IMAGENET, TASKS, Samples, Task, faces
from robustxai.manifold_ig.vae_loss import ConvFeatures, VAELoss, paper_loss, reconstruction_error
from robustxai.nets import (
    CompactInception,
    CompactResNet,
    CompactVGG,
    ConvVAE,
    HeadedClassifier,
    RandomShift,
    accuracy_of,
    fit,
)
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights

TEACHER_EPOCHS = 6
PLAIN = 0.02  # share of black images, and of white ones, in the training set
TAUGHT = ("smile", "glasses", "eye_open", "brow_angle", "gaze_x", "roll", "yaw", "hair_style")
RATE, PAPER_RATE, BATCH = 2e-3, 5e-4, 64
ARCHITECTURES: dict[str, type[CompactResNet | CompactVGG | CompactInception]] = {
    "resnet": CompactResNet,
    "vgg": CompactVGG,
    "inception": CompactInception,
}
INPUTS = ("recon", "raw")


def vae_name(task: str, seed: int = 0) -> str:
    """Name of a task's autoencoder in the zoo."""
    return f"manifold_ig-vae-{task}-s{seed}"


def classifier_name(task: str, architecture: str, seed: int, inputs: str = "recon") -> str:
    """Name of a classifier in the zoo; inputs: 'recon' or 'raw', what it was trained on."""
    return f"manifold_ig-{task}-s{seed}-{architecture}-{inputs}"


def with_plain_images(images: Tensor, share: float = PLAIN) -> Tensor:
    """The images, and black and white ones after them, each `share` of their number (at least one)."""
    count = max(1, round(share * len(images)))
    plain = images.new_zeros(count, *images.shape[1:])
    return torch.cat((images, plain, plain + 1))


def halves(scenes: Scenes) -> Tensor:
    """Which half of its range each factor of `TAUGHT` is in: (n, factors) of 0 and 1."""
    values = torch.stack([scenes.factor(name) for name in TAUGHT], 1)
    return (values > values.median(0).values).float()


def train_teacher(images: Tensor, answers: Tensor, job: Job, *, epochs: int = TEACHER_EPOCHS) -> nn.Module:
    """A network that learns yes-no answers (n, k) about the images; frozen."""
    generator = torch.Generator().manual_seed(job.seed)
    teacher = CompactResNet(answers.shape[1], in_channels=images.shape[1], generator=generator).to(job.device)
    fit(
        teacher, images.to(job.device), answers.to(job.device), epochs=epochs, seed=job.seed, measure=hit_rate,
        loss=lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y),
        checkpoint=job.checkpoint("teacher"), progress=job.progress and "teacher",
    )  # fmt: skip
    return teacher.requires_grad_(False).eval()


@torch.no_grad()
def hit_rate(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of right answers, in eval mode."""
    model.eval()
    return float(((torch.cat([model(part) for part in x.split(256)]) > 0) == (y > 0.5)).float().mean())


def train_vae(
    images: Tensor, loss: VAELoss, job: Job, *, epochs: int = 40, lr: float = RATE, **arguments: object
) -> ConvVAE:
    """The VAE of `images` (n, C, H, W) in [0, 1], in eval mode; `arguments` go to `ConvVAE`."""
    x = with_plain_images(images).to(job.device)
    vae = ConvVAE(in_channels=x.shape[1], generator=torch.Generator().manual_seed(job.seed), **arguments)  # pyright: ignore[reportArgumentType]
    vae.to(job.device)
    fit(
        vae, x, torch.zeros(len(x), device=x.device), epochs=epochs, loss=loss, lr=lr, batch_size=BATCH,
        weight_decay=1e-4, clip=1.0, augment=RandomShift(0, flip=True), measure=reconstruction_error,
        seed=job.seed, checkpoint=job.checkpoint("vae"), progress=job.progress and "VAE",
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


def build_vae(
    job: Job,
    task: Task,
    *,
    n: int | None = None,
    epochs: int | None = None,
    teacher_epochs: int = TEACHER_EPOCHS,
) -> Sequence[Net]:
    """Train the teacher, where there is one, then the VAE, with the job's seed."""
    train, test = task.read("train", n or task.n), task.read("test", 500)
    if task.judge == "vgg19":
        lr, loss = PAPER_RATE, paper_loss(job.device)
    else:
        lr, loss = RATE, VAELoss(ConvFeatures(_teacher(train, task, job, epochs=teacher_epochs)))
    vae = train_vae(train.x, loss, job, epochs=epochs or task.vae_epochs, lr=lr, **task.vae)
    round_weights(vae)
    dataset = f"{task.help}, {len(train.x)} images, and 2 % black and 2 % white ones"
    return [Net(vae_name(task.name, job.seed), vae, dataset, metrics(vae, test.x.to(job.device)))]


def _teacher(train: Samples, task: Task, job: Job, *, epochs: int) -> nn.Module:
    drawn = task.name == "portraits"
    answers = (
        halves(faces("train", len(train.x))) if drawn else F.one_hot(train.y, len(train.classes)).float()
    )
    return train_teacher(train.x, answers, job, epochs=epochs)


def make_classifier(task: Task, architecture: str, classes: int, seed: int) -> nn.Module:
    """A classifier before its training, with a smooth activation, so that its gradients have gradients (pitfall P10).

    The networks of ImageNet come with ReLU: an attack on their maps sees how a path moves and not how the gradients
    along it change, so where it fails that says less than for a smooth network.
    """
    if architecture in IMAGENET:
        generator = torch.Generator().manual_seed(seed)
        return HeadedClassifier(
            architecture, classes=classes, generator=generator, **task.classifiers[architecture]
        )
    plain: dict = {"mean": (0.5,) * task.channels, "std": (0.25,) * task.channels}
    if architecture == "resnet":
        plain = {"in_channels": task.channels}
    options = plain | task.classifiers[architecture]
    generator = torch.Generator().manual_seed(seed)
    return ARCHITECTURES[architecture](classes, activation="silu", generator=generator, **options)


def build_classifiers(
    job: Job, task: Task, *, n: int | None = None, epochs: int | tuple[int, int] | None = None
) -> Sequence[Net]:
    """Every architecture with the job's seed, trained on reconstructions and on the images themselves; the VAE is
    that of seed 0."""
    train, test = task.read("train", n or task.n_classifier), task.read("test", 1000)
    vae = job.pretrained(vae_name(task.name))
    assert isinstance(vae, ConvVAE)
    images = {"raw": (train.x, test.x)}
    images["recon"] = (reconstructed(vae, train.x), reconstructed(vae, test.x))
    nets = []
    for inputs in INPUTS:
        for architecture in task.classifiers:
            model = make_classifier(task, architecture, len(train.classes), job.seed).to(job.device)
            _train(model, images[inputs][0], train.y, epochs or task.epochs, job, f"{architecture}-{inputs}")
            round_weights(model)
            scores = {
                f"test_accuracy_{name}": round(accuracy_of(model, x.to(job.device), test.y.to(job.device)), 4)
                for name, (_, x) in images.items()
            }
            name = classifier_name(task.name, architecture, job.seed, inputs)
            nets.append(Net(name, model, f"{task.help}, {inputs}, {len(train.x)} images", scores))
    return nets


def _train(
    model: nn.Module, x: Tensor, y: Tensor, epochs: int | tuple[int, int], job: Job, stage: str
) -> None:
    """From the start, or the two stages of a network of ImageNet, which have an epoch number each."""
    x, y = x.to(job.device), y.to(job.device)
    options: dict = {"checkpoint": job.checkpoint(stage), "progress": job.progress and f"{job.name} {stage}"}
    if isinstance(model, HeadedClassifier):
        assert isinstance(epochs, tuple)
        fine_tune_classifier(model, x, y, epochs=epochs, seed=job.seed, **options)
    else:
        assert isinstance(epochs, int)
        shift = RandomShift(2, flip=True)
        fit(model, x, y, epochs=epochs, batch_size=BATCH, augment=shift, seed=job.seed, **options)


@torch.no_grad()
def reconstructed(vae: ConvVAE, images: Tensor) -> Tensor:
    """decode(encode(x)), in parts, on the images' device."""
    device = next(vae.parameters()).device
    vae.eval()
    return torch.cat([vae.decode(vae.encode(part.to(device))).to(images) for part in in_parts(images)])


def in_parts(images: Tensor, *, count: int = 250, side: int = 64) -> tuple[Tensor, ...]:
    """The images in parts of `count`, or of fewer where they are larger than `side` by `side`."""
    return images.split(max(1, min(count, count * side**2 // images[0, 0].numel())))


def _recipes(task: Task) -> list[Recipe]:
    return [
        Recipe(
            f"manifold_ig-vae-{task.name}", f"convolutional VAE: {task.help}",
            lambda job: build_vae(job, task), task.file,
        ),
        Recipe(
            f"manifold_ig-classifiers-{task.name}", f"classifiers on reconstructions and raw: {task.help}",
            lambda job: build_classifiers(job, task), task.file,
        ),
    ]  # fmt: skip


RECIPES = {recipe.name: recipe for task in TASKS.values() for recipe in _recipes(task)}
