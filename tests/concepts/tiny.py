"""Problems shared by the tests: a tiny network with random weights, images on the uint8 grid, drawn blobs."""

import torch
from torch import nn

from robustxai.nets import PlainConvNet

SIZE = 16


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def net(seed=0, classes=4):
    """A tiny network in eval mode whose batch norms have seen some data."""
    model = PlainConvNet(classes, widths=(4, 6, 8, 8, 8), generator=gen(seed))
    model.train()
    for _ in range(3):
        model(images(32, seed=seed + 50))
    return model.eval()


def images(n, seed=0, size=SIZE):
    """Random pictures with colour and noise, on the uint8 grid."""
    base = torch.rand(n, 3, 1, 1, generator=gen(seed))
    noise = 0.3 * torch.rand(n, 3, size, size, generator=gen(seed + 1))
    return ((base + noise).clamp(0, 1) * 255).round() / 255


def bars(n, seed=0, size=SIZE):
    """Pictures with vertical bars: a concept."""
    x = images(n, seed, size)
    x[..., ::4] = 1.0
    x[..., 1::4] = 1.0
    return x


def sets(count=4, n=12, seed=100):
    return [images(n, seed + 10 * i) for i in range(count)]


def fingerprint(model):
    """Everything an attack must leave as it is."""
    state = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    hooks = sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules())
    grads = [p.grad for p in model.parameters()]
    return state, modes, hooks, grads, [p.requires_grad for p in model.parameters()]


def unchanged(model, before):
    state, modes, hooks, grads, wants = fingerprint(model)
    assert all(torch.equal(state[k], before[0][k]) for k in state)
    assert (modes, hooks, wants) == (before[1], before[2], before[4])
    assert all(g is None for g in grads)


class Linear(nn.Module):
    """Flattens, then one linear layer behind an identity: logit = W x, so derivatives are known."""

    def __init__(self, weight):
        super().__init__()
        self.a = nn.Identity()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return self.a(x).flatten(1) @ self.weight.T
