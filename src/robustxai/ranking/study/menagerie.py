"""The menagerie as a set of this chapter: small images of four animals, with masks that say what a top k should be.

Training, validation and test images come from streams of their own.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.data.scenes import Scenes, menagerie
from robustxai.ranking.prepared_table import Table

SIZE, CLASSES = 32, "animals4"
COUNTS = {"train": 2000, "validation": 300, "test": 500}


def pictures(part: str, seed: int, n: int | None = None) -> Scenes:
    """`n` images (by default all) of a part of the set that belongs to `seed`, 32 pixels wide."""
    stream = 10 * seed + list(COUNTS).index(part)
    generator = torch.Generator().manual_seed(3000 + stream)
    return menagerie(n or COUNTS[part], size=SIZE, classes=CLASSES, generator=generator)


def drawn_table(*, seed: int = 0) -> Table:
    """The three parts as images (n, 3, 32, 32) in [0, 1] with the classes of four animals."""
    parts = {part: pictures(part, seed) for part in COUNTS}
    train, validation, test = ((s.images, s.labels) for s in parts.values())
    return Table("menagerie", train, validation, test, parts["train"].classes)


def objects(seed: int, n: int) -> Bool[Tensor, "n 32 32"]:
    """Where the animal is in the first `n` test images."""
    scenes = pictures("test", seed, COUNTS["test"])
    return scenes.masks[:n, scenes.parts.index("object")] > 0.5
