"""The multi-objective view: minimum-norm points, common descent, steps to the first break."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from tables import mlp, rows, same_state, seeded, state
from torch import nn

from robustxai.metrics import spearman
from robustxai.ranking import (
    Saliency,
    certified_radius,
    certified_ratio,
    common_descent,
    iteration_bound,
    iterations_to_break,
    min_norm_weights,
    precision_at_k,
)


def min_norm_reference(g):
    """The minimum-norm point of a hull by non-negative least squares (scipy), with the sum held by a large weight."""
    big = 1e4 * np.abs(g).max()
    a = np.concatenate((g.T, big * np.ones((1, len(g)))))
    weights = nnls(a, np.concatenate((np.zeros(g.shape[1]), [big])), maxiter=1000)[0]
    return weights / weights.sum()


@pytest.mark.parametrize("p", [2, 4, 9])
def test_minimum_norm_points_agree_with_scipy(p):
    g = torch.randn(20, p, 12, generator=torch.Generator().manual_seed(p), dtype=torch.float64)
    g = g + torch.randn(20, 1, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = min_norm_weights(g)
    theirs = torch.from_numpy(np.stack([min_norm_reference(v.numpy()) for v in g]))
    norm = lambda w: (w[:, None] @ g)[:, 0].norm(dim=1)  # noqa: E731
    torch.testing.assert_close(norm(ours), norm(theirs), rtol=1e-5, atol=1e-7)
    assert (ours >= 0).all()
    torch.testing.assert_close(ours.sum(1), torch.ones(20).double())


def test_minimum_norm_by_hand():
    g = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [3.0, 1.0]]]).double()
    expected = torch.tensor([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]]).double()
    torch.testing.assert_close(min_norm_weights(g), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(min_norm_weights(1e-30 * g.float()), expected.float(), atol=1e-4, rtol=0)
    zero = min_norm_weights(torch.zeros(1, 3, 2))
    assert torch.isfinite(zero).all() and zero.sum() == pytest.approx(1)


def test_the_common_direction_lowers_every_gap():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(30)
    explain, t = Saliency(model), model(x).argmax(1)
    scores = explain(x, t)
    order = scores.argsort(1, descending=True)
    first, second = order[:, :3], order[:, 5:8]
    d = common_descent(explain, x, t, first, second)
    gaps = lambda v: explain(v, t).gather(1, first) - explain(v, t).gather(1, second)  # noqa: E731
    step = 1e-5
    drop = (gaps(x) - gaps(x + step * d / d.norm(dim=1, keepdim=True))) / step
    assert (drop >= d.norm(dim=1, keepdim=True) * 0.99 - 1e-6).all(), "each falls at least at the rate ||d||"
    assert (d.norm(dim=1) > 1e-4).double().mean() > 0.8


@pytest.mark.parametrize("direction", ["sum", "common"])
def test_breaks_are_real_first_and_not_below_the_bound(direction):
    model, x = mlp(classes=3, activation=nn.Softplus), rows(40)
    before, step = state(model), 0.01
    b = iterations_to_break(model, x, k=4, step=step, max_steps=60, direction=direction)
    assert b.broken.any() and not b.stuck.any() and same_state(before, state(model))
    assert (b.iterations[~b.broken] == 60).all() and (b.iterations[b.broken] >= 1).all()
    assert (b.length <= b.iterations.double() * step * (1 + 1e-9)).all()
    radius = certified_radius(Saliency(model), x, k=4, within=0.6)
    assert (b.iterations[b.broken] >= iteration_bound(radius, step)[b.broken]).all()
    one = [
        iterations_to_break(model, v, k=4, step=step, max_steps=60, direction=direction)
        for v in x[:6].split(1)
    ]
    assert torch.cat([o.iterations for o in one]).tolist() == b.iterations[:6].tolist()


def test_thick_gaps_take_more_steps():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(150)
    b = iterations_to_break(model, x, k=4, step=0.01, max_steps=80)
    ratio = certified_ratio(Saliency(model), x, k=4)
    assert spearman(b.iterations.double()[None], ratio[None]).item() > 0.5
    order = ratio.argsort()
    assert b.iterations[order[:50]].double().mean() < b.iterations[order[-50:]].double().mean()


def test_a_two_feature_ranking_is_solved_by_hand():
    """Scores (1 + x0, 1.35): from x0 = 0.95 they cross at 0.35, so at 0.1 a step the sixth or seventh breaks."""
    explain = lambda v, t: torch.stack((1 + v[:, 0], 1.35 + 0 * v[:, 1]), 1)  # noqa: E731
    model, x = seeded(lambda: nn.Linear(2, 2).double()), torch.tensor([[0.97, 0.0]]).double()
    with torch.no_grad():
        model.weight.zero_()
    for direction in ("sum", "common"):
        b = iterations_to_break(model, x, 0, k=1, step=0.1, explain=explain, direction=direction)
        assert b.iterations.tolist() == [7] and b.broken.all() and b.length.item() == pytest.approx(0.7)


def test_nothing_to_follow_is_stuck_not_unbreakable():
    model, x = mlp(), rows(5)
    for direction in ("sum", "common"):
        b = iterations_to_break(
            model, x, k=4, step=0.1, max_steps=5, explain=Saliency(model, score="logit"), direction=direction
        )
        assert b.stuck.all() and not b.broken.any() and (b.length == 0).all()


def test_the_prediction_is_kept():
    class Wall(nn.Module):
        def forward(self, x):
            return torch.stack((0 * x[:, 0], x[:, 0] - 0.25), 1)

    explain = lambda v, t: torch.stack((1 + v[:, 0], 1 + 0 * v[:, 0]), 1)  # noqa: E731
    b = iterations_to_break(
        Wall(), torch.tensor([[1.0, 0.0]]), 1, k=1, step=0.2, max_steps=30, explain=explain
    )
    assert not b.broken.any() and 0.7 < b.length.item() < 0.7501
    free = precision_at_k(explain(torch.tensor([[1.0, 0.0]]), 1), explain(torch.tensor([[-0.1, 0.0]]), 1), 1)
    assert free.item() == 0, "beyond the wall it would break"


def test_bad_input(as_shipped):
    model, x = mlp(), rows(3)
    for options, words in (
        ({"k": 12, "step": 0.1}, r"k must be an integer in \[1, 11\] for 12 features, got 12"),
        ({"k": 0, "step": 0.1}, r"k must be an integer in \[1, 11\] for 12 features, got 0"),
        ({"k": 2, "step": 0}, "step must be a finite number > 0, got 0"),
        ({"k": 2, "step": 0.1, "direction": "up"}, "direction must be one of sum, common, got 'up'"),
        ({"k": 2, "step": 0.1, "max_steps": 0}, "max_steps must be an integer >= 1, got 0"),
        ({"k": 2, "step": 0.1, "n_pairs": 0}, "n_pairs must be an integer >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            iterations_to_break(model, x, **options)
    with pytest.raises(ValueError, match="gradients must hold at most 10 of them for each sample, got 16"):
        iterations_to_break(model, x, k=5, step=0.1, direction="common", n_pairs=4)
    with pytest.raises(ValueError, match="step must be a finite number > 0, got -1"):
        iteration_bound(torch.ones(1), -1)
