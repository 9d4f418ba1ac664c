"""Nothing becomes a number: NaN, dead maps, wrong lengths and ranges in every public helper of the chapter."""

import numpy as np
import pytest
import torch
from tables import cnn, images, mlp, rows
from torch import nn

from robustxai.ranking import (
    FDHessian,
    Gap,
    IntegratedGradients,
    MSEAttack,
    RandomDirections,
    RankingAttack,
    Saliency,
    SelectionScore,
    TargetMapAttack,
    adult_like,
    attacked_precision,
    certified_radius,
    certified_ratio,
    chance_level,
    comp,
    dffot,
    explained,
    iteration_bound,
    iterations_to_break,
    kept_share,
    load_table,
    lp_counterexample,
    min_norm_weights,
    pair_count,
    pair_mean,
    pair_sum,
    pair_weights,
    precision_at_k,
    prepared,
    pretrained_overlap,
    random_control,
    ranked,
    select_weights,
    sensitivity,
    suff,
    thickness,
    thickness_bounds,
    topk_thickness,
)

NAN, INF = torch.nan, torch.inf


def spoiled(explain, bad):
    """The explainer with `bad` in the first sample's first score; the second sample stays whole."""

    def scores(x, target):
        s = explain(x, target).clone()
        mask = torch.zeros_like(s, dtype=torch.bool)
        mask[::2, 0] = True  # the first of two samples, also where segments are stacked
        return s.masked_fill(mask, bad)

    return scores


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_map_that_is_not_finite_certifies_nothing(bad):
    model, x = mlp(activation=nn.Softplus), rows(2)
    t, explain = torch.zeros(2).long(), spoiled(Saliency(model), bad)
    measures = [
        certified_radius(explain, x, t, k=4, within=0.3, draws=3),
        certified_ratio(explain, x, t, k=4),
        *thickness_bounds(explain, x, t, k=4, eps=0.2, draws=3),
        *thickness_bounds(explain, x, t, pair=(0, 1), eps=0.2, form="rows", draws=3),
        precision_at_k(explain(x, t), Saliency(model)(x, t), 4),
        pretrained_overlap(Saliency(model), explain, x, 4, target=t),
        random_control(model, x, 4, explain=explain, control=RandomDirections(0.1), target=t),
    ]
    if bad != bad:
        measures += [
            kept_share(explain(x, t), Saliency(model)(x, t), k=4),
            kept_share(Saliency(model)(x, t), explain(x, t), k=4),
            topk_thickness(explain, x, t, k=4, eps=0.2, draws=2, kind="indicator"),
            topk_thickness(explain, x, t, k=4, eps=0.2, draws=2),
            thickness(explain, x, 0, 1, t, eps=0.2, draws=2, kind="indicator"),
            pair_mean(Saliency(model)(x, t), explain(x, t), k=4),
            pair_sum(explain(x, t), Saliency(model)(x, t), k=4, pairs="near"),
            *sensitivity(model, explain, x, t, eps=0.2, draws=2, steps=2),
        ]
    for found in measures:
        assert not found[0].isfinite() and found[1].isfinite(), found


def test_a_slope_that_is_nan_is_no_certificate():
    explain = lambda v, t: torch.stack((1 + v[:, 0], (v[:, 1] - 1).sqrt() * 0 + 0.5), 1)  # noqa: E731
    x = torch.tensor([[2.0, 1.0], [2.0, 3.0]]).double()
    r = certified_radius(explain, x, 0, k=1, within=0.1, draws=1)
    assert r[0].isnan(), "the root has no slope at 0"


def test_dead_maps_agree_with_nothing():
    model, x = mlp(), rows(3)
    dead = lambda v, t: 0 * v  # noqa: E731
    z = torch.zeros(3, 12).double()
    a = RandomDirections(0.3).perturb(model, x)
    for found in (
        precision_at_k(z, z, 4),
        precision_at_k(z + 2, x, 4),
        kept_share(z, z, k=4),
        kept_share(x, z, k=4),
        attacked_precision(dead, x, a, 4),
        random_control(model, x, 4, explain=dead, control=RandomDirections(0.3)),
        pretrained_overlap(dead, dead, x, 4, target=0),
        certified_radius(dead, x, 0, k=4, within=1.0),
        certified_ratio(dead, x, 0, k=4),
        certified_ratio(dead, x, 0, k=4, reduce="near"),
        *sensitivity(model, dead, x, 0, eps=0.1),
    ):
        assert found.isnan().all(), found
    b = iterations_to_break(model, x, 0, k=4, step=0.1, max_steps=3, explain=dead)
    assert b.stuck.all() and not b.broken.any()


