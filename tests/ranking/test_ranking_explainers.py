"""The explainers: hand-solved cases, references, batches, contracts."""

import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIG
from tables import cnn, images, mlp, rows, same_state, seeded, state
from torch import nn

from robustxai.ranking import (
    GradientTimesInput,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    gradient,
    ranked,
    softplus_copy,
)

ALL = [
    Saliency,
    GradientTimesInput,
    lambda m, **o: SmoothGrad(m, samples=4, **o),
    lambda m, **o: IntegratedGradients(m, n_steps=6, **o),
]


def linear(d=5, classes=3):
    return seeded(lambda: nn.Linear(d, classes).double())


def test_a_linear_model_is_solved_by_hand():
    """Every gradient of a logit is the weight row; the products multiply it with the input."""
    model, x = linear(), rows(4, 5)
    w = model.weight[1].detach().abs().expand(4, -1)
    for make in (Saliency, SmoothGrad):
        torch.testing.assert_close(make(model, score="logit")(x, 1), w)
    for make in (GradientTimesInput, IntegratedGradients):
        torch.testing.assert_close(make(model, score="logit")(x, 1), x.abs() * w)


def test_integrated_gradients_agree_with_captum_and_are_complete():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(6)
    ours = IntegratedGradients(model, score="logit", n_steps=200).attribute(x, 2)
    theirs = CaptumIG(lambda v: model(v)).attribute(x, target=2, n_steps=200)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    gap = (model(x) - model(torch.zeros_like(x)))[:, 2].detach()
    torch.testing.assert_close(ours.sum(1), gap, rtol=1e-3, atol=1e-4)
    from_here = IntegratedGradients(model, score="logit", baselines=x).attribute(x, 2)
    assert (from_here == 0).all()


def test_smoothgrad_is_the_mean_over_its_draws_and_tends_to_the_gradient():
    model, x = mlp(), rows(3)
    e = 0.3 * torch.randn(4, 1, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    noise = torch.stack((e, -e), 1).flatten(0, 1)[:7]
    mean = torch.stack([gradient(model, x + u, 0) for u in noise]).mean(0)
    torch.testing.assert_close(
        SmoothGrad(model, samples=7, std=0.3, generator=torch.Generator().manual_seed(4))(x, 0), ranked(mean)
    )
    smooth = softplus_copy(model, 1)
    torch.testing.assert_close(
        SmoothGrad(smooth, std=1e-4)(x, 0), Saliency(smooth)(x, 0), rtol=1e-2, atol=1e-4
    )
    per_feature = torch.zeros(12).double() + 0.3
    torch.testing.assert_close(SmoothGrad(model, std=per_feature)(x, 0), SmoothGrad(model, std=0.3)(x, 0))


@pytest.mark.parametrize("make", ALL)
def test_shapes_and_batches(make):
    table, x = make(mlp()), rows(5)
    assert table(x).shape == (5, 12) and (table(x) >= 0).all() and table(x).dtype == x.dtype
    torch.testing.assert_close(table(x), torch.cat([table(v) for v in x.split(2)]))
    image, z = make(cnn()), images()
    assert image(z).shape == (5, 1, 6, 6)
    torch.testing.assert_close(image(z), torch.cat([image(v) for v in z.split(1)]))


@pytest.mark.parametrize("make", ALL)
def test_no_target_is_the_predicted_class(make):
    model, x = cnn(), images()
    explain = make(model)
    torch.testing.assert_close(explain(x), explain(x, model(x).argmax(1)))
    assert (explain(x, 0) - explain(x, 1)).abs().max() > 0


@pytest.mark.parametrize("make", ALL)
def test_attributions_are_differentiable_in_the_input(make):
    explain, x = make(mlp(activation=nn.Softplus)), rows(2)
    assert not explain(x, 0).requires_grad
    v = x.clone().requires_grad_()
    weights = rows(2, seed=8)
    (g,) = torch.autograd.grad((explain(v, 0) * weights).sum(), v)
    step, h = rows(2, seed=9), 1e-6
    numeric = ((explain(x + h * step, 0) - explain(x - h * step, 0)) * weights).sum() / (2 * h)
    torch.testing.assert_close((g * step).sum(), numeric, rtol=1e-4, atol=1e-7)
    with torch.no_grad():
        assert not explain(v, 0).requires_grad


@pytest.mark.parametrize("make", ALL)
def test_networks_are_left_as_found(make):
    model, x = cnn(), images()
    model[4].weight.grad = torch.ones_like(model[4].weight)
    before = state(model)
    make(model)(x)
    make(model)(x.requires_grad_())
    with torch.inference_mode():
        make(model)(images())
    assert same_state(before, state(model)) and x.grad is None


def test_on_gives_the_same_explainer_of_another_network():
    a, b, x = mlp(seed=0), mlp(seed=1), rows(4)
    explain = SmoothGrad(a, samples=3, std=0.2, score="ce")
    torch.testing.assert_close(explain.on(b)(x, 0), SmoothGrad(b, samples=3, std=0.2, score="ce")(x, 0))
    assert explain.model is a


def test_bad_input(as_shipped):
    model, x = mlp(), rows(3)
    for bad, words in (
        (
            x.clone().index_fill_(0, torch.tensor([1]), torch.nan),
            "x must be finite inputs, got NaN or infinite numbers",
        ),
        (
            x[0],
            r"x must be a table \(n, d\) or images \(n, C, H, W\), not empty, got shape \(12,\) and dtype",
        ),
        (x[:0], "not empty"),
        (x.long(), "dtype torch.int64"),
    ):
        with pytest.raises(ValueError, match=words):
            Saliency(model)(bad)
    with pytest.raises(ValueError, match=r"^model must be in eval mode, got training mode \(1\)"):
        Saliency(cnn().train())(images())
    assert Saliency(mlp().train())(x).shape == (3, 12), "a network whose modes change nothing is welcome"
    with pytest.raises(ValueError, match=r"score must be one of .* got 'p'"):
        SmoothGrad(model, score="p")
    with pytest.raises(ValueError, match="std must be a finite number >= 0, got -1"):
        SmoothGrad(model, std=-1)
    with pytest.raises(ValueError, match="n_steps must be an integer >= 1, got 0"):
        IntegratedGradients(model, n_steps=0)
    with pytest.raises(ValueError, match=r"samples must be an integer >= 1, got 2\.5"):
        SmoothGrad(model, samples=2.5)
