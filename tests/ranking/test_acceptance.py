"""The statistical acceptance tests of spec 12.4: means over 3 seeds, thresholds as specified, minutes long.

Run with `pytest -m slow tests/ranking/test_acceptance.py`; `-s` prints the table. As in spec 12.3 the weights are
fixed beforehand and the whole 70 per cent are trained on. All test points are attacked. The specification names no
coefficients for synth, so its three seeds are three tables, draws 0 to 2: no draw was chosen. B2 depends on the draw
(R2ET without Hessian is 1.9 points above weight decay over these three, 2.8 above Est-H, 3.1 above plain training); it
is judged in the ledger, as `ranking.r2et_synth`.
"""

from functools import cache
from itertools import pairwise
from statistics import mean

import pytest

from robustxai.ranking import adult_like, evaluate, fine_tune, prepare, prepared, pretrain

pytestmark = pytest.mark.slow
SEEDS = 3


@cache
def start(name: str, seed: int):
    """The pretrained network of a set and a seed, with what it was trained on."""
    setting, data = prepared(name, seed=seed)
    if name == "synth":
        data = prepare(adult_like(draw=seed), seed=seed)
    data = data.without_validation()
    return setting, data, pretrain(setting, data, seed=seed)


@cache
def network(name: str, method: str, options: tuple, seed: int):
    setting, data, model = start(name, seed)
    tuned, _ = fine_tune(
        method, model, data, k=setting.k, options=dict(options), seed=seed, **setting.training
    )
    return tuned


@cache
def row(name: str, method: str, eps: float | None = None, **options: float) -> dict[str, float]:
    """Means over the seeds, in per cent."""
    rows = []
    for seed in range(SEEDS):
        setting, data, _ = start(name, seed)
        model = network(name, method, tuple(options.items()), seed)
        rows.append(vars(evaluate(model, data.test, setting, eps=eps, points=900)))
    means = {key: 100 * mean(r[key] for r in rows) for key in rows[0]}
    print(f"\n{name:14}{method:20}{options or ''!s:32}", {k: round(v, 1) for k, v in means.items()})
    assert (
        means["measured"] > 99
    )  # a point whose gradient is only rounding (p = 1) is left out and counted (P1)
    return means


def test_b1_the_attack_beats_random_directions():
    vanilla = row("synth", "Vanilla")
    assert vanilla["er"] <= vanilla["random"] - 3


def test_b3_the_gap_term_beats_vanilla_on_breast_cancer():
    ours, vanilla = row("breast_cancer", r"R2ET_\H"), row("breast_cancer", "Vanilla")
    assert ours["er"] >= vanilla["er"] + 1.5
    assert abs(ours["accuracy"] - vanilla["accuracy"]) <= 1.5


def test_b4_the_gap_term_adds_to_softplus_on_synth():
    assert row("synth", r"SP + R2ET_\H")["er"] >= row("synth", "SP")["er"] + 1


@pytest.mark.parametrize("name", ["synth", "breast_cancer"])
def test_b5_the_gap_term_thickens(name):
    assert row(name, r"R2ET_\H")["thickness"] > row(name, "Vanilla")["thickness"]


def test_b6_a_larger_budget_does_no_less():
    curve = [row("synth", "Vanilla", eps=eps)["er"] for eps in (0.1, 0.25, 0.5, 1.0, 2.0)]
    assert all(after <= before + 1 for before, after in pairwise(curve))


def test_b7_the_released_recipe_on_digits():
    recipe, vanilla = row("digits", "released recipe", weight=0.3), row("digits", "Vanilla")
    assert recipe["er"] >= vanilla["er"] + 5
    assert abs(recipe["accuracy"] - vanilla["accuracy"]) <= 2.5


def test_b7_gap_and_hessian_on_digits():
    r2et, vanilla = row("digits", "R2ET", lam=1.0, hessian=0.3), row("digits", "Vanilla")
    assert r2et["er"] >= vanilla["er"] + 2
    assert abs(r2et["accuracy"] - vanilla["accuracy"]) <= 1.5
