"""`robustxai train`: recipes are found, run, resumed and refused."""

from pathlib import Path

import pytest
import torch
from helpers import data, same, tiny
from typer.testing import CliRunner

from robustxai._cli import train as cli
from robustxai.nets import fit, pretrained, zoo
from robustxai.nets.recipes import Job, Net, Recipe, gather, run

RUNNER = CliRunner()


def build(job: Job) -> list[Net]:
    module = tiny(job.seed)
    fit(module, *data(32), epochs=1, seed=job.seed, checkpoint=job.checkpoint())
    return [Net("tiny", module, dataset="noise")]


def build_child(job: Job) -> list[Net]:
    module = job.pretrained("tiny")
    fit(module, *data(32), epochs=1, seed=job.seed, params=["head"])
    return [Net("tiny-child", module, dataset="noise", parent="tiny")]


RECIPES = {
    "tiny": Recipe("tiny", "a tiny network on noise", build, "tiny.safetensors", seed=5),
    "tiny-child": Recipe("tiny-child", "its head trained on", build_child, "tiny.safetensors"),
}


@pytest.fixture(autouse=True)
def _recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "recipes", lambda: RECIPES)


def test_train_stores_the_network_with_its_command_and_removes_the_checkpoint(tmp_path: Path) -> None:
    result = RUNNER.invoke(cli.app, ["tiny", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "manifest.json: tiny" in result.output
    entry = zoo(tmp_path)["tiny"]
    assert (entry.seed, entry.command) == (5, "robustxai train tiny --seed 5")
    assert not (tmp_path / ".checkpoints" / "tiny").exists()
    first = (tmp_path / "tiny.safetensors").read_bytes()
    assert RUNNER.invoke(cli.app, ["tiny", "--out", str(tmp_path), "--seed", "6"]).exit_code == 0
    assert (tmp_path / "tiny.safetensors").read_bytes() != first
    assert RUNNER.invoke(cli.app, ["tiny", "--out", str(tmp_path), "--fresh"]).exit_code == 0
    assert (tmp_path / "tiny.safetensors").read_bytes() == first


def test_a_recipe_finds_its_parent_in_the_out_folder(tmp_path: Path) -> None:
    for name in ("tiny", "tiny-child"):
        assert RUNNER.invoke(cli.app, [name, "--out", str(tmp_path)]).exit_code == 0
    assert zoo(tmp_path)["tiny-child"].parent == "tiny"
    assert not same(pretrained("tiny", weights_dir=tmp_path), pretrained("tiny-child", weights_dir=tmp_path))


def test_a_broken_run_goes_on_from_its_checkpoint_unless_fresh(tmp_path: Path) -> None:
    done = []

    def stops(job: Job) -> list[Net]:
        module = tiny()
        fit(module, *data(32), epochs=1, checkpoint=job.checkpoint())
        done.append(torch.cat([p.flatten() for p in module.parameters()]))
        if len(done) == 1:
            raise RuntimeError("the power went off")
        return [Net("tiny", module, dataset="noise")]

    recipe = Recipe("tiny", "stops once", stops, "tiny.safetensors")
    with pytest.raises(RuntimeError, match="power"):
        run(recipe, out=tmp_path)
    checkpoint = Job("tiny", 0, torch.device("cpu"), tmp_path).checkpoint()
    stamp = checkpoint.stat().st_mtime_ns
    assert run(recipe, out=tmp_path) == ["tiny"]
    assert stamp and not checkpoint.exists() and torch.equal(done[0], done[1])


def test_the_list_names_every_recipe() -> None:
    result = RUNNER.invoke(cli.app, ["--list"])
    assert result.exit_code == 0
    assert all(word in result.output for word in ("tiny-child", "its head trained on", "tiny.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tinny"], "robustxai: name must be a recipe, got 'tinny'; near: tiny"),
        (["zzz"], "name must be a recipe, got 'zzz'; `robustxai train --list` shows them all"),
        (
            ["tiny", "--device", "gpu"],
            'device must be one of "auto", "cpu", "cuda", "cuda:1", "mps", got \'gpu\'',
        ),
        ([], "give the name of a recipe"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], says: str) -> None:
    result = RUNNER.invoke(cli.app, arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_recipe_names_are_unique_and_their_own() -> None:
    assert list(gather(RECIPES)) == ["tiny", "tiny-child"]
    with pytest.raises(ValueError, match="recipe 'tiny' must be unique"):
        gather(RECIPES, RECIPES)
    with pytest.raises(ValueError, match="recipe 'other' must be unique and bear its own name, got 'tiny'"):
        gather({"other": RECIPES["tiny"]})


def test_the_chapters_recipes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert all(name == recipe.name and recipe.help for name, recipe in cli.recipes().items())
