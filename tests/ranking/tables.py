"""Tiny networks and inputs shared by the tests of this chapter; none is trained."""

import torch
from torch import Tensor, nn


def seeded(build, seed: int = 0) -> nn.Module:
    """A module in eval mode whose weights depend on the seed only; torch's global state is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval()


def mlp(
    d: int = 12, classes: int = 2, *, activation=nn.ReLU, seed: int = 0, double: bool = True
) -> nn.Module:
    """d-16-8-classes with weights large enough to bend: a random but not a flat function."""
    net = seeded(
        lambda: nn.Sequential(
            nn.Linear(d, 16), activation(), nn.Linear(16, 8), activation(), nn.Linear(8, classes)
        ),
        seed,
    )
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2.0)
    return net.double() if double else net


def cnn(classes: int = 3, seed: int = 0) -> nn.Module:
    """Images (n, 2, 6, 6) to logits, with batch norm."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Flatten(),
            nn.Linear(180, classes),
        ).double(),
        seed,
    )  # fmt: skip


def rows(n: int = 20, d: int = 12, seed: int = 0, dtype=torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def images(n: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(n, 2, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def state(model: nn.Module) -> list:
    """What an explainer or attack must leave as found: weights, gradients, modes, hooks."""
    weights = [(p.detach().clone(), None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    buffers = [b.clone() for b in model.buffers()]
    return [
        weights,
        buffers,
        [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in model.modules()],
    ]


def same_state(a: list, b: list) -> bool:
    """Whether two results of `state` agree to the bit."""
    weights = all(
        torch.equal(p, q) and ((g is None) == (h is None)) and (g is None or torch.equal(g, h))
        for (p, g), (q, h) in zip(a[0], b[0], strict=True)
    )
    return weights and all(torch.equal(p, q) for p, q in zip(a[1], b[1], strict=True)) and a[2] == b[2]
