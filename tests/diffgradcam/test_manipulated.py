"""Honest networks and their manipulated twins, from the protocols to the stored files."""

from dataclasses import replace

import pytest
import torch
from problems import CLASSES, TINY
from torch import nn

from robustxai.diffgradcam import DiffGradCAM, GradCAM, ShamLoss, sham_target
from robustxai.diffgradcam.study import recipes
from robustxai.diffgradcam.study.manipulated import (
    CONTROLS,
    FOOLING_PROTOCOLS,
    PROTOCOLS,
    Data,
    FoolingProtocol,
    Top,
    control_of,
    fool,
    loss_of,
    map_loss,
    matched_target,
    trunk,
)
from robustxai.diffgradcam.study.recipes import RECIPES, TASKS, Task, build, scenes, zoo_name
from robustxai.metrics import entropy
from robustxai.nets import accuracy_of, pretrained, zoo
from robustxai.nets.recipes import Recipe, gather, run

QUICK = {"epochs": 2, "lr": 1e-3}


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict, b: dict, names) -> bool:
    return all(torch.equal(a[name], b[name]) for name in names)


def attacked(trained, name: str, seed: int = 0, **changes):
    honest, x, y = trained
    schedule = {"epochs": 2, "shift": 1}
    return fool(honest, Data(x, y, CLASSES), replace(PROTOCOLS[name], **{**QUICK, **changes}), seed=seed,
                honest_schedule=schedule, network=TINY, progress=False)  # fmt: skip


@pytest.mark.parametrize("name", ["sham-top", "heo-topk-top", "adaptive-joint-top"])
def test_top_moves_the_last_block_and_the_head_and_nothing_else(trained, name):
    honest = trained[0]
    before = state(honest)
    after = state(attacked(trained, name))
    last = f"body.{len(honest.body) - 1}."
    moved = {n for n in before if n.startswith((last, "head."))}
    assert same(before, after, before.keys() - moved), "batch-norm statistics included"
    trainable = [n for n, _ in honest.named_parameters() if n in moved]
    assert not any(torch.equal(before[n], after[n]) for n in trainable)
    statistics = [n for n in moved if "running_" in n]
    assert statistics and same(before, after, statistics) is FOOLING_PROTOCOLS[name].freeze_norm
    assert same(before, state(honest), before), "the honest network is left untouched"


def test_head_only_moves_the_head_only(trained):
    before, after = state(trained[0]), state(attacked(trained, "sham-top", part="head"))
    assert {n for n in before if not torch.equal(before[n], after[n])} == {"head.weight", "head.bias"}


def test_full_and_scratch_move_everything(trained):
    before = state(trained[0])
    for name in ("sham-full", "sham-scratch"):
        after = state(attacked(trained, name))
        moved = [n for n in before if not n.startswith("normalize")]
        assert not any(torch.equal(before[n], after[n]) for n in moved)


@pytest.mark.parametrize("name", ["sham-top", "sham-full", "sham-scratch"])
def test_a_seed_decides_the_twin(trained, name):
    first, again, other = (state(attacked(trained, name, seed)) for seed in (5, 5, 6))
    assert same(first, again, first)
    assert not same(first, other, first)


def test_sham_shows_the_target_and_keeps_the_decision(trained):
    honest, x, y = trained
    attack = replace(FOOLING_PROTOCOLS["sham-top"], epochs=25, lr=5e-3)
    twin = fool(honest, Data(x, y, CLASSES), attack, seed=0, progress=False)
    assert map_loss(twin, honest, attack, x, y) < 0.5 * map_loss(honest, honest, attack, x, y)
    assert float((twin(x).argmax(-1) == y).float().mean()) > 0.95


def test_controls_are_the_same_training_without_a_map(trained):
    honest, x, y = trained
    for part, name in {"top": "top", "all": "full"}.items():
        control, sham = CONTROLS[f"labels-{name}"], FOOLING_PROTOCOLS[f"sham-{name}"]
        assert control_of(f"sham-{name}") == f"labels-{name}"
        assert control.part == sham.part == part and (control.epochs, control.lr) == (sham.epochs, sham.lr)
        loss = loss_of(control, honest, x)
        assert (loss.keep, loss.keep_weight, loss.map_weight) == ("ce", 1.0, 0.0)
    assert control_of("sham-scratch") == "clean"
    alone = replace(FOOLING_PROTOCOLS["sham-scratch"], loss=CONTROLS["labels-top"].loss)
    again = fool(honest, Data(x, y, CLASSES), alone, seed=0, honest_schedule={"epochs": 8, "shift": 1},
                 network=TINY, progress=False)  # fmt: skip
    assert same(state(honest), state(again), state(honest)), (
        "without the attack, scratch is the honest network"
    )


