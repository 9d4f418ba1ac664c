"""How alike are two batches of maps? Correlations, distances, SSIM and overlap of the largest pixels.

Every function takes `a` (n, ...) and `b`, which has the shape of `a` or of one of its samples (then it is
compared with each), and returns one value per sample, (n,). Everything after the batch axis is flattened,
so tables (n, features) work too. A sample gets nan where either map holds nan or infinity, and where either is
constant: a dead map is like nothing, not even another dead map. Aggregate with `mean_ignoring_nan`, which counts
them. Integers count as float32. Raises ValueError for shapes that do not fit. Knows nothing about models or methods.
"""

import operator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, check_positive
from robustxai.shapes import PerSample

from .maps import average_ranks, constant, nan_where, normalised, order, rows, spatial, unusable

Batch = Float[Tensor, " n *sample"]
Other = Float[Tensor, "*other"]


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1; scaled by the largest absolute value first, so that tiny and huge maps do not
    under- or overflow.
    """
    top = x.abs().amax(1, keepdim=True)
    x = x / torch.where(top > 0, top, 1)
    norm = x.norm(dim=1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's r of rows; nan where either row is constant (all values equal, tested exactly)."""
    r = (_unit(x - x.mean(1, keepdim=True)) * _unit(y - y.mean(1, keepdim=True))).sum(1).clamp(-1, 1)
    return nan_where(r, _undefined(x, y))


def _undefined(x: Tensor, y: Tensor) -> Tensor:
    """True where either row is constant or not finite."""
    return constant(x, y) | unusable(x, y)


def pearson(a: Batch, b: Other) -> PerSample:
    """Pearson's r in [-1, 1]; nan where either map is constant (a dead map has no correlation: skip it and
    count it).

    >>> pearson(torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]), torch.tensor([0.0, 2.0, 4.0]))
    tensor([1.0000,    nan])
    """
    return _correlation(*rows(a, b))


def spearman(a: Batch, b: Other) -> PerSample:
    """Spearman's rank correlation in [-1, 1], ties with average ranks; nan where either map is constant.

    Not differentiable. ReLU leaves many zeros, hence many ties: any other tie rule would give
    position-dependent values.
    """
    x, y = rows(a, b)
    return nan_where(_correlation(average_ranks(x), average_ranks(y)), unusable(x, y))


def cosine(a: Batch, b: Other) -> PerSample:
    """Cosine of the angle, not centred, in [-1, 1] ([0, 1] for ReLU maps); nan where either map is constant.

    >>> cosine(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([4.0, 3.0]))
    tensor([0.9600,    nan])
    """
    x, y = rows(a, b)
    return nan_where((_unit(x) * _unit(y)).sum(1).clamp(-1, 1), _undefined(x, y))


def mae(a: Batch, b: Other, *, normalise: str = "minmax") -> PerSample:
    """Mean absolute difference of the normalised maps, in [0, 1] for "minmax"; also "max", "none".

    nan where either map is constant, or is after the normalisation: two dead maps are not alike.

    >>> mae(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), torch.tensor([0.0, 2.0]))
    tensor([0., 1., nan])
    """
    x, y, bad = _normalised(a, b, normalise)
    return nan_where((x - y).abs().mean(1), bad)


def mse(a: Batch, b: Other, *, normalise: str = "minmax") -> PerSample:
    """Mean squared difference of the normalised maps, in [0, 1] for "minmax"; otherwise as `mae`.

    >>> mse(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([2.0, 1.0, 0.0])).round(decimals=4)
    tensor([0.6667])
    """
    x, y, bad = _normalised(a, b, normalise)
    return nan_where((x - y).square().mean(1), bad)


def _normalised(a: Tensor, b: Tensor, normalise: str) -> tuple[Tensor, Tensor, Tensor]:
    """Both batches as normalised rows, and where a comparison has no meaning: `max` makes a map without a positive
    value constant."""
    x, y = rows(a, b)
    u, v = normalised(x, normalise), normalised(y, normalise)
    return u, v, _undefined(x, y) | constant(u, v)


def ssim(
    a: Batch, b: Other, *, normalise: str = "minmax", window: int = 7, sigma: float | int | None = None
) -> PerSample:
    """Structural similarity in [-1, 1] of maps brought to [0, 1], with a uniform `window` x `window` window,
    or a Gaussian one of standard deviation `sigma`; nan as in `mae`. For photographs see `image_ssim`.

    The window is 7 and uniform (not the 11-pixel Gaussian of photographs), because native maps are as small
    as 7x7, where it is exactly one window over the whole map. Only windows that lie inside the map count.
    Data range 1, K = (0.01, 0.03), population covariance: scikit-image's `structural_similarity(win_size=7,
    use_sample_covariance=False)`. With `window=11, sigma=1.5` it is the measure of photographs (scikit-image:
    `gaussian_weights=True, sigma=1.5`). ValueError if `window` is even, below 3 or larger than the map (resize
    such maps first, and say so), or not the 2 * int(3.5 * sigma + 0.5) + 1 that a sigma takes.

    >>> a = torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(0))
    >>> ssim(a, 2 * a).round(decimals=4), ssim(0 * a, 0 * a)
    (tensor([1.]), tensor([nan]))
    """
    size = _window(spatial(a, "a"), window, sigma)
    x, y, bad = _normalised(a, b, normalise)
    return nan_where(_ssim(x, y, size, window, sigma), bad)


