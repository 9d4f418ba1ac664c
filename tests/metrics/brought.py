"""Networks and images that the tests of doors share: a small convolutional network, and wrapped logits."""

import torch
from torch import nn


def convnet(classes: int = 3, norm: nn.Module | None = None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = nn.Conv2d(3, 8, 3)
        return nn.Sequential(
            first,
            norm or nn.Identity(),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
        ).eval()


class Returns(nn.Module):
    """A network whose logits come wrapped."""

    def __init__(self, net, wrap):
        super().__init__()
        self.net, self.wrap = net, wrap

    def forward(self, x):
        return self.wrap(self.net(x))


X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
