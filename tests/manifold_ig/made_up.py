"""Folders of made-up pictures in the layout in which torchvision keeps the Oxford-IIIT Pet set and Oxford Flowers."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import Flowers102

BREEDS = ("Abyssinian", "american_bulldog", "Bengal")
COLOURS = ((200, 60, 40), (40, 180, 70), (50, 70, 210))
KINDS = 3


def picture(label: int, number: int, *, height: int = 40, width: int = 30) -> tuple[Image.Image, Image.Image]:
    """A rectangle in the colour of its class, and its trimap: 1 inside, 3 on a rim of one pixel, 2 outside."""
    generator = np.random.default_rng([label, number])
    pixels = generator.integers(90, 120, (height, width, 3), dtype=np.uint8)
    top, left = (int(v) for v in generator.integers(3, 10, 2))
    box = np.s_[top : top + 20, left : left + 15]
    pixels[box] = np.array(COLOURS[label]) + generator.integers(-20, 20, (20, 15, 3))
    trimap = np.full((height, width), 2, np.uint8)
    trimap[top - 1 : top + 21, left - 1 : left + 16] = 3
    trimap[box] = 1
    return Image.fromarray(pixels), Image.fromarray(trimap)


def pets(root: Path, *, each: int = 20) -> Path:
    """`each` pictures of three breeds; every second one is in the official test part."""
    base = root / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations" / "trimaps").mkdir(parents=True)
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    for label, breed in enumerate(BREEDS):
        for k in range(each):
            name, (image, trimap) = f"{breed}_{k + 1}", picture(label, k)
            image.save(base / "images" / f"{name}.jpg", quality=95)
            trimap.save(base / "annotations" / "trimaps" / f"{name}.png")
            species = 1 if breed[0].isupper() else 2
            lines["test" if k % 2 else "trainval"].append(f"{name} {label + 1} {species} 1\n")
    for part, rows in lines.items():
        (base / "annotations" / f"{part}.txt").write_text("".join(rows))
    return root


def flowers(root: Path, monkeypatch, *, each: int = 20) -> Path:
    """`each` pictures of the first three kinds; torchvision is told the checksums of the made-up tables."""
    base = root / "flowers-102"
    (base / "jpg").mkdir(parents=True)
    labels = np.repeat(np.arange(KINDS) + 1, each).astype(np.uint8)
    for i, label in enumerate(labels):
        picture(int(label) - 1, i)[0].save(base / "jpg" / f"image_{i + 1:05d}.jpg", quality=95)
    ids = np.random.default_rng(0).permutation(len(labels)) + 1
    third = len(ids) // 3
    parts = {"trnid": ids[:third], "valid": ids[third : 2 * third], "tstid": ids[2 * third :]}
    savemat(base / "imagelabels.mat", {"labels": labels[None]})
    savemat(base / "setid.mat", {name: part[None].astype(np.uint16) for name, part in parts.items()})
    for key in ("label", "setid"):
        file = Flowers102._file_dict[key][0]
        digest = hashlib.md5((base / file).read_bytes()).hexdigest()
        monkeypatch.setitem(Flowers102._file_dict, key, (file, digest))
    return root
