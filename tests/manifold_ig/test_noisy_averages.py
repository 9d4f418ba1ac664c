"""SmoothGradIG and GradientSHAP: closed forms, agreement with captum in expectation, batches, seeds, bad input."""

import math

import captum.attr
import numpy as np
import pytest
import torch
from curved import Classifier, generator, module
from torch import nn

from robustxai.manifold_ig import GradientSHAP, IntegratedGradients, SmoothGradIG

TARGET = torch.tensor([0, 3, 2, 1])
BOTH = (SmoothGradIG, GradientSHAP)


def images(n=4, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


def linear():
    return module(5, lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)))


@pytest.mark.parametrize("kind", BOTH)
def test_a_linear_network_is_explained_exactly(kind):
    model, x, base = linear(), images(), images(1, 6)
    found = kind(model, samples=6, std=0.3).explain(x, TARGET, base)
    exact = (x - base) * model[1].weight[TARGET].unflatten(1, (3, 8, 8))
    torch.testing.assert_close(found.values, exact.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.delta, torch.zeros(4), rtol=0, atol=1e-5)
    assert (found.completeness_gap < 1e-4).all() and found.finite.all() and found.noise is None


def test_shap_draws_its_baselines_from_a_set():
    model, x, base = linear(), images(), images(5, 6)
    found = GradientSHAP(model, samples=4000, std=0).explain(x, TARGET, base)
    weight = model[1].weight.detach()[TARGET].unflatten(1, (3, 8, 8))
    mean, spread = base.mean(0), base.std(0, correction=0)
    off = (found.values - (x - mean) * weight).abs()
    assert (off <= 5 / math.sqrt(4000) * spread * weight.abs() + 1e-6).all(), "five standard errors"
    torch.testing.assert_close(found.ends[0], mean.expand_as(x))
    only = GradientSHAP(model, std=0).attribute(x, TARGET, base[2])
    torch.testing.assert_close(only, (x - base[2]) * weight, rtol=1e-5, atol=1e-6)


def test_without_noise_the_mean_of_equal_maps_is_the_map(classifier):
    x, base, options = images(), images(seed=7), dict(n_steps=6, score="prob", rule="gausslegendre")
    expected = IntegratedGradients(classifier, **options).attribute(x, TARGET, base)
    found = SmoothGradIG(classifier, std=0, samples=3, **options).attribute(x, TARGET, base)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_without_noise_shap_estimates_integrated_gradients(classifier):
    x, steps = images(), 4000
    expected = IntegratedGradients(classifier, n_steps=100).attribute(x, TARGET)
    found = GradientSHAP(classifier, std=0, samples=steps).explain(x, TARGET)
    assert (found.values - expected).norm() < 0.02 * expected.norm()
    assert (found.scores[1:] - found.scores[:-1]).abs().max() < 0.1, "points are in the order of the path"


