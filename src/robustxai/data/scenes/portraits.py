"""The portraits world: drawn faces with a known factor vector, binary labels, confounders at will and a mask per part.

Layers are composited front to back, so that each part's mask is exactly the share of a pixel's colour that comes from it.
Knows the order of the layers; what they look like is in `portraits_parts` and `portraits_hair`, the factors in `portraits_factors`.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Scenes
from .portraits_factors import FACTOR_NAMES, FACTORS, factor, sample_factors
from .portraits_hair import hair_back, hair_colour, hair_front
from .portraits_parts import (
    Factors,
    Layer,
    age_lines,
    backdrop,
    body,
    brows,
    eyes,
    glasses,
    head,
    mouth,
    view,
)
from .sdf import grid

PARTS: tuple[str, ...] = (
    "face",
    "mouth",
    "eyes",
    "brows",
    "glasses",
    "hair",
    "age_lines",
    "clothes",
    "background",
)
"""Names of the masks, in order; together they cover every pixel once."""


def portraits(
    n: int,
    *,
    size: int = 64,
    label: str = "smile",
    confounder: str | None = None,
    correlation: float = 0.0,
    margin: float = 0.2,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Scenes:
    """Draw n portraits with a balanced binary label and, if asked, a second factor that goes along with it.

    `label` and `confounder` name factors of `FACTORS`; a continuous one is cut in the middle of its range and keeps
    `margin` (a share of half the range, in [0, 1)) away from the cut; `hair_style` is cut into short and full styles.
    `correlation` in [-1, 1] is the phi correlation of the two binary variables. All other factors are independent and uniform.
    Factors are drawn on the generator's device, then moved to `device`. Raises ValueError on a name or number out of its set.

    >>> faces = portraits(4, label="glasses", generator=torch.Generator().manual_seed(0))
    >>> faces.images.shape, faces.classes
    (torch.Size([4, 3, 64, 64]), ('no glasses', 'glasses'))
    """
    values, labels = sample_factors(
        n, label=label, confounder=confounder, correlation=correlation, margin=margin, generator=generator
    )
    values = values.to(device=device, dtype=dtype)
    images, masks = render_portraits(values, size)
    return Scenes(
        images=images,
        labels=labels.to(device),
        factors=values,
        factor_names=FACTOR_NAMES,
        masks=masks,
        parts=PARTS,
        classes=factor(label).classes,
    )


def render_portraits(
    factors: Float[Tensor, "batch factor"], size: int, without: Sequence[str] = ()
) -> tuple[Float[Tensor, "batch 3 size size"], Float[Tensor, "batch part size size"]]:
    """Images and part masks in [0, 1] of the factor vectors, at any resolution, on their device and in their dtype.

    Columns are those of `FACTORS`. Differentiable in every column but `hair_style`, which is rounded to the nearest style.
    Values outside the table's ranges are drawn as they are. `without` leaves out the parts named in it; where nothing is left, black.
    """
    if factors.shape[1] != len(FACTORS):
        raise ValueError(
            f"factors has {factors.shape[1]} columns; accepted: {len(FACTORS)}, in the order of FACTORS."
        )
    if size < 1:
        raise ValueError(f"size={size} is not an image side in pixels; accepted: 1 or more.")
    if unknown := [name for name in without if name not in PARTS]:
        raise ValueError(f"without names {unknown[0]!r}, which is no part; accepted: {', '.join(PARTS)}.")
    budget = (
        2**17 if factors.device.type == "cpu" else 2**22
    )  # pixels at once: what fits the cache, or keeps a GPU busy
    pieces = [_render(rows, size, without) for rows in factors.split(max(1, budget // size**2))]
    return torch.cat([image for image, _ in pieces]), torch.cat([mask for _, mask in pieces])


def draw(f: Factors, size: int, like: Tensor) -> Iterator[Layer]:
    """All layers of a batch of portraits, back to front."""
    p = grid(len(like), size, device=like.device, dtype=like.dtype)
    v = view(f, p, size)
    yield from backdrop(f, v, p)
    yield from hair_back(f, v)
    yield from body(f, v)
    yield from head(f, v)
    yield from age_lines(f, v)
    yield from mouth(f, v)
    yield from eyes(f, v)
    yield from brows(f, v, hair_colour(f))
    yield from hair_front(f, v)
    yield from glasses(f, v)


def _render(factors: Tensor, size: int, without: Sequence[str]) -> tuple[Tensor, Tensor]:
    columns = dict(zip(FACTOR_NAMES, factors.unbind(1), strict=True))
    layers = [layer for layer in draw(columns, size, factors) if layer.part not in without]
    light = factors.new_ones(len(factors), size, size)  # share of the light that the layers above let through
    weights = []
    for layer in reversed(layers):
        weights.append(light * layer.alpha)
        light = light - weights[-1]
    if not layers:
        return factors.new_zeros(len(factors), 3, size, size), factors.new_zeros(
            len(factors), len(PARTS), size, size
        )
    weight = torch.stack(weights[::-1], 1).flatten(2)
    paint = torch.stack([layer.colour for layer in layers], 2)
    member = factors.new_tensor([[float(layer.part == part) for layer in layers] for part in PARTS])
    return (paint @ weight).unflatten(2, (size, size)), (member @ weight).unflatten(2, (size, size))
