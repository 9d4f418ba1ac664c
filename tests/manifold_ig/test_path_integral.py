"""Path integrals solved by hand, completeness, and agreement with captum."""

import math

import captum.attr
import pytest
import torch
from curved import blob, blob_pairs, generator

from robustxai.checks import as_target
from robustxai.explainers.baselines import as_baseline, class_median, decoded, mean, white
from robustxai.explainers.decoder import decode
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.path_integral import accumulated, straight_integral, weighted_gradients
from robustxai.explainers.quadrature_rules import nodes, quadrature
from robustxai.manifold_ig import paths
from robustxai.scores.explained import class_scores

FORM_A = ("midpoint", "trapezoid", "left")


def images(n=5, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


def arc(points):
    angle = torch.linspace(0, math.pi / 2, points, dtype=torch.float64)
    return torch.stack((angle.cos(), angle.sin()), 1)[:, None]


def along(path, rule, **options):
    model = lambda y: (y[:, 0].square() * y[:, 1])[:, None]  # noqa: E731
    points, weights = quadrature(path, rule)
    return weighted_gradients(model, points, weights, torch.tensor([1]), **options).values[0]


@pytest.mark.parametrize(("rule", "tolerance"), [("midpoint", 1e-5), ("trapezoid", 1e-5), ("left", 3e-3)])
def test_form_a_on_the_quarter_circle(rule, tolerance):  # T7
    """F = y1^2 y2 from (1, 0) to (0, 1)."""
    exact = torch.tensor([-2 / 3, 2 / 3], dtype=torch.float64)
    torch.testing.assert_close(along(arc(1001), rule), exact, rtol=0, atol=tolerance)


def test_form_b_on_the_quarter_circle_is_not_complete():  # T7
    values = along(arc(4001), "released")
    exact = torch.tensor([-2 / math.pi, 0.5], dtype=torch.float64)
    torch.testing.assert_close(values, exact, rtol=0, atol=1e-3)
    assert float(values.sum()) == pytest.approx(-0.1366, abs=1e-3), "F is 0 at both ends"


def test_forms_agree_on_a_straight_path_of_constant_speed():
    path = paths.straight(torch.tensor([[0.2, 1.0]]), torch.tensor([[1.0, 0.3]]), 2001).double()
    rules = [along(path, rule) for rule in (*FORM_A, "released")]
    for values in rules[1:]:
        torch.testing.assert_close(values, rules[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("rule", [*FORM_A, "released"])
def test_passes_of_any_size_give_the_same_sum(rule, classifier):
    path = torch.rand(7, 5, 3, 8, 8, generator=generator())
    points, weights = quadrature(path, rule)
    target = torch.tensor([0, 1, 2, 3, 0])
    whole = weighted_gradients(classifier, points, weights, target)
    for size in (1, 3, 5, 11):
        part = weighted_gradients(classifier, points, weights, target, batch_size=size)
        torch.testing.assert_close(part.values, whole.values)
        torch.testing.assert_close(part.scores, whole.scores)
    slow = torch.zeros(3, 8, 8)
    for point, weight in zip(points[:, 2], weights[:, 2], strict=True):
        y = point[None].clone().requires_grad_()
        slow += weight * torch.autograd.grad(classifier(y)[0, 2], y)[0][0]
    torch.testing.assert_close(whole.values[2], slow)


@pytest.mark.parametrize("score", ["logit", "prob"])
@pytest.mark.parametrize(
    ("rule", "method"),
    [("midpoint", "riemann_middle"), ("left", "riemann_left"), ("right", "riemann_right"),
     ("gausslegendre", "gausslegendre"), ("released", "riemann_left")],
)  # fmt: skip
def test_integrated_gradients_equals_captum(rule, method, score, classifier):
    x, base, target = images(), images(seed=5), torch.tensor([0, 1, 2, 3, 3])
    forward = classifier if score == "logit" else lambda y: classifier(y).softmax(1)
    theirs, delta = captum.attr.IntegratedGradients(forward).attribute(
        x, base, target, method=method, n_steps=20, return_convergence_delta=True
    )
    ours, our_delta = IntegratedGradients(classifier, n_steps=20, rule=rule, score=score).attribute(
        x, target, base, return_convergence_delta=True
    )
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(our_delta, delta.float(), rtol=1e-3, atol=1e-5)


def test_the_trapezoid_has_weight_one_where_captum_has_less(classifier):
    t, w = nodes(10, "trapezoid")
    assert float(w.sum()) == pytest.approx(1) and (float(t[0]), float(t[-1]), len(t)) == (0, 1, 11)
    x = images(2)
    linear = lambda y: y.flatten(1).sum(1, keepdim=True)  # noqa: E731
    ones = torch.ones(2, dtype=torch.long)
    ours = straight_integral(linear, torch.zeros_like(x), x, ones, n_steps=10, rule="trapezoid").values
    torch.testing.assert_close(ours, x)
    theirs = captum.attr.IntegratedGradients(linear).attribute(
        x, target=0, n_steps=10, method="riemann_trapezoid"
    )
    torch.testing.assert_close(theirs.float(), 0.9 * x)


def test_completeness_of_form_a_and_the_failure_of_form_b():  # T8
    z0, z1 = blob_pairs(12, 3)
    weight = torch.randn(144, 1, generator=generator(2)) * 0.5
    model = lambda y: (y.flatten(1) @ weight).sin() * 3 + (y.flatten(1).square() @ weight)  # noqa: E731
    gaps = {}
    for steps in (20, 80):
        path = decode(blob, paths.straight(z0, z1, steps + 1))
        f = torch.stack([model(y)[:, 0] for y in path])
        variation = f.diff(dim=0).abs().sum(0)
        for rule in ("midpoint", "released"):
            target = torch.ones(12, dtype=torch.long)
            values = weighted_gradients(model, *quadrature(path, rule), target).values.flatten(1).sum(1)
            gaps[rule, steps] = float(((values - (f[-1] - f[0])).abs() / variation).mean())
    assert gaps["midpoint", 20] < 0.02 and gaps["midpoint", 80] < 0.002
    assert gaps["released", 80] > 0.02, "form B does not converge to completeness"


def test_scores_of_one_logit_and_of_many():
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    index = torch.tensor([1, 0])
    torch.testing.assert_close(class_scores(logits, index), torch.tensor([-1.0, 2.0]))
    torch.testing.assert_close(class_scores(logits, index, "prob"), logits.softmax(1)[[0, 1], [1, 0]])
    one = torch.tensor([[0.3], [-2.0]])
    torch.testing.assert_close(
        class_scores(one, index, "prob"), torch.stack((one[0, 0], -one[1, 0])).sigmoid()
    )
    assert as_target(None, one).tolist() == [1, 0] and as_target(3, torch.zeros(2, 4)).tolist() == [3, 3]


def test_baselines():
    x = images(2)
    torch.testing.assert_close(mean(x)[1, :, 3, 4], x[1].mean((1, 2)))
    assert torch.equal(white(x), torch.ones_like(x)) and torch.equal(
        as_baseline(None, x), torch.zeros_like(x)
    )
    for b in (0.5, torch.full((3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.5), torch.full((2, 3, 8, 8), 0.5)):
        assert torch.equal(as_baseline(b, x), torch.full_like(x, 0.5))
    assert decoded(blob, torch.zeros(1, 4)).shape == (1, 1, 12, 12)
    data = torch.arange(10.0).reshape(5, 2)
    medians = class_median(data, torch.tensor([0, 1, 0, 1, 0]), torch.tensor([1, 0, 0]))
    torch.testing.assert_close(medians, torch.stack((data[1], data[4 // 2], data[2])))


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quadrature(torch.zeros(1, 2, 3)), "images must be paths of 2 points or more, got 1 point"),
        (
            lambda: quadrature(torch.zeros(3, 2, 3), "simpson"),
            "rule must be one of midpoint.*, got 'simpson'",
        ),
        (
            lambda: nodes(4, "simpson"),
            r"rule must be one of midpoint, left, released, right, .*, got 'simpson'",
        ),
        (lambda: as_target(4, torch.zeros(2, 4)), r"target must be classes in \[0, 3\], got class 4"),
        (
            lambda: as_target(torch.tensor([0, -1]), torch.zeros(2, 4)),
            r"target must be classes in \[0, 3\], got class -1",
        ),
        (
            lambda: as_target(torch.zeros(3).long(), torch.zeros(2, 4)),
            r"target must be an int, integers of shape \(2,\) or None, got shape \(3,\) and dtype",
        ),
        (lambda: as_target(torch.zeros(2), torch.zeros(2, 4)), "target must be an int, .* torch.float32"),
        (lambda: as_target("cat", torch.zeros(2, 4)), "target must be an int, .* got 'cat'"),
        (
            lambda: as_target([[0], [1, 2]], torch.zeros(2, 4)),
            r"target must be an int, integers of shape \(2,\) or None, got \[\[0\], \[1, 2\]\]",
        ),
        (lambda: as_target(0, torch.zeros(4)), r"model must return logits \(n, classes\), got shape \(4,\)"),
        (
            lambda: class_scores(torch.zeros(2, 4), torch.zeros(2).long(), "odds"),
            "score must be one of logit, .*, got 'odds'",
        ),
        (
            lambda: as_baseline(torch.zeros(3, 8, 9), images(2)),
            r"baselines must be a number, one image \(3, 8, 8\) or one for .*, got shape \(3, 8, 9\)",
        ),
        (
            lambda: as_baseline(math.inf, images(2)),
            "baselines must be finite images, got NaN or infinite numbers",
        ),
        (
            lambda: class_median(images(3), torch.tensor([0, 1, 1]), 2),
            r"target must be classes of which there are images, \[0, 1\], got class 2",
        ),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_has_been_gathered_ends_as_the_trapezoid_rule(classifier):
    path = torch.rand(5, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1])
    sofar = accumulated(classifier, path, target)
    whole = weighted_gradients(classifier, *quadrature(path, "trapezoid"), target).values
    assert sofar.shape == path.shape and not sofar[0].any()
    torch.testing.assert_close(sofar[-1], whole, rtol=1e-4, atol=1e-6)
    few = accumulated(classifier, path, target, batch_size=3)
    torch.testing.assert_close(few, sofar)
    half = weighted_gradients(classifier, *quadrature(path[:3], "trapezoid"), target).values
    torch.testing.assert_close(sofar[2], half, rtol=1e-4, atol=1e-6)
