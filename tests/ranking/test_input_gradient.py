"""Explained numbers, their gradients, the softplus surrogate."""

import pytest
import torch
from tables import cnn, images, mlp, rows, same_state, seeded, state
from torch import nn

from robustxai.metrics import topk_intersection
from robustxai.ranking import (
    Saliency,
    explained,
    gradient,
    logits_and_gradient,
    ranked,
    softplus_copy,
)


def test_explained_values_by_hand():
    logits, target = torch.tensor([[0.0, 2.0], [1.0, -1.0]]).double(), torch.tensor([1, 1])
    p = torch.tensor([torch.sigmoid(torch.tensor(2.0)), torch.sigmoid(torch.tensor(-2.0))]).double()
    torch.testing.assert_close(explained(logits, target), p, atol=1e-6, rtol=0)
    torch.testing.assert_close(explained(logits, target, "ce"), -p.log(), atol=1e-6, rtol=0)
    assert explained(logits, target, "logit").tolist() == [2.0, -1.0]


@pytest.mark.parametrize("score", ["prob", "logit", "ce"])
def test_a_single_logit_is_a_sigmoid(score):
    one = torch.tensor([[1.5], [-0.5]]).double()
    if score == "logit":
        assert explained(one, torch.tensor([1, 0]), score).tolist() == [1.5, 0.5]
    else:
        two = torch.cat((torch.zeros_like(one), one), 1)
        for t in ([0, 0], [1, 1]):
            torch.testing.assert_close(
                explained(one, torch.tensor(t), score), explained(two, torch.tensor(t), score)
            )


def test_binary_scores_rank_alike():
    """A1: for two classes |grad p|, |grad CE| and |grad (z1 - z0)| are positive multiples of each other."""
    x, target = rows(100), torch.arange(100) % 2
    for seed in range(3):
        model = mlp(seed=seed)
        margin = ranked(gradient(lambda v, m=model: m(v)[:, 1:] - m(v)[:, :1], x, 1, score="logit"))
        for score in ("prob", "ce"):
            scores = ranked(gradient(model, x, target, score=score))
            ratio = scores / margin
            torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-8, atol=0)
            assert (topk_intersection(scores, margin, 4) == 1).all()


def test_three_classes_rank_differently():
    """The counterpart of A1: with more classes the target must be stated."""
    x, model = rows(100), mlp(classes=3)
    prob, logit = (ranked(gradient(model, x, 0, score=s)) for s in ("prob", "logit"))
    assert topk_intersection(prob, logit, 4).mean() < 0.99


@pytest.mark.parametrize("score", ["prob", "logit", "ce"])
def test_gradient_agrees_with_finite_differences(score):
    model, x, t = mlp(classes=3, activation=nn.Softplus), rows(4), torch.tensor([0, 1, 2, 1])
    g, h = gradient(model, x, t, score=score), 1e-6
    for i in range(x.shape[1]):
        step = torch.zeros_like(x)
        step[:, i] = h
        numeric = (explained(model(x + step), t, score) - explained(model(x - step), t, score)) / (2 * h)
        torch.testing.assert_close(g[:, i], numeric.detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("score", ["prob", "logit", "ce"])
def test_a_sample_does_not_depend_on_its_batch(score):
    model, x = cnn(), images(6)
    whole = gradient(model, x, 1, score=score)
    torch.testing.assert_close(whole, torch.cat([gradient(model, v, 1, score=score) for v in x.split(1)]))


def test_logits_come_from_the_same_forward_and_stay_in_the_graph():
    model, x = mlp(), rows(5)
    calls = []
    handle = model[0].register_forward_hook(lambda *_: calls.append(1))
    logits, g = logits_and_gradient(model, x, create_graph=True)
    handle.remove()
    assert len(calls) == 1
    torch.testing.assert_close(logits, model(x))
    (logits.sum() + g.square().sum()).backward()
    assert model[0].weight.grad is not None and model[0].weight.grad.abs().sum() > 0


def test_second_derivatives_are_the_hessian():
    model, x = mlp(activation=nn.Softplus), rows(1)
    f = lambda v: explained(model(v[None]), torch.tensor([1]))[0]  # noqa: E731
    hessian = torch.autograd.functional.hessian(f, x[0])
    v = x.clone().requires_grad_()
    g = gradient(model, v, 1, create_graph=True)
    direction = rows(1, seed=5)
    (hv,) = torch.autograd.grad((g * direction).sum(), v)
    torch.testing.assert_close(hv[0], hessian @ direction[0])


def test_the_network_is_left_as_found_and_inference_mode_works():
    model, x = cnn(), images()
    before, expected = state(model), gradient(model, x)
    with torch.no_grad():
        torch.testing.assert_close(gradient(model, x), expected)
    with torch.inference_mode():
        torch.testing.assert_close(gradient(model, x.clone()), expected)
    assert same_state(before, state(model)) and not expected.requires_grad


def test_ranked_sums_absolute_values_over_channels():
    g = torch.tensor([[[[1.0, -2.0]], [[-3.0, 4.0]]]])
    assert ranked(g).tolist() == [[4.0, 6.0]]
    assert ranked(torch.tensor([[-1.0, 0.0]])).tolist() == [[1.0, 0.0]]


def test_softplus_copy_replaces_every_relu_and_shares_nothing():
    relu = nn.ReLU()
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 3), relu, nn.Sequential(nn.Linear(3, 3), relu), relu))
    smooth = softplus_copy(model, 2)
    assert not any(isinstance(m, nn.ReLU) for m in smooth.modules())
    assert sum(isinstance(m, nn.ReLU) for m in model.modules()) == 1
    assert isinstance(smooth[3], nn.Softplus), "a module used twice is replaced at both places"
    with torch.no_grad():
        smooth[0].weight.add_(1)
    assert not torch.equal(smooth[0].weight, model[0].weight)


def test_softplus_tends_to_relu():
    model, x = mlp(), rows(50)
    errors = [float((softplus_copy(model, b)(x) - model(x)).detach().abs().max()) for b in (1, 10, 100)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.05


def test_bad_input(as_shipped):
    model, x = mlp(), rows(3)
    with pytest.raises(ValueError, match=r"score must be one of logit, .*, got 'margin'"):
        gradient(model, x, score="margin")
    with pytest.raises(ValueError, match=r"holds no nn\.ReLU"):
        softplus_copy(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), 1)
    with pytest.raises(ValueError, match=r"beta must be a finite number > 0, got 0"):
        softplus_copy(model, 0)
    with pytest.raises(ValueError, match=r"target must be classes in \[0, 1\], got class 2"):
        Saliency(model)(x, torch.tensor([0, 1, 2]))
    with pytest.raises(
        ValueError, match=r"target must be an int, integers of shape \(3,\) or None, got shape \(2,\)"
    ):
        Saliency(model)(x, torch.tensor([0, 1]))
