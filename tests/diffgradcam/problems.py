"""Tiny networks shared by the tests of this chapter: every kind of head that the library meets."""

import torch
from torch import nn


class TinyGAP(nn.Module):
    """Two convolutions, batch norm, average pooling, a linear head: 8 x 8 maps of 6 channels at 16 px."""

    gap_layer = "features"

    def __init__(self, classes: int = 5, seed: int = 0):
        super().__init__()
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(6, classes)
        torch.random.set_rng_state(generator_state)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class TinyMLP(TinyGAP):
    """The same features under two linear layers and a ReLU: no closed form."""

    def __init__(self, classes: int = 5, seed: int = 0):
        super().__init__(classes, seed)
        self.hidden = nn.Linear(6, 7)
        self.head = nn.Linear(7, classes)

    def forward(self, x):
        return self.head(self.hidden(self.features(x).mean((2, 3))).relu())


class TinyFlat(TinyGAP):
    """A linear head on the flattened 8 x 8 map: the gradient depends on the place."""

    def __init__(self, classes: int = 5, seed: int = 0):
        super().__init__(classes, seed)
        self.head = nn.Linear(6 * 64, classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class TinyConvHead(TinyGAP):
    """1 x 1 convolution, ReLU in place, pooling, as in SqueezeNet: not the closed form of GAP + linear."""

    def __init__(self, classes: int = 5, seed: int = 0):
        super().__init__(classes, seed)
        self.head = nn.Sequential(nn.Conv2d(6, classes, 1), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.head(self.features(x)).mean((2, 3))


HEADS = [TinyGAP, TinyMLP, TinyFlat, TinyConvHead]


def images(n: int = 4, size: int = 16, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)).to(dtype)


CLASSES, TINY = 4, {"widths": (6, 8, 12, 12), "stem_stride": 1}


def squares(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images (n, 3, 28, 28) of a square in grey noise; its colour, the class (n,); its quadrant (n,), 0 to 3."""
    g = torch.Generator().manual_seed(seed)
    x = 0.4 + 0.2 * torch.rand(n, 3, 28, 28, generator=g)
    y, quadrant = (torch.randint(4, (n,), generator=g) for _ in range(2))
    colours = torch.tensor([[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [0.1, 0.1, 1.0], [0.9, 0.9, 0.1]])
    for image, label, q in zip(x, y.tolist(), quadrant.tolist(), strict=True):
        row, column = 3 + 14 * (q // 2), 3 + 14 * (q % 2)
        image[:, row : row + 8, column : column + 8] = colours[label][:, None, None]
    return x, y, quadrant
