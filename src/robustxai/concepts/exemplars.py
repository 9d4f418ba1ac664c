"""Sets of example images: the concepts of a user, and the random images they are compared with.

All images are on the uint8 grid and come from streams of their own, so that no exemplar is a training image,
a random image or an image that scores a class.
"""

import zlib
from collections.abc import Sequence

import torch

from robustxai.checks import check_count, check_name, check_sequence
from robustxai.concepts.rendered_classes import NAMES, SIZE, class_images, clutter, landscapes, photographed
from robustxai.data.scenes import swatches
from robustxai.data.scenes.textures import TEXTURES
from robustxai.shapes import SquareImages

TEXTURE_CONCEPTS = TEXTURES[1:]
CONCEPTS = (*TEXTURE_CONCEPTS, "corgi")
SPLITS = ("shown", "goal", "third")
"""What the analyst shows, what an attacker aims at, and a third collection; disjoint."""
SCORED = ("score", "attack")
"""A class's images of the analyst and of an attacker; disjoint."""
BACKGROUND = 0.15  # share of a landscape in a texture's exemplar


def stream(*words: str | int) -> torch.Generator:
    """The generator of these words: the same words give the same images, others give others."""
    return torch.Generator("cpu").manual_seed(zlib.crc32("/".join(map(str, words)).encode()))


def concept_sets(
    names: Sequence[str] = CONCEPTS, *, n: int = 100, size: int = SIZE, seed: int = 0, split: str = "shown"
) -> dict[str, SquareImages]:
    """n exemplars of each concept: full-frame textures mixed with 15 % landscape, and images of corgis.

    split: "shown" for what the analyst has, "goal" for an attacker's and "third" for one more collection; they share no
    image. Raises ValueError for an unknown concept or split, and for n below 1.

    >>> {name: x.shape for name, x in concept_sets(["striped"], n=2, size=16).items()}
    {'striped': torch.Size([2, 3, 16, 16])}
    """
    check_sequence("names", names, "concepts", least=0)
    check_name("split", split, SPLITS)
    n, size, seed = check_count("n", n), check_count("size", size), check_count("seed", seed, 0)
    sets = {}
    for name in names:
        generator = stream("concept", split, name, seed)
        if name == "corgi":
            sets[name] = class_images(name, n, size=size, generator=generator)
        elif name in TEXTURE_CONCEPTS:
            sets[name] = textured(n, (name,), size=size, generator=generator)
        else:
            raise ValueError(f"concepts must be among {', '.join(CONCEPTS)}, got {name!r}")
    return sets


def textured(
    n: int, textures: Sequence[str], *, size: int = SIZE, generator: torch.Generator
) -> SquareImages:
    """n full-frame textures mixed with 15 % landscape, photographed."""
    texture = swatches(n, size=size, textures=tuple(textures), generator=generator).images
    back = landscapes(n, size=size, generator=generator)
    return photographed(torch.lerp(texture, back, BACKGROUND), generator)


def random_sets(
    sets: int = 21, *, n: int = 100, size: int = SIZE, seed: int = 0, without: Sequence[str] = ()
) -> list[SquareImages]:
    """Disjoint sets of n random images: half full-frame textures of any kind (plain too), a quarter clutter, an
    eighth landscapes and an eighth of any class.

    Without full-frame textures among them a CAV would mostly say "fills the image", and the truth about stripes
    and zebras would not be found. without: classes that do not occur, such as the one that is explained (clutter
    may still show its animal). Raises ValueError for sets and n below 1, and classes that are unknown or all left out.

    >>> [x.shape for x in random_sets(2, n=8, size=16, without=("zebra",))]
    [torch.Size([8, 3, 16, 16]), torch.Size([8, 3, 16, 16])]
    """
    sets, n, size = check_count("sets", sets), check_count("n", n), check_count("size", size)
    seed, without = check_count("seed", seed, 0), [without] if isinstance(without, str) else without
    check_sequence("without", without, "classes", least=0)
    for name in without:
        check_name("without", name, NAMES)
    kept = [name for name in NAMES if name not in without]
    if not kept:
        raise ValueError("without must leave one class or more, got all of them, which leaves 0 classes")
    generator = stream("random", seed, *sorted(without))
    count = sets * n
    some, back = count // 8, count // 8
    half = count - some - back - count // 4
    share = -(-max(1, some) // len(kept))
    classes = torch.cat([class_images(name, share, size=size, generator=generator) for name in kept])
    classes = classes[torch.randperm(len(classes), generator=generator, device="cpu")[:some]]
    parts = [
        textured(half, TEXTURES, size=size, generator=generator),
        photographed(clutter(max(1, count // 4), size=size, generator=generator), generator)[: count // 4],
        photographed(landscapes(max(1, back), size=size, generator=generator), generator)[:back],
        classes,
    ]
    return list(torch.cat(parts)[torch.randperm(count, generator=generator, device="cpu")].split(n))


def scored_images(
    name: str, n: int = 100, *, size: int = SIZE, seed: int = 0, split: str = "score"
) -> SquareImages:
    """n images of a class: split "score" for the analyst, "attack" for an attacker; the two are disjoint.

    Raises ValueError for an unknown class or split, and for n below 1.

    >>> scored_images("zebra", 2, size=16).shape
    torch.Size([2, 3, 16, 16])
    """
    check_name("split", split, SCORED)
    n, size, seed = check_count("n", n), check_count("size", size), check_count("seed", seed, 0)
    return class_images(name, n, size=size, generator=stream("class", split, name, seed))
