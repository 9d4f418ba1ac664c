"""The image sets of the chapter: what is shown to the autoencoder and the classifiers, and how wide these are.

Rendered faces at 64 pixels with known masks (shipped networks); real sets behind `load`: six articles of Fashion-MNIST,
padded to 32 pixels, and photographs of faces that smile or do not; and the paper's photographs of pets and flowers at
192 pixels with the paper's sizes of networks, for a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from robustxai.data import load
from robustxai.data.scenes import Scenes, portraits
from robustxai.manifold_ig.study import pets_flowers

SIZE = 64
STREAMS = {"train": 1000, "test": 2000}
ARTICLES = ("Trouser", "Dress", "Sandal", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Samples:
    """Images (n, C, H, W) in [0, 1], labels (n,), and masks (n, H, W) of what the class is about: zero where there
    is nothing of the kind, or it is not known; None where it is known for no image.
    """

    x: Float[Tensor, "n channel height width"]
    y: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    masks: Float[Tensor, "n height width"] | None = None


@dataclass(frozen=True)
class Task:
    """A set of images and the sizes of its networks.

    read: (split, number of samples) -> samples. n, vae_epochs, vae: training images and epochs of the autoencoder,
    and options of `ConvVAE`. n_classifier, epochs, classifiers: those of the classifiers, architecture -> options; two
    numbers of epochs are those of the head alone and of the whole, for networks of ImageNet. judge: whose features
    are the perceptual part of the autoencoder's loss: "labels", a small network that learns the labels, or "vgg19",
    as in the paper. pool: test images from which a study takes those that all its classifiers get right. file: where
    trained networks are stored.
    """

    name: str
    help: str
    read: Callable[[str, int], Samples]
    n: int
    channels: int = 3
    vae: dict = field(default_factory=dict)
    vae_epochs: int = 40
    n_classifier: int = 3000
    epochs: int | tuple[int, int] = 3
    classifiers: dict[str, dict] = field(default_factory=dict)
    judge: str = "labels"
    pool: int = 250
    file: str = "manifold_ig.safetensors"


def faces(split: str, n: int, *, size: int = SIZE) -> Scenes:
    """n portraits; 'train' and 'test' come from different streams."""
    if split not in STREAMS:
        raise ValueError(f"split must be one of {', '.join(STREAMS)}, got {split!r}")
    return portraits(n, size=size, generator=torch.Generator().manual_seed(STREAMS[split]))


def _portraits(split: str, n: int) -> Samples:
    """Label and mask are the glasses: of the factors, one that a small autoencoder keeps (a smile it does not)."""
    drawn = faces(split, n)
    worn = drawn.factor("glasses").round().long()
    return Samples(drawn.images, worn, ("no glasses", "glasses"), drawn.mask("glasses"))


def _articles(split: str, n: int) -> Samples:
    """The first n of six kinds of Fashion-MNIST that can be told apart, with a border of two pixels."""
    whole = load("fashion_mnist", split)
    kinds = torch.tensor([whole.classes.index(name) for name in ARTICLES], device=whole.y.device)
    belongs = whole.y[:, None] == kinds
    rows = belongs.any(1).nonzero().squeeze(1)[:n]
    return Samples(F.pad(whole.x[rows], (2, 2, 2, 2)), belongs[rows].long().argmax(1), ARTICLES)


def _smiles(split: str, n: int) -> Samples:
    """Grey faces; the mask is the box of the mouth."""
    found = load("smiles64", split, limit=n)
    assert found.boxes is not None
    x0, y0, x1, y1 = (edge[:, None] for edge in found.boxes.unbind(1))
    at = torch.arange(SIZE, device=found.boxes.device)
    columns, rows = (at >= x0) & (at <= x1), (at >= y0) & (at <= y1)
    return Samples(found.x, found.y, found.classes, (rows[:, :, None] & columns[:, None, :]).float())


def _photographs(name: str, split: str, n: int) -> Samples:
    """Pets with masks of the animals, flowers without masks."""
    return Samples(*pets_flowers.read_photographs(name, split, n))


SMALL = {
    "resnet": {"widths": (16, 24, 40, 40)},
    "vgg": {"widths": (12, 24, 32, 48), "hidden": 32},
    "inception": {"widths": (16, 32, 64, 80)},
}
IMAGENET = {
    "resnet18": {"weights": "ResNet18_Weights.IMAGENET1K_V1"},
    "vgg16": {"weights": "VGG16_Weights.IMAGENET1K_V1"},
    "googlenet": {"weights": "GoogLeNet_Weights.IMAGENET1K_V1"},
}
PAPER = {
    "vae": {"widths": (64, 128, 256, 512), "latent": 64, "skip_kernel": 3},  # 12 times fewer numbers than the image
    "vae_epochs": 150, "epochs": (10, 7), "classifiers": IMAGENET, "judge": "vgg19", "pool": 2000,
}  # fmt: skip
"""Sizes of the paper's networks (spec 3.1, 3.2). Here the decoder's activation is smooth, as everywhere."""
TASKS = {
    task.name: task
    for task in (
        Task("portraits", "drawn faces, 64 px: do they wear glasses?", _portraits, 5000, classifiers=SMALL),
        Task(
            "fashion", "six articles of Fashion-MNIST, 32 px", _articles, 8000, channels=1,
            vae={"widths": (32, 64, 128)}, vae_epochs=12, n_classifier=5000, epochs=3,
            classifiers={"resnet": {"widths": (16, 24, 40, 40), "stem_stride": 1}, "vgg": SMALL["vgg"]},
        ),
        Task(
            "smiles64", "grey photographs of faces, 64 px: do they smile?", _smiles, 5895, channels=1,
            vae_epochs=20, n_classifier=4000, epochs=4, classifiers={k: SMALL[k] for k in ("resnet", "vgg")},
        ),
        *(
            Task(
                name, help, partial(_photographs, name), 6000, n_classifier=6000,
                file=f"manifold_ig-{name}.safetensors", **PAPER,
            )
            for name, help in (
                ("pets", "37 breeds of the Oxford-IIIT Pet set, 192 px"),
                ("flowers", "102 kinds of Oxford Flowers, 192 px"),
            )
        ),
    )
}  # fmt: skip
