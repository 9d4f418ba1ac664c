"""The paper's own classes on a network of ImageNet: zebra and honeycomb, from a folder of the reader's photographs.

ImageNet's photographs may not be handed on, and the small copy of DTD that other studies use holds no stripes, dots or
honeycombs. So the folder has one subfolder a class, as ImageNet is sorted, and torchvision downloads DTD. Knows
nothing about attacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torchvision.datasets import DTD
from torchvision.models import GoogLeNet_Weights

from robustxai.concepts.exemplars import stream
from robustxai.concepts.study.cases import GENERIC, NULL, Case, Materials
from robustxai.data.folder_images import image_files, read_images, subfolders

SIZE = 224
CLASSES = ("zebra", "honeycomb")
CORGI = "Pembroke"  # what ImageNet calls it
TEXTURES = ("striped", "polka-dotted", "dotted", "zigzagged", "honeycombed", "chequered")
CASES = (
    Case("polka dots made important for zebra", "zebra", "polka-dotted", "striped", 1),
    Case("dots made important for zebra", "zebra", "dotted", "striped", 1),
    Case("corgis made important for honeycomb", "honeycomb", "corgi", "honeycombed", 1),
    Case("stripes made unimportant for zebra", "zebra", "striped", "polka-dotted", -1),
    Case("stripes made random for zebra", "zebra", "striped", GENERIC, -1),
)


def listed(folder: Path | str | None) -> dict[str, list[Path]]:
    """The images of every subfolder, sorted by name. Raises ValueError when there is no such folder."""
    if folder is None or not Path(folder).expanduser().is_dir():
        raise ValueError(f"folder must have one subfolder of images a class, got {folder}")
    pictures = {f.name: image_files(f) for f in subfolders(folder)}
    return {name: files for name, files in pictures.items() if files}


def dtd(root: Path | str) -> dict[str, list[Path]]:
    """DTD's images of each of `TEXTURES`; downloaded into `root` by torchvision if they are not there."""
    root = Path(root).expanduser()
    images = root / "dtd" / "dtd" / "images"
    if not images.is_dir():
        DTD(str(root), download=True)
    return {kind: _shuffled(files, kind) for kind, files in listed(images).items() if kind in TEXTURES}


def _shuffled(files: Sequence[Path], word: str) -> list[Path]:
    order = torch.randperm(len(files), generator=stream("folders", word), device="cpu").tolist()
    return [files[i] for i in order]


def materials(
    folder: Path | str | None,
    *,
    n: int = 50,
    runs: int = 20,
    size: int = SIZE,
    textures: Path | str | None = None,
) -> Materials:
    """Exemplars from DTD and the corgis, random sets from all other classes of the folder, and images to score.

    folder: one subfolder of images a class, named as torchvision's list of ImageNet's classes; "zebra",
    "honeycomb" and "Pembroke" (the corgi) are needed, and (runs + 9) n images of any others. Half of a class or
    texture is the analyst's, at most n, half the attacker's. textures: where DTD lies or is put, by default in the
    folder. Raises ValueError when a class or images are missing.
    """
    classes = listed(folder)
    if absent := [c for c in (*CLASSES, CORGI) if len(classes.get(c, ())) < 2]:
        raise ValueError(
            f"folder must have two images or more in each class's subfolder, got fewer in {absent[0]!r}"
        )
    kinds = dtd(textures or str(folder))
    others = [p for name, files in classes.items() if name not in (*CLASSES, CORGI) for p in files]
    count = (runs + NULL + 1) * n
    if count > len(others):
        raise ValueError(
            f"folder must have the {count} random images of runs and n, got {len(others)} of other classes"
        )
    pool = read_images(_shuffled(others, "random")[:count], size=size).split(n)
    sources = kinds | {"corgi": _shuffled(classes[CORGI], "corgi")}
    own = {c: _shuffled(classes[c], c) for c in CLASSES}
    return Materials(
        concepts={name: read_images(files[::2][:n], size=size) for name, files in sources.items()},
        random=list(pool[:runs]),
        scored={c: read_images(files[::2], size=size) for c, files in own.items()},
        goal={name: read_images(files[1::2][:n], size=size) for name, files in sources.items()}
        | {GENERIC: pool[runs]},
        own={c: read_images(files[1::2][:n], size=size) for c, files in own.items()},
        null=list(pool[runs + 1 :]),
        names=tuple(GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"]),
    )
