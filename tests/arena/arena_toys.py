"""Small networks and images for the arena's tests."""

from functools import cache

import torch
from torch import Tensor, nn

from robustxai.data.scenes import menagerie
from robustxai.explainers.base import Explainer

EPS = 4 / 255


def images(n: int, size: int = 16, seed: int = 0) -> Tensor:
    """Smooth random images of 8-bit values away from 0 and 1."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, size // 4, size // 4, generator=g)
    x = nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    return (255 * (0.2 + 0.6 * x)).round() / 255


def seeded(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network with weights of its own kind and these numbers, frozen, in eval mode."""
    g = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        spread = 1 / max(1, p[0].numel()) ** 0.5 if p.ndim > 1 else 0.1
        p.data.copy_(torch.randn(p.shape, generator=g) * 1.5 * spread)
        p.requires_grad_(False)
    return net.eval()


def linear(classes: int = 3, size: int = 16) -> nn.Module:
    """One linear map."""
    return seeded(nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes)))


class Convolved(nn.Module):
    """Two ReLU convolutions `features`, then the mean and a linear head, or a convolutional head."""

    def __init__(self, classes: int = 3, head: str = "linear"):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(12, classes) if head == "linear" else None
        self.last = nn.Conv2d(12, classes, 1) if head == "conv" else None
        self.gap_layer = "features"

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        a = self.features(2 * x - 1)
        if self.head is not None:
            return self.head(a.mean((2, 3)))
        assert self.last is not None
        return self.last(a).relu().mean((2, 3))


@cache
def convolved(head: str = "linear") -> Convolved:
    """The small convolutional network with frozen weights."""
    net = Convolved(head=head)
    seeded(net, 3)
    return net


class Detached(Explainer):
    """An explainer that claims a derivative and cuts its graph: the mistake that looks like robustness."""

    def __init__(self, inner: Explainer):
        self.inner, self.model = inner, inner.model

    def on(self, model: nn.Module) -> "Detached":
        """The same mistake on another network."""
        return Detached(self.inner.on(model))

    def attribute(self, x: Tensor, target: object = None) -> Tensor:
        """The map without its graph."""
        return self.inner(x, target).detach()


def scenes(n: int, seed: int = 7001) -> Tensor:
    """Rendered animals of 56 pixels, of a stream that no experiment uses."""
    return menagerie(n, size=56, classes="animals4", generator=torch.Generator().manual_seed(seed)).images
