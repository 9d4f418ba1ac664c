"""The theory, as arithmetic on coefficient vectors."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from robustxai import diffgradcam, manifold_ig, ranking
from robustxai.diffgradcam import score_coefficients
from robustxai.scores.explained import class_scores
from robustxai.scores.registry import SCORES

CONTRASTS = ["lse", "pw", "pw-live", "lse-tau", "max", "mean", "topm-pw"]
ZERO_SUM = [*CONTRASTS, "prob", "logp"]


def draw(n, classes, seed, scale=3.0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, classes, generator=g, dtype=dtype), torch.randint(
        classes, (n,), generator=g
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ZERO_SUM)
@settings(max_examples=15, deadline=None)
@given(classes=st.integers(2, 40), seed=st.integers(0, 10_000), scale=st.floats(0.01, 30))
def test_contrasts_sum_to_zero(kind, dtype, classes, seed, scale):
    y, t = draw(3, classes, seed, scale, dtype)
    a = score_coefficients(y, t, kind)
    assert a.sum(-1).abs().max() < 1e-6 * max(1.0, float(a.abs().sum(-1).max()))


@pytest.mark.parametrize("kind", ["logit", "rest"])
def test_per_logit_scores_sum_to_one(kind):
    y, t = draw(8, 7, 0)
    torch.testing.assert_close(score_coefficients(y, t, kind).sum(-1), torch.ones(8, dtype=torch.float64))


@pytest.mark.parametrize("kind", ZERO_SUM)
def test_coefficients_ignore_a_common_shift(kind):
    y, t = draw(8, 7, 1)
    torch.testing.assert_close(
        score_coefficients(y + 1e4, t, kind), score_coefficients(y, t, kind), rtol=1e-7, atol=1e-9
    )


SCORE_VALUES = {
    "logit": lambda y, c: y[c],
    "prob": lambda y, c: y.softmax(-1)[c],
    "logp": lambda y, c: y.log_softmax(-1)[c],
    "rest": lambda y, c: y[c] + y.log_softmax(-1)[c],
    "lse": lambda y, c: y[c] - torch.cat((y[:c], y[c + 1 :])).logsumexp(0),
    "max": lambda y, c: y[c] - torch.cat((y[:c], y[c + 1 :])).max(),
    "mean": lambda y, c: y[c] - torch.cat((y[:c], y[c + 1 :])).mean(),
    "pw-live": lambda y, c: (
        y[c] - (torch.cat((y[:c], y[c + 1 :])).softmax(0) * torch.cat((y[:c], y[c + 1 :]))).sum()
    ),
}


OPTIONS = {"lse-tau": {"tau": 0.7}, "pair": {"other": 6}, "topm-pw": {"strength": 0.6, "detached": False}}


@pytest.mark.parametrize("kind", SCORES)
def test_coefficients_are_the_derivative_of_the_value(kind):
    y, t = draw(6, 7, 4)
    t, options = t.clamp_max(5), OPTIONS.get(kind, {})
    leaf = y.clone().requires_grad_()
    value = class_scores(leaf, t, kind, **options)
    (g,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(score_coefficients(y, t, kind, **options), g)
    if kind in SCORE_VALUES:
        expected = torch.stack([SCORE_VALUES[kind](row, int(c)) for row, c in zip(y, t, strict=True)])
        torch.testing.assert_close(value.detach(), expected)


@pytest.mark.parametrize("kind", [s for s in SCORES if s != "pair"])
def test_a_single_logit_is_two_classes(kind):
    z = torch.tensor([[1.5], [-0.5]], dtype=torch.float64)
    up, down = (class_scores(z, c, kind) for c in (1, 0))
    if kind in ("prob", "logp", "ce"):
        two = torch.cat((torch.zeros_like(z), z), 1)
        torch.testing.assert_close(up, class_scores(two, 1, kind))
        torch.testing.assert_close(down, class_scores(two, 0, kind))
    else:
        assert torch.equal(up, z[:, 0]) and torch.equal(down, -up)
    assert torch.equal(class_scores(z, None, kind), class_scores(z, [1, 0], kind))


def test_there_is_one_registry_and_one_integrated_gradients():
    assert diffgradcam.SCORES is ranking.SCORES is manifold_ig.SCORES is SCORES
    assert ranking.IntegratedGradients is manifold_ig.IntegratedGradients


@pytest.mark.parametrize("kind", [s for s in SCORES if s != "pair"])
def test_gradient_and_path_methods_explain_every_score(kind):
    g = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 5)).double().eval()
    x = torch.randn(3, 4, generator=g, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(class_scores(net(leaf), 2, kind).sum(), leaf)
    torch.testing.assert_close(ranking.Saliency(net, score=kind).signed(x, 2), expected)
    if kind not in (
        "pw",
        "topm-pw",
    ):  # their weights are held constant: they are no integral of their gradient
        path = ranking.IntegratedGradients(net, score=kind, n_steps=500).attribute(x, 2).sum(1)
        difference = class_scores(net(x), 2, kind) - class_scores(net(torch.zeros_like(x)), 2, kind)
        torch.testing.assert_close(path, difference.detach(), rtol=1e-3, atol=1e-3)


def test_a_score_that_needs_an_option_is_refused_where_it_is_named():
    with pytest.raises(ValueError, match=r"^other must be the class that score 'pair' compares with"):
        ranking.Saliency(torch.nn.Linear(2, 2), score="pair")


@pytest.mark.parametrize("kind", SCORE_VALUES)
def test_coefficients_are_the_gradient_of_the_score(kind):
    y, t = draw(6, 5, 2)
    expected = torch.stack(
        [torch.func.grad(SCORE_VALUES[kind])(row, int(c)) for row, c in zip(y, t, strict=True)]
    )
    torch.testing.assert_close(score_coefficients(y, t, kind), expected)


def test_finer_cam_coefficients_are_the_gradient_of_its_score():
    y, _ = draw(1, 6, 3)
    c, near = 2, (y[0] - y[0, 2]).abs().argsort()[1:4]
    value = lambda v: v[c] - (v[near].softmax(0) * v[near]).sum()  # noqa: E731
    got = score_coefficients(y, torch.tensor([c]), "topm-pw", detached=False)
    torch.testing.assert_close(got[0], torch.func.grad(value)(y[0]))
    frozen = score_coefficients(y, torch.tensor([c]), "topm-pw", strength=0.5)
    assert abs(float(frozen.sum()) - 0.5) < 1e-12, "shift invariant only at strength 1"


def test_lse_is_the_log_odds_and_equals_pw():
    y, t = draw(8, 9, 4)
    y.requires_grad_()
    p = y.softmax(-1).gather(1, t[:, None])
    (log_odds,) = torch.autograd.grad((p / (1 - p)).log().sum(), y)
    torch.testing.assert_close(score_coefficients(y.detach(), t, "lse"), log_odds)
    torch.testing.assert_close(score_coefficients(y.detach(), t, "pw"), log_odds)


def test_probability_scores_are_scaled_log_odds():
    y, t = draw(8, 9, 5)
    p = y.softmax(-1).gather(1, t[:, None])
    lse = score_coefficients(y, t, "lse")
    torch.testing.assert_close(score_coefficients(y, t, "logp"), (1 - p) * lse)
    torch.testing.assert_close(score_coefficients(y, t, "prob"), p * (1 - p) * lse)


def test_temperature_goes_from_max_to_mean():
    y, t = draw(8, 9, 6)
    for tau, kind in ((1e-3, "max"), (1.0, "lse"), (1e4, "mean")):
        torch.testing.assert_close(
            score_coefficients(y, t, "lse-tau", tau=tau), score_coefficients(y, t, kind), atol=1e-3, rtol=0
        )


def test_binary_contrasts_coincide():
    y, t = draw(8, 2, 7)
    expected = score_coefficients(y, t, "mean")
    for kind in ("lse", "max", "pw", "lse-tau", "topm-pw"):
        torch.testing.assert_close(score_coefficients(y, t, kind), expected)


def test_permuting_the_others_permutes_the_coefficients():
    y, _ = draw(1, 6, 8)
    order = torch.tensor([0, 4, 2, 5, 1, 3])
    for kind in CONTRASTS:
        a = score_coefficients(y, torch.tensor([0]), kind)
        torch.testing.assert_close(score_coefficients(y[:, order], torch.tensor([0]), kind), a[:, order])


def test_an_impossible_class_matters_only_to_mean():
    y, t = draw(6, 5, 9)
    more = torch.cat((y, torch.full((6, 1), -1e4, dtype=y.dtype)), 1)
    for kind in ("lse", "max"):
        torch.testing.assert_close(score_coefficients(more, t, kind)[:, :5], score_coefficients(y, t, kind))
    assert (score_coefficients(more, t, "mean")[:, :5] - score_coefficients(y, t, "mean")).abs().max() > 0.01


def test_max_takes_the_lowest_index_among_ties():
    a = score_coefficients(torch.tensor([[5.0, 1.0, 1.0, 1.0]]), torch.tensor([0]), "max")
    assert a.tolist() == [[1.0, -1.0, 0.0, 0.0]]


def test_single_sigmoid_is_a_difference_already():
    y = torch.tensor([[2.0], [-1.0]])
    assert score_coefficients(y, torch.tensor([1, 0]), "lse").tolist() == [[1.0], [-1.0]]


def test_thousand_classes_stay_finite_and_confident():
    y = torch.zeros(1, 1000)
    y[0, 3] = 80.0
    a = score_coefficients(y, torch.tensor([3]), "lse")
    assert torch.isfinite(a).all() and abs(float(a.sum())) < 1e-6
    assert float(score_coefficients(y, torch.tensor([3]), "logp").abs().max()) < 1e-30, (
        "log p has underflown; lse has not"
    )


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("sum", {}, "contrast must be one of .* got 'sum'"),
        ("lse", {"tau": 2.0}, "contrast 'lse' must be given without options, got 'tau'"),
        (
            "lse-tau",
            {"tau": 0.0},
            r"tau, the temperature of contrast 'lse-tau', must be a number > 0, got 0\.0",
        ),
        ("pair", {}, r"other must be the class that contrast 'pair' compares with, .*, got None"),
        (
            "pair",
            {"other": 1},
            "other must not equal target in any sample for contrast 'pair', got equal ones",
        ),
        ("pair", {"other": 9}, r"other must be classes in \[0, 3\], got class 9"),
        ("topm-pw", {"m": 0}, "m must be an integer >= 1 for contrast 'topm-pw', got 0"),
    ],
)
def test_bad_contrasts_say_what_is_accepted(kind, options, words):
    with pytest.raises(ValueError, match=words):
        score_coefficients(torch.zeros(2, 4), torch.tensor([0, 1]), kind, **options)


@pytest.mark.parametrize(
    "target", [torch.tensor([0, 4]), torch.tensor([-1, 0]), torch.tensor([0.0, 1.0]), torch.tensor([0])]
)
def test_bad_targets_say_what_is_accepted(target):
    from robustxai.checks import as_target

    with pytest.raises(
        ValueError,
        match=r"^target must be (classes in \[0, 3\]|an int, integers of shape \(2,\) or None), got",
    ):
        as_target(target, torch.zeros(2, 4))
