"""A tiny task and a tiny network, shared by the tests of `robustxai.nets`."""

import torch
from torch import Tensor

from robustxai.nets import CompactResNet


def data(count: int = 96) -> tuple[Tensor, Tensor]:
    """Noise images of 16 pixels whose red level tells the class, 3 classes."""
    generator = torch.Generator().manual_seed(7)
    y = torch.randint(0, 3, (count,), generator=generator)
    x = torch.rand(count, 3, 16, 16, generator=generator) * 0.3
    x[:, 0] += y[:, None, None] * 0.3
    return x, y


def tiny(seed: int = 1, classes: int = 3) -> CompactResNet:
    return CompactResNet(classes, widths=(4, 4, 8, 8), generator=torch.Generator().manual_seed(seed))


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)
