"""`robustxai train ace-cifar`, `ace-smiles` and `ace-celebahq`: two classes of photographs; a denoiser, a classifier
and an oracle, and where the images have attributes, a reader of them.

Needs the photographs, see `robustxai.data.load`. One denoiser and one reader, those of seed 0, see both classes and
serve all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from robustxai.ace.study.denoiser_training import denoising_error, train_denoiser
from robustxai.data import load
from robustxai.metrics import box_masks
from robustxai.nets import CompactResNet, CompactVGG, RandomShift, accuracy_of, fit
from robustxai.nets.recipes import Job, Net
from robustxai.nets.zoo import round_weights

READER = (24, 32, 64, 96)
DENOISER: dict[str, Any] = {"widths": (32, 48, 64), "layers": 1}


@dataclass(frozen=True)
class Pair:
    """Two classes of a data set, how their images are made and how long their networks are trained.

    source: its name for `load`. shrink: squares of so many pixels a side become one, by their mean. pictures: whether
    they may be shown; of those that may not, there are numbers only. shift: of the classifiers' augmentation, in
    pixels. denoiser: arguments of the network. reader_epochs: of the reader of attributes; 0 is none.
    """

    source: str
    classes: tuple[str, str]
    channels: int = 3
    shrink: int = 1
    pictures: bool = True
    shift: int = 3
    epochs: int = 12
    classifier_epochs: int = 12
    denoiser: Mapping[str, Any] = field(default_factory=lambda: DENOISER)
    reader_epochs: int = 0


PAIRS = {
    "cifar": Pair("cifar10", ("automobile", "truck")),
    "smiles": Pair(
        "smiles64", ("no smile", "smile"), channels=1, shrink=2, pictures=False, shift=2, epochs=16
    ),
    "celebahq": Pair(
        "celebahq128", ("not smiling", "smiling"), shrink=2, pictures=False, epochs=40, reader_epochs=12,
        denoiser={"widths": (48, 64, 96), "layers": 1},
    ),
}  # fmt: skip


class Photographs(NamedTuple):
    """Images in [0, 1], their labels 0 and 1, what one must say of this copy, and where a part is, if that is known.

    region: empty for an image whose part is not known. attributes: what is true of an image, where the set says it,
    and `names` of them.
    """

    x: Float[Tensor, "n channel height width"]
    y: Int64[Tensor, " n"]
    note: str
    region: Bool[Tensor, "n height width"] | None = None
    attributes: Bool[Tensor, "n attribute"] | None = None
    names: tuple[str, ...] = ()


def pick(pair: Pair, split: str, *, limit: int | None = None, **options: object) -> Photographs:
    """The images of a pair; `limit`: the first so many of the split, of all classes; options: of `load`.

    Raises ValueError for classes that the data set does not have.
    """
    data = load(pair.source, split, limit=limit, **options)  # pyright: ignore[reportArgumentType]
    if len(pair.classes) != 2 or not set(pair.classes) <= set(data.classes):
        raise ValueError(f"classes must be two of {', '.join(data.classes)}, got {tuple(pair.classes)}")
    first, second = (data.y == data.classes.index(name) for name in pair.classes)
    kept, k = first | second, pair.shrink
    x, region = F.avg_pool2d(data.x[kept], k), None
    if data.boxes is not None:
        boxes = data.boxes[kept].nan_to_num(-k)  # nan where there is no box: an empty region
        region = box_masks((boxes / k).floor(), (x.shape[2], x.shape[3]))
    attributes = None if data.attributes is None else data.attributes[kept]
    names = () if attributes is None else data.features
    return Photographs(x, second[kept].long(), data.note, region, attributes, names)


def build(job: Job, name: str, *, limit: int | None = None) -> Sequence[Net]:
    """Train classifier and oracle, with seed 0 the denoiser too; half of the training images are the oracle's own."""
    pair = PAIRS[name]
    given, held = (pick(pair, split, limit=limit) for split in ("train", "test"))
    x, y, test, labels = (part.to(job.device) for part in (given.x, given.y, held.x, held.y))
    copy = f", {given.note}" if given.note else ""
    dataset = f"{pair.source}, {pair.classes[0]} and {pair.classes[1]}, {x.shape[-1]} px, {{}} images{copy}"
    flip = RandomShift(0, flip=True)
    nets = []
    if job.seed == 0:
        options = {"channels": pair.channels} | dict(pair.denoiser)
        unet = round_weights(train_denoiser(x, test[:256], job, epochs=pair.epochs, augment=flip, **options))
        error = round(denoising_error(unet, test[:256], test), 5)
        nets.append(Net(f"ace-ddpm-{name}-s0", unet, dataset.format(len(x)), {"test_noise_mse": error}))
        if pair.reader_epochs and given.attributes is not None and held.attributes is not None:
            reader, right = attribute_reader(pair, x, given.attributes, test, held.attributes, job)
            named = {n: round(float(v), 4) for n, v in zip(given.names, right, strict=True)}
            nets.append(
                Net(f"ace-attributes-{name}-s0", reader, dataset.format(len(x)), {"balanced_accuracy": named})
            )
    half = torch.arange(len(x), device=x.device) % 2 == 0
    for kind, model, rows in (
        ("pair", classifier(pair, job.seed), half),
        ("oracle", oracle(pair, job.seed), ~half),
    ):
        fit(
            model.to(job.device), x[rows], y[rows], epochs=pair.classifier_epochs,
            augment=RandomShift(pair.shift, flip=True), seed=job.seed, checkpoint=job.checkpoint(kind),
            progress=job.progress and f"{name}: {kind}",
        )  # fmt: skip
        round_weights(model)
        metrics = {"test_accuracy": round(accuracy_of(model, test, labels), 4)}
        nets.append(Net(f"ace-{kind}-{name}-s{job.seed}", model, dataset.format(int(rows.sum())), metrics))
    return nets


