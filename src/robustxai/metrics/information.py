"""Performance information curves: how much of an image must be shown, in a map's order, to be recognised?

Kapishnikov et al. (2019), SIC and AIC: the x axis is not a count of pixels but the size of the compressed
image. Pixels that are not shown are interpolated from those that are. Knows a classifier only as a callable
from images (n, channel, height, width) in [0, 1] to logits. Runs without gradients.
"""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .faithfulness import Classifier, Curve, Images, Maps, Targets, check_mode, targets
from .maps import spatial, unusable
from .predictions import predicted, two_columns
from .spread import resize

THRESHOLDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10, 0.13, 0.21, 0.34, 0.5, 0.75)
POINTS = 1001
Entropy = Callable[[Tensor], int]


class Information(NamedTuple):
    """`sic`: softmax of the target, `aic`: 1 where the target is predicted, both against the share of the
    information shown, normalised to go from 0 to 1 and non-decreasing.

    A row is nan where its image has no curve: see `information_curves`.
    """

    sic: Curve
    aic: Curve


def webp_bytes(image: Float[Tensor, "channel height width"]) -> int:
    """Bytes of the image, in [0, 1], as lossless WebP with 8 bits a channel."""
    from PIL import Image  # half a second that only this function needs

    grey = (image.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
    file = io.BytesIO()
    Image.fromarray(grey.permute(1, 2, 0).contiguous().cpu().numpy()).save(file, "WEBP", lossless=True)
    return file.tell()


@torch.no_grad()
def information_curves(
    model: Classifier,
    x: Images,
    maps: Maps,
    target: Targets = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    seeds: float | int = 0.01,
    confident: float | int = 0.8,
    entropy: Entropy = webp_bytes,
    generator: torch.Generator | None = None,
    max_batch: int = 256,
) -> Information:
    """SIC and AIC of non-negative maps, one curve an image (spec of Kapishnikov et al., 1001 points).

    Args:
        maps: largest first; resized to the image. For signed attributions, the sum of |A| over the channels.
        target: class per image, one class, or None for the predicted one.
        thresholds: shares of pixels that are shown: those not below the (1 - share) quantile of the map.
        seeds: share of random pixels that are always shown, and the four corners; the same for all images.
        confident: images whose target has a smaller softmax have no curve.
        entropy: from an image to a measure of its information.

    A row is also nan where the seeds alone have no less information than the image, or no lower score, or the
    map is constant or not finite. Aggregate with `median_curve`. Raises ValueError for a network in training
    mode, another number of maps than images, or thresholds outside (0, 1].
    """
    check_mode(model)
    if not thresholds or not all(0 < share <= 1 for share in thresholds) or not 0 <= seeds < 1:
        raise ValueError(
            f"thresholds and seeds are {tuple(thresholds)} and {seeds}; accepted are shares in (0, 1] and [0, 1)."
        )
    native, size = spatial(maps), (x.shape[2], x.shape[3])
    if len(native) != len(x):
        raise ValueError(f"maps holds {len(native)} maps for {len(x)} images; accepted is one map per image.")
    flat, t = resize(native, size).flatten(1), targets(model, x, target, max_batch)
    void = (flat.amax(1) == flat.amin(1)) | unusable(flat)
    seed = _seeds(size, float(seeds), generator).to(x.device)
    cuts = torch.quantile(
        flat.nan_to_num(0).double(), 1 - torch.tensor(thresholds).double().to(flat.device), dim=1
    )
    shown = (flat.double()[:, None] >= cuts.T[:, :, None]).unflatten(2, size) | seed
    masks = torch.cat((seed.expand(len(x), 1, *size), shown), 1)
    images = [x] + [
        torch.stack([fill(*row) for row in zip(x, masks[:, k], strict=True)]) for k in range(masks.shape[1])
    ]
    information = torch.tensor([[entropy(image) for image in some] for some in images], dtype=torch.float64).T
    logits = [torch.cat([two_columns(model(part)) for part in some.split(max_batch)]) for some in images]
    soft = torch.stack([some.softmax(1).gather(1, t[:, None])[:, 0] for some in logits], 1).double().cpu()
    hard = torch.stack([(predicted(some) == t).double() for some in logits], 1).cpu()
    void = void.cpu() | (soft[:, 0] < confident)
    return Information(*(_curve(information, values, void, x) for values in (soft, hard)))


def median_curve(curve: Curve) -> Curve:
    """One curve for many images: the pointwise median of those that are there, and its area.

    Raises ValueError when there is none.
    """
    there = ~curve.probability.isnan().any(1)
    if not there.any():
        raise ValueError("curve has no row without nan; accepted are curves with one image or more.")
    middle = curve.probability[there].quantile(0.5, dim=0)[None]
    return Curve(curve.share, middle, torch.trapezoid(middle, curve.share, dim=1))


def fill(
    image: Float[Tensor, "channel height width"], known: Bool[Tensor, "height width"]
) -> Float[Tensor, "channel height width"]:
    """The image with all pixels but the `known` ones interpolated linearly from those (on their Delaunay
    triangles); outside their hull, the mean of each channel.
    """
    from scipy.interpolate import LinearNDInterpolator

    if bool(known.all()):
        return image.clone()
    places, missing = known.nonzero().cpu().numpy(), (~known).nonzero().cpu().numpy()
    values = image[:, known].T.double().cpu().numpy()
    filled = LinearNDInterpolator(places, values)(missing)
    outside = np.isnan(filled).any(1)
    filled[outside] = image.flatten(1).mean(1).double().cpu().numpy()
    result = image.clone()
    result[:, ~known] = torch.from_numpy(filled).T.to(image)
    return result


def _seeds(size: tuple[int, int], share: float, generator: torch.Generator | None) -> Tensor:
    g = torch.Generator().manual_seed(0) if generator is None else generator
    pixels = size[0] * size[1]
    seed = torch.zeros(pixels, dtype=torch.bool)
    seed[torch.randperm(pixels, generator=g, device=g.device)[: round(share * pixels)].cpu()] = True
    seed = seed.reshape(size)
    seed[:: max(1, size[0] - 1), :: max(1, size[1] - 1)] = True
    return seed


def _curve(information: Tensor, performance: Tensor, void: Tensor, x: Tensor) -> Curve:
    """From columns (image, seeds only, thresholds ...) to the normalised, non-decreasing curve."""
    void = void | (information[:, 1] >= information[:, 0]) | (performance[:, 1] >= performance[:, 0])
    grid, rows = np.linspace(0, 1, POINTS), []
    for values in zip(information, performance, strict=True):
        whole, seeds = (v[0] for v in values), (v[1] for v in values)
        steps = [
            ((v[2:] - low) / (top - low)).clamp(0, 1).nan_to_num(0)
            for v, low, top in zip(values, seeds, whole, strict=True)
        ]
        order = steps[0].argsort(stable=True)
        across = np.concatenate(([0.0], steps[0][order].numpy(), [1.0]))
        up = np.concatenate(([0.0], steps[1][order].cummax(0).values.numpy(), [1.0]))
        rows.append(np.interp(grid, across, up))
    curve = torch.from_numpy(np.stack(rows)).masked_fill(void[:, None], torch.nan).to(x)
    share = torch.from_numpy(grid).to(x)
    return Curve(share, curve, torch.trapezoid(curve, share, dim=1))
