"""Several MLPs as one network: each answers its own rows, and comes out as it went in."""

import pytest
import torch

from robustxai.nets import MLP
from robustxai.nets.mlp_stack import MLPStack
from robustxai.nets.softplus import has_kinks, softplus_copy
from robustxai.nets.zoo import make


def networks(count: int, **options) -> list[MLP]:
    """MLPs of five inputs and three classes with weights of their own."""
    return [MLP(5, 3, generator=torch.Generator().manual_seed(i), **options).eval() for i in range(count)]


@pytest.mark.parametrize("options", [{}, {"softplus": 0.5}, {"widths": (7,)}])
def test_every_network_answers_its_own_rows(options):
    alone = networks(3, **options)
    stack, x = MLPStack.of(alone), torch.randn(4, 3, 5)
    found = stack(x.flatten(0, 1)).unflatten(0, (4, 3))
    for i, net in enumerate(alone):
        assert torch.allclose(found[:, i], net(x[:, i]), atol=1e-6)
    assert not torch.allclose(found[:, 0], alone[1](x[:, 0]), atol=1e-3), "the networks differ"


def test_joined_and_repeated_batches_keep_the_order():
    stack, x = MLPStack.of(networks(3)), torch.randn(6, 5)
    once = stack(x)
    assert torch.allclose(stack(torch.cat((x, x))), torch.cat((once, once)))
    assert torch.allclose(stack(x.repeat(4, 1)), once.repeat(4, 1))


def test_members_come_out_as_they_went_in():
    alone = networks(3, softplus=2.0)
    stack = MLPStack.of(alone)
    assert not stack.training and not stack.member(0).training
    for i, net in enumerate(alone):
        member = stack.member(i)
        assert member.arguments == net.arguments
        assert all(torch.equal(v, net.state_dict()[key]) for key, v in member.state_dict().items())
    x = torch.randn(2, 5)
    pair = stack.some([2, 0])
    assert torch.allclose(pair(x), torch.cat((alone[2](x[:1]), alone[0](x[1:]))), atol=1e-6)


def test_a_manifest_rebuilds_it_and_softplus_takes_the_place_of_its_relus():
    stack = MLPStack.of(networks(2))
    again = make("robustxai.nets.mlp_stack.MLPStack", stack.arguments)
    again.load_state_dict(stack.state_dict())
    x = torch.randn(4, 5)
    assert torch.equal(again(x), stack(x)) and has_kinks(stack)
    smooth = softplus_copy(stack, 0.5)
    assert isinstance(smooth, MLPStack) and not has_kinks(smooth) and not torch.equal(smooth(x), stack(x))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: MLPStack.of(networks(3))(torch.zeros(7, 5)), "x must have a multiple of 3 rows"),
        (lambda: MLPStack.of([]), "networks must be one MLP or more"),
        (lambda: MLPStack.of([*networks(1), MLP(4)]), "all with the same arguments"),
        (lambda: MLPStack.of([torch.nn.Linear(5, 3)]), "networks must be one MLP or more"),
        (lambda: MLPStack(0, 5), "count must be an integer >= 1, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