def attribute_reader(
    pair: Pair, x: Tensor, attributes: Tensor, test: Tensor, truth: Tensor, job: Job
) -> tuple[CompactResNet, Tensor]:
    """A network that reads every attribute as a logit, and its balanced accuracy of each (attribute,) on the test set.

    6 parameters, as images and attributes to learn from and to test on are four of them.
    """
    generator = torch.Generator().manual_seed(10 * job.seed + 2)
    reader = CompactResNet(attributes.shape[1], stem_stride=1, widths=READER, in_channels=pair.channels,
                           generator=generator)  # fmt: skip
    fit(
        reader.to(job.device), x, attributes.to(x), epochs=pair.reader_epochs,
        loss=lambda net, a, b: F.binary_cross_entropy_with_logits(net(a), b),
        measure=lambda net, a, b: float(balanced_accuracy(net, a, b > 0.5).mean()),
        augment=RandomShift(pair.shift, flip=True), seed=job.seed, checkpoint=job.checkpoint("attributes"),
        progress=job.progress and "attributes",
    )  # fmt: skip
    round_weights(reader)
    return reader, balanced_accuracy(reader, test, truth.to(x.device))


@torch.no_grad()
def balanced_accuracy(reader: nn.Module, x: Tensor, truth: Tensor) -> Tensor:
    """Mean of the shares of yes and of no that are read right, (attribute,); nan where one of them does not occur."""
    reader.eval()
    right = torch.cat(
        [(reader(part) > 0) == true for part, true in zip(x.split(256), truth.split(256), strict=True)]
    )
    yes, no = (right.cpu().double().where(truth.cpu() == v, torch.nan).nanmean(0) for v in (True, False))
    return (yes + no) / 2


def classifier(pair: Pair, seed: int) -> CompactResNet:
    """A fresh network that will be explained."""
    generator = torch.Generator().manual_seed(10 * seed)
    widths = (16, 32, 64, 64)
    return CompactResNet(2, stem_stride=1, widths=widths, in_channels=pair.channels, generator=generator)


def oracle(pair: Pair, seed: int) -> CompactVGG:
    """A fresh network of another architecture that will judge."""
    generator = torch.Generator().manual_seed(10 * seed + 1)
    mean, std = (0.5,) * pair.channels, (0.25,) * pair.channels
    return CompactVGG(2, widths=(16, 32, 64), mean=mean, std=std, generator=generator)
