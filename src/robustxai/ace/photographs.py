"""`robustxai train ace-cifar`: cars and trucks of CIFAR-10, a denoiser, a classifier and an oracle for them.

Needs the photographs, see `robustxai.data.load`. One denoiser, that of seed 0, sees both classes without labels and
serves all seeds. Knows nothing about drawn faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robustxai.ace.denoise import denoising_error
from robustxai.data import load
from robustxai.nets import CompactResNet, CompactVGG, RandomShift, accuracy, fit
from robustxai.nets.recipes import Job, Net
from robustxai.nets.zoo import round_weights

PAIR = ("automobile", "truck")
DENOISER = {"widths": (32, 48, 64), "layers": 1}
DENOISER_EPOCHS, CLASSIFIER_EPOCHS = 12, 12

Photographs = tuple[Float[Tensor, "n 3 height width"], Int64[Tensor, " n"], str]


def pair(
    split: str, *, classes: Sequence[str] = PAIR, limit: int | None = None, **options: object
) -> Photographs:
    """Images of two classes of CIFAR-10 and their labels 0 and 1, and what one must say of this copy.

    limit: the first so many of the split, of all classes. options: of `load`. Raises ValueError for unknown classes.
    """
    data = load("cifar10", split, limit=limit, **options)  # pyright: ignore[reportArgumentType]
    if len(classes) != 2 or not set(classes) <= set(data.classes):
        raise ValueError(f"classes is {tuple(classes)}; accepted are two of {', '.join(data.classes)}")
    first, second = (data.y == data.classes.index(name) for name in classes)
    kept = first | second
    return data.x[kept], second[kept].long(), data.note


def build_cifar(
    job: Job,
    *,
    limit: int | None = None,
    epochs: int = DENOISER_EPOCHS,
    classifier_epochs: int = CLASSIFIER_EPOCHS,
) -> Sequence[Net]:
    """Train classifier and oracle, with seed 0 the denoiser too; half of the training images are the oracle's own."""
    from robustxai.ace.recipes import train_denoiser

    (x, y, note), (test, labels, _) = (pair(split, limit=limit) for split in ("train", "test"))
    x, y, test, labels = (part.to(job.device) for part in (x, y, test, labels))
    copy = f", {note}" if note else ""
    dataset = f"cifar10, {PAIR[0]} and {PAIR[1]}, 32 px, {{}} images{copy}"
    flip = RandomShift(0, flip=True)
    nets = []
    if job.seed == 0:
        unet = round_weights(train_denoiser(x, test[:256], job, epochs=epochs, augment=flip, **DENOISER))
        error = round(denoising_error(unet, test[:256], test), 5)
        nets.append(Net("ace-ddpm-cifar-s0", unet, dataset.format(len(x)), {"test_noise_mse": error}))
    half = torch.arange(len(x), device=x.device) % 2 == 0
    for kind, model, rows in (
        (
            "pair",
            CompactResNet(2, stem_stride=1, widths=(16, 32, 64, 64), generator=_generator(job.seed, 0)),
            half,
        ),
        ("oracle", CompactVGG(2, widths=(16, 32, 64), generator=_generator(job.seed, 1)), ~half),
    ):
        fit(
            model.to(job.device), x[rows], y[rows], epochs=classifier_epochs, augment=RandomShift(3, flip=True),
            seed=job.seed, checkpoint=job.checkpoint(kind), progress=job.progress and f"cifar: {kind}",
        )  # fmt: skip
        round_weights(model)
        metrics = {"test_accuracy": round(accuracy(model, test, labels), 4)}
        nets.append(Net(f"ace-{kind}-cifar-s{job.seed}", model, dataset.format(int(rows.sum())), metrics))
    return nets


def _generator(seed: int, i: int) -> torch.Generator:
    return torch.Generator().manual_seed(10 * seed + i)
