"""From recipes to records: shipped networks are what their recipe says, experiments measure what they name."""

from dataclasses import replace

import pytest
import torch

from robustxai.metrics import accuracy
from robustxai.nets import pretrained, zoo
from robustxai.nets.recipes import gather, run
from robustxai.ranking import METHODS, SETTINGS
from robustxai.ranking.study import measurements, other_attacks, recipes, tables
from robustxai.ranking.study.ablation import VARIANTS, ablation
from robustxai.ranking.study.menagerie import drawn_table, objects, pictures
from robustxai.ranking.study.recipes import PLANS, RECIPES, slug, zoo_name
from robustxai.ranking.study.study import Study
from robustxai.records import select


@pytest.fixture(scope="module")
def study():
    return Study("breast_cancer", n_test=20)


@pytest.fixture(scope="module")
def records(study):
    return tables.sweep(study, [0, 1], ["Vanilla", r"R2ET_\H", "SP"])


def test_names():
    assert gather(RECIPES).keys() == {f"ranking-{name.replace('_', '-')}" for name in PLANS}
    assert len({slug(method) for method in METHODS}) == len(METHODS)
    assert zoo_name("breast_cancer", 2, r"SP + R2ET_\H") == "ranking-breast-cancer-s2-sp-r2et-noh"
    with pytest.raises(ValueError, match="name"):
        Study("iris")
    with pytest.raises(ValueError, match="method"):
        Study("synth").network(0, "nonsense")


@pytest.mark.parametrize("name", [name for name, plan in PLANS.items() if plan.shipped])
def test_every_shipped_network_is_there_and_as_accurate_as_its_manifest_says(name):
    entries, plan, study = zoo(), PLANS[name], Study(name)
    named = [0] if study.setting.tabular else range(plan.splits)
    assert {zoo_name(name, s, m) for s in named for m in plan.methods} == {
        entry for entry in entries if entry.startswith(f"ranking-{name.replace('_', '-')}-")
    }
    for method in ("Vanilla", "released recipe"):
        seeds = range(plan.splits) if study.setting.tabular else [0]
        (trial,) = study.trials(seeds, method)
        x, y = trial.part
        with torch.no_grad():
            found = accuracy(trial.network(x.flatten(0, 1) if trial.count > 1 else x), y.flatten())
        assert found == pytest.approx(entries[zoo_name(name, 0, method)].metrics["test_accuracy"], abs=0.003)
        softplus = any(isinstance(m, torch.nn.Softplus) for m in trial.network.modules())
        assert softplus == ("beta" in METHODS[method].options)


def test_chosen_weights_come_from_the_grid(study):
    for method in ("WD", r"R2ET_\H", "released recipe"):
        options = study.options(1, method)
        assert any(options == {**METHODS[method].options, **candidate} for candidate in METHODS[method].grid)


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
def test_a_recipe_trains_selects_and_stores(name, tmp_path, monkeypatch):
    monkeypatch.setitem(SETTINGS, name, replace(SETTINGS[name], pretraining=2, epochs=1))
    plan = replace(PLANS[name], methods=("Pretrained", "WD", r"R2ET_\H"), splits=3, points=10, steps=2)
    monkeypatch.setitem(PLANS, name, plan)
    recipe = RECIPES[f"ranking-{name.replace('_', '-')}"]
    names = run(recipe, out=tmp_path, seed=3, progress=False)
    stored = [3] if SETTINGS[name].tabular else [3, 4, 5]
    assert names == [zoo_name(name, s, m) for m in plan.methods for s in stored]
    again = tmp_path / "again"
    run(recipe, out=again, seed=3, progress=False)
    for one in names:
        first, second = (pretrained(one, weights_dir=d).state_dict() for d in (tmp_path, again))
        assert all(torch.equal(first[key], second[key]) for key in first), "the same seed gives the same bits"
    cached = Study(name, cache=tmp_path)
    monkeypatch.setattr("robustxai.nets.shipped.zoo", lambda folder=None: zoo(folder) if folder else {})
    assert cached.options(4, "WD")["weight_decay"] in (1e-4, 1e-3, 5e-3, 1e-2, 5e-2)
    x, _ = cached.test(4)
    with torch.no_grad():
        nets = [cached.network(seed, "WD")(x[:5]) for seed in (4, 5)]
    assert nets[0].shape == (5, len(cached.table(4).classes)) and not torch.equal(*nets)
    if not SETTINGS[name].tabular:
        single = pretrained(names[4], weights_dir=tmp_path)
        assert torch.equal(nets[0], single(x[:5]))


