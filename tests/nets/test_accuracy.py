"""Accuracy of a network: nan where nothing can be said, one logit, whatever a network returns, the modes put back."""

import math

import pytest
import torch
from torch import nn

from robustxai.nets import accuracy_of

pytestmark = pytest.mark.usefixtures("as_shipped")


class Returns(nn.Module):
    """The input as logits, wrapped."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap, self.norm = wrap, nn.BatchNorm1d(3)

    def forward(self, x):
        return self.wrap(x)


Z, Y = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [5.0, 0.0, 1.0]]), torch.tensor([0, 1, 1])


@pytest.mark.parametrize("wrap", [lambda z: z, lambda z: {"logits": z}, lambda z: (z, z.sum())])
def test_whatever_a_network_returns(wrap):
    assert accuracy_of(Returns(wrap), Z, Y, batch_size=2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("wrap", [lambda z: z[:, :1], lambda z: z[:, 0]])
def test_a_single_logit_is_two_classes(wrap):
    assert accuracy_of(Returns(wrap), torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 0])) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_have_no_accuracy(bad):
    z = Z.clone()
    z[2, 1] = bad
    assert math.isnan(accuracy_of(Returns(lambda v: v), z, Y, batch_size=2))


@pytest.mark.parametrize("y", [Y.double(), Y[:, None], Y + 2, Y - 1, None], ids=repr)
def test_what_is_no_class_a_sample_has_no_accuracy(y):
    assert math.isnan(accuracy_of(Returns(lambda v: v), Z, y))


def test_nothing_has_no_accuracy():
    assert math.isnan(accuracy_of(Returns(lambda v: v), Z[:0], Y[:0]))


def test_lengths_and_counts_are_checked():
    with pytest.raises(ValueError, match=r"^y must have one entry for each of the 3 of x, got 1"):
        accuracy_of(Returns(lambda v: v), Z, Y[:1])
    with pytest.raises(ValueError, match=r"^batch_size must be an integer >= 1, got 0"):
        accuracy_of(Returns(lambda v: v), Z, Y, batch_size=0)
    with pytest.raises(ValueError, match=r"^model must return logits \(n, classes\), got"):
        accuracy_of(Returns(lambda v: v[:, :, None]), Z, Y)


def test_the_modes_are_put_back_and_statistics_stay_also_after_an_error():
    net = Returns(lambda v: 1 / 0).train()
    net.norm.eval()
    with pytest.raises(ZeroDivisionError):
        accuracy_of(net, Z, Y)
    assert net.training and not net.norm.training
    norm = nn.BatchNorm1d(3).train()
    accuracy_of(norm, Z, Y)
    assert norm.training and norm.running_mean.eq(0).all()
