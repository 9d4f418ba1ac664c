"""The methods by name, the study's settings, and the selection of weights."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from robustxai import nets
from robustxai.nets import MLP
from robustxai.nets.zoo import make
from robustxai.ranking import (
    METHODS,
    Saliency,
    SelectionScore,
    evaluate,
    fine_tune,
    fit_regularised,
    prepared,
    pretrain,
    select_weights,
)
from robustxai.ranking.regularisers import Gap
from robustxai.ranking.study.performance import auc
from robustxai.ranking.study.settings import SETTINGS


@pytest.fixture(scope="module")
def common():
    setting, data = prepared("synth", limit=500)
    return setting, data, pretrain(setting, data)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_a_copy_and_every_candidate_can_be_built(name, common):
    _, data, start = common
    before = deepcopy(start)
    model, fitted = fine_tune(name, start, data, k=8, epochs=1)
    assert same(start, before) and not model.training
    assert (fitted is None) == (name == "Pretrained") and same(model, start) == (name == "Pretrained")
    soft = any(isinstance(m, nn.Softplus) for m in model.modules())
    assert soft == ("SP" in name or name == "released recipe")
    assert Saliency(model).attribute(data.test[0][:4]).shape == (4, 28)
    method = METHODS[name]
    for options in method.grid:
        method.regularisers(8, options)
        assert method.chosen(options) == {**method.options, **options}


def test_the_methods_differ_from_vanilla_in_what_they_say(common):
    _, data, start = common
    vanilla, _ = fine_tune("Vanilla", start, data, k=8, epochs=1, seed=2)
    by_hand = deepcopy(start)
    fit_regularised(by_hand, data, epochs=1, seed=2)
    assert same(vanilla, by_hand)
    for name, zero in ((r"R2ET_\H", {"lam": 0}), ("WD", {"weight_decay": 0}), ("Est-H", {"hessian": 0})):
        assert same(fine_tune(name, start, data, k=8, options=zero, epochs=1, seed=2)[0], vanilla)
        assert not same(fine_tune(name, start, data, k=8, epochs=1, seed=2)[0], vanilla)
    (released,) = METHODS["released recipe"].regularisers(8)
    assert [p.weighting for p in released.parts] == ["adaptive"] * 2 and released.gap.pairs == "near"
    (near,) = METHODS["R2ET-near adaptive"].regularisers(8, {"weight": 0.3})
    assert isinstance(near, Gap) and near.weight == 0.3
    assert METHODS["SSR"].regularisers(8)[0].weight == pytest.approx(0.075)


def test_a_softplus_network_knows_that_it_is_one(common):
    _, data, start = common
    model, _ = fine_tune("SP", start, data, k=8, options={"beta": 2.0}, epochs=1)
    again = make("robustxai.nets.mlp.MLP", model.arguments)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(data.test[0]), model(data.test[0])) and start.arguments["softplus"] is None


def test_unknown_names_are_one_sentence(as_shipped, common):
    _, data, start = common
    with pytest.raises(ValueError, match=r"^method must be one of Pretrained, Vanilla, WD, .*, got 'R3ET'"):
        fine_tune("R3ET", start, data, k=8)
    with pytest.raises(ValueError, match=r"^an option of WD must be one of weight_decay, got 'lam'$"):
        fine_tune("WD", start, data, k=8, options={"lam": 1.0})
    with pytest.raises(ValueError, match=r"^name must be one of synth, breast_cancer, .*, got 'iris'"):
        prepared("iris")


def test_settings_are_those_of_the_specification():
    got = {n: (s.k, s.eps, s.pretraining, s.epochs, s.lr) for n, s in SETTINGS.items()}
    assert got["synth"] == (8, 0.5, 40, 10, 1e-3) and got["breast_cancer"] == (8, 0.5, 60, 40, 1e-3)
    assert got["digits"] == (16, 0.3, 12, 6, 5e-4)
    digits, data = prepared("digits")
    assert sum(p.numel() for p in digits.build(data, torch.Generator()).parameters()) == 38282


def test_a_row_measures_what_it_says(common):
    setting, data, model = common
    row = evaluate(model, data.test, setting, points=40, steps=10)
    assert row.accuracy == pytest.approx(nets.accuracy_of(model, *data.test))
    assert row.accuracy > 0.75 and row.auc > 0.8 and row.measured == 1
    assert row.er <= row.mse + 0.05 and row.er < row.random <= 1
    stuck = evaluate(MLP(28).eval(), data.test, setting, points=10, steps=2, score="logit")
    assert math.isnan(stuck.er) and stuck.measured == 0


def test_auc_is_the_share_of_ordered_pairs_and_averages_classes():
    y = torch.tensor([0, 0, 1, 1])
    p = torch.tensor([0.1, 0.6, 0.4, 0.9])
    assert auc(torch.stack((1 - p, p), 1).log(), y) == 0.75 == auc((p / (1 - p)).log()[:, None], y)
    assert auc(torch.eye(3)[[0, 1, 2, 1]] * 3, torch.tensor([0, 1, 2, 1])) == 1


# --- selection

TABLE = {
    1: SelectionScore(0.90, 0.8),
    2: SelectionScore(0.89, 0.9),
    3: SelectionScore(0.886, 0.9),
    4: SelectionScore(0.80, 1.0),
    5: SelectionScore(0.95, math.nan),
}


def pick(*names: int, **options):
    return select_weights(
        [{"lam": n} for n in names], lambda o, _: TABLE[int(o["lam"])], reference=0.9, **options
    )


def test_the_most_robust_within_the_tolerance_wins():
    assert pick(1, 2, 3, 4).options == {"lam": 2} and pick(3, 2, 1).options == {"lam": 2}
    assert pick(1, 2, 4, tolerance=0.005).options == {"lam": 1}
    assert pick(1, 4, tolerance=0.1).options == {"lam": 4}
    chosen = pick(1, 2, 3, 4)
    assert chosen.within and [o["lam"] for o, _ in chosen.scores] == [1, 2, 3, 4]


def test_without_one_within_the_tolerance_the_most_accurate_wins_and_it_is_said():
    chosen = select_weights([{"a": 4}, {"a": 3}], lambda o, _: TABLE[int(o["a"])], reference=1.0)
    assert chosen.options == {"a": 3} and not chosen.within


def test_an_attack_that_could_not_follow_never_wins():
    assert pick(5, 1).options == {"lam": 1}
    assert not pick(5).within


def test_scores_are_means_over_seeds():
    seen = []

    def measure(options, seed):
        seen.append(seed)
        return SelectionScore(1.0, seed / 10 + options["lam"])

    chosen = select_weights([{"lam": 0.1}, {"lam": 0.2}], measure, reference=1.0, seeds=3)
    assert seen == [0, 1, 2] * 2 and chosen.options == {"lam": 0.2}
    assert chosen.scores[0][1].robustness == pytest.approx(0.2)


def test_bad_requests_to_select_are_one_sentence(as_shipped):
    with pytest.raises(ValueError, match=r"^candidates must hold one option or more, got none$"):
        select_weights([], lambda o, s: SelectionScore(1, 1), reference=1.0)
    with pytest.raises(
        ValueError, match=r"^reference and tolerance must be shares in \[0, 1\], got 87 and 0.015"
    ):
        select_weights([{}], lambda o, s: SelectionScore(1, 1), reference=87)
    with pytest.raises(ValueError, match=r"^seeds must be an integer >= 1, got 0$"):
        select_weights([{}], lambda o, s: SelectionScore(1, 1), reference=0.5, seeds=0)
