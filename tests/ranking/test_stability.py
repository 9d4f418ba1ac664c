"""P@k, its chance level and controls."""

import pytest
import torch
from tables import mlp, rows
from torch import nn

from robustxai.ranking import (
    RandomDirections,
    RankingAttack,
    Saliency,
    attacked_precision,
    chance_level,
    precision_at_k,
    pretrained_overlap,
    random_control,
    sensitivity,
)


def test_precision_by_hand():
    a = torch.tensor([[5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0], [1.0, torch.nan, 3.0, 4.0]])
    b = torch.tensor([[5.0, 1.0, 3.0, 2.0], [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    p = precision_at_k(a, b, 2)
    assert p[:2].tolist() == [0.5, 0.0] and p[2].isnan()
    assert (precision_at_k(a[:2], a[:2], 3) == 1).all()
    image = a[:2].reshape(2, 1, 2, 2)
    assert precision_at_k(image, b[:2].reshape(2, 1, 2, 2), 2).tolist() == [0.5, 0.0]


def test_unrelated_rankings_score_chance():
    p = precision_at_k(rows(4000, 28), rows(4000, 28, seed=1), 8)
    assert abs(float(p.mean()) - chance_level(8, 28)) < 0.01


def test_random_control_is_a_mean_over_draws_and_falls_with_the_length():
    model, x = mlp(), rows(60)
    explain = Saliency(model)
    p = [
        float(random_control(model, x, 4, explain=explain, control=RandomDirections(e)).mean())
        for e in (1e-6, 0.3, 3)
    ]
    assert p[0] == 1 and p[0] > p[1] > p[2]
    g = torch.Generator().manual_seed(0)
    each = []
    for _ in range(3):
        a = RandomDirections(1.0).perturb(model, x, generator=g)
        each.append(attacked_precision(explain, x, a, 4))
    mean = random_control(model, x, 4, explain=explain, control=RandomDirections(1.0), draws=3)
    torch.testing.assert_close(mean, torch.stack(each).mean(0))


def test_precision_of_an_attack_uses_one_network_and_one_class():
    model, x = mlp(classes=3), rows(30)
    explain = Saliency(model)
    a = RankingAttack(4, 0.5, steps=5).perturb(model, x, 2, explain=explain)
    expected = precision_at_k(explain(x, 2), explain(a.x, 2), 4)
    assert torch.equal(attacked_precision(explain, x, a, 4), expected)


def test_pretrained_overlap_is_one_for_the_same_network_only():
    x, a, b = rows(50), Saliency(mlp(seed=0)), Saliency(mlp(seed=1))
    assert (pretrained_overlap(a, a, x, 4, target=0) == 1).all()
    assert pretrained_overlap(a, b, x, 4, target=0).mean() < 0.8


def test_bad_input(as_shipped):
    a = rows(3, 6)
    for k in (6, 7, 0, -1, 2.0, True):
        with pytest.raises(ValueError, match=rf"k must be an integer in \[1, 5\] for 6 features, got {k}"):
            precision_at_k(a, a, k)
    with pytest.raises(ValueError, match=r"k must be an integer .* got 28"):
        chance_level(28, 28)
    with pytest.raises(ValueError, match=r"a must be .* got shape \(6,\)"):
        precision_at_k(a[0], a[0], 2)
    with pytest.raises(ValueError, match="b must have the shape of a"):
        precision_at_k(a, a[:2], 2)
    with pytest.raises(ValueError, match="draws must be an integer >= 1, got 0"):
        random_control(mlp(), rows(2), 2, explain=Saliency(mlp()), control=RandomDirections(1), draws=0)


def test_an_optimiser_finds_more_than_chance():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(40)
    explain = Saliency(model)
    s = sensitivity(model, explain, x, eps=0.5)
    assert s.random.min() > 0 and s.optimised.mean() > s.random.mean()
    small = sensitivity(model, explain, x, eps=0.05)
    assert small.random.mean() < s.random.mean() and small.optimised.mean() < s.optimised.mean()


def test_sensitivity_of_a_linear_map_is_solved_by_hand():
    """I(x) = |x|: the change is the length of the step, so at most eps / ||x||."""
    model, x = mlp(), 5 + rows(10, 12).abs()
    s = sensitivity(model, lambda v, t: v.abs(), x, 0, eps=0.1, draws=400)
    torch.testing.assert_close(s.optimised, 0.1 / x.norm(dim=1), rtol=1e-3, atol=0)
    assert (s.random <= 0.1 / x.norm(dim=1)).all() and (s.random > 0.09 / x.norm(dim=1)).all()
    zero = sensitivity(model, lambda v, t: 0 * v, x, 0, eps=0.1)
    assert zero.random.isnan().all() and zero.optimised.isnan().all()
