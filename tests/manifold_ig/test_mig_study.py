"""Summaries over seeds, convergence tables, what a reconstruction loses, and a study of small networks."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from robustxai.data.scenes import portraits
from robustxai.manifold_ig.study import attack_runs, image_sets, map_runs, method_choices, recipes
from robustxai.manifold_ig.study.attack_runs import Campaign
from robustxai.manifold_ig.study.convergence import convergence, part_errors
from robustxai.manifold_ig.study.study import Study
from robustxai.manifold_ig.study.summaries import (
    crossed,
    crossed_rows,
    gain,
    minus,
    network_means,
    parts,
    seed_means,
    shifts,
    spread,
    summary,
)
from robustxai.nets import ConvVAE
from robustxai.nets.recipes import Recipe
from robustxai.records import over_seeds, triple


def rows(a, b):
    return {"A": {"q": torch.tensor(a)}, "B": {"q": torch.tensor(b), "r": torch.ones(2)}}


RUNS = {
    ("x", 1): rows([1.0, 2.0], [0.0, 0.0]),
    ("y", 0): rows([4.0, math.nan], [1.0, 1.0]),
    ("x", 0): rows([2.0, 3.0], [1.0, 1.0]),
}


def test_a_seed_is_the_mean_over_its_architectures_and_images():
    assert seed_means(RUNS, "A", "q") == [3.0, 1.5]
    assert over_seeds(seed_means(RUNS, "A", "q")).value == pytest.approx(2.25)
    found = minus(RUNS, "A", "B", "q")
    assert found.value == pytest.approx(1.75) and found.n == 2


def test_a_summary_has_a_row_for_each_method_and_none_where_there_is_no_number():
    first, second = summary(RUNS, ["q", "r"])
    assert first["method"] == "A" and first["r"] is None
    assert second["r"][0] == 1
    both = {("x", 0): {"transfer": RUNS["x", 0], "noise": RUNS["x", 1]}}
    assert parts(both, "noise") == {("x", 0): RUNS["x", 1]}


def test_the_shifts_of_an_attack():
    rows = {"IG": {"shift": torch.tensor([0.5])}}
    attacked = {("x", seed): dict.fromkeys(("noise", "transfer", "adaptive"), rows) for seed in (0, 1)}
    assert set(shifts(attacked)["IG"]) == {"shift, noise", "shift, transfer", "shift, adaptive"}
    assert shifts(attacked)["IG"]["shift, noise"][0] == 0.5


def small_networks():
    generator = torch.Generator().manual_seed(0)
    vae = ConvVAE(widths=(8, 8), latent=2, blocks=0, generator=generator).eval().requires_grad_(False)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2), nn.Tanh()).eval()
    return vae, classifier, torch.rand(3, 3, 8, 8, generator=generator)


def test_convergence_starts_at_the_latent_line_and_falls():
    vae, classifier, x = small_networks()
    found = convergence(
        classifier, vae.encode, vae.decode, x, torch.zeros(3, dtype=torch.long), budgets=(0, 5, 20), n_steps=6
    )
    energy = torch.stack(found["E / E_lin"])
    assert energy[0].allclose(torch.ones(3), atol=1e-5)
    assert (energy[2] < energy[1]).all() and (energy[1] < energy[0]).all()
    assert (torch.stack(found["bound / E_lin"]) <= energy + 1e-5).all()
    assert found["PCC with EIG"][0].allclose(torch.ones(3), atol=1e-5)


def test_a_perfect_copy_loses_nothing_and_the_mean_image_everything():
    drawn = portraits(12, size=32, generator=torch.Generator().manual_seed(0))
    same, mean = drawn.images, drawn.images.mean(0, keepdim=True).expand_as(drawn.images)
    for rebuilt, expected in ((same, 0), (mean, 1)):
        for row in part_errors(drawn, rebuilt, ["face", "glasses"]):
            assert row["lost"].value == pytest.approx(expected, abs=1e-5)
            assert 0 < row["share of the image"] < 1


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A set of small networks, trained here, under the name of a real one."""
    small = {"resnet": {"widths": (16, 16, 16, 16)}, "vgg": {"widths": (4, 4), "hidden": 4}}
    vae = {"widths": (4, 4, 4, 4), "blocks": 0}
    task = replace(
        image_sets.TASKS["portraits"],
        name="tiny",
        n=32,
        n_classifier=32,
        vae=vae,
        vae_epochs=1,
        epochs=1,
        classifiers=small,
    )
    monkeypatch.setitem(image_sets.TASKS, "tiny", task)
    for kind, build in (
        ("vae", partial(recipes.build_vae, teacher_epochs=1)),
        ("classifiers", recipes.build_classifiers),
    ):
        recipe = Recipe(f"manifold_ig-{kind}-tiny", "", lambda job, b=build: b(job, task), "m.safetensors")
        monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)
    return Study(
        "tiny", seeds=(0,), architectures=("resnet", "vgg"), n_steps=4, evaluations=2, cache=tmp_path
    )


