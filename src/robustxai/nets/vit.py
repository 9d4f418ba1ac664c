"""A small vision transformer: torchvision's, at the size of the rendered images, with its own normalisation.

Patches become tokens, one class token in front of them goes on to the head. `cam_layer` and `cam_reshape` are what a
class activation map of it takes. It knows nothing about training or explanations.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from robustxai.checks import check_generator
from robustxai.nets.resnet import Normalize
from robustxai.nets.sizes import check_whole


class CompactViT(nn.Module):
    """torchvision's `VisionTransformer` from images (n, 3, size, size) in [0, 1] to logits (n, classes).

    size, patch: of images and patches in pixels, patch a divisor of size. depth, width, heads: blocks, features of a
    token, heads of attention; the block's inner layer has twice the width. `generator` seeds the initial weights.

    >>> CompactViT(classes=4, size=28, depth=1).eval()(torch.rand(2, 3, 28, 28)).shape
    torch.Size([2, 4])
    """

    cam_reshape = "vit"

    def __init__(
        self,
        classes: int = 10,
        *,
        size: int = 56,
        patch: int = 7,
        depth: int = 4,
        width: int = 64,
        heads: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_whole(1, classes=classes, size=size, patch=patch, depth=depth, width=width, heads=heads)
        check_generator("generator", generator)
        if width % heads:
            raise ValueError(f"heads must divide width, got {heads} and {width}")
        self.arguments = dict(classes=classes, size=size, patch=patch, depth=depth, width=width, heads=heads)
        if size % patch:
            raise ValueError(f"patch must divide size, got {patch} and {size}")
        seed = 0
        if generator is not None:
            seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(seed)
            self.normalize = Normalize((0.5,) * 3, (0.25,) * 3)
            self.vit = VisionTransformer(size, patch, depth, heads, width, 2 * width, num_classes=classes)
            nn.init.trunc_normal_(self.vit.get_parameter("heads.head.weight"), std=0.02)
        self.cam_layer = f"vit.encoder.layers.encoder_layer_{depth - 1}.ln_1"

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        return self.vit(self.normalize(x))
