"""Rows that know nothing of the network: what any explainer has to beat, always printed beside them.

Maps of the place alone (constant, blob, fixed random), of chance (fresh random), of the image alone (edge, brightness).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustxai.arena.registry import explainer
from robustxai.checks import check_images
from robustxai.explainers.base import Explainer

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
NO_IMAGE = "The map does not read the image."


class Trivial(Explainer):
    """A map that is made without the network: a subclass writes `drawn`, from images (n, C, H, W) to (n, 1, H, W)."""

    def __init__(self, model: nn.Module):
        self.model = model

    def drawn(self, x: Tensor) -> Tensor:
        """The maps of images that are checked."""
        raise NotImplementedError

    def attribute(self, x: Tensor, target: Any = None) -> Tensor:
        """The map (n, 1, H, W), of any target. ValueError for what are no images."""
        check_images("x", x, low=None, high=None)
        return self.drawn(x)


class _Placed(Trivial):
    """A map of the place alone: a subclass writes `at`, from a size and a kind of tensor to one map."""

    differentiable = False

    def at(self, like: Tensor) -> Tensor:
        raise NotImplementedError

    def drawn(self, x: Tensor) -> Tensor:
        return self.at(x[0, 0]).to(x).expand(len(x), 1, *x.shape[2:]).clone()


def _no_image(explain: Explainer) -> str | None:
    return NO_IMAGE


@explainer("constant", family="trivial", cost=0, proof=_no_image)
class Constant(_Placed):
    """1 everywhere.

    >>> Constant(nn.Flatten())(torch.rand(1, 3, 1, 2))
    tensor([[[[1., 1.]]]])
    """

    def at(self, like: Tensor) -> Tensor:
        return torch.ones_like(like)


@explainer("centre blob", family="trivial", cost=0, proof=_no_image)
class CentreBlob(_Placed):
    """exp(-4 r^2), r = 1 at the middle of each side: where a photographer puts the object.

    >>> CentreBlob(nn.Flatten())(torch.rand(1, 3, 1, 3)).round(decimals=3)
    tensor([[[[0.1690, 1.0000, 0.1690]]]])
    """

    def at(self, like: Tensor) -> Tensor:
        rows, columns = ((2 * torch.arange(s, device="cpu") + 1 - s) / s for s in like.shape)
        return torch.exp(-4 * (rows[:, None].square() + columns.square()))


@explainer("fixed random", family="trivial", cost=0, proof=_no_image)
class FixedRandom(_Placed):
    """Uniform numbers, the same for every image.

    >>> explain = FixedRandom(nn.Flatten())
    >>> bool((explain(torch.rand(1, 3, 4, 4)) == explain(torch.rand(1, 3, 4, 4))).all())
    True
    """

    def at(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=torch.Generator().manual_seed(0), device="cpu")


@explainer("fresh random", family="trivial", cost=0)
class FreshRandom(Trivial):
    """Uniform numbers, others at every call.

    >>> explain, x = FreshRandom(nn.Flatten()), torch.rand(1, 3, 4, 4)
    >>> bool((explain(x) == explain(x)).any())
    False
    """

    differentiable = False

    def __init__(self, model: nn.Module):
        super().__init__(model)
        self.generator = torch.Generator().manual_seed(0)

    def drawn(self, x: Tensor) -> Tensor:
        return torch.rand(
            (len(x), 1, *x.shape[2:]), generator=self.generator, device=self.generator.device
        ).to(x)


@explainer("edge", family="trivial", cost=0)
class Edge(Trivial):
    """The length of the Sobel gradient of the mean over channels, borders repeated.

    >>> Edge(nn.Flatten())(torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])).round(decimals=3)
    tensor([[[[0.0010, 4.0000, 4.0000, 0.0010]]]])
    """

    def drawn(self, x: Tensor) -> Tensor:
        kernel = x.new_tensor(SOBEL)
        grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        slopes = F.conv2d(grey, torch.stack((kernel, kernel.T))[:, None])
        return (
            slopes.square().sum(1, keepdim=True) + 1e-6
        ).sqrt()  # has a derivative where the image is flat


@explainer("brightness", family="trivial", cost=0)
class Brightness(Trivial):
    """The sum of the channels' absolute values.

    >>> Brightness(nn.Flatten())(torch.full((1, 3, 1, 1), 0.5))
    tensor([[[[1.5000]]]])
    """

    def drawn(self, x: Tensor) -> Tensor:
        return x.abs().sum(1, keepdim=True)
