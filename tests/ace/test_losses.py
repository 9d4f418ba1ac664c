"""Losses and distances: values by hand, gradients against autograd, per-sample sums."""

import pytest
import torch
from toys import images

from robustxai.ace import class_loss, distance, distance_gradient, distance_weight, target_probability


def test_one_logit_is_two():
    z = torch.tensor([[1.5], [-0.5]])
    two = torch.cat((torch.zeros_like(z), z), 1)
    t = torch.tensor([0, 1])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], t.float(), reduction="none")
    torch.testing.assert_close(class_loss(z, t), expected)
    torch.testing.assert_close(class_loss(two, t), expected)
    torch.testing.assert_close(target_probability(z, t), (-expected).exp())
    assert class_loss(z, t, "margin").tolist() == [3.0, 1.0]
    assert class_loss(z, 1 - t, "margin").tolist() == [0.0, 0.0]


def test_margin_of_several_classes():
    z = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert class_loss(z, torch.tensor([2, 1]), "margin").tolist() == [2.0, 0.0]
    assert z.tolist() == [[1.0, 4.0, 2.0]] * 2  # not overwritten


def test_distances_by_hand():
    x = torch.zeros(2, 1, 1, 2)
    y = torch.tensor([[[[3.0, -4.0]]], [[[0.0, 1.0]]]])
    assert distance(x, y, "l1").tolist() == [7.0, 1.0]
    assert distance(x, y, "l2").tolist() == [5.0, 1.0]
    assert distance(x, y, "none").tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["l1", "l2", "none"])
def test_distance_gradient_is_autograds_and_zero_at_the_input(kind):
    x, y = images(3), images(3, seed=1).requires_grad_()
    (expected,) = torch.autograd.grad(distance(x, y, kind).sum(), y)
    torch.testing.assert_close(distance_gradient(x, y, kind), expected)
    assert (distance_gradient(x, x, kind) == 0).all()  # acceptance test 9


def test_weights_over_the_steps():
    k = torch.arange(4)
    assert distance_weight(k, 4).tolist() == [1, 1, 1, 1]
    assert distance_weight(k, 4, "step").tolist() == [0, 0, 0, 1]
    assert distance_weight(k, 4, "linear").tolist() == [0.25, 0.5, 0.75, 1]


def test_bad_names(as_shipped):
    z, x = torch.zeros(1, 2), images(1)
    with pytest.raises(ValueError, match="loss must be one of ce, margin, got 'hinge'"):
        class_loss(z, torch.tensor([0]), "hinge")
    for function in (distance, distance_gradient):
        with pytest.raises(ValueError, match="distance must be one of l1, l2, none, got 'l3'"):
            function(x, x, "l3")
    with pytest.raises(ValueError, match=r"schedule must be one of .* got 'cosine'"):
        distance_weight(torch.tensor([0]), 4, "cosine")
