"""An attack's result is the best it came past, not where it stopped; its guide is asked where it is by then."""

from itertools import pairwise

import torch
from tables import mlp, rows
from torch import nn

from robustxai.ranking import Saliency, TargetMapAttack, TopKAttack


def test_dombrowski_returns_the_best_iterate_of_a_path_that_overshoots():
    """Steps that are far too long, and a prediction that no step can flip."""
    net, x = mlp(classes=3, activation=nn.Softplus), rows(12)
    goal = torch.zeros(12).double()
    goal[3] = 1
    always = lambda v: torch.tensor([[1.0, 0.0, 0.0]]).to(v).expand(len(v), -1)  # noqa: E731
    found = TargetMapAttack(goal, steps=15, lr=2.0, betas=None).perturb(always, x, 0, explain=Saliency(net))
    assert not found.flips_rejected.any() and (found.trace[:, -1] > found.trace.amin(1)).any()
    torch.testing.assert_close(found.loss, found.trace.amin(1))


def test_a_guide_is_asked_again_where_the_attack_has_come_to():
    net, x, asked = mlp(classes=3, activation=nn.Softplus), rows(4), []

    def guide(v):
        asked.append(v.clone())
        return Saliency(net)

    TopKAttack(4, 0.5, norm="l2", steps=10, refresh=4).perturb(net, x, guide=guide)
    assert len(asked) == 3 and torch.equal(asked[0], x)
    assert all((a != b).any(1).all() for a, b in pairwise(asked))
