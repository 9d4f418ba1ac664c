"""Infidelity and max-sensitivity: closed forms, captum's values, search against chance, bad input."""

import captum.metrics
import jaxtyping
import pytest
import torch
from captum.metrics import infidelity_perturb_func_decorator
from torch import nn

from robustxai.metrics import (
    gaussian_noise,
    infidelity,
    max_sensitivity,
    optimised_sensitivity,
    square_removal,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def convnet(classes: int = 4) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes)
        )
    return net.eval()


def images(n: int = 5, side: int = 8) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=seeded(1))


def gradient(model, x, t):
    v = x.clone().requires_grad_()
    return torch.autograd.grad(model(v).gather(1, t[:, None]).sum(), v)[0]


@pytest.fixture
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Linear(nn.Module):
    """Logits (w . x, 0)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        z = (self.weight * x).flatten(1).sum(1)
        return torch.stack((z, torch.zeros_like(z)), 1)


@pytest.mark.parametrize("change", [gaussian_noise(0.1), square_removal(0.5)])
def test_of_a_linear_function_gradient_and_share_forms_are_perfect(change):
    x, weight = images().double(), torch.randn(3, 8, 8, generator=seeded(2)).double()
    model = Linear(weight).eval()
    for attribution, baseline in ((weight.expand_as(x), None), (weight * (x - 0.3), 0.3)):
        result = infidelity(model, x, attribution, 0, score="logit", perturb=change, baseline=baseline)
        assert result.raw.max() < 1e-20 and (result.null > 1e-3).all()
        half = infidelity(model, x, attribution / 2, 0, score="logit", perturb=change, baseline=baseline)
        torch.testing.assert_close(half.scale, torch.full_like(half.scale, 2.0))
        torch.testing.assert_close(half.raw, half.null / 4)
        assert half.scaled.max() < 1e-12
        none = infidelity(model, x, 0 * attribution, 0, score="logit", perturb=change, baseline=baseline)
        assert torch.equal(none.raw, none.null) and torch.equal(none.scaled, none.null)


def test_a_square_of_the_baseline_asks_for_the_sum_of_the_attribution_there():
    """F is the sum of squares: A = x^2 - b^2 is exact for every square, whatever (x - b) is."""
    x, b = images().double(), images(5).roll(1, 0).double()
    x[:, :, 2:4] = b[:, :, 2:4]
    model = lambda v: torch.stack((v.square().flatten(1).sum(1), 0 * v[:, 0, 0, 0]), 1)  # noqa: E731
    change = square_removal(0.5, fill=b)
    found = infidelity(model, x, x**2 - b**2, 0, score="logit", perturb=change, baseline=b)
    assert found.raw.max() < 1e-20 and (found.null > 0.1).all()


def test_what_is_never_tested_is_a_baseline_equal_to_the_input():
    x = images(1)
    model = Linear(torch.ones(3, 8, 8)).eval()
    result = infidelity(model, x, torch.zeros_like(x), 0, score="logit", baseline=x)
    assert result.raw.isfinite().all()


@pytest.mark.parametrize("baseline", [None, 0.2])
@pytest.mark.parametrize("score", ["prob", "logit"])
def test_captum_agrees(baseline, score):
    model, x = convnet(), images()
    t = torch.tensor([0, 1, 2, 3, 0])
    attribution = gradient(model, x, t)
    ours = infidelity(
        model, x, attribution, t, score=score, baseline=baseline, draws=7, generator=seeded(3),
        perturb=gaussian_noise(0.05), batch_size=2,
    )  # fmt: skip

    g = seeded(3)

    @infidelity_perturb_func_decorator(multiply_by_inputs=baseline is not None)
    def change(inputs, baselines=None):  # captum repeats the inputs, sample by sample
        noise = 0.05 * torch.randn(7, 3, 8, 8, generator=g)
        return inputs + noise.repeat(len(inputs) // 7, 1, 1, 1)

    def forward(v):
        return model(v).softmax(1) if score == "prob" else model(v)

    for normalise, value in ((False, ours.raw), (True, ours.scaled)):
        g.manual_seed(3)
        theirs = captum.metrics.infidelity(
            forward, change, x, attribution, baseline, target=t, n_perturb_samples=7, normalize=normalise
        )
        torch.testing.assert_close(value, theirs, rtol=2e-3, atol=1e-7)


def test_a_sample_does_not_depend_on_its_batch_and_nan_stays_where_it_is():
    model, x = convnet(), images()
    t = model(x).argmax(1)
    attribution = gradient(model, x, t)
    attribution[1, 0, 0, 0] = torch.nan
    whole = infidelity(model, x, attribution)
    assert whole.raw.isnan().tolist() == [False, True, False, False, False]
    for i in (0, 3):
        alone = infidelity(model, x[i : i + 1], attribution[i : i + 1])
        torch.testing.assert_close(alone.raw[0], whole.raw[i])


def explainer(model):
    def explain(v, t):
        v = v if v.requires_grad else v.detach().clone().requires_grad_()
        with torch.enable_grad():
            f = model(v).gather(1, t[:, None]).sum()
            return torch.autograd.grad(f, v, create_graph=True)[0]

    return explain


def test_sensitivity_of_a_linear_explainer_has_a_closed_form():
    x = images().double()
    found = optimised_sensitivity(lambda v, t: 3 * v, x, radius=0.1, steps=3)
    worst = 0.1 * x[0].numel() ** 0.5 / x.flatten(1).norm(dim=1)
    torch.testing.assert_close(found.value, worst)  # a corner of the box
    chance = max_sensitivity(lambda v, t: 3 * v, x, radius=0.1)
    assert (chance.value < 0.7 * worst).all() and (chance.value > 0.5 * worst).all()
    torch.testing.assert_close(chance.value, (chance.x - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1))
    assert (max_sensitivity(lambda v, t: 0 * v + 1, x, radius=0.1).value == 0).all()
    assert max_sensitivity(lambda v, t: 0 * v, x, radius=0.1).value.isnan().all()


def test_captum_agrees_on_the_random_maximum():
    model, x = convnet(), images()
    t = model(x).argmax(1)
    explain = explainer(model)
    ours = max_sensitivity(explain, x, t, radius=0.05, draws=4, generator=seeded(5)).value
    draws = torch.stack([2 * torch.rand(3, 8, 8, generator=g) - 1 for g in [seeded(5)] for _ in range(4)])
    theirs = captum.metrics.sensitivity_max(
        lambda v, target: (explain(v[0] if isinstance(v, tuple) else v, target),), x, target=t, n_perturb_samples=4,
        perturb_func=lambda v: v + 0.05 * draws.repeat(len(v) // 4, 1, 1, 1),
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_the_search_beats_chance_inside_its_budget_and_ignores_the_batch():
    model, x = convnet(), images()
    t, explain = model(x).argmax(1), explainer(model)
    options = dict(radius=0.1, clip=(0, 1))
    chance, search = (f(explain, x, t, **options) for f in (max_sensitivity, optimised_sensitivity))
    assert (search.value >= chance.value).all() and search.value.mean() > 1.5 * chance.value.mean()
    for found in (chance, search):
        assert (found.x - x).abs().max() <= 0.1 + 1e-6 and 0 <= found.x.min() and found.x.max() <= 1
        assert not found.x.requires_grad and not found.value.requires_grad
    alone = optimised_sensitivity(explain, x[2:3], t[2:3], **options)
    torch.testing.assert_close(alone.value[0], search.value[2], rtol=1e-3, atol=1e-5)


def test_a_guide_gives_the_derivative_and_the_explainer_decides():
    model, x = convnet(), images()
    t, explain, calls = model(x).argmax(1), explainer(model), []

    def guide(v):
        calls.append(v)
        return explain

    blind = lambda v, target: explain(v.detach(), target).detach()  # noqa: E731
    found = optimised_sensitivity(blind, x, t, radius=0.1, steps=5, guide=guide)
    torch.testing.assert_close(found.value, optimised_sensitivity(explain, x, t, radius=0.1, steps=5).value)
    assert len(calls) == 5 and torch.equal(calls[0], max_sensitivity(blind, x, t, radius=0.1).x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m, x: infidelity(m, x, x[:, :1]),
            r"attribution must have the shape of x, \(5, 3, 8, 8\), got shape \(5, 1, 8, 8\)",
        ),
        (lambda m, x: infidelity(m, x, x, draws=0), "draws must be an integer >= 1, got 0"),
        (lambda m, x: infidelity(m, x, x, 9), r"target must be classes in \[0, 3\], got class 9"),
        (lambda m, x: infidelity(m, x, x, score="odds"), "score must be one of logit, .*, got 'odds'"),
        (
            lambda m, x: infidelity(nn.Sequential(m, nn.Dropout(0.5)), x, x),
            "model must be in eval mode, got training mode",
        ),
        (lambda m, x: gaussian_noise(0), "sigma must be a finite number > 0, got 0"),
        (lambda m, x: square_removal(2), r"share must be a finite number in \(0, 1\], got 2"),
        (lambda m, x: max_sensitivity(m, x, radius=0), "radius must be a finite number > 0, got 0"),
        (lambda m, x: optimised_sensitivity(m, x, steps=0), "steps must be an integer >= 1, got 0"),
    ],
)
def test_bad_input(call, words, as_shipped):
    with pytest.raises(ValueError, match=words):
        call(convnet(), images())
