"""Planted maps (T9): probabilities never change, the suite finds what is within reach, and one objective does not."""

import pytest
import torch
from torch import Tensor, nn

from robustxai.arena.planted import _REACH, SelfTest, plant, selftest
from robustxai.attacks.budget import Budget
from robustxai.attacks.ghorbani import MassCentreAttack, TargetRegionAttack, TopKAttack
from robustxai.explainers.gradient import Saliency

EPS = 8 / 255
CORNER = torch.zeros(24, 24)
CORNER[:8, :8] = 1
ATTACKS = {
    "topk": lambda: TopKAttack(29, EPS, steps=10, clip=(0, 1)),
    "centre": lambda: MassCentreAttack(EPS, steps=10, clip=(0, 1)),
    "region": lambda: TargetRegionAttack(CORNER, EPS, steps=10, clip=(0, 1)),
}


def by(name: str):
    def search(model: nn.Module, x: Tensor, target: Tensor, score: str):
        found = ATTACKS[name]().perturb(model, x, target, explain=Saliency(model, score=score))
        return found.x, found.followed

    return search


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_objective_is_not_a_suite(seed: int) -> None:
    found = {name: selftest(by(name), seed=seed) for name in ATTACKS}
    assert found["region"] == SelfTest(8, 8, 0, 0) and found["region"].passed
    assert found["centre"].found >= 6 and found["centre"].out_of_reach == 0
    assert found["topk"].found == 0 and not found["topk"].passed, "it follows its slope the other way"


@pytest.mark.parametrize("seed", [0, 1])
def test_the_suite_passes(seed: int) -> None:
    assert selftest(seed=seed) == SelfTest(8, 8, 0, 0)


def test_a_suite_that_finds_what_is_out_of_reach_fails() -> None:
    def cheat(model: nn.Module, x: Tensor, target: Tensor, score: str):
        return x + 0.2, torch.ones(len(x), dtype=torch.bool)

    found = selftest(cheat)
    assert found.found == found.out_of_reach == found.followed_contrast == 8 and not found.passed


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_whole_budget_passes_the_threshold_within_reach_only(norm: str) -> None:
    eps = EPS if norm == "linf" else 0.5
    for budgets, wet in ((0.5, True), (1.5, False)):
        found = plant(4, eps=eps, norm=norm, budgets=budgets)
        budget = Budget(eps, norm)
        best = found.x + eps * budget.steepest(found.model.direction[None])
        assert budget.contains(best, found.x).all()
        moved = (found.model.direction * (best - found.x)).flatten(1).sum(1)
        assert torch.allclose(moved, torch.tensor(_REACH), atol=1e-4)
        assert found.flooded(best).tolist() == [wet] * 4 and not found.flooded(found.x).any()


def test_no_probability_ever_changes() -> None:
    found = plant(4)
    for x in (found.x, found.x + 0.1, torch.rand(4, 3, 24, 24)):
        assert torch.allclose(found.model(x).softmax(1), found.model.model(x).softmax(1), atol=1e-6)
    assert torch.equal(found.target, found.model.model(found.x).argmax(1))


def test_bad_input() -> None:
    for bad in ({"n": 0}, {"eps": 0}, {"budgets": -1}, {"norm": "l7"}):
        with pytest.raises(ValueError, match=rf"^{next(iter(bad))} must "):
            plant(**bad)  # pyright: ignore[reportArgumentType]
