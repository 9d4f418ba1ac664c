"""Eleven classes in which the truth about concepts is known, drawn by the renderers of `robustxai.data.scenes`.

Horse, zebra and appaloosa have one shape: stripes make the zebra, dots the appaloosa, by construction. A
striped fish and a dotted turtle keep a texture from being the name of one class. Two classes are textures that
fill the image. The patterned cat has two facets: it is striped or dotted, and no other cat is. Knows nothing
about networks.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robustxai.checks import check_count
from robustxai.data.scenes import menagerie, render_menagerie, swatches
from robustxai.data.scenes.base import uniform_factors
from robustxai.data.scenes.menagerie_factors import COLOURS, FACTOR_NAMES, FACTORS
from robustxai.shapes import SquareImages

SIZE = 64
NEARER = 1.2  # animals are this much larger than in `menagerie`: more of their texture is seen


@dataclass(frozen=True)
class RenderedClass:
    """What a class is: an animal with one of some textures, or a texture alone (animal ""); maybe one colour."""

    animal: str
    textures: tuple[str, ...]
    colour: str = ""


CLASSES: dict[str, RenderedClass] = {
    "horse": RenderedClass("horse", ("plain",)),
    "zebra": RenderedClass("horse", ("striped",)),
    "appaloosa": RenderedClass("horse", ("dotted",)),
    "corgi": RenderedClass("corgi", ("plain",), "orange"),
    "honeycomb": RenderedClass("", ("honeycombed",)),
    "checkerboard": RenderedClass("", ("chequered",)),
    "angelfish": RenderedClass("fish", ("striped",)),
    "ladybird turtle": RenderedClass("turtle", ("dotted",)),
    "zigzag bird": RenderedClass("bird", ("zigzagged",)),
    "cat": RenderedClass("cat", ("plain",)),
    "patterned cat": RenderedClass("cat", ("striped", "dotted")),
}
NAMES = tuple(CLASSES)


def class_images(name: str, n: int, *, size: int = SIZE, generator: torch.Generator) -> SquareImages:
    """n images of one class, on the uint8 grid. ValueError for an unknown class and n below 1.

    The texture's orientation is uniform, as that of the swatches; colours are free but for the corgi's.
    """
    if name not in tuple(NAMES):  # what has no hash is in no dict
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    n, size = check_count("n", n), check_count("size", size)
    kind = CLASSES[name]
    if not kind.animal:
        images = swatches(n, size=size, textures=kind.textures, generator=generator).images
    else:
        pairs = tuple((kind.animal, texture) for texture in kind.textures)
        factors = menagerie(n, size=1, classes=pairs, generator=generator).factors
        images, _ = render_menagerie(turned(factors, generator, colour=kind.colour), size)
    return photographed(images, generator)


def clutter(n: int, *, size: int = SIZE, generator: torch.Generator) -> SquareImages:
    """n images of one to three animals of any kind with any texture, not yet photographed."""
    images, _ = render_menagerie(turned(_any(n, generator), generator), size)
    for more in (1, 2):
        front, masks = render_menagerie(turned(_any(n, generator), generator), size)
        drawn = (torch.randint(3, (n,), generator=generator, device=generator.device) >= more).reshape(
            -1, 1, 1, 1
        )
        images = torch.where(drawn, images + masks[:, :1] * (front - images), images)
    return images


def landscapes(n: int, *, size: int = SIZE, generator: torch.Generator) -> SquareImages:
    """n images of the background alone, not yet photographed."""
    return render_menagerie(_any(n, generator), size, without=("object",))[0]


def labelled(n: int, *, size: int = SIZE, seed: int = 0) -> tuple[SquareImages, Int64[Tensor, " m"]]:
    """n images of every class in random order, and their labels, indices into NAMES."""
    generator = torch.Generator("cpu").manual_seed(check_count("seed", seed, 0))
    x = torch.cat([class_images(name, n, size=size, generator=generator) for name in NAMES])
    y = torch.arange(len(NAMES), device="cpu").repeat_interleave(n)
    order = torch.randperm(len(y), generator=generator, device=generator.device)
    return x[order], y[order]


def turned(factors: Tensor, generator: torch.Generator, *, colour: str = "") -> Tensor:
    """Scenes seen from nearer, with a texture of any orientation, and one coat colour where that is given."""
    factors = factors.clone()
    for name, zoom in (("scale", NEARER), ("x", 0.6), ("y", 0.6)):
        factors[:, FACTOR_NAMES.index(name)] *= zoom
    angle = torch.rand(len(factors), generator=generator, device=generator.device) * torch.pi
    factors[:, FACTOR_NAMES.index("texture_angle")] = angle
    if colour:
        factors[:, FACTOR_NAMES.index("colour")] = list(COLOURS).index(colour)
    return factors


def photographed(images: SquareImages, generator: torch.Generator) -> SquareImages:
    """A gain in [0.85, 1.1] an image, noise of standard deviation 0.02, and rounding to 256 levels."""
    gain = 0.85 + 0.25 * torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device)
    noise = 0.02 * torch.randn(images.shape, generator=generator, device=generator.device)
    return rounded_to_grid((gain * images + noise).clamp(0, 1))


def rounded_to_grid(images: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Rounded to the 256 levels of a stored image."""
    return (images * 255).round() / 255


def _any(n: int, generator: torch.Generator) -> Tensor:
    factors = uniform_factors(FACTORS, n, generator=generator)
    column = FACTOR_NAMES.index("texture_strength")
    factors[:, column] = 0.75 + 0.25 * factors[:, column]
    return factors
