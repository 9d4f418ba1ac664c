"""Ghorbani's three attacks and Dombrowski's targeted one."""

import pytest
import torch
from tables import cnn, images, mlp, rows, same_state, state
from torch import nn

from robustxai.attacks.ghorbani import centre_of_mass
from robustxai.explainers.reduce import shares
from robustxai.ranking import (
    MassCentreAttack,
    Saliency,
    TargetMapAttack,
    TargetRegionAttack,
    TopKAttack,
    precision_at_k,
)

REGION = torch.zeros(6, 6)
REGION[:2, :2] = 1
ATTACKS = {
    "topk": lambda **o: TopKAttack(6, 0.05, **o),
    "region": lambda **o: TargetRegionAttack(REGION, 0.05, **o),
    "centre": lambda **o: MassCentreAttack(0.05, **o),
}


def goals(scores):
    """What each attack wants to be large."""
    top = scores.flatten(1).topk(6).indices
    here = centre_of_mass(scores)
    return {
        "topk": lambda s: -shares(s).gather(1, top).sum(1),
        "region": lambda s: (shares(s) * REGION.flatten().to(s)).sum(1),
        "centre": lambda s: (centre_of_mass(s) - here).norm(dim=1),
    }


@pytest.mark.parametrize("name", ATTACKS)
def test_each_reaches_its_own_goal_better_than_noise(name):
    model, x = cnn(), images(20)
    before, t = state(model), model(x).argmax(1)
    explain = Saliency(model)
    goal = goals(explain(x, t))[name]
    a = ATTACKS[name](steps=20, surrogate_beta=10).perturb(model, x)
    noise = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype).sign()
    gain = goal(explain(a.x, t)) - goal(explain(x, t))
    assert gain.min() >= 0 and a.moved.double().mean() > 0.8
    assert gain.mean() > (goal(explain(noise, t)) - goal(explain(x, t))).mean() + 0.005
    assert (a.x - x).abs().max() <= 0.05 * (1 + 1e-5) and torch.equal(model(a.x).argmax(1), t)
    torch.testing.assert_close(a.loss, -goal(explain(a.x, t)))
    assert same_state(before, state(model))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_sample_does_not_depend_on_its_batch(name):
    model, x = cnn(), images(4)
    whole = ATTACKS[name](steps=4).perturb(model, x).x
    torch.testing.assert_close(
        whole, torch.cat([ATTACKS[name](steps=4).perturb(model, v).x for v in x.split(1)])
    )


def test_the_top_k_attack_lowers_precision_on_tables():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(60)
    explain = Saliency(model)
    a = TopKAttack(4, 0.5, norm="l2", steps=20).perturb(model, x)
    assert precision_at_k(explain(x, a.target), explain(a.x, a.target), 4).mean() < 0.9


def test_dombrowski_comes_closer_to_the_goal_and_keeps_the_prediction():
    model, x = mlp(classes=3), rows(12)
    goal, before = torch.zeros(12).double(), state(model)
    goal[3] = 1
    attack = TargetMapAttack(goal, steps=60, lr=0.04, map_weight=1e3, output_weight=10.0)
    a = attack.perturb(model, x)
    assert torch.equal(model(a.x).argmax(1), model(x).argmax(1)) and same_state(before, state(model))
    assert (a.loss <= a.clean_loss).all() and a.loss.mean() < 0.9 * a.clean_loss.mean()
    torch.testing.assert_close(
        a.loss, (shares(Saliency(model)(a.x, a.target)) - goal / goal.sum()).square().mean(1)
    )
    share = lambda v: shares(Saliency(model)(v, a.target))[:, 3].mean()  # noqa: E731
    assert share(a.x) > share(x) + 0.02
    one = torch.cat([attack.perturb(model, v).x for v in x[:3].split(1)])
    torch.testing.assert_close(a.x[:3], one)
    held = TargetMapAttack(goal, steps=20, lr=0.1, eps=0.3).perturb(model, x)
    assert ((held.x - x).norm(dim=1) <= 0.3 * (1 + 1e-5)).all()


def test_dombrowski_takes_a_goal_for_each_image_and_raises_beta_to_the_last():
    model, x = cnn(), images(4)
    goal = images(4, seed=3)[:, :1]
    attack = TargetMapAttack(goal, steps=5, lr=0.01, clip=(0, 1), betas=(5, 80))
    a = attack.perturb(model, x)
    assert 0 <= a.x.min() and a.x.max() <= 1 and a.trace.shape == (4, 6)
    guide, refresh = attack.following(Saliency(model), None)
    betas = [guide(x).model[2].beta for _ in range(5)]
    assert refresh == 1 and betas == pytest.approx([5, 10, 20, 40, 80])
    flat = TargetMapAttack(goal, steps=3, betas=None).perturb(
        model, x, explain=Saliency(model, score="logit")
    )
    assert flat.stuck.all() and "gave the attack no gradient" in flat.report()


def test_bad_input(as_shipped):
    model, x = mlp(), rows(3)
    for make, words in (
        (
            lambda: TopKAttack(12, 1).perturb(model, x),
            r"k must be an integer in \[1, 11\] for 12 features, got 12",
        ),
        (lambda: TopKAttack(2, 0), "eps must be a finite number > 0, got 0"),
        (
            lambda: MassCentreAttack(1).perturb(model, x),
            r"explain must return maps \(n, 1, H, W\) for a centre of mass, got shape \(3, 12\)",
        ),
        (lambda: TargetRegionAttack(torch.ones(12), 1), "zeros and ones, at least one of each"),
        (
            lambda: TargetRegionAttack(torch.eye(2), 1).perturb(model, x),
            "region must hold one value for each of the 12 features, got 4",
        ),
        (
            lambda: TargetMapAttack(-torch.ones(12)),
            r"goal must be a map, finite, non-negative and not all zero, got shape \(12,\) and dtype",
        ),
        (
            lambda: TargetMapAttack(torch.ones(5)).perturb(model, x),
            "goal must hold 12 scores, or 12 for each input",
        ),
        (lambda: TargetMapAttack(torch.ones(12), steps=0), "steps must be an integer >= 1, got 0"),
        (
            lambda: TargetMapAttack(torch.ones(12)).perturb(model, x, explain=lambda v, t: v),
            r"betas must be None for an explainer without `model` and .*, got \(10\.0, 100\.0\)",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            make()