def test_scores_without_a_graph_have_unknown_slopes(as_shipped):
    model, x = mlp(), rows(3)
    cut = lambda v, t: Saliency(model)(v, t).detach()  # noqa: E731
    for call in (
        lambda: certified_radius(cut, x, 0, k=4, within=1),
        lambda: certified_ratio(cut, x, 0, k=4),
        lambda: thickness_bounds(cut, x, 0, k=4, eps=1),
        lambda: iterations_to_break(model, x, 0, k=4, step=0.1, explain=cut, direction="common"),
    ):
        with pytest.raises(ValueError, match=r"^explain must be differentiable in x"):
            call()
    with pytest.warns(UserWarning, match=r"^explain has no gradient in x to follow"):
        b = iterations_to_break(model, x, 0, k=4, step=0.1, explain=cut)
    assert b.stuck.all() and not b.broken.any()
    with pytest.warns(UserWarning, match=r"^explain has no gradient"):
        s = sensitivity(model, cut, x, 0, eps=0.2, draws=2, steps=2)
    assert s.optimised.isnan().all() and s.random.isfinite().all()


def test_gradients_that_are_nan_are_stuck_not_unbreakable():
    explain = lambda v, t: v.abs() + (v - v.detach()).abs().sqrt()  # noqa: E731  the slope of a root at 0 is infinite
    b = iterations_to_break(mlp(), rows(3), 0, k=4, step=0.1, max_steps=3, explain=explain)
    assert b.stuck.all() and not b.broken.any()
    a = RankingAttack(4, 0.3, steps=3).perturb(mlp(), rows(3), explain=explain)
    assert not a.followed.any() and not a.moved.any()


class Sick(nn.Module):
    """Logits are NaN where x0 is negative."""

    def forward(self, x):
        z = torch.where(x[:, 0] < 0, NAN, x.sum(1))
        return torch.stack((z, -z), 1)


def test_no_prediction_is_kept_and_no_feature_judged_by_logits_of_nan():
    x = torch.tensor([[1.0, 2.0], [-1.0, 2.0]])
    flip = dffot(Sick(), x, x.abs())
    assert flip.fraction[1].isnan() and not flip.flipped[1] and flip.fraction[0].isfinite()
    for measure in (comp, suff):
        found = measure(Sick(), x, x.abs())
        assert found[0].isfinite() and found[1].isnan()
    late = dffot(Sick(), torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]]), baseline=-5.0)
    assert late.fraction.isnan().all(), "NaN on the way, before it flips"
    a = RandomDirections(3.0).perturb(Sick(), torch.tensor([[0.1, 2.0]]).expand(40, 2))
    assert (a.x[:, 0] >= 0).all() and not Sick()(a.x).isnan().any()


@pytest.mark.parametrize("bad", [NAN, INF])
def test_scores_that_are_not_finite_name_no_feature(bad):
    model, x = mlp(), rows(2)
    scores = x.clone()
    scores[0, 3] = bad
    for found in (dffot(model, x, scores).fraction, comp(model, x, scores), suff(model, x, scores)):
        assert found[0].isnan() and found[1].isfinite()


def test_weights_of_nan_gradients_and_candidates_of_nan():
    g = torch.ones(2, 2, 3)
    g[0, 0, 0] = NAN
    w = min_norm_weights(g)
    assert w[0].isnan().all() and w[1].sum() == pytest.approx(1)
    scores = {1: SelectionScore(NAN, 0.9), 2: SelectionScore(0.5, NAN)}
    chosen = select_weights([{"w": 1}, {"w": 2}], lambda o, s: scores[o["w"]], reference=0.9)
    assert chosen.options == {"w": 2} and not chosen.within
    with pytest.raises(ValueError, match=r"^measure gives NaN as the accuracy of every candidate"):
        select_weights([{"w": 1}], lambda o, s: scores[1], reference=0.9)


