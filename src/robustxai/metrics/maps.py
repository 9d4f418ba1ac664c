"""What all map measures share: accepted shapes, normalisation, ranks, dead maps.

A batch of maps is (n, height, width) or (n, 1, height, width). Knows nothing about models, images or methods.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .inputs import as_floats

NORMALISATIONS = ("minmax", "max", "none")


def at_least_float32(t: Tensor) -> Tensor:
    """Half precision is widened, because sums over pixels lose digits there; other floats stay."""
    return t.float() if t.dtype in (torch.float16, torch.bfloat16) else t


def spatial(maps: Tensor, name: str = "maps") -> Tensor:
    """A batch of maps as (n, height, width); ValueError for any other rank or for no pixels at all."""
    maps = as_floats(name, maps)
    if maps.ndim == 4 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if maps.ndim != 3 or maps.numel() == 0:
        raise ValueError(
            f"{name} must be (n, height, width) or (n, 1, height, width), not empty, "
            f"got shape {tuple(maps.shape)}"
        )
    return at_least_float32(maps)


def _sample(shape: torch.Size) -> tuple[int, ...]:
    """The shape of one sample, without a lone channel axis."""
    return tuple(shape[1:]) if len(shape) == 3 and shape[0] == 1 else tuple(shape)


def rows(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches as matrices (n, values); `b` may be one sample without batch axis, compared with every
    row of `a`.
    """
    a, b = as_floats("a", a), as_floats("b", b)
    if a.ndim < 2 or a.numel() == 0:
        raise ValueError(f"a must be a batch (n, ...), not empty, got shape {tuple(a.shape)}")
    flat = at_least_float32(a).flatten(1)
    other = at_least_float32(b).to(flat.dtype)
    if b.ndim >= 2 and len(b) == len(a) and _sample(b.shape[1:]) == _sample(a.shape[1:]):
        return flat, other.flatten(1)
    if _sample(b.shape) == _sample(a.shape[1:]):
        return flat, other.reshape(1, -1).expand_as(flat)
    raise ValueError(
        f"b must have the shape of a, {tuple(a.shape)}, or of one of its samples, got shape {tuple(b.shape)}"
    )


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 (with gradient 0) where the denominator is not positive."""
    alive = denominator > 0
    return torch.where(alive, numerator / torch.where(alive, denominator, 1), 0)


def _samples(maps: Tensor) -> Tensor:
    """A batch (n, ...) of one value or more each as a matrix (n, values)."""
    maps = as_floats("maps", maps)
    if maps.ndim < 2 or maps[:1].numel() == 0:
        raise ValueError(f"maps must be a batch (n, ...), not empty, got shape {tuple(maps.shape)}")
    return at_least_float32(maps).flatten(1)


def minmax(maps: Float[Tensor, " n *map"]) -> Float[Tensor, " n *map"]:
    """(L - min) / (max - min) per sample over everything after the batch axis, in [0, 1]; a constant map
    becomes 0, and nan throughout where it holds nan or infinity.

    Differentiable, also through the minimum and the maximum. Raises ValueError for an empty batch.

    >>> minmax(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[0.0000, 0.5000, 1.0000]])
    """
    flat = _samples(maps)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    values = _divide(flat - low, high - low).masked_fill(~(low.isfinite() & high.isfinite()), torch.nan)
    return values.reshape(maps.shape).to(_kind(maps))


def maxnorm(maps: Float[Tensor, " n *map"]) -> Float[Tensor, " n *map"]:
    """L / max L per sample, at most 1; a map whose maximum is not positive becomes 0. Negative values keep
    their sign. nan throughout where a map holds nan or infinity. Raises ValueError for an empty batch.

    >>> maxnorm(torch.tensor([[-1.0, 2.0, 4.0]]))
    tensor([[-0.2500,  0.5000,  1.0000]])
    """
    flat = _samples(maps)
    values = _divide(flat, flat.amax(1, keepdim=True)).masked_fill(unusable(flat)[:, None], torch.nan)
    return values.reshape(maps.shape).to(_kind(maps))


def _kind(maps: Tensor) -> torch.dtype:
    return maps.dtype if maps.is_floating_point() else torch.float32


def normalised(maps: Float[Tensor, " n *map"], kind: str = "minmax") -> Float[Tensor, " n *map"]:
    """`minmax`, `maxnorm` or the maps as they are, by name: "minmax", "max", "none"."""
    if kind not in NORMALISATIONS:
        raise ValueError(f"normalise must be one of {', '.join(NORMALISATIONS)}, got {kind!r}")
    return {"minmax": minmax, "max": maxnorm, "none": lambda m: m}[kind](maps)


def dead(maps: Float[Tensor, " n *map"]) -> Bool[Tensor, " n"]:
    """True where a map has no positive value: max L <= 0 before any normalisation.

    Raises ValueError for maps that are not finite, of which neither is true, and for an empty batch.

    >>> dead(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    tensor([ True, False])
    """
    flat = _samples(maps)
    if unusable(flat).any():
        raise ValueError("maps must be finite, got nan or infinity")
    return flat.amax(1) <= 0


def dead_share(maps: Float[Tensor, " n *map"]) -> float:
    """Share of dead maps in the batch, in [0, 1]. Raises ValueError as `dead`.

    >>> dead_share(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    0.5
    """
    return dead(maps).float().mean().item()


def average_ranks(x: Float[Tensor, "n values"]) -> Float[Tensor, "n values"]:
    """Ranks 1..values of each row, ties sharing their average rank (as scipy.stats.rankdata does)."""
    x = x.contiguous()
    ordered = x.sort(1).values
    below = torch.searchsorted(ordered, x, right=False)
    up_to = torch.searchsorted(ordered, x, right=True)
    return (below + up_to + 1).to(x.dtype) / 2


def order(x: Float[Tensor, "n values"]) -> Tensor:
    """Indices of each row from its largest value to its smallest, int64; ties: the lower index (raster
    order) first.
    """
    return x.argsort(dim=1, descending=True, stable=True)


def nan_where(values: Float[Tensor, " n"], undefined: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`values`, and nan for the samples where the measure has no meaning."""
    return values.masked_fill(undefined, torch.nan)


def unusable(*flat: Float[Tensor, "n values"]) -> Bool[Tensor, " n"]:
    """True where any of the rows holds nan or infinity."""
    return torch.stack([~f.isfinite().all(1) for f in flat]).any(0)


def constant(*flat: Float[Tensor, "n values"]) -> Bool[Tensor, " n"]:
    """True where all values of any of the rows are equal: such a map orders nothing and is like nothing."""
    return torch.stack([f.amax(1) == f.amin(1) for f in flat]).any(0)
