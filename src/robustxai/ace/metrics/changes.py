"""How much was changed, where and at which frequencies. Knows two images; knows nothing about classifiers.

All raise ValueError for images that are not finite or have other shapes, and for none.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from robustxai.ace.checks import check_image_pair
from robustxai.checks import check_number
from robustxai.metrics.inputs import wide
from robustxai.shapes import Images, PerSample

VISIBLE = 2 / 255
HALF_NYQUIST = 0.25  # cycles per pixel


def changed_pixels(x: Images, image: Images, *, above: float = VISIBLE) -> Bool[Tensor, "n height width"]:
    """Pixels of which some channel changed by more than `above`; a change of exactly that size does not count.

    >>> changed_pixels(torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.0, 0.5]]]]))
    tensor([[[False,  True]]])
    """
    check_image_pair(x, image)
    above = check_number("above", above)
    return ((image - x).abs() > above + 1e-6).any(1)


def changed_share(x: Images, image: Images, *, above: float = VISIBLE) -> PerSample:
    """Share of the pixels that changed by more than `above` (l0), in [0, 1]."""
    return changed_pixels(x, image, above=above).flatten(1).to(x.dtype).mean(1)


def mean_change(x: Images, image: Images) -> PerSample:
    """Mean over pixels and channels of |image - x| (l1)."""
    check_image_pair(x, image)
    return (image - x).abs().flatten(1).mean(1)


def largest_change(x: Images, image: Images) -> PerSample:
    """Largest |image - x| (l_inf)."""
    check_image_pair(x, image)
    return (image - x).abs().flatten(1).amax(1)


def high_frequency_share(x: Images, image: Images, *, above: float = HALF_NYQUIST) -> PerSample:
    """Share of the change's energy at more than `above` cycles per pixel, in [0, 1] (spec 9.3, E1).

    Frequency is the length of the vector of both directions; half of Nyquist is 0.25, above which white noise has
    1 - pi / 16 = 0.80 of its energy. The mean change counts as frequency 0. NaN for an unchanged image.

    >>> stripes = torch.tensor([0.1, -0.1]).repeat(4).expand(1, 1, 8, 8)
    >>> high_frequency_share(torch.zeros(1, 1, 8, 8), stripes)
    tensor([1.])
    """
    check_image_pair(x, image)
    above = check_number("above", above)
    energy = torch.fft.fft2(wide(image - x)).abs().square().sum(1)
    rows, columns = (torch.fft.fftfreq(side, device="cpu", dtype=torch.float64) for side in x.shape[2:])
    high = (rows[:, None].square() + columns.square()).sqrt() > above
    return ((energy * high).sum((1, 2)) / energy.sum((1, 2))).to(x)
