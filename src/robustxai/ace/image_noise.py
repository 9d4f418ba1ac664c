"""Noise that belongs to an image, not to its batch: one random generator per image."""

import hashlib
import operator
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, check_images
from robustxai.shapes import Images

Seeds = SupportsIndex | torch.Generator | Sequence[SupportsIndex | torch.Generator] | Tensor
"""An integer (NumPy's count), a generator, or one of them for each image; integers may be an array or a tensor."""


def image_generators(x: Images, seed: Seeds = 0) -> list[torch.Generator]:
    """One generator for each image, so that what is drawn for it does not depend on the other images.

    seed: an integer is mixed with the image's mean colour in steps of 1/1024, so an image draws the same noise at any
    place in any batch, and on processors that round its pixels differently; a generator gives such a number and moves
    on. A sequence holds one for each image: its integers are mixed with their image, its generators are used as they
    are. Raises ValueError for others, and for another number of them.

    >>> x = torch.zeros(2, 1, 4, 4)
    >>> one, two = image_generators(x, [3, 4])
    >>> one.initial_seed() == image_generators(x[:1], 3)[0].initial_seed() != two.initial_seed()
    True
    """
    check_images("x", x, low=None, high=None)
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**62, (), generator=seed, device=seed.device))
    if (number := _integer(seed)) is not None:
        seeds: list[Any] = [number] * len(x)
    else:
        seeds = _each(seed)
    if len(seeds) != len(x):
        raise ValueError(f"generators must hold {len(x)} of them, one for each image, got {len(seeds)}")
    means = x.detach().cpu().double().mean((2, 3))
    colours = (means * 1024 + 0.381966).floor().long()  # shifted: black, white and greys lie off the borders
    return [
        s if isinstance(s, torch.Generator) else torch.Generator().manual_seed(_mix(s, colour))
        for s, colour in zip(seeds, colours, strict=True)
    ]


def draw_noise(
    x: Images, generators: Sequence[torch.Generator], count: int
) -> Float[Tensor, "n count *image"]:
    """`count` standard normal images for each image of `x`, on its device and of its dtype, drawn in float32.

    Raises ValueError unless there is one generator for each image.

    >>> x = torch.zeros(2, 1, 4, 4)
    >>> draw_noise(x, image_generators(x, 0), 3).shape
    torch.Size([2, 3, 1, 4, 4])
    """
    check_images("x", x, low=None, high=None, empty=True)
    shape = (check_count("count", count, 0), *x.shape[1:])
    several = isinstance(generators, Sequence) and all(isinstance(g, torch.Generator) for g in generators)
    if not several or len(generators) != len(x):
        raise ValueError(
            f"generators must be one torch.Generator for each of the {len(x)} images, see image_generators"
        )
    if count == 0 or not len(x):
        return x.new_empty((len(x), *shape))
    parts = [torch.randn(shape, generator=g, device=g.device, dtype=torch.float32) for g in generators]
    return torch.stack([part.to(x.device) for part in parts]).to(x.dtype)


def _integer(seed: Any) -> int | None:
    """A number that can be mixed, or None for what is none."""
    if isinstance(seed, bool):
        return None
    try:
        number = operator.index(seed)
    except TypeError:
        return None
    if not -(2**127) <= number < 2**127:
        raise ValueError(f"generators must be integers below 2**127, got {number}")
    return number


def _each(seeds: Any) -> list[int | torch.Generator]:
    """One integer or generator for each image."""
    found = None
    if (
        not isinstance(seeds, (str, bytes, Mapping))
        and hasattr(seeds, "__len__")
        and hasattr(seeds, "__getitem__")
    ):
        try:
            given = list(seeds)
        except (TypeError, KeyError, IndexError):  # a 0-d array, a dictionary
            given = [None]
        found = [s if isinstance(s, torch.Generator) else _integer(s) for s in given]
    if found is None or None in found:
        raise ValueError(
            f"generators must be an integer, a torch.Generator, or one of them for each image, got {seeds!r}"
        )
    return found  # pyright: ignore[reportReturnType]


def _mix(seed: int, colour: Tensor) -> int:
    data = seed.to_bytes(16, "little", signed=True) + colour.numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 1
