"""Summaries over seeds, convergence tables, what a reconstruction loses, and a study of small networks."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from robustxai.data.scenes import portraits
from robustxai.manifold_ig import recipes, tasks
from robustxai.manifold_ig.convergence import convergence, part_errors
from robustxai.manifold_ig.study import Study
from robustxai.manifold_ig.summaries import minus, over_seeds, parts, seed_means, summary
from robustxai.nets import ConvVAE
from robustxai.nets.recipes import Recipe


def rows(a, b):
    return {"A": {"q": torch.tensor(a)}, "B": {"q": torch.tensor(b), "r": torch.ones(2)}}


RUNS = {
    ("x", 1): rows([1.0, 2.0], [0.0, 0.0]),
    ("y", 0): rows([4.0, math.nan], [1.0, 1.0]),
    ("x", 0): rows([2.0, 3.0], [1.0, 1.0]),
}


def test_a_seed_is_the_mean_over_its_architectures_and_images():
    assert seed_means(RUNS, "A", "q") == [3.0, 1.5]
    assert over_seeds(RUNS, "A", "q").value == pytest.approx(2.25)
    found = minus(RUNS, "A", "B", "q")
    assert found.value == pytest.approx(1.75) and found.n == 2


def test_a_summary_has_a_row_for_each_method_and_none_where_there_is_no_number():
    first, second = summary(RUNS, ["q", "r"])
    assert first["method"] == "A" and first["r"] is None
    assert second["r"][0] == 1
    both = {("x", 0): {"transfer": RUNS["x", 0], "noise": RUNS["x", 1]}}
    assert parts(both, "noise") == {("x", 0): RUNS["x", 1]}


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
        tasks.TASKS["portraits"],
        name="tiny",
        n=32,
        n_classifier=32,
        vae=vae,
        vae_epochs=1,
        epochs=1,
        classifiers=small,
    )
    monkeypatch.setitem(tasks.TASKS, "tiny", task)
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
    good = pool.masks.flatten(1).any(1)
    for _, _, model in study.each():
        good &= (model(pool.x).argmax(1) == pool.y) & (model(rebuilt).argmax(1) == pool.y)
    assert study.agreed.tolist() == good.nonzero()[:, 0].tolist()
    with pytest.raises(ValueError, match=r"^n is 999 after 0; accepted is up to"):
        study.samples(999)


def test_the_methods_of_a_study_share_their_paths(study):
    x = study.pool.x[:2]
    _, first = (study.methods(model) for _, _, model in study.each())
    del first["MIG released"]
    assert list(first) == ["IG", "IG-recon", "EIG", "MIG"]
    for method in first.values():
        assert method(x).shape == x.shape
    kept = len(study.memory)
    assert kept
    for method in study.methods(study.classifier("resnet", 0)).values():
        if method.n_steps == 4:
            method(x)
    assert len(study.memory) == kept


@pytest.mark.usefixtures("as_shipped")
def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match=r"^name is 'cats'; accepted are portraits"):
        Study("cats")
