"""A network by name: shipped before cached before trained; trained once, resumed after a kill, or refused."""

from pathlib import Path

import pytest
import torch
from helpers import data, same, tiny

from robustxai.nets import WeightsError, fit, pretrained, zoo
from robustxai.nets.recipes import Job, Net, Recipe, run
from robustxai.nets.shipped import entry_of, folder_of, shipped_or_trained
from robustxai.nets.zoo import PACKAGE_WEIGHTS, holds


class Killed(Exception):
    """The process ended here."""


@pytest.fixture
def jobs() -> list[Job]:
    """The jobs that the recipe was given."""
    return []


@pytest.fixture
def recipe(jobs: list[Job]) -> Recipe:
    """Two tiny networks of noise images in one run, as recipes of several networks make them."""

    def build(job: Job) -> list[Net]:
        jobs.append(job)
        module = tiny(job.seed)
        fit(module, *data(32), epochs=2, seed=job.seed, checkpoint=job.checkpoint(), progress=False)
        return [Net(f"tiny-s{job.seed}-{kind}", module, dataset="noise") for kind in ("a", "b")]

    return Recipe("tiny", "a tiny network on noise", build, "tiny.safetensors")


def shipped_name() -> str:
    return next(iter(zoo()))


def test_a_shipped_network_needs_no_recipe_and_leaves_the_cache_alone(
    tmp_path: Path, recipe: Recipe, jobs: list[Job]
) -> None:
    name, cache = shipped_name(), tmp_path / "cache"
    for given in (None, recipe):
        found = shipped_or_trained(name, given, cache=cache, seed=0)
        assert same(found, pretrained(name)) and not found.training
    assert folder_of(name, cache) == PACKAGE_WEIGHTS and entry_of(name, cache) == zoo()[name]
    assert not jobs and not cache.exists()


def test_a_shipped_network_wins_over_one_of_its_name_in_the_cache(tmp_path: Path) -> None:
    name = shipped_name()
    run(Recipe("other", "", lambda job: [Net(name, tiny(), "noise")], "other.safetensors"), out=tmp_path)
    assert holds(tmp_path, name)
    assert same(shipped_or_trained(name, None, cache=tmp_path, seed=0), pretrained(name))


def test_another_network_is_trained_once_and_then_read(
    tmp_path: Path, recipe: Recipe, jobs: list[Job]
) -> None:
    cache = tmp_path / "nets"
    first = shipped_or_trained("tiny-s3-a", recipe, cache=cache, seed=3)
    again = shipped_or_trained("tiny-s3-a", recipe, cache=str(cache), seed=3)
    other = shipped_or_trained("tiny-s3-b", recipe, cache=cache, seed=3)
    assert len(jobs) == 1 and (jobs[0].seed, jobs[0].out) == (3, cache)
    assert same(first, again) and same(first, other) and not first.training
    assert same(first, pretrained("tiny-s3-a", weights_dir=cache)), "what is given is what is stored"
    assert folder_of("tiny-s3-b", cache) == cache and entry_of("tiny-s3-a", cache).seed == 3
    shipped_or_trained("tiny-s4-a", recipe, cache=cache, seed=4)
    assert len(jobs) == 2 and holds(cache, "tiny-s3-a"), "another seed is another run, beside the first"


def test_training_and_network_are_on_the_device(tmp_path: Path, jobs: list[Job]) -> None:
    def build(job: Job) -> list[Net]:
        jobs.append(job)
        return [Net("tiny", tiny(), "noise")]

    recipe = Recipe("tiny", "", build, "tiny.safetensors")
    found = shipped_or_trained("tiny", recipe, cache=tmp_path, seed=0, device="meta")
    assert jobs[0].device == torch.device("meta")
    assert {p.device.type for p in found.parameters()} == {"meta"}


def test_a_killed_training_goes_on_where_it_was(tmp_path: Path) -> None:
    epochs: list[int] = []

    def training(*, killed: bool) -> Recipe:
        def on_epoch(epoch: int, _: object) -> None:
            epochs.append(epoch)
            if killed and len(epochs) == 2:
                raise Killed

        def build(job: Job) -> list[Net]:
            module, options = tiny(job.seed), {"checkpoint": job.checkpoint(), "checkpoint_seconds": 0.0}
            fit(module, *data(32), epochs=4, seed=job.seed, on_epoch=on_epoch, progress=False, **options)
            return [Net("tiny", module, dataset="noise")]

        return Recipe("tiny", "", build, "tiny.safetensors")

    with pytest.raises(Killed):
        shipped_or_trained("tiny", training(killed=True), cache=tmp_path / "cut", seed=5)
    assert folder_of("tiny", tmp_path / "cut") is None
    resumed = shipped_or_trained("tiny", training(killed=False), cache=tmp_path / "cut", seed=5)
    assert len(epochs) < 2 + 4, "the epochs before the kill are not run again"
    assert same(resumed, shipped_or_trained("tiny", training(killed=False), cache=tmp_path / "whole", seed=5))
    assert not (tmp_path / "cut" / ".checkpoints" / "tiny").exists()


def test_a_network_that_nobody_has_is_one_sentence(tmp_path: Path, recipe: Recipe) -> None:
    name = shipped_name()
    for given in (None, recipe):
        with pytest.raises(
            ValueError, match=r"name must be a network of the zoo, got '[^']+'; (near|known): "
        ):
            shipped_or_trained(f"{name}x", given, cache=tmp_path, seed=0)
    with pytest.raises(ValueError, match=f"near: .*{name}"):
        shipped_or_trained(f"{name}x", None, cache=tmp_path, seed=0)
    with pytest.raises(ValueError, match=r"^network 'tiny-s9-a' is neither shipped nor in .*; ask for"):
        entry_of("tiny-s9-a", tmp_path)
    assert folder_of("tiny-s9-a", tmp_path / "nowhere") is None


def test_a_broken_cache_is_refused_and_not_trained_over(
    tmp_path: Path, recipe: Recipe, jobs: list[Job]
) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(WeightsError, match="not a readable weights manifest"):
        shipped_or_trained("tiny-s0-a", recipe, cache=tmp_path, seed=0)
    assert not jobs


def test_a_recipe_may_say_itself_what_makes_its_networks_again(tmp_path: Path) -> None:
    recipe = Recipe(
        "tiny", "", lambda job: [Net("tiny", tiny(job.seed), "noise")], "tiny.safetensors",
        command="Study('noise').honest(0)",
    )  # fmt: skip
    shipped_or_trained("tiny", recipe, cache=tmp_path, seed=0)
    assert entry_of("tiny", tmp_path).command == "Study('noise').honest(0)"
