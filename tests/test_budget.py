"""No attack leaves its budget: not with its result, not at any iterate, whatever the radius, norm, range and seed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

import robustxai.ace as A
import robustxai.concepts as C
import robustxai.manifold_ig as M
import robustxai.ranking as R
from robustxai.attacks.budget import NORMS, Budget
from robustxai.metrics import optimised_sensitivity
from robustxai.ranking.regularisers import CachedBatch

SMALL = settings(max_examples=8, deadline=None, derandomize=True)
RADII, SEEDS = st.floats(1e-3, 2.0), st.integers(0, 1000)
DRAWN = st.tuples(RADII, st.sampled_from(NORMS), st.sampled_from([None, (0, 1), (0.2, 0.9)]))


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    body = nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 3)
    return nn.Sequential(*body).eval()


def images(seed: int, n: int = 3) -> Tensor:
    """In (0.2, 0.9), on the grid of bytes."""
    x = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (255 * (0.25 + 0.6 * x)).round() / 255


GOAL = torch.linspace(0, 1, 36)
MADE: dict[str, Callable[..., Any]] = {
    "er": lambda eps, **o: R.RankingAttack(4, eps, steps=3, **o),
    "mse": lambda eps, **o: R.MSEAttack(eps, steps=3, jitter=0.5, **o),
    "top k": lambda eps, **o: R.TopKAttack(4, eps, steps=3, keep="gda", **o),
    "region": lambda eps, **o: R.TargetRegionAttack((GOAL > 0.7).float(), eps, steps=3, step=9.0, **o),
    "centre": lambda eps, **o: R.MassCentreAttack(eps, steps=3, keep="hedge", **o),
    "target map": lambda eps, **o: R.TargetMapAttack(GOAL, eps=eps, steps=3, lr=0.5, betas=None, **o),
    "attribution": lambda eps, clip, norm: M.AttributionAttack(
        maps=GOAL, eps=eps, steps=3, lr=0.5, clip=clip
    ),
    "random": lambda eps, **o: R.RandomDirections(eps, **o),
}


@pytest.mark.parametrize("name", MADE)
@given(drawn=DRAWN, seed=SEEDS)
@SMALL
def test_attacks_on_maps(name: str, drawn: tuple[Any, ...], seed: int) -> None:
    budget, model, x, seen = Budget(*drawn), net(seed), images(seed), []
    attack = MADE[name](budget.eps, norm=budget.norm, clip=budget.clip)
    budget = replace(budget, norm="linf") if name == "attribution" else budget
    scores = R.Saliency(model)

    def explain(v: Tensor, t: Tensor) -> Tensor:
        seen.extend(
            [v.detach().clone()] if len(v) == len(x) else []
        )  # the size of a map is asked of one image
        return scores(v, t)

    def twin(v: Tensor) -> Tensor:
        return model(0.9 * v)

    found = attack.perturb(model, x, explain=explain, also=twin)
    assert found.budget == attack.budget == budget and (len(seen) > 3) == (name != "random")
    for v in (*seen, found.x):
        assert budget.contains(v, x).all()
    for one in (model, twin):
        assert torch.equal(one(found.x).argmax(1), one(x).argmax(1)) and found.kept.all()
    assert str(budget) in found.report()


@pytest.mark.parametrize("kind", [A.PGD, A.GD, A.CW])
@given(eps=RADII, seed=SEEDS)
@SMALL
def test_counterfactuals(kind: type[A.Attack], eps: float, seed: int) -> None:
    x, seen = images(seed), []
    attack = kind(steps=3, step=0.3, eps=eps)
    found = attack.perturb(net(seed), x, watch=lambda index, k, image: seen.append(image.clone()))
    assert len(seen) == 4
    for v in (*seen, found):
        assert attack.budget.contains(v, x).all()


@pytest.mark.parametrize("name", ["TokenPushing", "MultiLayerPushing", "UniversalPushing"])
@given(eps=st.lists(st.just(0.0) | st.floats(1e-3, 1), min_size=1, max_size=3), seed=SEEDS)
@SMALL
def test_attacks_on_exemplars(name: str, eps: list[float], seed: int) -> None:
    """The iterates are floats inside the box, the result is bytes."""
    model, x, seen = net(seed), images(seed), []
    layer = ["1"] if name == "MultiLayerPushing" else "1"
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    attack = getattr(C, name)(layer, steps=3, step=0.2, batch_size=3)
    for e in eps:
        seen.clear()
        found = attack.perturb(model, x, images(seed + 1, n=5), eps=e)
        loose = replace(found.budget, grid=None)
        assert all(loose.contains(v, x).all() for v in seen if len(v) == len(x))
        assert found.budget.contains(found.x, x).all()
    swept = attack.perturb(model, x, images(seed + 1, n=5), eps=eps)
    assert all(b.contains(moved, x).all() for b, moved in zip(swept.budget, swept.x, strict=True))
    assert all(found.budget.contains(v, x).all() for v in C.controls(found).values())


@given(eps=RADII, seed=SEEDS, steps=st.integers(1, 3))
@SMALL
def test_adversarial_training_and_sensitivity(eps: float, seed: int, steps: int) -> None:
    model, x, seen = net(seed), images(seed), []
    term = R.AdversarialTraining(4, eps, steps=steps)
    assert term.budget.contains(term.moved(CachedBatch(model, x, torch.arange(3))), x).all()

    def explain(v: Tensor, t: Tensor) -> Tensor:
        seen.append(v.detach().clone())
        return R.Saliency(model)(v, t)

    box = Budget(eps)
    found = optimised_sensitivity(explain, x, 1, radius=eps, steps=2, draws=2, clip=(0, 1))
    assert all(box.contains(v, x).all() for v in (*seen, found.x))


@given(drawn=DRAWN, seed=SEEDS, far=st.floats(1e-6, 1e3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_projection_is_inside_and_leaves_what_is(drawn: tuple[Any, ...], seed: int, far: float) -> None:
    budget, x = Budget(*drawn), images(seed)
    y = x + far * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    once = budget.project(y, x)
    assert budget.contains(once, x).all()
    torch.testing.assert_close(budget.project(once, x), once)
    assert (budget.contains(y, x) <= ((once - y).abs() < 1e-4).flatten(1).all(1)).all()
    inside = x + 0.9 * (once - x)
    off = [((v - y) ** 2).flatten(1).sum(1) for v in (once, inside)]
    assert (off[0] <= off[1] * (1 + 1e-4) + 1e-6).all(), "no point of the ball is nearer"


def test_a_radius_for_each_sample_and_none() -> None:
    x, y = torch.zeros(2, 4), torch.ones(2, 4)
    for norm, sizes in (("linf", [0.25, 0.5]), ("l2", [0.125, 0.25])):
        found = Budget((0.25, 0.5), norm, clip=None).project(y, x)
        assert found[:, 0].tolist() == pytest.approx(sizes)
    assert Budget().project(2 * y, x).tolist() == y.tolist() and Budget(clip=None).contains(1e9 * y, x).all()
    assert not Budget(0.1, grid=255).contains(y / 300, x).any()


def test_bad_input() -> None:
    for make, words in (
        (lambda: Budget(-1.0), r"^eps must be a finite number >= 0, got -1\.0$"),
        (lambda: Budget((0.1, float("nan"))), "^eps must be a finite number >= 0, got nan$"),
        (lambda: Budget(1.0, "l1"), "^norm must be one of l2, linf-box, linf, got 'l1'$"),
        (lambda: Budget(1.0, clip=(1, 0)), r"^clip must be None or a pair \(low, high\) with low < high"),
        (lambda: Budget(1.0, grid=0), "^grid must be an integer >= 1, got 0$"),
        (lambda: Budget(1.0, "l2", grid=255), r"^grid must be None without a box in \[0, 1\], got 255$"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
