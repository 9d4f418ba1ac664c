"""The three small architectures of a study: sizes, smoothness, rebuilding, learning, bad arguments."""

import pytest
import torch
from helpers import data, same
from torch import nn

from robustxai.nets import CompactInception, CompactResNet, CompactVGG, fit
from robustxai.nets.activations import activation
from robustxai.nets.zoo import make

KINDS = (CompactResNet, CompactVGG, CompactInception)
SMALL = {
    CompactResNet: dict(widths=(4, 4, 8, 8)),
    CompactVGG: dict(widths=(4, 8), hidden=8),
    CompactInception: dict(widths=(4, 8, 16)),
}


def build(kind, classes=3, seed=1, **more):
    return kind(classes, **more, generator=torch.Generator().manual_seed(seed)).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind):
    net = build(kind, 8, activation="silu")
    assert 100_000 < sum(p.numel() for p in net.parameters()) < 250_000
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 8)
    assert not any(isinstance(m, nn.ReLU | nn.MaxPool2d) for m in net.modules())
    assert any(isinstance(m, nn.ReLU) for m in build(kind, 8).modules())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", ["relu", "silu", 5.0])
def test_the_generator_decides_the_weights_and_arguments_rebuild_the_network(kind, act):
    state = torch.get_rng_state()
    net = build(kind, **SMALL[kind], activation=act)
    assert same(net, build(kind, **SMALL[kind], activation=act))
    assert not same(net, build(kind, **SMALL[kind], activation=act, seed=2))
    assert torch.equal(state, torch.get_rng_state())
    again = make(f"{kind.__module__}.{kind.__name__}", net.arguments)
    again.load_state_dict(net.state_dict())
    x = torch.rand(4, 3, 32, 32)
    assert torch.equal(again.eval()(x), net(x)) and again.arguments == net.arguments
    torch.testing.assert_close(net(x[1:2])[0], net(x)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_only_smooth_networks_have_a_curvature(kind):
    """The Hessian of a logit in a random direction: 0 for ReLU, not for SiLU, where differences agree."""
    x, u = torch.rand(2, 1, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def curvature(net):
        v = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(net(v)[0, 1], v, create_graph=True)
        (h,) = torch.autograd.grad((g * u).sum(), v)
        return float((h * u).sum())

    assert curvature(build(kind, **SMALL[kind]).double()) == 0
    net, h = build(kind, **SMALL[kind], activation="silu").double(), 1e-3
    with torch.no_grad():
        differences = float((net(x + h * u) - 2 * net(x) + net(x - h * u))[0, 1]) / h**2
    assert abs(differences) > 1e-4 and curvature(net) == pytest.approx(differences, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_they_learn(kind):
    x, y = data()
    net = build(kind, **SMALL[kind], activation="silu")
    fit(net, x, y, epochs=12, lr=1e-2, batch_size=32, seed=0)
    assert (net.eval()(x).argmax(1) == y).float().mean() > 0.8


def test_normalisation_is_inside():
    plain = build(CompactVGG, **SMALL[CompactVGG], mean=(0.0,) * 3, std=(1.0,) * 3)
    moved = build(CompactVGG, **SMALL[CompactVGG], mean=(0.1, 0.2, 0.3), std=(0.5,) * 3)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(moved(x), plain((x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / 0.5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: CompactVGG(3, widths=()),
            r"^widths, hidden and classes must be 1 or more; got \(\), 64, 3$",
        ),
        (lambda: CompactVGG(3, mean=(0.5,)), r"^mean and std must be one number a channel; got 1 and 3$"),
        (lambda: CompactInception(3, widths=(8, 12)), r"^widths must be 2 numbers or more, multiples of 8"),
        (
            lambda: CompactInception(3, activation="tanh"),
            r"^activation must be relu, silu or a number above 0",
        ),
        (lambda: activation(-1), r"^softplus must be None \(ReLU\) or a number above 0; got -1$"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
