"""How alike are two batches of maps? Correlations, distances, SSIM and overlap of the largest pixels.

Every function takes `a` (n, ...) and `b`, which has the shape of `a` or of one of its samples (then it is
compared with each), and returns one value per sample, (n,). Everything after the batch axis is flattened,
so tables (n, features) work too. A sample with nan or infinity in it gets nan. Knows nothing about models
or methods.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .maps import average_ranks, nan_where, normalised, order, rows, spatial, unusable

Batch = Float[Tensor, " n *sample"]
Other = Float[Tensor, "*other"]
Scores = Float[Tensor, " n"]


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
    flat = (x.amax(1) == x.amin(1)) | (y.amax(1) == y.amin(1))
    r = (_unit(x - x.mean(1, keepdim=True)) * _unit(y - y.mean(1, keepdim=True))).sum(1).clamp(-1, 1)
    return nan_where(r, flat | unusable(x, y))


def pearson(a: Batch, b: Other) -> Scores:
    """Pearson's r in [-1, 1]; nan where either map is constant (a dead map has no correlation: skip it and
    count it).

    >>> pearson(torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]), torch.tensor([0.0, 2.0, 4.0]))
    tensor([1.0000,    nan])
    """
    return _correlation(*rows(a, b))


def spearman(a: Batch, b: Other) -> Scores:
    """Spearman's rank correlation in [-1, 1], ties with average ranks; nan where either map is constant.

    Not differentiable. ReLU leaves many zeros, hence many ties: any other tie rule would give
    position-dependent values.
    """
    x, y = rows(a, b)
    return nan_where(_correlation(average_ranks(x), average_ranks(y)), unusable(x, y))


def cosine(a: Batch, b: Other) -> Scores:
    """Cosine of the angle, not centred, in [-1, 1] ([0, 1] for ReLU maps); nan where either map is all
    zeros.
    """
    x, y = rows(a, b)
    empty = (x == 0).all(1) | (y == 0).all(1)
    return nan_where((_unit(x) * _unit(y)).sum(1).clamp(-1, 1), empty | unusable(x, y))


def mae(a: Batch, b: Other, *, normalise: str = "minmax") -> Scores:
    """Mean absolute difference of the normalised maps, in [0, 1] for "minmax"; also "max", "none".

    A constant map is normalised to 0 and so keeps a defined distance: count dead maps beside it.
    """
    x, y = rows(a, b)
    return nan_where((normalised(x, normalise) - normalised(y, normalise)).abs().mean(1), unusable(x, y))


def mse(a: Batch, b: Other, *, normalise: str = "minmax") -> Scores:
    """Mean squared difference of the normalised maps, in [0, 1] for "minmax"; otherwise as `mae`."""
    x, y = rows(a, b)
    return nan_where((normalised(x, normalise) - normalised(y, normalise)).square().mean(1), unusable(x, y))


def ssim(
    a: Batch, b: Other, *, normalise: str = "minmax", window: int = 7, sigma: float | int | None = None
) -> Scores:
    """Structural similarity in [-1, 1] of maps brought to [0, 1], with a uniform `window` x `window` window,
    or a Gaussian one of standard deviation `sigma`.

    The window is 7 and uniform (not the 11-pixel Gaussian of photographs), because native maps are as small
    as 7x7, where it is exactly one window over the whole map. Only windows that lie inside the map count.
    Data range 1, K = (0.01, 0.03), population covariance: scikit-image's `structural_similarity(win_size=7,
    use_sample_covariance=False)`. With `window=11, sigma=1.5` it is the measure of photographs (scikit-image:
    `gaussian_weights=True, sigma=1.5`). ValueError if `window` is even, below 3 or larger than the map (resize
    such maps first, and say so), or not the 2 * int(3.5 * sigma + 0.5) + 1 that a sigma takes.
    """
    shape = spatial(a, "a").shape
    if window % 2 == 0 or window < 3 or window > min(shape[1:]):
        raise ValueError(
            f"window is {window}; accepted are odd numbers from 3 to {min(shape[1:])}, the shorter side."
        )
    if sigma is not None and window != 2 * int(3.5 * sigma + 0.5) + 1:
        raise ValueError(
            f"window is {window} for sigma {sigma}; accepted is {2 * int(3.5 * sigma + 0.5) + 1}, 2 * int(3.5 * "
            "sigma + 0.5) + 1."
        )
    x, y = rows(a, b)
    bad = unusable(x, y)
    x, y = (normalised(m, normalise).nan_to_num(0, 0, 0).reshape(len(m), 1, *shape[1:]) for m in (x, y))
    # torchmetrics takes seconds to import, and only this function needs it
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, full = structural_similarity_index_measure(
        x, y, gaussian_kernel=sigma is not None, sigma=float(sigma or 1.5), kernel_size=window, data_range=1.0,
        return_full_image=True,
    )  # fmt: skip
    edge = window // 2  # torchmetrics pads by reflection there: those windows repeat pixels, leave them out
    return nan_where(full[:, 0, edge:-edge, edge:-edge].mean((1, 2)), bad)


def _count(n: int | float, size: int, name: str) -> int:
    """A number of pixels from a count (int) or a share (float in (0, 1]) of `size`."""
    if isinstance(n, float) and 0 < n <= 1:
        return max(1, round(n * size))
    if isinstance(n, float) or not 1 <= n <= size:
        raise ValueError(
            f"{name} is {n}; accepted are a count from 1 to {size} or a share, a float in (0, 1]."
        )
    return n


def _overlap(a: Tensor, b: Tensor, n: int | float, name: str) -> tuple[Tensor, int]:
    """Number of pixels that are among the n largest of both rows, and n as a count."""
    x, y = rows(a, b)
    n = _count(n, x.shape[1], name)
    in_x, in_y = (torch.zeros_like(m, dtype=torch.bool).scatter(1, order(m)[:, :n], True) for m in (x, y))
    return nan_where((in_x & in_y).sum(1).to(x.dtype), unusable(x, y)), n


def topk_intersection(a: Batch, b: Other, k: int | float) -> Scores:
    """Share of the k largest values of `a` that are also among the k largest of `b` (precision@k), in [0, 1].

    `k` is a count (int) or a share of all values (float). Ties at the border: the lower index is taken.
    """
    common, k = _overlap(a, b, k, "k")
    return common / k


def topn_iou(a: Batch, b: Other, n: int | float = 0.2) -> Scores:
    """Intersection over union of the two sets of n largest values, in [0, 1]; `n` and ties as in
    `topk_intersection`.
    """
    common, n = _overlap(a, b, n, "n")
    return common / (2 * n - common)
