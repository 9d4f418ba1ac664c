"""Where does a map put its mass? Entropy, energy on a mask, pointing game.

Maps are (n, height, width) or (n, 1, height, width); masks the same, or one (height, width) mask for all.
Masks are boolean or soft in [0, 1]. Values are per sample, (n,); nan where the map has no mass, or holds nan or
infinity. Raises ValueError for other shapes, and for masks that are not finite or outside [0, 1]. Knows nothing
about models or methods.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.checks import ROUNDING, check_count, check_finite
from robustxai.shapes import Maps, PerSample

from .inputs import as_floats, as_size
from .maps import constant, minmax, nan_where, spatial, unusable

Masks = Float[Tensor, "*mask"] | Bool[Tensor, "*mask"]


def _masks(mask: Tensor, like: Tensor) -> Tensor:
    """Masks as (n, height, width) in the maps' dtype; ValueError unless there is one mask, or one per map."""
    mask = as_floats("mask", mask).to(like.dtype)
    mask = spatial(mask[None] if mask.ndim == 2 else mask, "mask")
    check_finite("mask", mask, "masks")
    low, high = map(float, mask.aminmax())
    if low < 0 or high > 1 + ROUNDING:
        raise ValueError(f"mask must lie in [0, 1], got values from {low:.3g} to {high:.3g}")
    if len(mask) not in (1, len(like)):
        raise ValueError(f"mask must hold 1 mask or {len(like)}, one per map, got {len(mask)}")
    return mask.expand(len(like), -1, -1)


def resize(maps: Maps, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Maps at `size` = (height, width), bilinear, pixel centres aligned (align_corners=False); returns (n,
    height, width). A map that holds nan or infinity becomes nan throughout, also where the bad pixel is skipped. Raises
    ValueError for a size that is not two counts.

    >>> resize(torch.zeros(2, 1, 7, 7), (14, 14)).shape
    torch.Size([2, 14, 14])
    """
    m, size = spatial(maps), as_size(size)
    bad = unusable(m.flatten(1))[:, None, None]
    m = m if tuple(m.shape[1:]) == size else F.interpolate(m[:, None], size, mode="bilinear")[:, 0]
    return m.masked_fill(bad, torch.nan)


def entropy(maps: Maps, *, normalise: str = "relu") -> PerSample:
    """Entropy -sum p ln p in nats of p = N(L) / sum N(L), in [0, ln(height * width)]; nan where N(L) is all
    zero.

    `normalise` is N: "relu" (GradCAM as evaluated) or "minmax" (raw CAM as in saliency-guided training);
    say which. Use the map at its native resolution: resizing adds entropy. A binary map with k ones has
    entropy ln k.

    >>> entropy(torch.eye(2)[None]).exp()
    tensor([2.])
    """
    m = spatial(maps).flatten(1)
    if normalise not in ("relu", "minmax"):
        raise ValueError(f"normalise must be one of relu, minmax, got {normalise!r}")
    mass = m.relu() if normalise == "relu" else minmax(m)
    mass = mass / mass.amax(1, keepdim=True).clamp_min(torch.finfo(m.dtype).tiny)
    total = mass.sum(1, keepdim=True)
    p = mass / torch.where(total > 0, total, 1)
    return nan_where(torch.special.entr(p).sum(1), (total[:, 0] == 0) | unusable(m))


def _share(maps: Tensor, mask: Tensor) -> Tensor:
    """Share of the positive mass that lies on the mask."""
    mass = maps.relu()
    mass = mass / mass.amax((1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    total = mass.sum((1, 2))
    inside = (mass * mask).sum((1, 2)) / torch.where(total > 0, total, 1)
    return nan_where(inside, (total == 0) | unusable(maps.flatten(1)))


def border_mass(maps: Maps, mask: Masks) -> PerSample:
    """Energy on a mask at the map's own resolution: sum(ReLU(L) * mask) / sum(ReLU(L)), in [0, 1]; nan for
    a dead map.

    For a fooling target that is 1 on the border this is the mass on the border; chance is the mask's mean
    (28/49 = 0.571). ValueError if mask and map differ in size: nothing is resized here.

    >>> border_mass(torch.ones(1, 2, 2), torch.tensor([[1, 0], [0, 0]]))
    tensor([0.2500])
    """
    m = spatial(maps)
    t = _masks(mask, m)
    if t.shape != m.shape:
        raise ValueError(
            f"mask must have the size of the maps, {tuple(m.shape[1:])}, got {tuple(t.shape[1:])}"
        )
    return _share(m, t)


def energy_inside(maps: Maps, mask: Masks) -> PerSample:
    """Share of the map's positive mass inside the mask, in [0, 1], after ReLU and bilinear resizing to the
    mask's size.

    Chance level is the mask's mean: print it beside. nan for a dead map.

    >>> energy_inside(torch.stack((torch.eye(2), torch.zeros(2, 2))), torch.tensor([[1, 0], [0, 0]]))
    tensor([0.5000,    nan])
    """
    m = spatial(maps)
    t = _masks(mask, m)
    inside = _share(resize(m.relu(), (t.shape[1], t.shape[2])), t)
    return nan_where(inside, unusable(m.flatten(1)))  # of minus infinity ReLU leaves nothing


def pointing_game(maps: Maps, mask: Masks, *, tolerance: int = 0) -> PerSample:
    """1 where the map's largest pixel lies on the mask (mask > 0.5), else 0, at the mask's resolution
    (bilinear resizing).

    Ties: the share of the tied largest pixels that lie on the mask, that is the expected hit of a random
    tie-break. A constant map points nowhere: nan. `tolerance` widens the mask by that many pixels each way (square).

    >>> pointing_game(torch.stack((torch.eye(2), torch.zeros(2, 2))), torch.tensor([[1, 0], [0, 0]]))
    tensor([0.5000,    nan])
    """
    m = spatial(maps)
    t = (_masks(mask, m) > 0.5).to(m.dtype)
    if check_count("tolerance", tolerance, 0):
        t = F.max_pool2d(t[:, None], 2 * tolerance + 1, stride=1, padding=tolerance)[:, 0]
    flat = m.flatten(1)
    m = resize(m, (t.shape[1], t.shape[2]))
    top = (m == m.amax((1, 2), keepdim=True)).to(m.dtype)
    hits = (top * t).sum((1, 2)) / top.sum((1, 2)).clamp_min(1)
    return nan_where(hits, constant(flat) | unusable(flat))


def box_masks(boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Bool[Tensor, "n h w"]:
    """Masks (n, height, width) of boxes x0, y0, x1, y1 in pixel indices, both ends inside the box, as image
    sets store them. Raises ValueError for boxes that are not finite, as of an image without one, or end before they
    begin.

    >>> box_masks(torch.tensor([[0.0, 0.0, 1.0, 0.0]]), (2, 3)).int().tolist()
    [[[1, 1, 0], [0, 0, 0]]]
    """
    boxes, size = as_floats("boxes", boxes), as_size(size)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise ValueError(f"boxes must have shape (n, 4), not empty, got {tuple(boxes.shape)}")
    check_finite("boxes", boxes, "boxes")
    if (boxes[:, :2] > boxes[:, 2:]).any():
        raise ValueError(
            "boxes must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, got one that ends before it begins"
        )
    y, x = (torch.arange(s, device=boxes.device, dtype=boxes.dtype) for s in size)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    return ((y >= y0) & (y <= y1))[:, :, None] & ((x >= x0) & (x <= x1))[:, None, :]