@pytest.fixture
def captums_chance(monkeypatch):
    """Captum draws from the global states of numpy and torch: seeded here, and as they were afterwards."""
    numbers = np.random.RandomState(0)
    for name in ("uniform", "choice"):
        monkeypatch.setattr(f"numpy.random.{name}", getattr(numbers, name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.usefixtures("captums_chance")
def test_smoothgrad_agrees_with_captums_noise_tunnel_in_expectation(classifier):
    """Two means over 1000 copies with noise of their own differ by about 0.05 of the norm; the noise moves the map by
    0.14 of it."""
    x, options = images(2), dict(n_steps=4)
    ours = SmoothGradIG(classifier, samples=1000, std=1.0, **options).attribute(x, TARGET[:2])
    theirs = captum.attr.NoiseTunnel(captum.attr.IntegratedGradients(classifier)).attribute(
        x, nt_type="smoothgrad", nt_samples=1000, nt_samples_batch_size=100, stdevs=1.0,
        target=TARGET[:2], n_steps=4, method="riemann_middle",
    )  # fmt: skip
    plain = IntegratedGradients(classifier, **options).attribute(x, TARGET[:2])
    assert (ours - theirs).norm() < 0.08 * theirs.norm() and (plain - theirs).norm() > 0.1 * theirs.norm()


@pytest.mark.usefixtures("captums_chance")
def test_shap_agrees_with_captum_in_expectation(classifier):
    """Two means over 8000 draws differ by about 0.05 of the norm; the noise moves the map by 0.24 of it."""
    x, base, options = images(2), images(6, 8), dict(samples=8000)
    ours, plain = (
        GradientSHAP(classifier, std=std, **options).attribute(x, TARGET[:2], base) for std in (1, 0)
    )
    theirs = captum.attr.GradientShap(classifier).attribute(
        x, base, n_samples=8000, stdevs=1.0, target=TARGET[:2]
    )
    assert (ours - theirs).norm() < 0.08 * theirs.norm() and (plain - theirs).norm() > 0.2 * theirs.norm()


@pytest.mark.parametrize("kind", BOTH)
def test_a_map_depends_on_its_image_and_seed_alone(kind, classifier):
    x, base = images(), images(1, 7)
    method = kind(classifier, samples=7)
    state = torch.random.get_rng_state()
    values = method.attribute(x, TARGET, base)
    assert values.shape == x.shape and not values.requires_grad
    assert torch.equal(method.attribute(x, TARGET, base), values), "every call begins anew"
    scale = 1e-4 * float(values.abs().max())
    for i in range(4):
        alone = method.attribute(x[i : i + 1], int(TARGET[i]), base)
        torch.testing.assert_close(alone[0], values[i], rtol=1e-4, atol=scale)
    few = kind(classifier, samples=7, batch_size=3).attribute(x, TARGET, base)
    torch.testing.assert_close(few, values, rtol=1e-4, atol=scale)
    assert torch.equal(method.attribute(x, None, base), method.attribute(x, classifier(x).argmax(1), base))
    assert torch.equal(state, torch.random.get_rng_state())
    given = generator(9)
    other = kind(classifier, samples=7, generator=given)
    assert torch.equal(given.get_state(), generator(9).get_state())
    given.manual_seed(1)  # what happens to it later does not matter
    again = kind(classifier, samples=7, generator=generator(9))
    assert torch.equal(other.attribute(x, TARGET), again.attribute(x, TARGET))
    assert not torch.allclose(other.attribute(x, TARGET), method.attribute(x, TARGET), atol=scale)


@pytest.mark.parametrize("kind", BOTH)
def test_the_attribution_is_differentiable_in_the_images(kind):
    model, x = module(3, Classifier).double(), images(2).double()
    method = kind(model, samples=4, score="prob", **({"n_steps": 3} if kind is SmoothGradIG else {}))
    direction, weight = (torch.randn(x.shape, generator=generator(s), dtype=torch.float64) for s in (5, 6))
    value = lambda t: (method.attribute(x + t * direction, TARGET[:2]) * weight).sum()  # noqa: E731
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    exact = float(torch.autograd.grad(value(t), t)[0])
    numeric = float((value(torch.tensor(1e-5)) - value(torch.tensor(-1e-5))) / 2e-5)
    assert exact == pytest.approx(numeric, rel=1e-4) and abs(exact) > 1e-6
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("build", "arguments", "words"),
    [
        (lambda m: SmoothGradIG(m, samples=0), {}, "samples must be an integer >= 1, got 0"),
        (lambda m: SmoothGradIG(m, std=-0.1), {}, "std must be a finite number >= 0, got -0.1"),
        (lambda m: GradientSHAP(m, std=math.nan), {}, "std must be a finite number >= 0, got nan"),
        (lambda m: SmoothGradIG(m, n_steps=0), {}, "n_steps must be an integer >= 1, got 0"),
        (lambda m: SmoothGradIG(m, rule="random"), {}, r"rule must be one of midpoint, .*, got 'random'"),
        (GradientSHAP, dict(baselines=torch.zeros(5, 3, 8, 9)), r"baselines must be a .*, got shape \(5, 3, 8, 9\)"),
        (GradientSHAP, dict(baselines=torch.zeros(0, 3, 8, 8)), r"baselines must be a .*, got shape \(0, 3, 8, 8\)"),
        (GradientSHAP, dict(baselines=torch.full((5, 3, 8, 8), math.inf)), "baselines must be finite images, got NaN"),
        (SmoothGradIG, dict(baselines=torch.zeros(5, 3, 8, 8)), r"baselines must be a .*, got shape \(5, 3, 8, 8\)"),
        (SmoothGradIG, dict(target="cat"), r"target must be an int, integers of shape \(4,\) or None, got 'cat'"),
        (GradientSHAP, dict(target=4), r"target must be classes in \[0, 3\], got class 4"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(build, arguments, words, classifier):
    with pytest.raises(ValueError, match=words) as caught:
        build(classifier).attribute(**dict(x=images()) | arguments)
    assert "\n" not in str(caught.value)
