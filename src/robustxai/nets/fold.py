"""A copy of a trained network that computes the same with less work: for studies that query it many thousand times.

In eval mode a batch norm is a fixed scale and shift of each channel, so a convolution before it can do its part. A
convolution of a doubled image is a smaller one of the image. And on a CPU, convolutions are faster with the channels
last in memory. Knows nothing about the queries.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robustxai.checks import check_module
from robustxai.eval_mode import check_calm
from robustxai.nets.vae import ResidualBlock

_Net = TypeVar("_Net", bound=nn.Module)


class Doubling(nn.Module):
    """Twice the sides by nearest neighbours and a 3x3 convolution with padding 1, in one: 4 products a pixel, not 9.

    The nine pixels that a new pixel sees are copies of four old ones, so it is a 2x2 convolution of the old image with
    sums of the nine weights: other sums for each of the four places that a new pixel has in its old one.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        sums = convolution.weight.new_tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
        weight = torch.einsum("akr,bls,oirs->aboikl", sums, sums, convolution.weight.detach())
        self.weight = nn.Parameter(weight.flatten(0, 2))
        bias = convolution.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().repeat(4))

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs twice_h twice_w"]:
        h, w = x.shape[2:]
        places = F.conv2d(x, self.weight, self.bias, padding=1).permute(0, 2, 3, 1).unflatten(3, (2, 2, -1))
        rows = [
            torch.stack([places[:, a : a + h, b : b + w, a, b] for b in (0, 1)], 3)  # (n, h, w, 2, outputs)
            for a in (0, 1)
        ]
        return torch.stack(rows, 2).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def folded(model: _Net) -> _Net:
    """A frozen copy in eval mode with every batch norm folded into the convolution before it, channels last; in a
    `ConvVAE`, a doubling and the convolution after it are one (`Doubling`).

    A batch norm belongs to a convolution when it is the next child of the same module, as in all networks of this
    package and in torchvision's. Outputs and gradients in the input are those of `model` up to rounding; hooks on
    batch norms see nothing. The copy does not follow later changes of the weights. Raises ValueError for a network
    in training mode, whose batch norms are not fixed.

    >>> from robustxai.nets import CompactResNet
    >>> model, x = CompactResNet(classes=4).eval(), torch.rand(2, 3, 32, 32)
    >>> torch.allclose(folded(model)(x), model(x), atol=1e-4)
    True
    """
    check_module("model", model)
    check_calm("model", model)
    same = copy.deepcopy(model)
    for parent in list(same.modules()):
        for (name, convolution), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, after, nn.Identity())
    for block in list(same.modules()):
        if isinstance(block, ResidualBlock) and block.early_skip:
            block.main[0], block.doubled = Doubling(cast(nn.Conv2d, block.main[0])), nn.Identity()
    same.requires_grad_(False).eval()
    return same.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
