"""What fooling costs the attacker: a SHAM step against a plain training step of the same network.

The reference of every ratio is the plain cross-entropy step, so 1.15 says 15% more time.
"""

import pytest
import torch
from torch import nn

from robustxai.diffgradcam import ShamLoss, sham_target
from robustxai.nets import CompactResNet, cross_entropy

CHAPTER = "diffgradcam"
GROUP = "one training step, CompactResNet, 56 px, batch 64"


class DeepHead(CompactResNet):
    """The same network with two linear layers: the map has no closed form, its gradient is a double backprop."""

    def __init__(self, classes: int, **options):
        super().__init__(classes, **options)
        self.hidden = nn.Linear(self.head.in_features, self.head.in_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(self.features(x).mean((2, 3))).relu())


def step(kind: type[CompactResNet], loss):
    """A function that makes one SGD step on a fixed batch."""
    generator = torch.Generator().manual_seed(0)
    model = kind(10, generator=generator).train().to(memory_format=torch.channels_last)
    x = torch.rand(64, 3, 56, 56, generator=generator).contiguous(memory_format=torch.channels_last)
    y = torch.arange(64) % 10
    rule = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

    def run():
        loss(model, x, y).backward()
        rule.step()
        rule.zero_grad()

    return run


CASES = {
    "SHAM, closed form": (CompactResNet, {}, "1.15 or less"),
    "SHAM on DiffGradCAM (adaptive), closed form": (CompactResNet, {"scores": ("lse",)}, None),
    "SHAM on all 10 classes, closed form": (CompactResNet, {"classes": "all"}, None),
    "SHAM, head of two layers (double backprop)": (DeepHead, {}, None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.benchmark(group=GROUP)
def test_sham_step(name, against):
    kind, options, target = CASES[name]
    sham = ShamLoss(sham_target(7, 7), **options)
    against(step(kind, sham), step(kind, cross_entropy), rounds=25,
            name=f"{name} / cross-entropy step", target=target)  # fmt: skip
