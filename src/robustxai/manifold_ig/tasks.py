"""The image sets of the chapter: what is shown to the autoencoder and the classifiers, and how wide these are.

Drawn faces at 64 pixels with known masks (shipped networks), and real sets behind `load`: six articles of
Fashion-MNIST, padded to 32 pixels, and photographs of faces that smile or do not. Knows nothing about training.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from robustxai.data import load
from robustxai.data.scenes import Scenes, portraits

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
    and options of `ConvVAE`. n_classifier, epochs, classifiers: those of the classifiers, architecture -> options.
    """

    name: str
    help: str
    read: Callable[[str, int], Samples]
    n: int
    channels: int = 3
    vae: dict = field(default_factory=dict)
    vae_epochs: int = 40
    n_classifier: int = 3000
    epochs: int = 3
    classifiers: dict[str, dict] = field(default_factory=dict)


def faces(split: str, n: int, *, size: int = SIZE) -> Scenes:
    """n portraits; 'train' and 'test' come from different streams."""
    if split not in STREAMS:
        raise ValueError(f"split is {split!r}; accepted are {', '.join(STREAMS)}")
    return portraits(n, size=size, generator=torch.Generator().manual_seed(STREAMS[split]))


def _portraits(split: str, n: int) -> Samples:
    """Label and mask are the glasses: of the factors, one that a small autoencoder keeps (a smile it does not)."""
    drawn = faces(split, n)
    worn = drawn.factor("glasses").round().long()
    return Samples(drawn.images, worn, ("no glasses", "glasses"), drawn.mask("glasses"))


def _articles(split: str, n: int) -> Samples:
    """The first n of six kinds of Fashion-MNIST that can be told apart, with a border of two pixels."""
    whole = load("fashion_mnist", split)
    kinds = torch.tensor([whole.classes.index(name) for name in ARTICLES])
    belongs = whole.y[:, None] == kinds
    rows = belongs.any(1).nonzero().squeeze(1)[:n]
    return Samples(F.pad(whole.x[rows], (2, 2, 2, 2)), belongs[rows].long().argmax(1), ARTICLES)


def _smiles(split: str, n: int) -> Samples:
    """Grey faces; the mask is the box of the mouth."""
    found = load("smiles64", split, limit=n)
    assert found.boxes is not None
    x0, y0, x1, y1 = (edge[:, None] for edge in found.boxes.unbind(1))
    at = torch.arange(SIZE)
    columns, rows = (at >= x0) & (at <= x1), (at >= y0) & (at <= y1)
    return Samples(found.x, found.y, found.classes, (rows[:, :, None] & columns[:, None, :]).float())


SMALL = {
    "resnet": {"widths": (16, 24, 40, 40)},
    "vgg": {"widths": (12, 24, 32, 48), "hidden": 32},
    "inception": {"widths": (16, 32, 64, 80)},
}
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
    )
}  # fmt: skip
