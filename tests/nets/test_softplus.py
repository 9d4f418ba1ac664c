"""Softplus copies: every way in which a network can call a ReLU, kinks that remain, hooks, modules used twice."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustxai.nets.softplus import SmoothReLU, SmoothReLU6, has_kinks, set_beta, softplus_copy


def helper(x):
    return F.relu(x)


class Functional(nn.Module):
    """A network whose ReLU is a function, called as `how`."""

    def __init__(self, how: str):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.how = nn.Linear(4, 6), nn.Linear(6, 2), how

    def forward(self, x):
        h = self.first(x)
        if self.how == "F.relu":
            h = F.relu(h)
        elif self.how == "torch.relu":
            h = torch.relu(h)
        elif self.how == "method":
            h = h.relu()
        elif self.how == "F.relu in place":
            F.relu(h, inplace=True)
        elif self.how == "method in place":
            h.relu_()
        elif self.how == "helper":
            h = helper(h)
        elif self.how == "F.relu6":
            h = F.relu6(h)
        return self.last(h) if float(h.detach().sum()) < 1e9 else h  # torch.fx cannot trace this branch


class Held(nn.Module):
    """A network that holds the function as an attribute."""

    def __init__(self):
        super().__init__()
        self.first, self.activation = nn.Linear(4, 2), F.relu

    def forward(self, x):
        return self.activation(self.first(x))


class Named(nn.Module):
    """A module called relu that is none."""

    def __init__(self):
        super().__init__()
        self.relu = nn.Tanh()

    def forward(self, x):
        return self.relu(x)


def soft(u, beta):
    return F.softplus(u, beta)


@pytest.mark.parametrize(
    "how", ["F.relu", "torch.relu", "method", "F.relu in place", "method in place", "helper", "F.relu6"]
)
def test_functional_relus_are_replaced_also_where_nothing_can_be_traced(how):
    net, x = Functional(how).eval(), torch.randn(5, 4)
    before = net(x)
    copy = softplus_copy(net, 3)
    h = net.first(x)
    expected = net.last(soft(h, 3.0) - soft(h - 6, 3.0) if how == "F.relu6" else soft(h, 3.0))
    assert torch.equal(copy(x), expected) and torch.equal(net(x), before)
    assert torch.equal(deepcopy(copy)(x), expected), "a copy of the copy is smooth as well"
    assert type(copy).__name__ == "Functional" and isinstance(copy, Functional)
    assert copy.state_dict().keys() == net.state_dict().keys() and not has_kinks(copy)
    set_beta(copy, 1e6)
    torch.testing.assert_close(copy(x), before, atol=1e-4, rtol=0)
    v = x.clone().requires_grad_()
    set_beta(copy, 3)
    (g,) = torch.autograd.grad(copy(v).softmax(1)[:, 0].sum(), v, create_graph=True)
    assert torch.autograd.grad(g.square().sum(), v)[0].abs().sum() > 0, "it has second derivatives"


def test_an_activation_held_as_an_attribute_and_one_that_only_sounds_like_it():
    x = torch.randn(3, 4)
    net = Held()
    assert has_kinks(net) and torch.equal(softplus_copy(net, 2)(x), soft(net.first(x), 2.0))
    assert not has_kinks(Named())
    with pytest.raises(ValueError, match=r"^model holds no nn\.ReLU.*; Named has none of them$"):
        softplus_copy(Named())


def test_relu6_is_a_difference_of_two_softplus():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU6(), nn.Linear(4, 2), nn.ReLU(), nn.Sequential(nn.ReLU6()))
    copy = softplus_copy(net, 5)
    assert [type(copy[i]) for i in (1, 3)] == [SmoothReLU6, SmoothReLU] and type(copy[4][0]) is SmoothReLU6
    u = torch.linspace(-3, 9, 50)
    torch.testing.assert_close(copy[1](u), soft(u, 5.0) - soft(u - 6, 5.0))
    torch.testing.assert_close(SmoothReLU6(200)(u), F.relu6(u), atol=0.01, rtol=0)
    set_beta(copy, 7)
    assert copy[1].beta == copy[3].beta == copy[4][0].beta == 7


@pytest.mark.parametrize(
    ("other", "name"),
    [(nn.LeakyReLU(), "LeakyReLU"), (nn.Hardswish(), "Hardswish"), (nn.Hardtanh(), "Hardtanh")],
)
def test_kinks_that_remain_are_named(other, name):
    with pytest.warns(UserWarning, match=rf"^{name} keep their kinks in the softplus copy of Sequential"):
        copy = softplus_copy(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), other))
    assert type(copy[1]) is SmoothReLU
    assert not has_kinks(nn.Sequential(other)), "nothing to replace"
    with pytest.raises(ValueError, match=r"^model holds no nn\.ReLU"):
        softplus_copy(nn.Sequential(other))
    softplus_copy(
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    )  # warnings are errors here: max pooling is not counted


def test_a_module_in_two_places_stays_one_module_and_a_lone_relu_is_replaced():
    act = nn.ReLU()
    copy = softplus_copy(nn.Sequential(act, nn.Sequential(act), nn.ReLU()))
    assert copy[0] is copy[1][0] and copy[2] is not copy[0]
    assert type(softplus_copy(nn.ReLU())) is SmoothReLU


def test_a_copy_carries_no_hooks_but_those_that_make_weights():
    net, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    net[0].register_forward_hook(lambda *_: seen.append(1))
    net[1].register_forward_pre_hook(lambda *_: seen.append(1))
    net.register_full_backward_hook(lambda *_: seen.append(1))
    copy = softplus_copy(net)
    copy(torch.zeros(1, 2, requires_grad=True)).sum().backward()
    assert not seen and len(net[0]._forward_hooks) == 1
    normed = nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 2)), nn.ReLU()).eval()
    x = torch.randn(3, 2)
    torch.testing.assert_close(softplus_copy(normed, 1e5)(x), normed(x), atol=1e-4, rtol=1e-4)


def test_bad_input():
    net = nn.Sequential(nn.ReLU())
    for beta in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="beta must be a finite number > 0, got"):
            softplus_copy(net, beta)
        with pytest.raises(ValueError, match="beta must be a finite number > 0, got"):
            set_beta(softplus_copy(net), beta)
