"""The paper's photographs: 37 breeds of pets and 102 kinds of flowers, as torchvision reads and downloads them.

A seeded 70 % of every class is for training and the rest the test. That is the paper's split of the pets, but class by
class; of the flowers the paper takes the official parts, and shows the test images to its autoencoder. Images are
resized without a crop (spec 3.1) and stay in [0, 1] (pitfall P5); classes are torchvision's, always in the same order
(P11).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import ConcatDataset
from torchvision.datasets import Flowers102, OxfordIIITPet
from torchvision.transforms.v2 import InterpolationMode, functional as V

from robustxai.data import NotAvailable, fetch
from robustxai.shapes import SquareImages

SIZE = 192
SPLITS = ("train", "test")
SEED, SHARE = 7, 0.7
FOREGROUND = 1  # in the pets' trimaps: 1 the animal, 2 the background, 3 the rim between them

SquareMasks = Float[Tensor, "n size size"]


@dataclass(frozen=True)
class Photographs:
    """A set of torchvision: its class, the folder that torchvision makes for it, and its official parts."""

    title: str
    kind: Callable[..., Any]
    folder: str
    parts: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> list[Any]:
        """The parts, from the folder ROBUSTXAI_DATA or the cache folder of `robustxai.data`, into which they are
        downloaded if they are in neither. Raises NotAvailable where that is not possible."""
        places = (folder for folder in fetch.folders() if (folder / self.folder).is_dir())
        root = next(places, fetch.cache())
        try:
            return [self.kind(str(root), part, download=True, **self.options) for part in self.parts]
        except (OSError, RuntimeError) as error:
            raise NotAvailable(
                f"{self.title} is not whole in {root / self.folder} and could not be downloaded "
                f"({type(error).__name__}: {error}): put its files there as torchvision unpacks them."
            ) from error


SETS = {
    "pets": Photographs(
        "The Oxford-IIIT Pet set", OxfordIIITPet, "oxford-iiit-pet", ("trainval", "test"),
        {"target_types": ("category", "segmentation")},
    ),
    "flowers": Photographs("Oxford Flowers 102", Flowers102, "flowers-102", ("train", "val", "test")),
}  # fmt: skip


def read_photographs(
    name: str, split: str, n: int, *, size: int = SIZE
) -> tuple[SquareImages, Int64[Tensor, " n"], tuple[str, ...], SquareMasks | None]:
    """The first n photographs of a split, or all: images (n, 3, size, size) in [0, 1] on the uint8 grid, labels,
    classes, and masks that are 1 on the animal (None for the flowers: torchvision has none). Only these are opened.

    Raises ValueError for an unknown name or split and NotAvailable where there are no images.
    """
    for value, known, what in ((name, SETS, "name"), (split, SPLITS, "split")):
        if value not in known:
            raise ValueError(f"{what} must be one of {', '.join(known)}, got {value!r}")
    parts = SETS[name].opened()
    known = [label for part in parts for label in part._labels]  # the only list without images
    labels = torch.tensor(known, device="cpu")
    whole: Any = ConcatDataset(parts)
    rows = balanced_order(labels, split)[:n]
    images, masks = [], []
    for i in rows.tolist():
        picture, target = whole[i]
        images.append(V.pil_to_tensor(V.resize(picture, [size, size])))
        if isinstance(target, tuple):
            animal = V.pil_to_tensor(target[1]) == FOREGROUND
            masks.append(V.resize(animal.byte(), [size, size], InterpolationMode.NEAREST)[0])
    x = torch.stack(images).float() / 255
    return x, labels[rows], tuple(parts[0].classes), torch.stack(masks).float() if masks else None


def balanced_order(labels: Int64[Tensor, " m"], split: str) -> Int64[Tensor, " n"]:
    """Positions of the split's images: seeded, and one of every class before the second of any, so that the first n
    hold as many classes as can be. "train" has `SHARE` of each class, "test" the others.

    >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
    >>> sorted(labels[balanced_order(labels, "train")[:2]].tolist()), len(balanced_order(labels, "test"))
    ([0, 1], 2)
    """
    g = torch.Generator().manual_seed(SEED)
    place = torch.randperm(len(labels), generator=g, device=g.device)
    shuffled, chosen = place.argsort(), []
    for label in labels.unique():
        own = shuffled[labels[shuffled] == label]
        cut = round(SHARE * len(own))
        chosen.append(own[:cut] if split == "train" else own[cut:])
    turns = torch.cat([torch.arange(len(own), device=own.device) for own in chosen])
    rows = torch.cat(chosen)
    return rows[(turns * len(labels) + place[rows]).argsort()]
