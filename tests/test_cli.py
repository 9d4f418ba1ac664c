"""The command line: quick to start, one sentence for a mistake, and the ledger as a table."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from robustxai._cli.results import changed_verdicts, ours, read, volatile
from robustxai.cli import main, mount

ROOT = Path(__file__).resolve().parents[1]


class Done(NamedTuple):
    """How a call ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def robustxai(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`robustxai ...` in a folder, inside this process: starting another one takes a second."""

    def call(*arguments: str, cwd: Path) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["robustxai", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return Done(int(end.value.code or 0), *map(str, capsys.readouterr()))

    return call


def record(claim: str, verdict: str, **extra: object) -> dict:
    """One claim as a chapter records it."""
    return {"id": claim, "verdict": verdict, "rule": {"kind": "at_least"}, "rule_text": "at least 1"} | extra


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkout with one profile and the committed results of one chapter."""
    (tmp_path / "workflow" / "profiles").mkdir(parents=True)
    (tmp_path / "workflow" / "Snakefile").touch()
    (tmp_path / "workflow" / "profiles" / "quick.yaml").touch()
    (tmp_path / "claims.yml").write_text("a: [{id: a.one}, {id: a.two}, {id: a.time, volatile: true}]")
    claims = [
        record("a.one", "reproduced", value=0.5, interval=[0.25, 0.75]),
        record("a.two", "partly", value=1.0),
    ]
    write_results(tmp_path / "results", claims)
    return tmp_path


def write_results(folder: Path, claims: list[dict]) -> None:
    """A results file of the chapter `a` in the quick profile, below `results/` or `build/`."""
    folder = folder / "quick" / ("results" if folder.name == "build" else "")
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps({"claims": claims}))


def test_starting_loads_no_torch_and_no_plots() -> None:
    code = "import sys, robustxai.cli; print({'torch', 'matplotlib', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_help_lists_the_commands(robustxai: Callable[..., Done]) -> None:
    done = robustxai("--help", cwd=ROOT)
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in ("run", "book", "results"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nowhere"], "chapter 'nowhere' is unknown: choose one of "),
        (["run", "--all", "--profile", "fast"], "profile 'fast' is unknown: choose one of "),
        (["run"], "run takes the name of one chapter, or --all"),
        (["run", "--all", "--seeds", "1,x"], "seeds is '1,x': give whole numbers with commas between them"),
        (["book", "--profile", "fast"], "profile 'fast' is unknown: choose one of "),
        (["results", "--profile", "fast"], "profile 'fast' is unknown: choose one of "),
    ],
)
def test_a_mistake_is_one_sentence(
    small: Path, robustxai: Callable[..., Done], arguments: list[str], sentence: str
) -> None:
    done = robustxai(*arguments, cwd=small)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"robustxai: {sentence}")
    assert done.stderr.count("\n") == 1


def test_outside_a_checkout_run_says_what_is_missing(tmp_path: Path, robustxai: Callable[..., Done]) -> None:
    done = robustxai("run", "--all", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("robustxai: no checkout of the book at or above ")


def test_results_shows_the_committed_ledger(small: Path, robustxai: Callable[..., Done]) -> None:
    done = robustxai("results", cwd=small)
    assert done.returncode == 0
    assert "quick (committed)" in done.stdout
    assert "0.500 [0.250, 0.750]" in done.stdout


def test_check_needs_a_run(small: Path, robustxai: Callable[..., Done]) -> None:
    done = robustxai("results", "--check", cwd=small)
    assert done.returncode == 2
    assert (
        done.stderr
        == "robustxai: the profile quick has no results yet: call robustxai run --all --profile quick\n"
    )


def test_check_fails_on_a_changed_verdict_only(small: Path, robustxai: Callable[..., Done]) -> None:
    same = [record("a.one", "reproduced"), record("a.two", "partly"), record("a.time", "contradicted")]
    write_results(small / "build", same)
    assert robustxai("results", "--check", cwd=small).returncode == 0
    (small / "build" / "quick" / "results" / "a.json").write_text(
        json.dumps({"claims": [record("a.one", "contradicted"), record("a.two", "partly")]})
    )
    done = robustxai("results", "--check", cwd=small)
    assert done.returncode == 1
    assert done.stderr == "a.one: the verdict is contradicted, the committed one is reproduced\n"


def test_verdicts_that_one_side_lacks_are_changes(small: Path) -> None:
    committed = read(small / "results" / "quick")
    told = changed_verdicts({}, committed, ignore={"a.two"})
    assert told == ["a.one: the verdict is missing, the committed one is reproduced"]
    assert volatile(small / "claims.yml") == {"a.time"}


def test_our_value_in_words() -> None:
    assert ours({"value": 0.5, "interval": None}) == "0.500"
    assert ours({"value": {"a": 2.0, "b": 1.0}}) == "a 2.00, b 1.00"
    assert ours({"value": None, "reason": "needs people"}) == "needs people"


def test_a_group_with_one_command_of_its_name_is_that_command() -> None:
    alone, group, parent = typer.Typer(), typer.Typer(), typer.Typer()

    @alone.command()
    def train() -> None: ...

    @group.command()
    def get() -> None: ...

    mount(parent, "train", alone)
    mount(parent, "data", group)
    assert [child.name for child in parent.registered_groups] == [None, "data"]
