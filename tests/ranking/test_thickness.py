"""Thickness against closed forms and the definition; the bounds; the certified radius."""

import pytest
import torch
from tables import cnn, images, mlp, rows, same_state, seeded, state
from torch import nn

from robustxai.ranking import (
    RankingAttack,
    Saliency,
    certified_radius,
    certified_ratio,
    kept_share,
    pair_mean,
    precision_at_k,
    thickness,
    thickness_bounds,
    topk_thickness,
)
from robustxai.ranking.certified import pair_slopes, score_rows
from robustxai.ranking.thickness import ball_draws


def linear_scores(x, target):
    """Scores that are linear in x, so that thickness is the gap at the middle of the segment."""
    a = torch.arange(1, x.shape[1] + 1).to(x)
    return 20 * a + a.flip(0) * x


def topk_thickness_reference(explain, x, target, *, k, ends, points, kind="smooth", normalise=False):
    """The definition of spec 3.2, written as loops over samples, ends, points and pairs."""
    out = []
    for n in range(len(x)):
        ranking = explain(x[n : n + 1], target[n : n + 1]).flatten().argsort(descending=True)
        total, count = 0.0, 0
        for end in ends[:, min(n, ends.shape[1] - 1)]:
            for q in range(points):
                s = explain((x[n] + (q + 0.5) / points * end)[None], target[n : n + 1]).flatten()
                s = s / s.norm() if normalise else s
                for i in ranking[:k]:
                    for j in ranking[k:]:
                        h = float(s[i] - s[j])
                        total += float(h >= 0) if kind == "indicator" else h
                        count += 1
        out.append(total / count)
    return torch.tensor(out, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["smooth", "indicator"])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("ball", ["uniform", "gaussian"])
def test_the_fast_form_is_the_definition(kind, normalise, ball):
    model, x = mlp(classes=3), rows(3)
    explain, t = Saliency(model), torch.tensor([0, 2, 1])
    ends = ball_draws(x, 0.8, 4, kind=ball)
    fast = topk_thickness(
        explain, x, t, k=5, eps=0.8, draws=4, points=3, kind=kind, normalise=normalise, ball=ball
    )
    slow = topk_thickness_reference(explain, x, t, k=5, ends=ends, points=3, kind=kind, normalise=normalise)
    torch.testing.assert_close(fast, slow)
    far = x + rows(3, seed=4)
    fast = topk_thickness(explain, x, t, k=5, other=far, points=3, kind=kind, normalise=normalise)
    slow = topk_thickness_reference(
        explain, x, t, k=5, ends=(far - x)[None], points=3, kind=kind, normalise=normalise
    )
    torch.testing.assert_close(fast, slow)


def test_linear_scores_are_solved_by_hand():
    x, far = rows(5, 6), rows(5, 6, seed=1)
    s0, s1 = linear_scores(x, 0), linear_scores(far, 0)
    got = thickness(linear_scores, x, 4, 1, 0, other=far)
    torch.testing.assert_close(got, ((s0 + s1)[:, 4] - (s0 + s1)[:, 1]) / 2)
    middle = pair_mean((s0 + s1) / 2, s0, k=2)
    torch.testing.assert_close(topk_thickness(linear_scores, x, 0, k=2, other=far), middle)
    share = thickness(
        linear_scores, torch.zeros(1, 2), 1, 0, 0, other=torch.tensor([[40.0, 0.0]]), kind="indicator"
    )
    assert share.item() == 0.25, "40 - (20 + 80 t) >= 0 up to t = 1/4"
    assert thickness(linear_scores, x, torch.tensor([0, 1, 2, 3, 4]), 5, 0, other=x).shape == (5,)


def test_a_linear_network_is_as_thick_as_its_clean_gap():
    """A9: no curvature: thickness is the clean gap, the bounds close, the radius is as large as asked."""
    model, x = seeded(lambda: nn.Linear(12, 3).double()), rows(8)
    explain = Saliency(model, score="logit")
    scores = explain(x)
    gap = pair_mean(scores, scores, k=4)
    torch.testing.assert_close(topk_thickness(explain, x, k=4, eps=3.0), gap)
    b = thickness_bounds(explain, x, k=4, eps=3.0)
    torch.testing.assert_close(b.lower, gap)
    torch.testing.assert_close(b.upper, gap)
    assert (certified_radius(explain, x, k=4, within=2.5) == 2.5).all()
    assert (topk_thickness(explain, x, k=4, eps=3.0, kind="indicator") == 1).all()


def test_kept_share_counts_pairs_and_ties():
    s = torch.tensor([[1.0, 3.0, 2.0, 2.0]])
    assert kept_share(s, s, k=2).item() == 1.0
    assert kept_share(s, torch.tensor([[4.0, 3.0, 2.0, 1.0]]), k=2).item() == 0.5
    assert kept_share(torch.tensor([[2.0, 3.0, 2.0, 2.0]]), s, k=2).item() == 1.0


