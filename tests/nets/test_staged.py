"""The two networks with named blocks: sizes, rebuilding, the blocks' places, learning, bad arguments."""

import pytest
import torch
from helpers import data, same

from robustxai.nets import MiniInception, PlainConvNet, fit
from robustxai.nets.zoo import make

KINDS = (PlainConvNet, MiniInception)
SMALL = dict(widths=(4, 8, 8, 16, 16))


def build(kind, classes=3, **more):
    return kind(classes, **more, generator=torch.Generator().manual_seed(1)).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_and_blocks(kind):
    net = build(kind, 11)
    assert 100_000 < sum(p.numel() for p in net.parameters()) < 300_000
    x = torch.rand(2, 3, 64, 64)
    assert net(x).shape == (2, 11) and [n for n, _ in net.named_children()][1:6] == [
        f"b{i}" for i in range(1, 6)
    ]
    a = net.normalize(x)
    sides = []
    for i in range(1, 6):
        a = net.get_submodule(f"b{i}")(a)
        sides.append(a.shape[-1])
        assert (a >= 0).all()
    assert sides[:2] == [32, 16] and sides[3:] == [8, 4]
    torch.testing.assert_close(net.head(a.mean((2, 3))), net(x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_decides_the_weights_and_arguments_rebuild_the_network(kind):
    state = torch.get_rng_state()
    net = build(kind, **SMALL)
    assert same(net, build(kind, **SMALL)) and torch.equal(state, torch.get_rng_state())
    again = make(f"{kind.__module__}.{kind.__name__}", net.arguments)
    again.load_state_dict(net.state_dict())
    x = torch.rand(4, 3, 32, 32)
    assert torch.equal(again.eval()(x), net(x)) and again.arguments == net.arguments


@pytest.mark.parametrize("kind", KINDS)
def test_they_learn(kind):
    x, y = data()
    net = build(kind, **SMALL)
    fit(net, x, y, epochs=12, lr=1e-2, batch_size=32, seed=0)
    assert (net.eval()(x).argmax(1) == y).float().mean() > 0.8


@pytest.mark.parametrize("arguments", [dict(widths=(8, 8)), dict(widths=(8, 8, 8, 8, 0)), dict(classes=0)])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_arguments(kind, arguments):
    with pytest.raises(ValueError, match="widths must be 5 numbers"):
        kind(**(dict(classes=3) | arguments))
    with pytest.raises(ValueError, match="multiples of 8"):
        MiniInception(3, widths=(4, 4, 9, 8, 8))