def test_a_study_trains_its_networks_once_and_agrees_on_its_images(study, monkeypatch):
    names = [(architecture, seed) for architecture, seed, _ in study.each()]
    assert names == [("resnet", 0), ("vgg", 0)]
    monkeypatch.setattr("robustxai.nets.recipes.run", lambda *a, **k: pytest.fail("trained again"))
    rows = study.accuracies()
    assert [(r["architecture"], r["trained"]) for r in rows] == [
        (a, k) for a in ("resnet", "vgg") for k in ("recon", "raw")
    ]
    assert all(0 <= float(r["on raw images"][0]) <= 1 for r in rows)
    pool, rebuilt = study.pool, recipes.reconstructed(study.vae, study.pool.x)
    good = torch.ones_like(pool.y, dtype=torch.bool)
    for _, _, model in study.each():
        good &= (model(pool.x).argmax(1) == pool.y) & (model(rebuilt).argmax(1) == pool.y)
    assert study.agreed.tolist() == good.nonzero()[:, 0].tolist()
    shown = good & pool.masks.flatten(1).any(1)
    assert study.found.tolist() == shown.nonzero()[:, 0].tolist() and not shown.all()
    for masked in (False, True):
        with pytest.raises(ValueError, match=r"^n and skip must be at most .* got 999 after 0"):
            study.samples(999, masked=masked)


def test_the_methods_of_a_study_share_their_paths(study):
    x = study.pool.x[:2]
    _, first = (study.methods(model) for _, _, model in study.each())
    del first["MIG released"]
    assert list(first) == ["IG", "IG-recon", "EIG", "EIG even", "MIG"]
    for method in first.values():
        assert method.attribute(x).shape == x.shape
    kept = len(study.memory)
    assert kept
    for method in study.methods(study.classifier("resnet", 0)).values():
        if method.n_steps == 4:
            method(x)
    assert len(study.memory) == kept


@pytest.fixture
def surveyed(study):
    """The study with three images that count as agreed, whatever its barely trained classifiers say."""
    study.__dict__["agreed"] = study.__dict__["found"] = torch.arange(6)
    return study


def test_the_surveys_have_every_classifier_and_quantity(surveyed):
    few = surveyed.samples(2)
    runs = map_runs.map_runs(surveyed, few, draws=1, infidelity_draws=2, geometry=True)
    assert list(runs) == [("resnet", 0), ("vgg", 0)]
    assert {"BlurIG", "GuidedIG", "MIG released", *map_runs.CORE} == set(runs["resnet", 0])
    assert set(map_runs.CORE) == set(runs["vgg", 0])
    assert len(seed_means(runs, "BlurIG", "SENS_max")) == 1
    assert [{"insertion", "deletion", "DiffID"} <= set(rows["IG"]) for rows in runs.values()] == [True, False]
    assert "SIC" in runs["resnet", 0]["IG"] and "SIC" not in runs["vgg", 0]["IG"]
    for row in runs.values():
        assert {"SENS_max", "E / E_lin", "gap / TV", "residual"} <= set(row["MIG"])
        assert "gap / TV" not in row.get("BlurIG", {}) and row["MIG"]["SENS_max"].shape == (2,)
    methods = map_runs.core(surveyed, surveyed.classifier("resnet", 0))
    assert tuple(methods) == map_runs.CORE
    starts = map_runs.start_rows(surveyed, methods, few)
    assert len(starts) == 6 and set(starts["white"]) == {
        "PCC of MIG with IG-recon", "PCC of MIG with EIG", *(f"inside, {n}" for n in map_runs.CORE),
    }  # fmt: skip
    inputs = map_runs.input_rows(surveyed, few)
    assert list(inputs) == ["reconstructions", "raw images"]
    begun = map_runs.begin_rows(surveyed, few, evaluations=3)
    a, b = begun["latent line"], begun["encoded pixel line"]
    assert (
        torch.equal(a["PCC with the other"], b["PCC with the other"]) and (a["E / E_lin"] <= 1 + 1e-5).all()
    )
    density = map_runs.density_rows(surveyed, few.x, weights=(0.0, 10.0))
    assert list(density) == ["none", "penalty, weight 10", "variance in the metric"]
    assert all(v.shape == (2,) and v.isfinite().all() for row in density.values() for v in row.values())


