"""Behind the first layer the integral is the same, and a network where it would not be is not entered there."""

import pytest
import torch
from curved import Classifier, generator, module
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18

from robustxai.explainers.first_layer import entered
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.path_integral import straight_integral
from robustxai.nets import (
    MLP,
    CompactInception,
    CompactResNet,
    CompactVGG,
    TorchvisionClassifier,
    folded,
)

NETS = {
    "CompactResNet": (lambda g: CompactResNet(5, generator=g), (16, 16, 16)),
    "CompactVGG": (lambda g: CompactVGG(5, generator=g), (16, 32, 32)),
    "CompactInception": (lambda g: CompactInception(5, generator=g), (16, 16, 16)),
    "ResNet-18": (lambda g: TorchvisionClassifier("resnet18", classes=5, generator=g), (64, 16, 16)),
    "MLP": (lambda g: MLP(12, 5, generator=g), (32,)),
}
RULES = ("midpoint", "left", "right", "trapezoid", "released", "gausslegendre")
TARGET = torch.tensor([0, 3, 2])


def ends(table=False, size=32, seed=0):
    shape = (3, 12) if table else (3, 3, size, size)
    return torch.rand(2, *shape, generator=generator(seed), dtype=torch.float64).unbind()


def largest(x):
    return float(x.abs().max())


@pytest.fixture(params=[False, True], ids=["as it is", "folded"])
def network(request, name):
    net = NETS[name][0](generator()).eval()
    for buffer, value in net.named_buffers():  # batch norms that do something
        if buffer.endswith("running_mean"):
            value.normal_(0, 0.1, generator=generator(1))
        if buffer.endswith("running_var"):
            value.uniform_(0.5, 2, generator=generator(2))
    return (folded(net) if request.param else net).double()


@pytest.mark.parametrize("name", NETS)
def test_the_integral_is_that_over_images(network, name):
    """`steady` asks for the gradient of each point, and takes the way over the images."""
    start, end = ends(name == "MLP")
    assert entered(network, start, end).end.shape == (3, *NETS[name][1])
    for rule in RULES if name != "ResNet-18" else RULES[:1]:
        for score in ("logit", "prob"):
            options = dict(n_steps=4, rule=rule, score=score)
            whole = straight_integral(network, start, end, TARGET, steady=True, **options)
            short = straight_integral(network, start, end, TARGET, **options)
            assert short.noise is None and whole.noise is not None
            for one, other in zip(short[:2], whole[:2], strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-10 * largest(other))
    assert short.values.stride() == end.stride()


@pytest.mark.parametrize("size", [1, 5, 8, 100])
def test_passes_of_any_size_and_no_larger_give_the_same(size):
    network, (start, end), seen = CompactResNet(5, generator=generator()).double().eval(), ends(), []
    expected = straight_integral(network, start, end, TARGET, n_steps=7, steady=True)
    handle = network.body[1].register_forward_hook(lambda module, x, y: seen.append(len(y)))
    found = straight_integral(network, start, end, TARGET, n_steps=7, batch_size=size)
    handle.remove()
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-10 * largest(expected.values))
    torch.testing.assert_close(found.scores, expected.scores)
    assert max(seen) <= max(size, 2), "two images are looked at to verify"


def test_maps_have_their_channels_last_where_the_network_accepts_that():
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 5))

    class Viewed(nn.Module):
        def forward(self, x):
            x = flat[1](flat[0](x))
            return flat[3](x.view(len(x), -1))

    flat, (start, end) = module(1, lambda: flat).double(), ends()
    found = [straight_integral(net, start, end, TARGET, n_steps=4).values for net in (flat, Viewed())]
    torch.testing.assert_close(found[0], found[1])
    for net, last in ((flat, True), (Viewed(), False)):
        inside = entered(net, start, end).end
        assert inside.shape == (3, 4, 30, 30)
        assert inside.is_contiguous(memory_format=torch.channels_last) == last


