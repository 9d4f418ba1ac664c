"""Statistical acceptance on the shipped networks (spec 10.5): medians over the three seeds of each architecture.

Clean truth is read at b3, attacks are made and judged at b4, fixed before any attack. What does not hold is in the
ledger.
"""

import statistics
from statistics import fmean

import pytest
import torch

from robustxai.concepts.attacks import sign_noise
from robustxai.concepts.cav import CAV
from robustxai.concepts.study.ablations import universal
from robustxai.concepts.study.cases import (
    CASES,
    EPS,
    attack_case,
    clean_table,
    materials,
    null_answers,
    verdict_cells,
)
from robustxai.concepts.study.study import Study
from robustxai.concepts.tcav import TCAV
from robustxai.nets import pretrained, zoo

pytestmark = pytest.mark.slow
NETWORKS = sorted(name for name in zoo() if name.startswith(("concepts-plain", "concepts-inception")))
DOTS, CHEQUERS, CORGIS, STRIPES, GENERIC = CASES


@pytest.fixture(scope="module")
def given():
    return materials()


@pytest.fixture(scope="module", params=["plain", "inception"])
def models(request):
    return [pretrained(name) for name in NETWORKS if request.param in name]


def mid(values):
    return statistics.median(values)


def mostly(states, wanted):
    """The verdict of most seeds, the median of a verdict."""
    return 2 * sum((s == "important") is wanted for s in states) > len(states)


def test_a1_accuracy():
    assert len(NETWORKS) == 6
    assert all(zoo()[name].metrics["test_accuracy"] >= 0.97 for name in NETWORKS)


@pytest.mark.parametrize("estimator", ["ridge", "sgd"])
def test_a2_a3_a4_clean_truth(models, given, estimator):
    tables = [clean_table(m, given, cav=CAV(estimator), layers=("b3",)) for m in models]
    for target, concept, least in (
        ("zebra", "striped", 0.9),
        ("honeycomb", "honeycombed", 0.9),
    ):
        cells = [t[target][concept, "b3"] for t in tables]
        assert mid(c.mean for c in cells) >= least and mid(c.raw_p for c in cells) < 0.01
        assert mostly([c.state for c in cells], True)
    assert mostly([t["appaloosa"]["dotted", "b3"].state for t in tables], True)  # A3's 0.9 is in the ledger
    assert mid(t["appaloosa"]["striped", "b3"].mean for t in tables) <= 0.3
    assert 0.35 <= mid(float(t["zebra"]["striped", "b3"].random.mean()) for t in tables) <= 0.65  # A5


def test_a5_the_usual_test_calls_random_sets_significant_and_the_test_over_sets_does_less(models, given):
    rates = {
        test: mid(fmean(null_answers(m, given, "zebra", layers=("b3", "b4"), test=test)) for m in models)
        for test in ("runs", "sets")
    }
    assert rates["sets"] < rates["runs"] and rates["runs"] > 0.1


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a6_a7_a8_a13_noise_and_class_gradient(models, given, case):
    tokens = given.concepts[case.concept]
    noise = sign_noise(tokens, EPS, generator=torch.Generator().manual_seed(5))
    found = []
    for model in models:
        sets = {"clean": tokens, "noise": noise, "hit": attack_case(model, given, case, attack="gradient").x}
        found.append(
            {k: c["b4"] for k, c in verdict_cells(TCAV(model, ["b4"]), given, case.target, sets).items()}
        )
    assert mid(abs(c["noise"].mean - c["clean"].mean) for c in found) <= 0.15
    assert mid(c["clean"].accuracy - c["hit"].accuracy for c in found) <= 0.1
    hit = mid(c["hit"].mean for c in found)
    assert hit >= 0.9 if case.sign > 0 else hit <= 0.1
    assert mostly([c["hit"].state for c in found], case.sign > 0)
    assert mostly([c["clean"].state for c in found], case.sign < 0)


def test_a9_a11_token_pushing(models, given):
    for case in (CORGIS, STRIPES):
        found = []
        for model in models:
            p = attack_case(model, given, case, eps=[EPS, 2 * EPS])
            sets = {"clean": p.clean, "8": p.x[0], "16": p.x[1]}
            found.append(
                {k: c["b4"] for k, c in verdict_cells(TCAV(model, ["b4"]), given, case.target, sets).items()}
            )
        last = "8" if case is CORGIS else "16"
        assert mostly([c["clean"].state for c in found], case is STRIPES)
        assert mostly([c[last].state for c in found], case is CORGIS)


@pytest.mark.parametrize("kind", ["plain", "inception"])
def test_a15_one_delta_for_all(kind):
    study = Study("menagerie", n=100)
    found = [universal(study, kind, seed, CORGIS) for seed in study.seeds]
    change = {k: mid(c[k].attacked.mean - c[k].clean.mean for c in found) for k in found[0]}
    assert change["universal"] >= 0.5 * change["per exemplar"] > 0