def test_thickness_falls_along_an_attack_and_a_batch_changes_nothing():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(40)
    explain = Saliency(model)
    before = state(model)
    a = RankingAttack(4, 0.5, steps=10).perturb(model, x)
    local = topk_thickness(explain, x, k=4, eps=0.5)
    assert topk_thickness(explain, x, k=4, other=a.x).mean() < local.mean()
    torch.testing.assert_close(
        local, torch.cat([topk_thickness(explain, v, k=4, eps=0.5) for v in x.split(1)])
    )
    assert same_state(before, state(model))
    assert topk_thickness(Saliency(cnn()), images(3), k=6, eps=0.1, draws=2, points=2).shape == (3,)


def test_normalised_thickness_does_not_depend_on_the_scale():
    x, explain = rows(6), Saliency(mlp())
    scaled = lambda v, t: 7 * explain(v, t)  # noqa: E731
    for normalise, factor in ((True, 1.0), (False, 7.0)):
        a, b = (topk_thickness(e, x, 0, k=4, eps=0.3, normalise=normalise) for e in (explain, scaled))
        torch.testing.assert_close(b, factor * a)


def test_draws_lie_in_the_ball_and_fill_it():
    like = rows(2, 5)
    for kind in ("uniform", "gaussian"):
        u = ball_draws(like, 2.0, 4000, kind=kind)
        length = u.flatten(1).norm(dim=1)
        assert u.shape == (4000, 1, 5) and length.max() <= 2 * (1 + 1e-12)
        assert u.mean(0).abs().max() < 0.1
    u = ball_draws(like, 2.0, 4000).flatten(1).norm(dim=1)
    assert abs(float((u <= 1).double().mean()) - 0.5**5) < 0.01, "the share inside half the radius is 2^-d"
    g = lambda s: torch.Generator().manual_seed(s)  # noqa: E731
    assert torch.equal(ball_draws(like, 1, 3, generator=g(1)), ball_draws(like, 1, 3, generator=g(1)))
    assert not torch.equal(ball_draws(like, 1, 3, generator=g(1)), ball_draws(like, 1, 3, generator=g(2)))


def test_score_rows_are_signed_hessian_rows():
    model, x = mlp(activation=nn.Softplus), rows(2)
    t, features = torch.tensor([0, 1]), torch.tensor([[3, 7], [0, 11]])
    scores, found = score_rows(Saliency(model), x, t, features)
    for n in range(2):
        f = lambda v, n=n: model(v[None]).softmax(1)[0, t[n]]  # noqa: E731
        g = torch.autograd.functional.jacobian(f, x[n])
        hessian = torch.autograd.functional.hessian(f, x[n])
        for c, feature in enumerate(features[n]):
            torch.testing.assert_close(found[n, c], g[feature].sign() * hessian[feature])
            torch.testing.assert_close(scores[n, c], g[feature].abs())
        assert (found[n, 0] - found[n, 1]).norm() <= 2**0.5 * hessian.norm()


@pytest.mark.parametrize("eps", [0.05, 0.2, 0.5])
def test_thickness_lies_within_its_bounds(eps):
    """A3: 40 points, pairs and the top k, float64: no violation (the sampled supremum is a lower estimate)."""
    model, x = mlp(classes=3, activation=nn.Softplus), rows(40)
    explain = Saliency(model)
    for i, j in ((0, 1), (5, 2)):
        theta = thickness(explain, x, i, j, eps=eps, draws=200)
        for form in ("proved", "centre", "rows"):
            b = thickness_bounds(explain, x, pair=(i, j), eps=eps, draws=100, form=form)
            assert (b.lower - 1e-9 <= theta).all() and (theta <= b.upper + 1e-9).all(), form
            assert (b.upper - b.lower).min() > 0
    theta = topk_thickness(explain, x, k=4, eps=eps, draws=100)
    for form in ("proved", "rows"):
        b = thickness_bounds(explain, x, k=4, eps=eps, draws=20, form=form)
        assert (b.lower - 1e-9 <= theta).all() and (theta <= b.upper + 1e-9).all()
        torch.testing.assert_close(b.gap, pair_mean(explain(x), explain(x), k=4))


def test_a_bound_can_fail():
    """The test above is not empty: half the slope is no bound."""
    x = torch.zeros(1, 2).double()
    explain = lambda v, t: torch.stack((1 + v[:, 0], 0 * v[:, 0]), 1)  # noqa: E731
    theta = thickness(explain, x, 0, 1, 0, other=torch.tensor([[1.0, 0.0]]).double())
    b = thickness_bounds(explain, x, 0, pair=(0, 1), eps=1.0)
    assert b.gap.item() == 1 and theta.item() == 1.5
    torch.testing.assert_close(b.upper, theta)
    assert theta > thickness_bounds(explain, x, 0, pair=(0, 1), eps=0.5).upper