def test_the_attacks_of_a_study(surveyed):
    campaign = Campaign(pairs=1, steps=2, skip=1)
    runs = attack_runs.attack_runs(surveyed, campaign)
    assert list(runs) == [("resnet", 0)] and set(runs["resnet", 0]) == {"transfer", "noise", "adaptive"}
    assert set(runs["resnet", 0]["adaptive"]) == set(map_runs.CORE)
    read = {"GuidedIG", "MIG released", "EIG, bridge", "MIG, bridge", "EIG, anchor", "MIG, anchor"}
    assert set(runs["resnet", 0]["transfer"]) == set(map_runs.CORE) | read
    assert all(row["shift"].shape == (1,) for row in runs["resnet", 0]["transfer"].values())
    bare = attack_runs.attack_runs(surveyed, campaign, read=False)["resnet", 0]["transfer"]
    assert set(bare) == set(map_runs.CORE)
    assert attack_runs.attack_runs(surveyed, replace(campaign, seeds=[5])) == {}
    row = attack_runs.derivative_rows(surveyed, replace(campaign, pairs=2), iterations=0)["MIG"]
    for values in row.values():
        torch.testing.assert_close(values, torch.ones(2), rtol=1e-3, atol=1e-3)


def test_a_wide_campaign_attacks_every_architecture_on_images_of_its_own(surveyed):
    campaign = Campaign(pairs=1, steps=2, skip=0, wide=True)
    jobs = list(campaign.jobs(surveyed))
    assert [key for key, *_ in jobs] == [("resnet", 0), ("vgg", 0)]
    (_, a, b), (_, c, d) = jobs
    assert torch.equal(torch.cat((a.x, b.x, c.x, d.x)), surveyed.pool.x[:4])
    runs = attack_runs.attack_runs(surveyed, campaign)
    assert set(runs["vgg", 0]["transfer"]) == set(map_runs.CORE)  # only the first is read by others
    assert "GuidedIG" in runs["resnet", 0]["transfer"]


def test_bare_maps_of_one_architecture_and_shares_from_another_start(surveyed):
    few = surveyed.samples(2)
    runs = map_runs.map_runs(surveyed, few, draws=1, infidelity_draws=2, bare=True, of=("resnet",))
    assert list(runs) == [("resnet", 0)] and set(runs["resnet", 0]) == set(map_runs.CORE)
    assert "insertion" not in runs["resnet", 0]["IG"]
    inside = method_choices.inside_runs(surveyed, few, 1.0)
    assert list(inside) == [("resnet", 0), ("vgg", 0)] and set(inside["vgg", 0]) == {"IG", "IG-recon", "MIG"}
    with pytest.raises(ValueError, match=r"^samples must have masks of what is to be found, got none"):
        method_choices.inside_runs(surveyed, replace(few, masks=None), 1.0)


def test_the_answers_of_classifiers_are_asked_once(study):
    given = study.predictions("raw")["vgg", 0]
    model = study.classifier("vgg", 0, "raw")
    assert torch.equal(given["raw images"], model(study.pool.x).argmax(1))
    assert torch.equal(given["reconstructions"], model(study.rebuilt).argmax(1))
    assert study.predictions("raw")["vgg", 0] is given and study.classifier("vgg", 0, "raw") is model
    assert study.predictions()["vgg", 0] is not given
    row = next(r for r in study.accuracies() if (r["architecture"], r["trained"]) == ("vgg", "raw"))
    changed = (given["raw images"] != given["reconstructions"]).float().mean()
    assert torch.equal(row["prediction changed"], changed[None])


def test_a_campaign_judges_as_often_as_it_solves_geodesics_again(surveyed):
    wanted = surveyed.samples(1).x
    for steps, every in ((12, 3), (3, 1)):
        attack = Campaign(pairs=1, steps=steps, skip=0, eps=0.1).attack(wanted)
        assert (attack.steps, attack.refresh, attack.look, attack.budget.eps) == (steps, every, every, 0.1)


def test_pairs_are_the_same_images_one_by_one_and_together(surveyed):
    surveyed.seeds = (0,)
    campaign = Campaign(pairs=2, steps=2, skip=1)
    one = list(campaign.jobs(surveyed))
    assert [(key, len(v.x), len(w.x)) for key, v, w in one] == [(("resnet", 0), 1, 1)] * 2
    x = surveyed.pool.x
    assert torch.equal(torch.cat([v.x for _, v, _ in one]), x[1:3])
    assert torch.equal(torch.cat([w.x for _, _, w in one]), x[3:5])
    surveyed.device = "meta"  # not a processor
    ((_, victims, wanted),) = campaign.jobs(surveyed)
    assert torch.equal(victims.x, x[1:3]) and torch.equal(wanted.x, x[3:5])


@pytest.mark.usefixtures("as_shipped")
def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match=r"^name must be one of portraits.*, got 'cats'"):
        Study("cats")