def test_a_matched_target_has_the_entropy_of_the_honest_maps(trained):
    honest, x, _ = trained
    target = matched_target(honest, x)
    wanted = entropy(GradCAM(honest, size="native").attribute(x)).nanmean()
    assert abs(target.sum().log() - wanted) < 0.06
    assert not torch.equal(target, sham_target(*target.shape))
    loss = loss_of(PROTOCOLS["sham-matched-top"], honest, x)
    plain = loss_of(PROTOCOLS["sham-top"], honest, x)
    assert isinstance(loss, ShamLoss) and isinstance(plain, ShamLoss)
    assert torch.equal(loss.target, target) and torch.equal(plain.target, sham_target(*target.shape))


def test_the_top_on_cached_features_is_the_network(trained):
    honest, x, _ = trained
    torch.testing.assert_close(Top(honest)(trunk(honest, x, batch_size=50)), honest(x), rtol=1e-5, atol=1e-5)


def test_an_unknown_part_says_what_is_accepted(trained):
    honest, x, y = trained
    with pytest.raises(ValueError, match="part must be one of head, top, all, scratch, got 'tail'"):
        fool(
            honest,
            Data(x, y, CLASSES),
            FoolingProtocol(FOOLING_PROTOCOLS["sham-top"].loss, part="tail"),
            seed=0,
        )


def test_recipes_bear_their_names_and_know_their_attacks():
    assert gather(RECIPES).keys() == {f"diffgradcam-{name.replace('_', '-')}" for name in (*TASKS, "vit")}
    assert zoo_name("animal_colour100", 2, "sham-top") == "diffgradcam-animal-colour100-s2-sham-top"
    for task in TASKS.values():
        assert set(task.attacks + task.more) <= PROTOCOLS.keys() and not set(task.attacks) & set(task.more)
        assert task.runs(0) == task.attacks + task.more and task.runs(7) == task.attacks
    with pytest.raises(ValueError, match="split must be one of train, test, got 'val'"):
        scenes(TASKS["animals2"], "val")


def test_training_and_test_scenes_differ_and_are_reproducible():
    task = TASKS["animals4"]
    train, test = scenes(task, "train", 4), scenes(task, "test", 4)
    assert torch.equal(train.images, scenes(task, "train", 4).images)
    assert not torch.equal(train.images, test.images)
    assert int(scenes(task, "train", 40).labels.max()) == 3


def test_a_tiny_task_is_built_stored_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "NETWORK", {"widths": (4, 4, 6, 6)})
    full = scenes
    monkeypatch.setattr(recipes, "scenes", lambda task, split, n=None: full(task, split, n or 24))
    task = Task("animals2", 2, 24, epochs=1, attacks=("heo-location-top", "sham-scratch"))
    made = {}

    def make(job):
        nets = build(job, task)
        made.update({net.name: net for net in nets})
        return nets

    names = run(Recipe("tiny", "", make, "tiny.safetensors"), out=tmp_path, seed=3, progress=False)
    clean, top, scratch = names
    assert clean == "diffgradcam-animals2-s3-clean" and top.endswith("heo-location-top")
    assert made[top].parent == clean and made[scratch].parent is None
    assert [made[name].dtype for name in names] == ["fp16", "int8", "fp16"]
    assert 0 <= made[clean].metrics["test_accuracy"] <= 1 and "test_map_loss" not in made[clean].metrics
    assert made[top].metrics["test_map_loss"] > 0
    x = full(task, "test", 3).images
    for name in names:
        loaded = pretrained(name, weights_dir=tmp_path)
        for method in (GradCAM, DiffGradCAM):
            torch.testing.assert_close(method(loaded).attribute(x), method(made[name].module).attribute(x))


def test_every_run_of_every_seed_is_shipped_as_its_recipe_stores_it():
    entries = zoo()
    for task in TASKS.values():
        for seed in task.seeds:
            clean = zoo_name(task.name, seed, "clean")
            for run_name in ("clean", *task.runs(seed)):
                entry = entries[zoo_name(task.name, seed, run_name)]
                tuned = run_name != "clean" and PROTOCOLS[run_name].part != "scratch"
                assert (entry.dtype, entry.parent) == (("int8", clean) if tuned else ("fp16", None))
                assert (entry.seed, entry.command.split()[-1]) == (seed, str(seed))


@pytest.mark.parametrize("run_name", ["sham-top", "sham-full", "labels-full"])
def test_the_measures_in_the_manifest_are_those_of_the_stored_network(run_name):
    task = TASKS["animals4"]
    name, test = zoo_name(task.name, 1, run_name), scenes(task, "test")
    twin, honest = pretrained(name), pretrained(zoo_name(task.name, 1, "clean"))
    found = zoo()[name].metrics
    assert accuracy_of(twin, test.images, test.labels) == pytest.approx(found["test_accuracy"], abs=0.0021)
    if run_name in FOOLING_PROTOCOLS:
        loss = map_loss(twin, honest, FOOLING_PROTOCOLS[run_name], test.images, test.labels)
        assert loss == pytest.approx(found["test_map_loss"], abs=2e-4)
