"""The workflow on a cluster: a real Slurm of one node, two chapters, two seeds each, one job killed and taken up again.

It skips, with the reason, where Slurm is not installed or cannot run. Results are those of a local run.
"""

import json
import subprocess
from pathlib import Path

import one_node_slurm
import pytest
from test_workflow import robustxai, small_checkout, start, taken, wait_for, write_parameters

OPTIONS = """\
default-resources: [slurm_account=none, slurm_partition=main]
slurm-status-command: squeue
slurm-init-seconds-before-status-checks: 5
slurm-logdir: build/slurm
"""
"""What a cluster's owner writes into the folder that SNAKEMAKE_PROFILE names: see book/running.md."""


FILES = [
    f"build/quick/{run}/results/{name}.json"
    for run in ("seed-0", "seed-1", "seeds-0-1")
    for name in ("one", "two")
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory):
    """A running Slurm; skips where there can be none."""
    pytest.importorskip(
        "snakemake_executor_plugin_slurm", reason="snakemake-executor-plugin-slurm is not installed"
    )
    if reason := one_node_slurm.why_not():
        pytest.skip(f"no Slurm here: {reason}")
    with one_node_slurm.one_node(tmp_path_factory.mktemp("slurm")):
        yield


def contents(root: Path) -> dict[str, dict]:
    """What is in the results of a checkout, by file."""
    found = sorted((root / "build").rglob("results/*.json"))
    return {path.relative_to(root).as_posix(): json.loads(path.read_text()) for path in found}


def running_jobs(of: str) -> list[str]:
    """The numbers of the jobs that run, of one chapter: Snakemake's comment names what a job makes."""
    told = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%i %k"], capture_output=True, text=True, check=True
    )
    lines = [line.partition(" ") for line in told.stdout.splitlines()]
    return [number for number, _, comment in lines if comment.endswith(f"_{of}")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_seeds_of_chapters_are_jobs_and_a_killed_one_is_taken_up_again(
    slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        root.mkdir()
        small_checkout(root)
    code, text = robustxai(here, "run", "--all", "--seeds", "0,1")
    assert code == 0, text

    (there / "cluster").mkdir()
    (there / "cluster" / "config.yaml").write_text(OPTIONS)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "cluster")
    write_parameters(there, one={"pause": 60.0})
    process = start(there, "run", "--all", "--seeds", "0,1", "--executor", "slurm")
    assert wait_for(lambda: bool(running_jobs("one")), seconds=300)
    subprocess.run(["scancel", running_jobs("one")[0]], check=True)
    text, _ = process.communicate(timeout=900)
    assert process.returncode != 0, text
    parts, joined = FILES[:4], FILES[4:]
    missing = [name for name in parts if name not in contents(there)]
    assert len(missing) == 1 and missing[0].endswith("one.json"), text
    assert joined[0] not in contents(there), "no results over seeds that are not all there"

    taken(there)
    code, text = robustxai(there, "run", "--all", "--seeds", "0,1", "--executor", "slurm")
    assert code == 0, text
    assert taken(there) == ["one began"], "what had finished does not run again"
    assert contents(there) == contents(here)
    assert set(contents(there)) == set(FILES)
