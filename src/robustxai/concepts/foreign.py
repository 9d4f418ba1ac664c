"""A network that nobody here trained: SqueezeNet 1.1 of ImageNet, for the small photographs of the real study.

It sees them enlarged, answers for their classes only, and its layers are named as those of our networks. Knows
nothing about concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import SqueezeNet1_1_Weights

from robustxai.nets import TorchvisionClassifier

SIZE = 128
CUTS = {"b2": slice(0, 6), "b3": slice(6, 9), "b4": slice(9, 12), "b5": slice(12, None)}
OTHER_NAMES = {"beacon lighthouse": "beacon"}


class EnlargedSqueezeNet(nn.Module):
    """SqueezeNet 1.1 for images (n, 3, h, w) in [0, 1] of any size, with the logits of `names` in their order.

    weights: a torchvision enum, or a state-dict file with its keys. Blocks are "b2" to "b5"; what follows b5 is
    the mean over positions. Raises ValueError for a name that ImageNet does not have.
    """

    def __init__(self, names: Sequence[str], *, weights: SqueezeNet1_1_Weights | str | Path | None) -> None:
        super().__init__()
        whole = TorchvisionClassifier("squeezenet1_1", weights=weights)
        known = SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
        wanted = [OTHER_NAMES.get(name, name) for name in names]
        if unknown := [name for name in wanted if name not in known]:
            raise ValueError(f"names has {unknown[0]!r}; accepted are ImageNet's classes")
        self.normalize = whole.normalize
        self.b2, self.b3, self.b4, self.b5 = (whole.body[cut] for cut in CUTS.values())
        self.rows: Tensor
        self.register_buffer("rows", torch.tensor([known.index(name) for name in wanted]))

    def forward(self, x: Float[Tensor, "n channel height width"]) -> Float[Tensor, "n classes"]:
        """Logits (n, len(names))."""
        large = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False)
        a = self.b5(self.b4(self.b3(self.b2(self.normalize(large)))))
        return a.mean((2, 3))[:, self.rows]