def test_the_parts_of_the_drawn_set_differ():
    data = drawn_table(seed=0)
    train, validation, test = (part[0][:5] for part in (data.train, data.validation, data.test))
    assert not torch.equal(train, validation) and not torch.equal(validation, test)


def test_selection_looks_at_validation_data_only(tmp_path, monkeypatch):
    seen = []
    real = recipes.SideBySide.scores
    monkeypatch.setattr(
        recipes.SideBySide,
        "scores",
        lambda self, nets, part, seeds: seen.append((part, len(seeds))) or real(self, nets, part, seeds),
    )
    quick = replace(SETTINGS["breast_cancer"], pretraining=1, epochs=1)
    monkeypatch.setitem(SETTINGS, "breast_cancer", quick)
    plan = replace(PLANS["breast_cancer"], methods=("WD",), splits=4, points=5, steps=1)
    monkeypatch.setitem(PLANS, "breast_cancer", plan)
    run(RECIPES["ranking-breast-cancer"], out=tmp_path, seed=0, progress=False)
    assert seen == [("validation", 3)] * (1 + len(METHODS["WD"].grid)) + [("test", 4)]


def test_networks_of_a_table_are_tried_together_and_others_one_by_one(study):
    (both,) = study.trials([1, 0], "Vanilla")
    assert both.count == 2 and both.part[0].shape == (171, 2, 30) and both.x.shape == (40, 30)
    with torch.no_grad():
        answers = both.network(both.x).unflatten(0, (20, 2))
        for i, seed in enumerate((1, 0)):
            alone = study.network(seed, "Vanilla")(study.attacked(seed))
            assert torch.allclose(alone, answers[:, i], atol=1e-6)
    assert [trial.count for trial in Study("digits", n_test=5).trials([0, 2], "Vanilla")] == [1, 1]


def test_each_split_of_the_synthetic_table_draws_its_own_rows():
    study = Study("synth")
    first, second = (torch.cat((study.table(s).train[0], study.table(s).test[0]))[:, 0] for s in (0, 1))
    assert len(set(first.tolist()) & set(second.tolist())) < 5


def test_records_hold_the_attacked_samples(study, records):
    assert [(r.method, r.seed) for r in records[:3]] == [("Vanilla", 0), ("Vanilla", 1), (r"R2ET_\H", 0)]
    for r in records:
        m = r.measured
        assert m.er.shape == m.adaptive.shape == m.random.shape == m.adversarial.shape == (20,)
        assert 0.9 < m.accuracy <= 1 and m.mean("er") <= m.mean("random") + 0.02
    assert {r.method for r in records if r.softplus} == {"SP"}
    difference = tables.gain_over(records, "breast_cancer", "SP", "Vanilla")
    by_hand = [
        select(records, method="SP")[s].measured.mean("er")
        - select(records, method="Vanilla")[s].measured.mean("er")
        for s in (0, 1)
    ]
    assert difference.value == pytest.approx(sum(by_hand) / 2)
    assert tables.gain_over(records, "breast_cancer", "SP", "SP", "accuracy").value == 0
    least = tables.least_gain(records, ["breast_cancer"], "SP", ("Vanilla", r"R2ET_\H"))
    each = [tables.gain_over(records, "breast_cancer", "SP", m) for m in ("Vanilla", r"R2ET_\H")]
    assert least.value == min(i.value for i in each) and least.low < min(i.low for i in each)


