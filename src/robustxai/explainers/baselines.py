"""Baseline images to start a path from: black, white, mean, a decoded code, the median of a class.

All methods of a comparison should start from the same one (spec 3.5). Each returns a batch of the shape of
`x`, or of one image where it does not depend on `x`.
"""

import warnings
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from robustxai.checks import ROUNDING, check_length, shown
from robustxai.eval_mode import check_calm
from robustxai.explainers.decoder import Codes, Decoder, run_network
from robustxai.explainers.path_checks import check_rows

Sample = Float[Tensor, " n *sample"]


def black(x: Sample) -> Sample:
    """All zeros: black for images in [0, 1]."""
    return torch.zeros_like(x)


def white(x: Sample) -> Sample:
    """All ones: white for images in [0, 1]."""
    return torch.ones_like(x)


def mean(x: Float[Tensor, "n channel height width"]) -> Float[Tensor, "n channel height width"]:
    """Each image's own mean colour, everywhere."""
    check_rows("x", x)
    if x.ndim != 4:
        raise ValueError(f"x must be images (n, c, h, w), got shape {tuple(x.shape)}")
    return x.mean((2, 3), keepdim=True).expand_as(x).contiguous()


@torch.no_grad()
def decoded(decoder: Decoder, code: Codes) -> Float[Tensor, " n *image"]:
    """The image of a code, such as the zero code (the "encoded zero" baseline of Jha et al. 2020)."""
    check_calm("decoder", decoder)
    check_rows("code", code)
    return run_network(decoder, code, "decoder")


def class_median(
    images: Float[Tensor, " m *sample"], labels: Int[Tensor, " m"], target: int | Int[Tensor, " n"]
) -> Sample:
    """The pixelwise median of the `images` whose label is `target`: one image for each target.

    Raises ValueError for a target of which there is no image, or another number of labels than images.

    >>> class_median(torch.tensor([[0.0], [2.0], [4.0], [9.0]]), torch.tensor([1, 1, 1, 0]), 1)
    tensor([[2.]])
    """
    check_rows("images", images)
    check_length("labels", labels, "images", len(images))
    wanted = torch.as_tensor(target, device=labels.device).reshape(-1)
    if wanted.is_floating_point() or wanted.dtype == torch.bool:
        raise ValueError(f"target must be an int or integers (n,), got {wanted.dtype}")
    known = {int(k): images[labels == k].median(0).values for k in labels.unique()}
    if missing := sorted({int(k) for k in wanted} - set(known)):
        raise ValueError(
            f"target must be classes of which there are images, {sorted(known)}, got class {missing[0]}"
        )
    return torch.stack([known[int(k)] for k in wanted])


def as_baseline(baselines: Tensor | float | None, x: Sample) -> Sample:
    """The baselines as a batch like `x`: None is black, a number is that grey, one image serves all.

    Raises ValueError for a tensor of another shape, or values that are not finite.
    """
    check_baselines(baselines)
    b = torch.as_tensor(0 if baselines is None else baselines, dtype=x.dtype, device=x.device)
    if b.shape not in ((), x.shape[1:], (1, *x.shape[1:]), x.shape):
        raise ValueError(
            f"baselines must be a number, one image {tuple(x.shape[1:])} or one for each of {tuple(x.shape)}, "
            f"got shape {tuple(b.shape)}"
        )
    return b.expand_as(x)


def check_baselines(baselines: Any) -> None:
    """What `as_baseline` can use for some x: None, a finite number, or finite images. Raises ValueError."""
    if baselines is None:
        return
    try:
        b = baselines if isinstance(baselines, Tensor) else torch.as_tensor(baselines, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        b = None
    if b is None or isinstance(baselines, bool) or b.is_complex():
        raise ValueError(f"baselines must be None, a number or images, got {shown(baselines)}")
    if not b.isfinite().all():
        raise ValueError("baselines must be finite images, got NaN or infinite numbers")


def warn_outside(x: Sample, *, stacklevel: int) -> None:
    """One UserWarning for images outside [0, 1], for which the default baseline, 0, is not black; tables have none."""
    if x.ndim != 4:
        return
    least, most = x.detach().aminmax()
    if least < -ROUNDING or most > 1 + ROUNDING:
        warnings.warn(
            "x has pixels outside [0, 1], as images that are normalised already, and baselines=None starts from 0, "
            "which is black for images in [0, 1] only; pass baselines",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