def test_lengths_and_ranges(as_shipped):
    model, x = mlp(), rows(3)
    e, t = Saliency(model), torch.zeros(3).long()
    anonymous = lambda v, target: v.abs()  # noqa: E731
    a = RankingAttack(2, 0.1, steps=1).perturb(model, x)
    calls = [
        (lambda: kept_share(x, x, k=-1), r"k must be an integer in \[1, 11\] for 12 features, got -1"),
        (lambda: kept_share(x, x, k=2.5), r"k must be an integer in \[1, 11\] for 12 features, got 2.5"),
        (
            lambda: kept_share(x, x[:2], k=2),
            r"reference must have the shape of scores, \(3, 12\), got \(2, 12\)",
        ),
        (
            lambda: kept_share(x[0], x[0], k=2),
            r"scores must be a batch \(n, \.\.\.\), not empty, got shape \(12,\) and dtype",
        ),
        (lambda: load_table("synth", limit=-1), "limit must be an integer >= 1, got -1"),
        (lambda: load_table("synth", limit=2.5), r"limit must be an integer >= 1, got 2\.5"),
        (lambda: prepared("synth", limit=0), "limit must be an integer >= 1, got 0"),
        (lambda: adult_like(2.5), r"n must be an integer >= 2, got 2\.5"),
        (lambda: precision_at_k(x, x.long(), 2), r"b must be floating-point scores, got dtype torch\.int64"),
        (lambda: chance_level(2, 3.5), r"d must be an integer >= 1, got 3\.5"),
        (lambda: pair_count(-3, k=1), "d must be an integer >= 1, got -3"),
        (
            lambda: pair_count(12, k=3, pairs="mm", n_pairs=1.5),
            r"n_pairs must be an integer in \[1, 3\] for pairs='mm', k=3, d=12, got 1\.5",
        ),
        (
            lambda: pair_weights(x[0], k=2),
            r"reference must be a batch \(n, \.\.\.\), not empty, got shape \(12,\) and dtype",
        ),
        (lambda: pair_sum(x, x[:, :5], k=2), "reference must have the shape of scores"),
        (lambda: pair_mean(x[None], x[None], k=2), r"scores must be scores \(n, d\)"),
        (
            lambda: explained(x, torch.tensor([0, 1, 12])),
            r"target must be classes in \[0, 11\], got class 12",
        ),
        (
            lambda: explained(x, [0, 1]),
            r"target must be an int, integers of shape \(3,\) or None, got shape \(2,\) and dtype",
        ),
        (lambda: ranked(x[0]), "signed must be a batch"),
        (lambda: thickness(e, x, 12, 0, eps=1), r"i must be a feature in \[0, 12\)"),
        (lambda: thickness(e, x, 0, -1, eps=1), r"j must be a feature in \[0, 12\)"),
        (lambda: thickness(e, x, 0, [1, 2], eps=1), "j must be a feature"),
        (lambda: thickness(e, x, 0, 1.5, eps=1), "j must be a feature"),
        (lambda: thickness_bounds(e, x, pair=(0, 12), eps=1), "pair must be a feature"),
        (lambda: thickness_bounds(e, x, pair=(0, 1, 2), eps=1), "pair must be two features"),
        (lambda: thickness_bounds(e, x, k=2, eps=1, draws=-1), "draws must be an integer >= 1, got -1"),
        (
            lambda: topk_thickness(anonymous, x, [0, 1], k=2, eps=1),
            "target must be a class index >= 0, or one for each",
        ),
        (lambda: topk_thickness(anonymous, x, 1.7, k=2, eps=1), "target must be a class index"),
        (lambda: topk_thickness(anonymous, x, -1, k=2, eps=1), "target must be a class index"),
        (
            lambda: topk_thickness(e, x, torch.zeros(9).long(), k=2, eps=1),
            r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
        ),
        (
            lambda: topk_thickness(e, x, k=2, other=x / 0),
            "other must be finite inputs, got NaN or infinite numbers",
        ),
        (lambda: iteration_bound(torch.tensor([NAN]), 0.1), "radius must be finite numbers >= 0"),
        (lambda: iteration_bound(torch.tensor([INF]), 0.1), "radius must be finite"),
        (lambda: iteration_bound(torch.tensor([-1.0]), 0.1), "radius must be finite"),
        (lambda: min_norm_weights(x), "gradients must be"),
        (
            lambda: lp_counterexample(x[0].abs(), k=2),
            r"scores must be a batch \(n, \.\.\.\), not empty, got shape \(12,\) and dtype",
        ),
        (lambda: lp_counterexample(x.abs(), k=2, swaps=(1, 0, 0)), "swaps must be two numbers"),
        (lambda: lp_counterexample(x.abs(), k=2, swaps=(1.5, 0)), r"swaps must be an integer >= 0, got 1\.5"),
        (lambda: dffot(model, x, x, levels=2.5), r"levels must be an integer >= 1, got 2\.5"),
        (lambda: dffot(model, x, x, baseline=NAN), r"baseline must be (a )?finite.* got nan"),
        (lambda: comp(model, x, x, baseline=torch.zeros(5)), "baseline must be finite and broadcast"),
        (lambda: comp(model, x, x, shares=0.5), r"shares must be numbers in \(0, 1\], got 0\.5"),
        (
            lambda: comp(model, x, x, [0, 1]),
            r"target must be an int, integers of shape \(3,\) or None, got shape \(2,\) and dtype",
        ),
        (
            lambda: comp(cnn().train(), images(), images()[:, :1]),
            "model must be in eval mode, got training mode",
        ),
        (lambda: attacked_precision(e, x[:2], a, 2), "x must have one entry for each of the 3 of attacked"),
        (lambda: IntegratedGradients(model, baselines=NAN), "baselines must be finite"),
        (
            lambda: IntegratedGradients(model, baselines=torch.zeros(5))(x),
            "baselines must be a number, one image",
        ),
        (
            lambda: IntegratedGradients(model)(x, [0, 1]),
            r"target must be an int, integers of shape \(3,\) or None, got shape \(2,\) and dtype",
        ),
        (
            lambda: RandomDirections(1, clip=(1, 0)),
            r"clip must be None or a pair \(low, high\) with low < high, got \(1, 0\)",
        ),
        (
            lambda: RandomDirections(1, clip=(0, 1)).perturb(model, x),
            r"x must lie in clip=\(0\.0, 1\.0\), got numbers from -2\.31 to 2\.02",
        ),
        (
            lambda: TargetMapAttack(torch.ones(12), clip=(0, 1)).perturb(model, x),
            r"x must lie in clip=\(0\.0, 1\.0\), got numbers from -2\.31 to 2\.02",
        ),
        (
            lambda: TargetMapAttack(torch.ones(12), clip=(0,)),
            r"clip must be None or a pair \(low, high\) with low < high, got \(0,\)",
        ),
        (lambda: TargetMapAttack(torch.ones(12), betas=(1,)), "betas must be None or a pair"),
        (lambda: MSEAttack(1, refresh=0), "refresh must be an integer >= 1, got 0"),
        (
            lambda: RankingAttack(2, 1).perturb(model, x, explain=lambda v, t: v.sum()),
            r"explain must return attributions \(n, \.\.\.\), got tensor",
        ),
        (lambda: Gap(2)(model, x, torch.tensor([0, 1, 2])), r"y must be classes in \[0, 1\], got class 2"),
        (
            lambda: FDHessian()(model, x, t[:2]),
            r"y must be an int, integers of shape \(3,\) or None, got shape \(2,\) and dtype",
        ),
        (lambda: Gap(2)(model, x / 0, t), "x must be finite inputs, got NaN or infinite numbers"),
        (
            lambda: pretrained_overlap(e, e, x, 12, target=0),
            r"k must be an integer in \[1, 11\] for 12 features, got 12",
        ),
        (
            lambda: certified_radius(e, x, k=np.int64(0), within=1),
            r"k must be an integer in \[1, 11\] for 12 features, got 0",
        ),
    ]
    for call, words in calls:
        with pytest.raises(ValueError, match=words):
            call()


def test_an_image_that_resizing_left_above_one_is_accepted():
    model, x = cnn(), images(2).clone()
    x[0, 0, 0, 0] = 1 + 2.4e-7
    assert RankingAttack(4, 0.1, steps=1, clip=(0, 1)).perturb(model, x).x.max() <= 1 + 1e-6