def image_ssim(a: Batch, b: Other, *, window: int = 11, sigma: float | int | None = 1.5) -> PerSample:
    """Structural similarity of photographs (n, height, width), one colour of pixels in [0, 1]: values as they are,
    and an image of one colour is an image like any other. nan where one is not finite; otherwise as `ssim`.

    >>> dark = torch.zeros(1, 11, 11)
    >>> image_ssim(dark, dark)
    tensor([1.])
    """
    size = _window(spatial(a, "a"), window, sigma)
    x, y = rows(a, b)
    return nan_where(_ssim(x, y, size, window, sigma), unusable(x, y))


def _window(maps: Tensor, window: int, sigma: float | int | None) -> tuple[int, int]:
    """The maps' size, after a check that the window fits them and the sigma."""
    height, width = maps.shape[1:]
    short = min(height, width)
    if check_count("window", window) % 2 == 0 or window < 3 or window > short:
        raise ValueError(
            f"window must be an odd integer in [3, {short}], at most the shorter side, got {window}"
        )
    if sigma is not None and window != 2 * int(3.5 * check_positive("sigma", sigma) + 0.5) + 1:
        raise ValueError(
            f"window must be 2 * int(3.5 * sigma + 0.5) + 1 = {2 * int(3.5 * sigma + 0.5) + 1} for sigma {sigma}, "
            f"got {window}"
        )
    return height, width


def _ssim(x: Tensor, y: Tensor, size: tuple[int, int], window: int, sigma: float | int | None) -> Tensor:
    """The mean over all windows that lie inside rows of the size (height, width)."""
    x, y = (m.nan_to_num(0, 0, 0).reshape(len(m), 1, *size) for m in (x, y))
    # torchmetrics takes seconds to import, and only this function needs it
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, full = structural_similarity_index_measure(
        x, y, gaussian_kernel=sigma is not None, sigma=float(sigma or 1.5), kernel_size=window, data_range=1.0,
        return_full_image=True,
    )  # fmt: skip
    edge = window // 2  # torchmetrics pads by reflection there: those windows repeat pixels, leave them out
    return full[:, 0, edge:-edge, edge:-edge].mean((1, 2))


def _count(n: Any, size: int, name: str) -> int:
    """A number of pixels from a count (int) or a share (float in (0, 1]) of `size`."""
    try:
        count = 0 if isinstance(n, bool) else operator.index(n)
    except TypeError:
        count = max(1, round(n * size)) if isinstance(n, float) and 0 < n <= 1 else 0
    if not 1 <= count <= size:
        raise ValueError(f"{name} must be an integer in [1, {size}] or a share, a float in (0, 1], got {n!r}")
    return count


def _overlap(a: Tensor, b: Tensor, n: int | float, name: str) -> tuple[Tensor, int]:
    """Number of pixels that are among the n largest of both rows, and n as a count."""
    x, y = rows(a, b)
    n = _count(n, x.shape[1], name)
    in_x, in_y = (torch.zeros_like(m, dtype=torch.bool).scatter(1, order(m)[:, :n], True) for m in (x, y))
    return nan_where((in_x & in_y).sum(1).to(x.dtype), _undefined(x, y)), n


def topk_intersection(a: Batch, b: Other, k: int | float) -> PerSample:
    """Share of the k largest values of `a` that are also among the k largest of `b` (precision@k), in [0, 1].

    `k` is a count (int) or a share of all values (float). Ties at the border: the lower index is taken.

    >>> topk_intersection(torch.tensor([[3.0, 2.0, 1.0], [0.0, 0.0, 0.0]]), torch.tensor([3.0, 1.0, 2.0]), 2)
    tensor([0.5000,    nan])
    """
    common, k = _overlap(a, b, k, "k")
    return common / k


def topn_iou(a: Batch, b: Other, n: int | float = 0.2) -> PerSample:
    """Intersection over union of the two sets of n largest values, in [0, 1]; `n` and ties as in
    `topk_intersection`.

    >>> topn_iou(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([3.0, 1.0, 2.0]), 2)
    tensor([0.3333])
    """
    common, n = _overlap(a, b, n, "n")
    return common / (2 * n - common)
