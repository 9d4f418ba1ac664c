"""`load(name, split)`: one call from a name to arrays. Each set has one short reader below.

A reader turns verified bytes into a `Dataset` and decodes only the requested samples. Nothing is cached on
disk but downloads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Int64
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch
from torch import Tensor

from robustxai.checks import check_count

from . import fetch, files, formats, packs, surveys
from .catalog import entry
from .dataset import Dataset, positions
from .errors import UnknownSplit
from .request import Request

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
RECOMPRESSED = "recompressed (lossy JPEG)"
SIZED = ("menagerie", "imagenet_sample1000", "dtd10", "dtd_striped", "celebahq128")


def load(
    name: str,
    split: str = "train",
    *,
    root: str | Path | None = None,
    download: bool = False,
    limit: int | None = None,
    indices: Int64[Tensor, " m"] | None = None,
    size: int | None = None,
) -> Dataset:
    """A data set by name; `catalog()` lists them.

    Files are looked for in `root`, in the folder that the environment variable ROBUSTXAI_DATA names, and in
    the user's cache; then, with `download=True`, fetched into `root` or the cache. `limit` takes the first
    samples and `indices` those at positions; only these are decoded, but of smiles64 and celebahq128, whose split
    looks at all. Sets stored sorted by class (cifar10, tiny_imagenet25, dtd10, imagenet_sample1000) come in one fixed
    shuffled order, so that the first samples are of all classes. `size`: resolution of menagerie (64), dtd10 (192),
    dtd_striped (256), celebahq128 (128) and imagenet_sample1000 (224).

    Raises UnknownDataset, UnknownSplit (ValueError); NotAvailable, ChecksumError, DownloadError (OSError).

    >>> load("digits", "test", limit=100)
    Dataset(digits, test: 100 samples of 1 x 8 x 8, 10 classes)
    """
    e = entry(name)
    if split not in e.splits:
        raise UnknownSplit(f"split of {name} must be one of {', '.join(e.splits)}, got {split!r}")
    if size is not None and name not in SIZED:
        raise ValueError(f"size must be None for {name}, which has one resolution, got {size}")
    if size is not None:
        check_count("size", size)
    return READERS[name](Request(e, split, root, download, limit, indices, size))


def _menagerie(r: Request) -> Dataset:
    from .scenes import menagerie  # rendered sets are imported when requested: files need no renderer

    n = r.entry.counts[r.split] if r.limit is None else r.limit
    generator = torch.Generator().manual_seed(r.entry.splits.index(r.split))
    s = menagerie(n, size=r.size or 64, generator=generator)
    whole = Dataset(s.images, s.labels, s.classes, r.entry.name, r.split)
    return whole if r.indices is None else whole.subset(positions(n, None, r.indices))


def _sklearn(
    r: Request, bunch: Bunch, x: Tensor, classes: tuple[str, ...], features: tuple[str, ...] = ()
) -> Dataset:
    """One side of a stratified split, four fifths to one fifth, seed 0."""
    parts = train_test_split(np.arange(len(x)), test_size=0.2, random_state=0, stratify=bunch.target)
    side = torch.from_numpy(parts[0 if r.split == "train" else 1])
    which = side[r.positions(len(side))]
    y = torch.from_numpy(bunch.target).long()
    return Dataset(x[which], y[which], classes, r.entry.name, r.split, features=features)


def _digits(r: Request) -> Dataset:
    bunch = cast(Bunch, load_digits())
    return _sklearn(r, bunch, torch.from_numpy(bunch.images).float().div(16)[:, None], tuple("0123456789"))


def _breast_cancer(r: Request) -> Dataset:
    bunch = cast(Bunch, load_breast_cancer())
    names, features = tuple(map(str, bunch.target_names)), tuple(map(str, bunch.feature_names))
    return _sklearn(r, bunch, torch.from_numpy(bunch.data).float(), names, features)


def _survey(r: Request, survey: surveys.Survey, side: Tensor, note: str = "") -> Dataset:
    """The requested samples of a table among those of one side of its split."""
    which = side[r.positions(len(side))]
    return Dataset(
        survey.x[which], survey.y[which], survey.classes, r.entry.name, r.split,
        features=survey.features, levels=survey.levels, note=note,
    )  # fmt: skip


def _adult(r: Request) -> Dataset:
    train, test = r.entry.files
    survey = surveys.adult(r.bytes(train), r.bytes(test) if r.split == "test" else None)
    return _survey(r, survey, torch.arange(len(survey.y), device="cpu"))


def _split_survey(parse: Callable[[bytes], surveys.Survey], note: str) -> Callable[[Request], Dataset]:
    """Reader of a table in one file: one side of a stratified split, 70 to 30 in a hundred, seed 0."""

    def read(r: Request) -> Dataset:
        survey = parse(r.bytes(r.entry.files[0]))
        n, y = len(survey.y), survey.y.numpy()
        sides = train_test_split(np.arange(n), test_size=0.3, random_state=0, stratify=y)
        return _survey(r, survey, torch.from_numpy(sides[r.split == "test"]), note)

    return read


def _idx(classes: tuple[str, ...]) -> Callable[[Request], Dataset]:
    """Reader of an MNIST-like set: images and labels in IDX files, in their original order."""

    def read(r: Request) -> Dataset:
        images, labels = r.entry.files[:2] if r.split == "train" else r.entry.files[2:]
        y = formats.idx(r.bytes(labels)).long()
        which = r.positions(len(y))
        x = formats.to_unit(formats.idx(r.bytes(images))[which])[:, None]
        return Dataset(x, y[which], classes, r.entry.name, r.split)

    return read


def _cifar10(r: Request) -> Dataset:
    (file,) = fetch.wanted(r.entry, r.root)
    if file is files.CIFAR10_UPSTREAM:
        images, labels = formats.cifar_binary(r.bytes(file), r.split)
        which = r.positions(len(labels))
        return Dataset(formats.to_unit(images[which]), labels[which].long(), CIFAR10, r.entry.name, r.split)
    pack = formats.JpegPack.read(r.bytes(file))
    which = r.shuffled(r.entry.counts[r.split]) + (0 if r.split == "train" else r.entry.counts["train"])
    y = torch.from_numpy(pack.arrays["label"]).long()[which]
    return Dataset(formats.to_unit(pack.images(which)), y, CIFAR10, r.entry.name, r.split, note=RECOMPRESSED)


def _cifar10_lossless(r: Request) -> Dataset:
    with_labels, *grids = r.entry.files
    y = torch.from_numpy(formats.JpegPack.read(r.bytes(with_labels)).arrays["label"]).long()
    which = r.positions(len(y))
    images = torch.cat([formats.png_grid(r.bytes(g)) for g in grids])[which]
    return Dataset(formats.to_unit(images), y[which], CIFAR10, r.entry.name, r.split)


READERS: dict[str, Callable[[Request], Dataset]] = {
    "menagerie": _menagerie,
    "digits": _digits,
    "breast_cancer": _breast_cancer,
    "adult": _adult,
    "bank_marketing": _split_survey(surveys.bank_marketing, "without the column duration"),
    "compas": _split_survey(surveys.compas, "ProPublica's filter"),
    "mnist": _idx(tuple("0123456789")),
    "fashion_mnist": _idx(FASHION),
    "cifar10": _cifar10,
    "cifar10_lossless4000": _cifar10_lossless,
    "tiny_imagenet25": packs.tiny_imagenet,
    "dtd10": packs.texture_kinds,
    "smiles64": packs.smiles64,
    "dtd_striped": packs.texture_kinds,
    "celebahq128": packs.celebahq128,
    "imagenet_sample1000": packs.imagenet_sample,
}