def test_tables_have_the_shape_of_the_paper(study, records):
    rows = tables.share_table(records)
    assert [row["method"] for row in rows] == ["Vanilla", r"R2ET_\H", "SP"]
    shares, right = str(rows[0]["breast_cancer"]).split(" at ")
    er, mse = map(float, shares.split(" / "))
    assert tables.accuracies(records, ["breast_cancer"], ["Vanilla"]) == {
        "breast_cancer": {"Vanilla": pytest.approx(float(right) / 100, abs=6e-4)}
    }
    assert 50 < er <= 100 and er <= mse + 3
    names, (thick, kept) = tables.cloud(records, "breast_cancer", softplus=False)
    assert names == ["Vanilla", r"R2ET_\H"] and thick.shape == kept.shape == (2,)
    assert 100 * float(kept[0]) == pytest.approx(er, abs=0.06) and thick[1] > thick[0]
    assert {"breast_cancer", "thickness, breast_cancer"} <= tables.quality_table(records)[0].keys()
    (row,) = tables.chance_table([study], records)
    assert 0.5 < row["accuracy of the most frequent class"] < 0.8
    assert tables.across(records, "breast_cancer", softplus=True) == []
    assert len(tables.across(records, "breast_cancer")) == 2
    assert row["chance P@k"] == 8 / 30 and row["random changes"][0] >= row["ERAttack"][0]


def test_probes(study):
    kept = measurements.kept_by_seed(study, [0], "Vanilla", "eps", [0.1, 2.0])
    curves = measurements.curves(kept)
    assert [len(v) for v in kept.values()] == [2] * 3 and kept["random"][0] == [curves["random"][0].value]
    assert curves["ERAttack"][1].value < curves["ERAttack"][0].value <= 1
    found = measurements.guarantees(study, 0, "SP", eps=0.2, n=3, draws=20)
    assert found["pairs outside the bound"] == 0 == found["top-k sets changed inside the radius"]
    assert found["median certified radius"] > 0
    ((thick, steps, broken),) = measurements.hardness(study, [0], "Vanilla", step=0.1, limit=40)
    assert thick.shape == steps.shape == broken.shape == (20,) and bool((steps[broken] < 40).any())
    (row,) = measurements.faithfulness(study, [0], ["SP"])
    assert row["sensitivity, optimised"][0] >= row["sensitivity, random"][0]
    (same,) = measurements.faithfulness(study, [0], ["Pretrained"])
    assert same["overlap with the start"][0] == 1


def test_contests(study):
    rows = other_attacks.blind_attack(study, 0, [10.0])
    assert rows[0]["P@k as computed"] == 1 and rows[0]["inputs moved"] == 0
    assert rows[1]["P@k as computed"] < 1 and rows[1]["inputs moved"] > 0.5
    names = [row["attack"] for row in other_attacks.other_attacks(study, [0], ["Vanilla", "SP"])]
    assert names == ["ERAttack", "adaptive", "Ghorbani, top k", "Ghorbani, target region",
                     "Dombrowski, next sample's map"]  # fmt: skip
    ratios = other_attacks.step_ratios(0, repeats=3)
    assert ratios.keys() == {"plain", r"R2ET_\H", "R2ET", "AT, 3 steps"} and ratios["plain"] == [1, 1, 1]


def test_the_drawn_set_knows_where_its_animals_are():
    mask, scenes = objects(0, 4), pictures("test", 0)
    assert mask.shape == (4, 32, 32) and 0.02 < float(mask.float().mean()) < 0.6
    assert torch.equal(drawn_table(seed=0).test[0][:4], scenes.images[:4])
    (plain, chance) = measurements.on_object(Study("menagerie", n_test=12), [0], ["Vanilla"])
    assert plain["on the object"][0] > chance["on the object"]
    with pytest.raises(ValueError, match="menagerie"):
        Study("synth").masks(0)


def test_ablation_trains_each_variant(study):
    rows = ablation(
        study,
        [0],
        {name: VARIANTS[name] for name in ("cross-entropy only", "anchored to the start")},
        points=20,
    )
    assert [row["variant"] for row in rows] == ["cross-entropy only", "anchored to the start"]
    assert rows[1]["thickness"][0] > rows[0]["thickness"][0]
