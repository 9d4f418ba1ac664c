"""The portraits world: rendered faces with a known factor vector, labels, confounders at will and a mask per
part.

Knows the order of the parts; what they look like is in `portraits_parts` and `portraits_hair`, how layers
become an image in `portraits_canvas`, the factors and their sampling in `portraits_factors`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Scenes
from .portraits_canvas import Box, composite, view
from .portraits_factors import FACTOR_NAMES, FACTORS, factor, sample_factors
from .portraits_hair import hair_back, hair_colour, hair_front
from .portraits_parts import (
    age_lines,
    backdrop,
    body,
    brows,
    eyes,
    glasses,
    head,
    mouth,
    neck,
    nose_and_cheeks,
)

__all__ = ["FACTORS", "FACTOR_NAMES", "PARTS", "portraits", "render_portraits"]

PARTS: tuple[str, ...] = (
    *("face", "mouth", "eyes", "brows", "glasses"),
    *("hair", "age_lines", "clothes", "background"),
)
TORSO = Box(0.0, 0.90, 0.68, 0.40, "body")
NECK = Box(0.0, 0.42, 0.23, 0.24, "body")
SKULL = Box(0.0, -0.01, 0.55, 0.51, "head")
FACE = Box(0.0, -0.01, 0.36, 0.335)
LIPS = Box(0.0, 0.32, 0.20, 0.155)
LIDS = Box(0.0, -0.045, 0.33, 0.215)
LENSES = Box(0.0, 0.035, 0.40, 0.145)


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

    `label` and `confounder` name factors of `FACTORS`; a continuous one is cut in the middle of its range
    and keeps `margin` (a share of half the range, in [0, 1)) away from the cut; `hair_style` is cut into
    short and full. `correlation` in [-1, 1] is the phi correlation of the two binary variables; all other
    factors are independent and uniform. Factors are drawn on the generator's device, then moved to `device`.
    9 parameters, as which bias a data set has is what experiments vary.
    Raises ValueError on a name or number that is not accepted.

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
    """Images and part masks in [0, 1] of the factor vectors, at any resolution, on their device and in their
    dtype.

    Columns are those of `FACTORS`. Differentiable in every column but `hair_style`, which is rounded to the
    nearest style. Values outside the ranges are drawn too, as far as the part stays in the box that is kept
    for it. `masks[:, k]` is the visible share of `PARTS[k]`; they sum to 1. `without` leaves out the parts
    it names; where nothing is left, the image is black. Raises ValueError for a wrong number of columns, a
    number that is not finite, an unknown part or a size below 1.
    """
    if factors.shape[1] != len(FACTORS):
        raise ValueError(
            f"factors must have {len(FACTORS)} columns, in the order of FACTORS, got {factors.shape[1]}"
        )
    if not torch.isfinite(factors).all():
        raise ValueError("factors must be finite numbers, got NaN or infinity")
    if size < 1:
        raise ValueError(f"size must be an integer >= 1, got {size}")
    if unknown := [name for name in without if name not in PARTS]:
        raise ValueError(f"without must be parts among {', '.join(PARTS)}, got {unknown[0]!r}")
    # Pixels at once: what stays in the cache, or keeps a GPU busy.
    budget = 2**18 if factors.device.type == "cpu" else 2**22
    pieces = [_render(rows, size, without) for rows in factors.split(max(1, budget // size**2))]
    return torch.cat([image for image, _ in pieces]), torch.cat([mask for _, mask in pieces])


def _render(factors: Tensor, size: int, without: Sequence[str]) -> tuple[Tensor, Tensor]:
    f = dict(zip(FACTOR_NAMES, factors.unbind(1), strict=True))
    whole, torso, nape, skull, face, lips, lids, lenses = (
        view(f, size, box) for box in (None, TORSO, NECK, SKULL, FACE, LIPS, LIDS, LENSES)
    )
    groups = [
        (whole, [*backdrop(f, whole), *hair_back(f, whole)]),
        (torso, body(f, torso)),
        (nape, neck(f, nape)),
        (skull, head(f, skull)),
        (face, [*nose_and_cheeks(f, face), *age_lines(f, face)]),
        (lips, mouth(f, lips)),
        (lids, [*eyes(f, lids), *brows(f, lids, hair_colour(f))]),
        (whole, hair_front(f, whole)),
        (lenses, glasses(f, lenses)),
    ]
    kept = [(v, [layer for layer in layers if layer.part not in without]) for v, layers in groups]
    return composite(kept, PARTS, factors, size)
