"""Readers of sets of photographs that are stored as packs of JPEG files: one function a set, from bytes to a `Dataset`.

Sets stored sorted by class come in one fixed shuffled order. Knows no folder and no address.
"""

import torch
from torch import Tensor

from . import duplicates, formats
from .dataset import Dataset
from .request import Request


def tiny_imagenet(r: Request) -> Dataset:
    pack = formats.JpegPack.read(r.bytes(r.entry.files[0 if r.split == "train" else 1]))
    which = r.shuffled(len(pack))
    y, boxes = (torch.from_numpy(pack.arrays[key])[which] for key in ("label", "box"))
    x = formats.to_unit(pack.images(which))
    return Dataset(x, y.long(), pack.strings("classes"), r.entry.name, r.split, boxes=boxes.float())


def _side(r: Request, images: Tensor, *, threshold: float | int) -> Tensor:
    """The requested positions on one side of the split that parts no near-duplicates."""
    groups = duplicates.near_duplicates(formats.to_unit(images), threshold=threshold)
    side = torch.from_numpy(duplicates.grouped_split(groups)[r.entry.splits.index(r.split)])
    return side[r.positions(len(side))]


def smiles64(r: Request) -> Dataset:
    pack = formats.JpegPack.read(r.bytes(r.entry.files[0]))
    images = pack.images(torch.arange(len(pack), device="cpu"))[:, :1]
    which = _side(r, images, threshold=0.9)
    left, top, width, height = torch.from_numpy(pack.arrays["mouth_box_xywh"]).float()[which].unbind(1)
    boxes = torch.stack((left, top, left + width - 1, top + height - 1), 1)
    boxes[width == 0] = torch.nan
    y = torch.from_numpy(pack.arrays["label"]).long()[which]
    x = formats.to_unit(images[which])
    return Dataset(
        x, y, ("no smile", "smile"), r.entry.name, r.split, boxes=boxes, note="split by near-duplicates"
    )


def texture_kinds(r: Request) -> Dataset:
    """Textures of one kind or several, of any requested size."""
    pack = formats.JpegPack.read(r.bytes(r.entry.files[0]))
    which = r.shuffled(len(pack))
    y = torch.from_numpy(pack.arrays["label"]).long()[which]
    x = formats.scaled(pack.images(which), r.size or r.entry.shape[-1])
    return Dataset(formats.to_unit(x), y, pack.strings("classes"), r.entry.name, r.split)


def imagenet_sample(r: Request) -> Dataset:
    pack = formats.JpegPack.read(r.bytes(r.entry.files[0]))
    which = r.shuffled(len(pack))
    y = torch.from_numpy(pack.arrays["label"]).long()[which]
    x = formats.to_unit(pack.images(which, r.size or 224))
    return Dataset(x, y, pack.strings("classes"), r.entry.name, r.split, note="probably training images")


def celebahq128(r: Request) -> Dataset:
    """Faces in colour, smiling or not, with the 40 attributes of CelebA.

    They are aligned, so that strangers are alike: near-duplicates are correlated by more than 0.95 here (at 0.9 a chain
    of 335 faces would be one group).
    """
    pack = formats.JpegPack.read(r.bytes(r.entry.files[0]))
    images = pack.images(torch.arange(len(pack), device="cpu"))
    which = _side(r, images, threshold=0.95)
    y = torch.from_numpy(pack.arrays["label"]).long()[which]
    return Dataset(
        formats.to_unit(formats.scaled(images[which], r.size or 128)), y, pack.strings("classes"), r.entry.name,
        r.split, features=pack.strings("attribute_names"), note="glasses oversampled; split by near-duplicates",
        attributes=torch.from_numpy(pack.arrays["attributes"])[which],
    )  # fmt: skip