def test_the_certified_radius_keeps_the_top_set():
    """A4: 500 random directions at the radius, at most 0.3, change no top-k set; beyond, an attack does."""
    model, x = mlp(classes=3, activation=nn.Softplus), rows(40)
    explain, t = Saliency(model), model(x).argmax(1)
    r = certified_radius(explain, x, k=4, within=0.3, draws=64)
    assert r.min() > 0 and r.max() <= 0.3 and (r < 0.3).any()
    clean = explain(x, t)
    g = torch.Generator().manual_seed(0)
    for _ in range(500):
        u = torch.randn(x.shape, generator=g, dtype=x.dtype)
        moved = x + (r * (1 - 1e-9))[:, None] * u / u.norm(dim=1, keepdim=True)
        assert (precision_at_k(clean, explain(moved, t), 4) == 1).all()
    attacked = RankingAttack(4, 1.0, steps=20).perturb(model, x)
    assert (precision_at_k(clean, explain(attacked.x, t), 4) < 1).any(), "a radius of 1 is not safe"


def test_certified_radius_and_ratio_by_hand():
    x = torch.tensor([[1.0, 0.5, 0.25]]).double()
    explain = lambda v, t: v * torch.tensor([3.0, 4.0, 0.0]).to(v) + torch.tensor([0.0, 0.0, 1.0]).to(v)  # noqa: E731
    gaps = torch.tensor([1.0, 2.0])  # scores 3, 2, 1
    slopes = torch.tensor([5.0, 3.0])
    assert certified_ratio(explain, x, 0, k=1).item() == pytest.approx(float((gaps / slopes).min()))
    assert certified_radius(explain, x, 0, k=1, within=9.0).item() == pytest.approx(0.2)
    assert certified_radius(explain, x, 0, k=1, within=0.1).item() == pytest.approx(0.1)
    near = (1 / 5 + 1 / 4) / 2
    assert certified_ratio(explain, x, 0, k=2, reduce="near").item() == pytest.approx(near)


def test_slopes_grow_with_the_ball():
    model, x = mlp(activation=nn.Softplus), rows(5)
    t = torch.zeros(5, dtype=torch.long)
    a, b = torch.tensor([[0]]).expand(5, 1), torch.tensor([[1, 2]]).expand(5, 2)
    _, centre = pair_slopes(Saliency(model), x, t, a, b)
    _, ball = pair_slopes(Saliency(model), x, t, a, b, within=0.5, draws=20)
    assert (ball >= centre).all() and (ball > centre).any() and centre.shape == (5, 1, 2)


def test_bad_input(as_shipped):
    model, x = mlp(), rows(3)
    explain = Saliency(model)
    for make, words in (
        (
            lambda: topk_thickness(explain, x, k=12, eps=1),
            r"k must be an integer in \[1, 11\] for 12 features, got 12",
        ),
        (
            lambda: topk_thickness(explain, x, k=0, eps=1),
            r"k must be an integer in \[1, 11\] for 12 features, got 0",
        ),
        (
            lambda: topk_thickness(explain, x, k=2),
            "eps and other must be given one without the other, got neither",
        ),
        (lambda: topk_thickness(explain, x, k=2, eps=0), "eps must be a finite number > 0, got 0"),
        (lambda: topk_thickness(explain, x, k=2, eps=-1), "eps must be a finite number > 0, got -1"),
        (
            lambda: topk_thickness(explain, x, k=2, eps=1, kind="hard"),
            "kind must be one of smooth, indicator, got 'hard'",
        ),
        (
            lambda: topk_thickness(explain, x, k=2, eps=1, ball="cube"),
            "ball must be one of uniform, gaussian, got 'cube'",
        ),
        (lambda: topk_thickness(explain, x, k=2, eps=1, points=0), "points must be an integer >= 1, got 0"),
        (
            lambda: topk_thickness(explain, x, k=2, other=x[:2]),
            r"other must have the shape of x, \(3, 12\), got shape \(2, 12\)",
        ),
        (
            lambda: topk_thickness(explain, x / 0, k=2, eps=1),
            "x must be finite inputs, got NaN or infinite numbers",
        ),
        (
            lambda: topk_thickness(lambda v, t: v, x, k=2, eps=1),
            r"target must be class indices where explain has no `\.model` .*, got None",
        ),
        (
            lambda: thickness_bounds(explain, x, eps=1),
            "k and pair must be given one without the other, got neither",
        ),
        (
            lambda: thickness_bounds(explain, x, eps=1, k=2, form="exact"),
            "form must be one of proved, centre, rows, got 'exact'",
        ),
        (lambda: certified_radius(explain, x, k=2, within=0), "within must be a finite number > 0, got 0"),
        (
            lambda: certified_radius(explain, x, k=13, within=1),
            r"k must be an integer in \[1, 11\] for 12 features, got 13",
        ),
        (
            lambda: certified_ratio(explain, x, k=2, reduce="max"),
            "reduce must be one of min, near, got 'max'",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            make()