class Odd(nn.Module):
    """A classifier with something in front, behind or around its first layer; `kind` says what."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.dice = kind, generator(7)
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        kind, front = self.kind, x
        if kind == "nonlinear front":
            front = x.tanh()
        if kind == "quantised front":
            front = x + ((x * 16).round() / 16 - x).detach()
        if kind == "another type":
            front = x.float()
        if kind == "noise":
            front = x + 0.1 * torch.rand(x.shape, generator=self.dice, dtype=x.dtype)
        if kind == "functional":
            h = torch.einsum("nchw,dc->ndhw", x, self.first.weight[:, :, 0, 0])
        else:
            self.first.to(front.dtype)
            h = self.first(front)
        if kind == "skip":
            h = h + 0.01 * x
        if kind == "a look at the mean":
            h = h * x.mean((1, 2, 3), keepdim=True)
        if kind == "twice":
            h = self.first(h.relu())
        return self.second.to(h.dtype)(h.relu()).sigmoid().mean((2, 3)) * 9


ORDINARY = (
    "nonlinear front",
    "quantised front",
    "another type",
    "noise",
    "functional",
    "skip",
    "a look at the mean",
)


@pytest.mark.parametrize("kind", ORDINARY)
def test_a_network_that_is_not_the_same_behind_its_first_layer_is_asked_about_images(kind):
    network, (start, end) = module(3, lambda: Odd(kind)).double(), ends(size=8)
    path = entered(network, start, end)
    assert path.model is network and path.start is start and path.end is end
    if kind != "noise":
        values, whole = (
            straight_integral(network, start, end, TARGET, steady=s).values for s in (False, True)
        )
        assert torch.equal(values, whole) and largest(whole) > 0
    if kind == "nonlinear front":  # odd: on the way from -x to x the midpoint alone would say nothing
        assert entered(network, -end, end).model is network


def test_it_is_the_values_that_decide():
    start, end = ends(size=8)
    twice = module(3, lambda: Odd("twice")).double()
    assert entered(twice, start, end).end.shape == end.shape and entered(twice, start, end).model is not twice
    rectified = nn.Sequential(nn.ReLU(), module(3, lambda: Odd("plain"))).double().eval()
    assert entered(rectified, start, end).model is not rectified, "images have no negative numbers"
    assert entered(rectified, start - 0.5, end).model is rectified
    callable_ = lambda x: twice(x).softmax(1)  # noqa: E731
    assert entered(callable_, start, end).model is not callable_
    nothing = nn.Sequential(nn.Flatten(), nn.Softmax(1)).eval()
    assert entered(nothing, start, end).model is nothing
    assert not straight_integral(twice, end, end, TARGET).values.any()


def test_a_norm_is_passed_only_where_nothing_else_sees_what_is_before():
    class PreActivation(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.second = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            h = self.first(x)
            return (h + self.second(self.norm(h).relu())).mean((2, 3))

    net, (start, end) = module(2, PreActivation).double(), ends(size=8)
    with torch.no_grad():
        net.norm.running_mean.add_(0.3)
        torch.testing.assert_close(entered(net, start, end).end, net.first(end))
    plain = module(3, Classifier).double()
    torch.testing.assert_close(entered(plain, start, end).end, plain.body[:2](end).detach())
    for network in (net, plain):
        values, whole = (
            straight_integral(network, start, end, TARGET, steady=s).values for s in (False, True)
        )
        torch.testing.assert_close(values, whole, rtol=0, atol=1e-10 * largest(whole))


def test_an_attack_can_differentiate_the_attribution_twice():
    network, (start, end) = module(3, Classifier).double(), ends(size=8)
    weight = torch.randn(end.shape, generator=generator(6), dtype=torch.float64)

    def derivative(steady):
        a, b = start.clone().requires_grad_(), end.clone().requires_grad_()
        found = straight_integral(network, a, b, TARGET, n_steps=5, score="prob", steady=steady)
        return found.values.detach(), *torch.autograd.grad((found.values * weight).square().sum(), (a, b))

    for short, whole in zip(derivative(False), derivative(True), strict=True):
        torch.testing.assert_close(short, whole, rtol=0, atol=1e-10 * largest(whole))
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert not straight_integral(network, start, end, TARGET).values.requires_grad


def test_nothing_is_left_behind_when_a_network_fails():
    network, end = module(3, Classifier), ends(size=8)[1].float()
    expected = IntegratedGradients(network, n_steps=4)(end, TARGET)

    def failing(after):
        calls = []

        def hook(*_):
            calls.append(1)
            if len(calls) > after:
                raise KeyError("inside")

        return hook

    for after in range(6):  # while it is verified, and later
        handle = network.head[0].register_forward_pre_hook(failing(after))
        with pytest.raises(KeyError, match="inside"):
            IntegratedGradients(network, n_steps=4, batch_size=3)(end, TARGET)
        handle.remove()
        assert torch.equal(F.linear(end, torch.eye(8)), end), "no call is intercepted any more"
    assert torch.equal(IntegratedGradients(network, n_steps=4)(end, TARGET), expected)
    assert not any(vars(m).get("forward") for m in network.modules())


def test_hooks_fire_and_what_they_change_counts():
    network, (start, end), seen = module(3, Classifier).double(), ends(size=8), []
    norm, behind = network.body[1], network.body[2]
    handles = [
        norm.register_forward_hook(lambda module, x, y: y * 2 - 0.1),
        behind.register_forward_pre_hook(lambda module, x: seen.append(x[0].detach())),
    ]
    short = straight_integral(network, start, end, TARGET, n_steps=1).values
    assert any(len(x) == 3 and torch.allclose(x, network.body[:2]((start + end) / 2)) for x in seen)
    whole = straight_integral(network, start, end, TARGET, n_steps=1, steady=True).values
    torch.testing.assert_close(short, whole, rtol=0, atol=1e-10 * largest(whole))
    for handle in handles:
        handle.remove()
    plain = straight_integral(network, start, end, TARGET, n_steps=1).values
    assert largest(plain - whole) > 1e-3 * largest(whole)


def test_in_inference_mode_and_in_single_precision():
    network, (start, end) = CompactResNet(5, generator=generator()).eval(), ends()
    expected = straight_integral(network.double(), start, end, TARGET, n_steps=6, steady=True).values
    network.float()
    with torch.inference_mode():
        values = straight_integral(network, start.float(), end.float(), TARGET, n_steps=6).values
        assert entered(network, start.float(), end.float()).model is not network
    torch.testing.assert_close(values.double(), expected, rtol=0, atol=1e-4 * largest(expected))


def test_a_compiled_network_is_asked_about_images():
    network, (start, end) = module(3, Classifier).double(), ends(size=8)
    network._orig_mod = network.body  # what torch.compile leaves, without its seconds
    assert entered(network, start, end).model is network


@pytest.mark.parametrize("inside", [True, False])
def test_a_network_that_works_in_place_behind_its_first_layer(inside):
    """torchvision's own: conv, norm, ReLU(inplace=True)."""
    torch.manual_seed(0)
    model = resnet18(num_classes=3).eval()
    assert model.relu.inplace
    plain = resnet18(num_classes=3).eval()
    plain.load_state_dict(model.state_dict())
    for part in plain.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    x = torch.rand(2, 3, 32, 32, generator=generator(0))
    target = torch.tensor([0, 2])
    if inside:
        assert not torch.equal(entered(model, torch.zeros_like(x), x).start, torch.zeros_like(x))
    with torch.set_grad_enabled(inside):
        found = IntegratedGradients(model, n_steps=6).attribute(x, target)
    torch.testing.assert_close(
        found, IntegratedGradients(plain, n_steps=6).attribute(x, target), rtol=1e-4, atol=1e-6
    )
