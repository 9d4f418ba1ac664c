"""The profiles: every chapter has its parameters in each, the notebook knows them all, and `gpu` downloads nothing.

Slow: the profile gpu runs from end to end, reduced to a few images and steps, through the script for a card.
"""

import ast
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from execute import checked_parameters
from fingerprint import notebook_cells, profile_parameters
from missing import missing
from test_workflow import environment, small_checkout

from robustxai.claims import PROFILES, ledger
from robustxai.data import catalog
from robustxai.nets.adapters import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
FILES = sorted(path.stem for path in (ROOT / "workflow" / "profiles").glob("*.yaml"))
EVERY = [(profile, chapter) for profile in FILES for chapter in CHAPTERS]
TINY = {
    "seeds": [0], "probed": [0], "n_test": 12, "n_accuracy": 12, "live_images": 16, "live_epochs": 1, "n_images": 4,
    "n_paths": 2, "n_few": 2, "draws": 1, "pairs": 1, "n_probed": 2, "attack_steps": 2, "budgets": [], "n_small": 2,
    "n_plain": 4, "n_bare": 8, "n_set": 8, "levels": [0, 20, 82], "n": 8, "runs": 4, "pictures": 1,
    "n_dear": 2, "n_masked": 2, "n_weights": 4,
}  # fmt: skip
"""What a parameter of this name is in a reduced run: a few images and steps."""


def defaults(chapter: str) -> dict[str, Any]:
    """The parameters cell of a chapter, as values."""
    tagged = (
        c
        for c in notebook_cells(ROOT / "notebooks" / f"{chapter}.ipynb")
        if "parameters" in c["metadata"].get("tags", [])
    )
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in tagged))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assigned}


@pytest.mark.parametrize(("profile", "chapter"), EVERY)
def test_a_profile_gives_a_chapter_what_its_notebook_takes(profile: str, chapter: str) -> None:
    assert chapter in yaml.safe_load((ROOT / "workflow" / "profiles" / f"{profile}.yaml").read_text())
    given, known = profile_parameters(ROOT, profile, chapter), defaults(chapter)
    checked_parameters(ROOT / "notebooks" / f"{chapter}.ipynb", given)
    for name, value in given.items():
        assert type(value) is type(known[name]), f"{name} of {chapter} in {profile}"
    if profile != "quick":
        assert given["profile"] == profile, "it names the folder of its results"
        assert given.get("device", "cpu") == ("cpu" if profile == "real" else "auto")


def test_profiles_are_those_that_claims_know_of() -> None:
    assert set(FILES) == set(PROFILES)
    planned = [claim.profiles for claim in ledger(ROOT / "claims.yml").values()]
    assert all(("paper" in profiles) == ("gpu" in profiles) for profiles in planned)


def words(value: Any) -> set[str]:
    """All text in a value."""
    if isinstance(value, str):
        return {value}
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return {word for part in parts for word in words(part)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_on_a_card_nothing_is_downloaded_and_nothing_is_smaller_than_in_the_notebook(chapter: str) -> None:
    given, known = profile_parameters(ROOT, "gpu", chapter), defaults(chapter)
    fetched = {entry.name for entry in catalog() if entry.source != "no file needed"}
    assert not words(known | given) & (fetched | {*ARCHITECTURES}), "a set or a network that is not here"
    assert not (known | given).get("photographs")
    smaller = [n for n, value in given.items() if isinstance(value, int) and not value >= known[n]]
    shorter = [n for n, value in given.items() if isinstance(value, list) and len(value) < len(known[n])]
    assert not smaller and not shorter


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    project = 'dependencies = ["torch>=2", "torch<2", "no-such-thing>=1"]\n[project.optional-dependencies]\n'
    file = tmp_path / "pyproject.toml"
    file.write_text(f'[project]\n{project}more = ["yaml-none==1"]\n')
    assert missing(file, []) == ["torch<2", "no-such-thing>=1"]
    assert missing(file, ["more"])[-1] == "yaml-none==1"
    with pytest.raises(ValueError, match="extras must be among more, got 'less'"):
        missing(file, ["less"])


def card(root: Path, out: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script for a card in a checkout."""
    env = {**environment(root), "PYTHON": sys.executable, "CORES": "1", **more}
    env.pop("PYTHONPATH")
    command = ["bash", "workflow/gpu.sh", str(out)]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=1800)


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_script_for_a_card_packs_what_ran_and_takes_up_the_rest(tmp_path: Path) -> None:
    root = tmp_path / "check out"
    root.mkdir()
    small_checkout(root)
    (root / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    profile = root / "workflow" / "profiles" / "gpu.yaml"
    profile.write_text(json.dumps({"two": {"fail": True}}))
    done = card(root, tmp_path / "out")
    assert done.returncode != 0 and "two (gpu): cell 3 raised RuntimeError" in done.stderr
    profile.write_text("{}")
    done = card(root, tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "two (gpu): running" in done.stderr and "one (gpu): running" not in done.stderr
    with tarfile.open(tmp_path / "out" / "robustxai-gpu.tar.gz") as packed:
        names = {name.removeprefix("./") for name in packed.getnames()}
    wanted = {f"results/gpu/{n}.json" for n in ("one", "two")} | {
        f"notebooks/{n}.ipynb" for n in ("one", "two")
    }
    assert wanted | {"versions.txt", "claims.txt", "logs/one.log"} <= names


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_profile_for_a_card_runs_from_end_to_end(chapter: str, tmp_path: Path) -> None:
    """With a few images and steps, on whatever device is here."""
    given = profile_parameters(ROOT, "gpu", chapter)
    parameters = {
        n: TINY[n] if n in TINY and n in given | {"seeds": 0} else v
        for n, v in {**given, "seeds": [0]}.items()
    }
    executed = tmp_path / f"{chapter}.ipynb"
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / executed.name), str(executed)]
    command += [
        "-k",
        "python3",
        "-y",
        yaml.safe_dump(parameters),
        "--cwd",
        str(tmp_path),
        "--no-progress-bar",
    ]
    env = {**os.environ, "ROBUSTXAI_RESULTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    env.pop("ROBUSTXAI_DATA", None)
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    left = json.loads((tmp_path / "gpu" / f"{chapter}.json").read_text())
    assert left["profile"] == "gpu" and len(left["claims"]) > 10