def test_one_classifier_is_spread_over_images_and_many_over_seeds():
    (a, b), one = spread(RUNS, ["q"]), {("x", 1): RUNS["x", 1]}
    assert a["q"] == summary(RUNS, ["q"])[0]["q"] and b["method"] == "B"
    assert spread(one, ["q", "r"])[1]["r"] == (1, 1, 1) and "r" not in spread(one, ["q", "r"])[0]
    assert len(spread(RUNS | {("z", 2): {"A": {}, "B": {}}}, ["q"])) == 2


def test_classifiers_on_the_same_images_have_an_interval_over_both():
    shared = {
        ("x", s): {"A": {"q": torch.tensor([1.0 + s, 2.0 + s])}, "B": {"q": torch.tensor([0.0 + s, 1.0 + s])}}
        for s in range(3)
    }
    assert network_means(shared, "A", "q") == [1.5, 2.5, 3.5]
    found = gain(shared, "A", "B", "q")
    assert (found.value, found.low, found.high) == (1, 1, 1)
    row = crossed_rows(shared, ["q", "r"])[0]
    assert row["q"] == triple(crossed(shared, "A", "q")) and row["r"] is None
    assert minus(shared, "A", "B", "q", means=network_means).n == 3


def test_the_probes_of_a_study(surveyed):
    few = surveyed.samples(2)
    worst = method_choices.worst_runs(surveyed, few, steps=2, draws=1)["resnet", 0]
    assert set(worst) == set(map_runs.CORE)
    assert all((row["optimised"] >= row["random"] - 1e-6).all() for row in worst.values())
    assert method_choices.worst_runs(surveyed, few, steps=2, draws=1, seeds=[]) == {}
    for inputs in ("recon", "raw"):
        rows = method_choices.ending_runs(surveyed, few, draws=1, inputs=inputs)["resnet", 0]
        assert len(rows) == 6 and all(row["SENS_max"].shape == (2,) for row in rows.values())
        for name in ("EIG, bridge", "MIG, anchor"):  # the path ends at the images: the two gaps are one
            torch.testing.assert_close(
                rows[name]["gap to F(x)"], rows[name]["gap / TV"], atol=1e-4, rtol=1e-3
            )
    campaign = Campaign(pairs=1, steps=2, skip=1)
    lent = method_choices.bpda_runs(surveyed, campaign)
    assert [name.split(",")[0] for name in lent["resnet", 0]] == [
        *(n for n, _ in method_choices.BORROWED),
        "MIG",
    ]
    assert list(lent["resnet", 0])[-1] == "MIG, implicit"
    assert method_choices.bpda_runs(surveyed, replace(campaign, seeds=[7])) == {}


def test_the_released_solver_with_and_without_its_stop_rule(surveyed):
    rows = method_choices.released_rows(surveyed, surveyed.samples(2), iterations=4)
    assert (rows["no stop rule"]["sweeps"] <= 2).all()
    assert (rows["as released"]["sweeps"] <= rows["no stop rule"]["sweeps"]).all()
    half = rows["no stop rule, half the limit"]
    torch.testing.assert_close(half["step / limit"], torch.full((2,), 0.5))
    assert (half["sweeps"] == 2).all() and (half["energy removed"] > 0).all()
    still = rows["as released"]["sweeps"] == 0
    assert (rows["as released"]["energy removed"][still] == 0).all()


def test_gaps_and_other_methods_of_one_classifier(surveyed):
    few, model = surveyed.samples(2), surveyed.classifier("resnet", 0)
    gaps = map_runs.gap_rows(surveyed, model, few, [(4, "logit"), (8, "prob")])
    assert list(gaps) == ["4, logit", "8, prob"]
    for row in gaps.values():
        assert set(row) == {*map_runs.CORE, "EIG even"} and all(v.shape == (2,) for v in row.values())
    direct = surveyed.methods(model, n_steps=8, score="prob")["EIG"].explain(few.x, few.y)
    torch.testing.assert_close(gaps["8, prob"]["EIG"], direct.completeness_gap)

    def slope(x, target):
        with torch.enable_grad():
            v = x.detach().requires_grad_()
            return torch.autograd.grad(model(v).gather(1, target[:, None]).sum(), v)[0]

    rows = map_runs.other_rows(model, {"Saliency": slope, "IG": surveyed.methods(model)["IG"]}, few, draws=1)
    assert list(rows) == ["Saliency", "IG"]
    for row in rows.values():
        assert set(row) == {"unexplained squares", "SENS_max", "energy inside"}
        assert ((row["unexplained squares"] >= 0) & (row["unexplained squares"] <= 1 + 1e-4)).all()
    shown = (slope(few.x, few.y).abs().sum(1) * few.masks).flatten(1).sum(1)
    share = shown / slope(few.x, few.y).abs().sum(1).flatten(1).sum(1)
    torch.testing.assert_close(rows["Saliency"]["energy inside"], share, rtol=1e-4, atol=1e-5)
