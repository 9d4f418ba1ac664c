"""Refinement: inpaints by diffusion where the attack changed most, all else is the input (spec 3.9, 3.10).

Knows an image, a changed image and a filter; knows nothing about classifiers.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from robustxai.ace.checks import check_flags, check_image_pair
from robustxai.ace.diffusion_filter import DiffusionFilter, NoiseImages, check_filter, check_noise
from robustxai.checks import check_count, check_number
from robustxai.shapes import Images

Mask = Bool[Tensor, "n 1 height width"]


def change_map(x: Images, moved: Images) -> Float[Tensor, "n 1 height width"]:
    """Sum over channels of |moved - x|, divided by its largest value in each image; 0 where nothing changed (P4).

    Raises ValueError for images of other shapes.

    >>> change_map(torch.zeros(1, 1, 1, 3), torch.tensor([[[[0.0, 0.1, 0.2]]]]))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    check_image_pair(x, moved, name="moved")
    change = (moved - x).abs().sum(1, keepdim=True)
    top = change.amax((1, 2, 3), keepdim=True)
    return change / torch.where(top > 0, top, 1)


def change_mask(x: Images, moved: Images, *, threshold: float | int = 0.15, dilation: int = 15) -> Mask:
    """Pixels to inpaint: the change map, dilated by a `dilation` x `dilation` maximum, is `threshold` or more.

    The threshold is relative to the strongest change of each image. 0 takes all pixels, numbers above 1 none;
    an unchanged image has none otherwise. Raises ValueError for an even dilation.

    >>> change_mask(torch.zeros(1, 1, 1, 5), torch.tensor([[[[0, 0, 0.1, 0, 0.5]]]]), dilation=3)
    tensor([[[[False,  True,  True,  True,  True]]]])
    """
    threshold, dilation = check_number("threshold", threshold), check_count("dilation", dilation)
    if dilation % 2 == 0:
        raise ValueError(f"dilation must be an odd integer >= 1, got {dilation}")
    wide = functional.max_pool2d(change_map(x, moved), dilation, 1, dilation // 2)
    return wide >= threshold


@torch.no_grad()
def refine(
    x: Images, moved: Images, mask: Mask, filter: DiffusionFilter, noise: NoiseImages, known: NoiseImages
) -> Images:
    """The counterfactual: `moved` filtered inside `mask`, with `x` around it at every noise level (spec 3.10).

    Outside the mask it is `x`, bit for bit. noise: as for a call of the filter, so that a full mask gives
    F(moved). known: noise of the input, one per step. Costs tau forwards, no gradients. Raises ValueError for
    shapes that do not fit each other.

    >>> class Zero(torch.nn.Module):
    ...     alphas_cumprod = torch.linspace(0.999, 0.5, 100)
    ...     def forward(self, z, t):
    ...         return 0 * z
    >>> filter, x, mask = DiffusionFilter(Zero(), Zero(), steps=10, tau=2), torch.zeros(1, 1, 2, 2), torch.eye(2) > 0
    >>> noise = torch.zeros(1, 2, 1, 2, 2)
    >>> refine(x, x + 1, mask[None, None], filter, noise, noise)[0, 0, 0].tolist()
    [1.0, 0.0]
    """
    check_image_pair(x, moved, name="moved")
    if check_flags("mask", mask, 4, "(n, 1, H, W)").shape != x[:, :1].shape:
        raise ValueError(f"mask must have shape {tuple(x[:, :1].shape)}, got {tuple(mask.shape)}")
    check_filter(filter, needed=True)
    check_noise(noise, x, filter.tau)
    check_noise(known, x, filter.tau, name="known")
    z, c = 2 * x - 1, 2 * moved - 1
    for i in reversed(range(filter.tau)):
        j = filter.tau - 1 - i
        if j == 0:
            c = filter.noised(c, i, noise[:, 0])
        c = torch.where(mask, c, filter.noised(z, i, known[:, j]))
        c = filter.step(c, i, noise[:, j + 1] if i else None)
    return torch.where(mask, ((c + 1) / 2).clamp(0, 1), x)
