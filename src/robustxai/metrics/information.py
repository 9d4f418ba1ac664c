"""Performance information curves: how much of an image must be shown, in a map's order, to be recognised?

Kapishnikov et al. (2019), SIC and AIC: the x axis is not a count of pixels but the size of the compressed
image. Pixels that are not shown are interpolated from those that are. Knows a classifier only as what
`robustxai.models.logits_of` takes, from images (n, channel, height, width) in [0, 1]. Runs without gradients.
"""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.checks import as_target, check_count, check_images, check_number, check_share
from robustxai.eval_mode import check_calm
from robustxai.models import logits_of
from robustxai.shapes import AnyMaps, Images

from .faithfulness import Classifier, Curve, Targets
from .inputs import as_generator, wide
from .maps import constant, spatial, unusable
from .predictions import finite_scores, predicted
from .spread import resize

THRESHOLDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10, 0.13, 0.21, 0.34, 0.5, 0.75)
POINTS = 1001
Entropy = Callable[[Tensor], int]


class Information(NamedTuple):
    """`sic`: softmax of the target, `aic`: 1 where the target is predicted, both against the share of the
    information shown, normalised to go from 0 to 1 and non-decreasing.

    A row is nan where its image has no curve: see `information_curves`.

    >>> x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> spot = lambda v: torch.stack((9 * v[:, 0, 3, 3], 0 * v[:, 0, 0, 0]), 1)
    >>> x[0, 0, 3, 3] = 1.0
    >>> good, bad = (information_curves(spot, x, m, 0).sic for m in (x, -x))
    >>> good.probability.shape, bool(good.auc > bad.auc)
    (torch.Size([1, 1001]), True)
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
    maps: AnyMaps,
    target: Targets = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    seeds: float | int = 0.01,
    confident: float | int = 0.8,
    entropy: Entropy = webp_bytes,
    generator: torch.Generator | None = None,
    batch_size: int = 256,
) -> Information:
    """SIC and AIC of non-negative maps, one curve an image (spec of Kapishnikov et al., 1001 points).

    Args:
        maps: largest first; resized to the image. For signed attributions, the sum of |A| over the channels.
        target: class per image, one class, or None for the predicted one.
        thresholds: shares of pixels that are shown: those not below the (1 - share) quantile of the map.
        seeds: share of random pixels that are always shown, and the four corners; the same for all images.
        confident: images whose target has a smaller softmax have no curve.
        entropy: from an image to a measure of its information.

    10 parameters, as the paper leaves these settings open.
    A row is also nan where the seeds alone have no less information than the image, or no lower score, where the
    map is constant or not finite, and where a logit or the information is not finite. Aggregate with `median_curve`.
    Raises ValueError for images outside [0, 1] or of one pixel's width, a network with layers in training mode,
    another number of maps or targets than images, thresholds outside (0, 1], and shares outside [0, 1].
    """
    check_calm("model", model)
    check_images("x", x)
    check_count("batch_size", batch_size)
    check_share("confident", confident)
    if check_share("seeds", seeds) == 1:
        raise ValueError(f"seeds must be a share below 1, got {seeds}")
    shares, native, size = _shares(thresholds), spatial(maps), (x.shape[2], x.shape[3])
    if len(native) != len(x):
        raise ValueError(f"maps must hold one map for each of the {len(x)} images, got {len(native)}")
    if min(size) < 2:
        raise ValueError(f"x must be images of 2 by 2 pixels or more, got {size[0]} by {size[1]}")
    flat = resize(native, size).flatten(1)
    void = constant(flat) | constant(native.flatten(1)) | unusable(flat)  # of `resize`: nan throughout
    clean = [logits_of(model, part) for part in x.split(batch_size)]
    t = as_target(target, torch.cat(clean))
    seed = _seeds(size, float(seeds), as_generator(generator)).to(x.device)
    masks = torch.cat((seed.expand(len(x), 1, *size), _shown(flat, shares).unflatten(2, size) | seed), 1)
    images = [x] + [
        torch.stack([interpolated(*row) for row in zip(x, masks[:, k], strict=True)])
        for k in range(masks.shape[1])
    ]
    information = torch.tensor(
        [[float(entropy(image)) for image in some] for some in images], dtype=torch.float64, device="cpu"
    ).T
    logits = [torch.cat(clean)] + [
        torch.cat([logits_of(model, part) for part in some.split(batch_size)]) for some in images[1:]
    ]
    soft = wide(torch.stack([finite_scores(some, t) for some in logits], 1))
    hard = wide(torch.stack([predicted(some) == t for some in logits], 1))
    void = void.cpu() | ~(soft[:, 0] >= confident) | unusable(soft, information)
    return Information(*(_curve(information, values, void, x) for values in (soft, hard)))


def median_curve(curve: Curve) -> Curve:
    """One curve for many images: the pointwise median of those that are there, and its area; `left_out` counts the
    rows that are nan.

    Raises ValueError when there is none.

    >>> rows = torch.tensor([[0.0, 1.0], [torch.nan, torch.nan], [0.5, 1.0]])
    >>> found = median_curve(Curve(torch.tensor([0.0, 1.0]), rows, torch.trapezoid(rows, dim=1)))
    >>> found.probability, found.left_out
    (tensor([[0.2500, 1.0000]]), 1)
    """
    if not isinstance(curve, Curve):
        raise ValueError(f"curve must be a Curve, got {type(curve).__name__}")
    there = ~unusable(curve.probability)
    if not there.any():
        raise ValueError("curve must have at least one row without nan, got none")
    middle = curve.probability[there].quantile(0.5, dim=0)[None]
    return Curve(curve.share, middle, torch.trapezoid(middle, curve.share, dim=1), int((~there).sum()))


def interpolated(
    image: Float[Tensor, "channel height width"], known: Bool[Tensor, "height width"]
) -> Float[Tensor, "channel height width"]:
    """The image with all pixels but the `known` ones interpolated linearly from those (on their Delaunay
    triangles); outside their hull, the mean of each channel.
    """
    from scipy.interpolate import LinearNDInterpolator

    if bool(known.all()):
        return image.clone()
    places, missing = known.nonzero().cpu().numpy(), (~known).nonzero().cpu().numpy()
    values = wide(image[:, known].T).numpy()
    filled = LinearNDInterpolator(places, values)(missing)
    outside = np.isnan(filled).any(1)
    filled[outside] = wide(image.flatten(1).mean(1)).numpy()
    result = image.clone()
    result[:, ~known] = torch.from_numpy(filled).T.to(image.dtype).to(image.device)
    return result


def _shares(thresholds: Sequence[float]) -> list[float]:
    """One or more shares in (0, 1]."""
    try:
        shares = [check_number("thresholds", share, high=1.0, strict=True) for share in thresholds]
    except (TypeError, ValueError):
        shares = []
    if not shares:
        raise ValueError(f"thresholds must be one or more shares in (0, 1], got {thresholds!r}")
    return shares


def _shown(flat: Tensor, shares: Sequence[float]) -> Tensor:
    """Masks (n, thresholds, pixels): the values that are not below the (1 - share) quantile of their map."""
    levels = 1 - torch.tensor(shares, dtype=torch.float32, device="cpu").to(torch.float64)
    values = wide(flat.nan_to_num(0))
    part = max(1, 8_000_000 // values.shape[1])  # torch.quantile takes at most 16 million numbers
    cuts = torch.cat([torch.quantile(some, levels, dim=1) for some in values.split(part)], 1)
    return (wide(flat)[:, None] >= cuts.T[:, :, None]).to(flat.device)


def _seeds(size: tuple[int, int], share: float, g: torch.Generator) -> Tensor:
    """A mask of the pixels that are always shown."""
    pixels = size[0] * size[1]
    seed = torch.zeros(pixels, dtype=torch.bool, device="cpu")
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
    curve = torch.from_numpy(np.stack(rows)).masked_fill(void[:, None], torch.nan).to(x.dtype).to(x.device)
    share = torch.from_numpy(grid).to(x.dtype).to(x.device)
    return Curve(share, curve, torch.trapezoid(curve, share, dim=1))
