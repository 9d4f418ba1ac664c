"""The small networks: shapes, layers as described, seeds, rebuilding, second derivatives, bad arguments."""

import pytest
import torch
from helpers import same
from torch import nn

from robustxai.nets import MLP, ResNet9, SmallConvNet
from robustxai.nets.recipes import Net, publish
from robustxai.nets.zoo import make, pretrained

CASES = {
    "MLP": (MLP, dict(inputs=7, classes=3), (7,)),
    "SmallConvNet": (SmallConvNet, dict(classes=4, in_channels=2, size=9), (2, 9, 9)),
    "ResNet9": (ResNet9, dict(classes=5, widths=(4, 6, 8, 10)), (3, 32, 32)),
}


def build(name: str, **more) -> nn.Module:
    kind, arguments, _ = CASES[name]
    return kind(**arguments, **more, generator=torch.Generator().manual_seed(1)).eval()


@pytest.mark.parametrize("name", CASES)
def test_the_generator_decides_the_weights_and_arguments_rebuild_the_network(name, tmp_path):
    state = torch.get_rng_state()
    net, again = build(name, softplus=0.5), build(name, softplus=0.5)
    assert same(net, again) and torch.equal(torch.get_rng_state(), state)
    kind, _, shape = CASES[name]
    other = make(f"{kind.__module__}.{kind.__name__}", net.arguments)
    other.load_state_dict(net.state_dict())
    x = torch.rand(3, *shape)
    assert torch.equal(other.eval()(x), net(x)) and net(x).shape == (3, net.arguments["classes"])
    publish([Net("a", net, "none", dtype="fp32")], file="a.safetensors", out=tmp_path, command="", seed=0)
    assert torch.equal(pretrained("a", weights_dir=tmp_path)(x), net(x))


@pytest.mark.parametrize("name", CASES)
def test_activations_are_modules_of_one_kind(name):
    relu, soft = (list(build(name, softplus=beta).modules()) for beta in (None, 2))
    counts = [sum(isinstance(m, kind) for m in net) for net, kind in ((relu, nn.ReLU), (soft, nn.Softplus))]
    assert counts[0] == counts[1] == {"MLP": 2, "SmallConvNet": 3, "ResNet9": 8}[name]
    assert not any(isinstance(m, nn.ReLU) for m in soft)
    with pytest.raises(ValueError, match=r"^softplus must be None \(ReLU\) or a number above 0; got 0$"):
        build(name, softplus=0)


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_reach_the_weights(name):
    net = build(name, softplus=1).double()
    x = torch.rand(2, *CASES[name][2], dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    g.square().sum().backward()
    assert all(p.grad is not None for name, p in net.named_parameters() if name.endswith("weight"))


@pytest.mark.parametrize("name", ["MLP", "SmallConvNet"])
def test_initial_weights_are_spread_as_torchs_own(name):
    net = CASES[name][0](**{**CASES[name][1], "widths": (64, 64)}, generator=torch.Generator().manual_seed(0))
    large = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.weight.numel() > 2000]
    assert large
    for layer in large:
        drawn = layer.weight.std().item(), layer.bias.abs().max().item()
        layer.reset_parameters()
        assert drawn[0] == pytest.approx(layer.weight.std().item(), rel=0.08)
        assert 0 < drawn[1] <= layer.weight[0].numel() ** -0.5


def test_mlp_is_the_formula():
    net = build("MLP")
    (first, _, second, _, third), x = net.layers, torch.rand(4, 7)
    torch.testing.assert_close(third(second(first(x).relu()).relu()), net(x))
    assert [first.out_features, second.out_features] == [32, 16]


def test_small_conv_net_has_the_described_sizes():
    convolutions = [m for m in SmallConvNet().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [tuple(m.weight.shape) for m in convolutions] == [
        (16, 1, 3, 3),
        (32, 16, 3, 3),
        (64, 512),
        (10, 64),
    ]


def test_resnet9_has_nine_layers_and_normalises():
    net = ResNet9()
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 9
    assert sum(p.numel() for p in net.parameters()) == 6_573_130
    wide = build("ResNet9", mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    plain = build("ResNet9", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(wide(x), plain(x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(0), r"^inputs, widths and classes must be 1 or more; got \(0, 32, 16, 2\)$"),
        (lambda: SmallConvNet(widths=(4,)), r"^widths must be 2 numbers, one a convolution; got \(4,\)$"),
        (
            lambda: ResNet9(widths=(4, 4)),
            r"^widths must be 4 numbers, mean and std one a channel; got 2, 3, 3$",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
