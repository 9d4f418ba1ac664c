"""Noise that belongs to an image, not to its batch: one random generator per image.

Knows nothing about diffusion.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "n channel height width"]
Seeds = int | torch.Generator | Sequence[torch.Generator]


def image_generators(x: Images, seed: Seeds = 0) -> list[torch.Generator]:
    """One generator for each image, so that what is drawn for it does not depend on the other images.

    seed: a whole number is mixed with the image's own pixels, so an image draws the same noise at any place in
    any batch; a generator gives such a number and moves on; a sequence of n generators is used as it is.
    Raises ValueError for another number of generators.
    """
    if isinstance(seed, Sequence):
        if len(seed) != len(x):
            raise ValueError(
                f"generators holds {len(seed)} of them; accepted are {len(x)}, one for each image"
            )
        return list(seed)
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**62, (), generator=seed, device=seed.device))
    pixels = (x.detach() * 65535).round().to(device="cpu", dtype=torch.int32)
    return [torch.Generator().manual_seed(_mix(seed, image)) for image in pixels]


def draw(x: Images, generators: Sequence[torch.Generator], count: int) -> Float[Tensor, "n count *image"]:
    """`count` standard normal images for each image of `x`, on its device and of its dtype, drawn in float32."""
    shape = (count, *x.shape[1:])
    if count == 0 or not len(x):
        return x.new_empty((len(x), *shape))
    parts = [torch.randn(shape, generator=g, device=g.device, dtype=torch.float32) for g in generators]
    return torch.stack([part.to(x.device) for part in parts]).to(x.dtype)


def _mix(seed: int, pixels: Tensor) -> int:
    data = seed.to_bytes(16, "little", signed=True) + pixels.numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") >> 1
