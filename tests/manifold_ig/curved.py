"""Decoders, encoders and classifiers with known answers, shared by the tests of this chapter."""

import torch
from torch import Tensor, nn


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def polar(z: Tensor) -> Tensor:
    """(r, angle) to the plane: geodesics are straight lines of the plane."""
    return torch.stack((z[:, 0] * z[:, 1].cos(), z[:, 0] * z[:, 1].sin()), 1)


def sphere(z: Tensor) -> Tensor:
    """(latitude, longitude) to the unit sphere: geodesics are great circles."""
    up = z[:, 0].cos()
    return torch.stack((up * z[:, 1].cos(), up * z[:, 1].sin(), z[:, 0].sin()), 1)


def blob(z: Tensor, side: int = 12) -> Tensor:
    """(x, y, log size, brightness) to an image (n, 1, side, side): a soft spot on black."""
    axis = torch.linspace(-1, 1, side, dtype=z.dtype)
    x, y, size = z[:, 0, None, None], z[:, 1, None, None], z[:, 2, None, None].exp() * 0.3
    square = (axis[None, None, :] - x).square() + (axis[None, :, None] - y).square()
    return (z[:, 3, None, None].sigmoid() * torch.exp(-square / (2 * size.square())))[:, None]


def blob_pairs(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    spread = torch.tensor([0.6, 0.6, 0.3, 1.0])
    g = generator(seed)
    return torch.randn(n, 4, generator=g) * spread, torch.randn(n, 4, generator=g) * spread


def module(seed: int, make) -> nn.Module:
    """make() with weights drawn from `seed`, in eval mode; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


class Net(nn.Module):
    """A smooth decoder with batch norm: codes (n, 6) to images (n, 3, 8, 8) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 48), nn.BatchNorm1d(48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 192)
        )
        with torch.no_grad():
            for layer in self.body:
                if isinstance(layer, nn.Linear):
                    layer.weight.mul_(2.5)

    def forward(self, z: Tensor) -> Tensor:
        return self.body(z).sigmoid().unflatten(1, (3, 8, 8))


class Encoder(nn.Module):
    """Images (n, 3, 8, 8) to codes (n, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.SiLU(), nn.Linear(32, 6))

    def forward(self, x: Tensor) -> Tensor:
        return 12 * self.body(x)


class Classifier(nn.Module):
    """A smooth convolutional classifier of images (n, 3, 8, 8): 4 classes."""

    def __init__(self, scale: float = 8.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.SiLU())
        self.head = nn.Sequential(nn.Conv2d(12, 12, 3, 2, 1), nn.SiLU(), nn.Flatten(), nn.Linear(192, 4))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.head(self.body(x))
