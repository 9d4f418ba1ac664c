"""The command line: quick to start, one sentence for a mistake, and the ledger as a table."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from robustxai._cli._files import put
from robustxai._cli._locks import announce, exclusive, held_elsewhere, run_is_over
from robustxai._cli._moved import moved_values
from robustxai._cli.results import changed_verdicts, ours, read, volatile
from robustxai._cli.run import seed_list
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

    def call(*arguments: str, cwd: Path, columns: int = 200) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("COLUMNS", str(columns))
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
        (["run", "nowhere"], r"chapter must be one of .*, got 'nowhere'\n$"),
        (["run", "--all", "--profile", "fast"], r"profile must be one of .*, got 'fast'\n$"),
        (["run"], "run takes the name of one chapter, or --all"),
        (
            ["run", "--all", "--seeds", "1,x"],
            r"seeds must be integers with commas between them, .* got '1,x'\n$",
        ),
        (["book", "--profile", "fast"], r"profile must be one of .*, got 'fast'\n$"),
        (["results", "--profile", "fast"], r"profile must be one of .*, got 'fast'\n$"),
    ],
)
def test_a_mistake_is_one_sentence(
    small: Path, robustxai: Callable[..., Done], arguments: list[str], sentence: str
) -> None:
    done = robustxai(*arguments, cwd=small)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.match(f"robustxai: {sentence}", done.stderr)
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


def test_results_of_one_chapter(small: Path, robustxai: Callable[..., Done]) -> None:
    other = {"claims": [record("b.one", "reproduced", value=2.0)]}
    (small / "results" / "quick" / "b.json").write_text(json.dumps(other))
    done = robustxai("results", "b", cwd=small)
    assert done.returncode == 0
    assert "b.one" in done.stdout and "a.one" not in done.stdout
    done = robustxai("results", "c", cwd=small)
    assert (done.returncode, done.stderr) == (2, "robustxai: chapter must be one of a, b, got 'c'\n")
    done = robustxai("results", "b", "--check", cwd=small)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_results_as_a_picture(tmp_path: Path, robustxai: Callable[..., Done]) -> None:
    file = tmp_path / "all.svg"
    done = robustxai("results", "--plot", str(file), cwd=ROOT / "tests")
    text = file.read_text(encoding="utf-8")
    assert done.returncode == 0 and done.stderr.endswith(f"values are drawn in {file}\n")
    assert text.startswith("<svg") and "ranking.lp_counterexample" in text and text.count("<g ") > 100
    done = robustxai("results", "--plot", "all.png", cwd=tmp_path)
    assert done.stderr == "robustxai: plot must be a file .svg in a folder that exists, got all.png\n"


def test_outside_a_checkout_results_are_those_of_the_folder_else_of_the_package(
    tmp_path: Path, robustxai: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBUSTXAI_RESULTS", raising=False)
    done = robustxai("results", "ace", cwd=tmp_path)  # the tests' package runs from its checkout
    assert done.returncode == 0 and "ace.bare_filter" in done.stdout
    write_results(tmp_path / "results", [record("a.one", "partly", value=0.5)])
    done = robustxai("results", cwd=tmp_path)
    assert done.returncode == 0 and "a.one" in done.stdout and "ace.bare_filter" not in done.stdout
    monkeypatch.setattr("robustxai.__file__", str(tmp_path / "site-packages" / "robustxai" / "__init__.py"))
    done = robustxai("results", "--profile", "real", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("robustxai: there are no results of the profile real here: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"claims": [{}]}', '{"claims": 3}', '{"claims": [1]}']
)
def test_a_result_that_cannot_be_read_is_named(
    small: Path, robustxai: Callable[..., Done], content: str
) -> None:
    file = small / "results" / "quick" / "a.json"
    file.write_text(content)
    done = robustxai("results", cwd=small)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.startswith(f"robustxai: {file} does not hold results: ") and done.stderr.count("\n") == 1
    )


@pytest.mark.parametrize("columns", [30, 50, 80, 100])
def test_no_id_is_cut_in_a_narrow_terminal(robustxai: Callable[..., Done], columns: int) -> None:
    ids = list(read(ROOT / "results" / "quick"))
    done = robustxai("results", cwd=ROOT / "tests", columns=columns)
    rows = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert all(claim in "".join(rows) for claim in ids) and "…" not in "".join(rows)


def test_the_version(robustxai: Callable[..., Done]) -> None:
    assert robustxai("--version", cwd=ROOT)[:2] == (0, f"robustxai {version('robustxai')}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["results"], ["data", "list"]], ids=" ".join)
def test_without_fcntl_and_in_an_ascii_locale(arguments: list[str]) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; sys.argv[0] = 'robustxai'\n"
        "import robustxai._cli.run; from robustxai.cli import main; main()"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "PYTHON"))}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")


@pytest.mark.skipif(os.name != "posix", reason="the flock of another process")
def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "build" / "run.lock"
    code = (
        "import sys, time; from pathlib import Path; from robustxai._cli._locks import exclusive, announce\n"
        "with exclusive(Path(sys.argv[1])):\n"
        "    announce(Path(sys.argv[1]), 'first'); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        assert held_elsewhere(lock) and not run_is_over(lock, "first") and run_is_over(lock, "second")
        process.kill()
    assert not held_elsewhere(lock) and run_is_over(lock, "first")
    with exclusive(lock):
        announce(lock, "second")
        assert held_elsewhere(lock) and not run_is_over(lock, "second") and run_is_over(lock, "first")
    assert run_is_over(lock, "second")


@pytest.mark.parametrize(("written", "folder"), [("", ""), ("0", "0"), ("0,1, 2", "0-1-2"), ("07,1", "7-1")])
def test_seeds_as_a_folder(written: str, folder: str) -> None:
    assert seed_list(written) == folder


@pytest.mark.parametrize("written", ["x", "1,", ",", "-1", "1.5", "1,1", "²", "1 2"])
def test_seeds_that_are_none(written: str) -> None:
    with pytest.raises(ValueError, match=r"^seeds "):
        seed_list(written)


def test_a_copy_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_text("new")
    put(tmp_path / "new", tmp_path / "folder" / "target")
    (tmp_path / "new").write_text("newer")

    def full(source: object, target: Path) -> None:
        Path(target).write_text("ne")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path / "new", tmp_path / "folder" / "target")
    assert [(p.name, p.read_text()) for p in (tmp_path / "folder").iterdir()] == [("target", "new")]


def test_check_fails_on_a_changed_verdict(small: Path, robustxai: Callable[..., Done]) -> None:
    one, two = (
        record("a.one", "reproduced", value=0.502, interval=[0.25, 0.75]),
        record("a.two", "partly", value=1.0),
    )
    same = [one, two, record("a.time", "contradicted")]
    write_results(small / "build", same)
    assert robustxai("results", "--check", cwd=small).returncode == 0
    (small / "build" / "quick" / "results" / "a.json").write_text(
        json.dumps({"claims": [one | {"verdict": "contradicted"}, two]})
    )
    done = robustxai("results", "--check", cwd=small)
    assert done.returncode == 1
    assert done.stderr == "a.one: the verdict is contradicted, the committed one is reproduced\n"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"value": 0.6}, "the value is 0.6, the committed one is 0.5 (rtol 0.01, atol 1e-06)"),
        ({"value": -0.5}, "the value is -0.5, the committed one is 0.5 (rtol 0.01, atol 1e-06)"),
        (
            {"interval": [0.25, 0.8]},
            "the interval of 1 is 0.8, the committed one is 0.75 (rtol 0.01, atol 1e-06)",
        ),
        ({"interval": None}, "its interval has other parts than the committed one"),
        ({"value": {"x": 0.5}}, "its value has other parts than the committed one"),
        ({"n": 7}, "n is 7, the committed one is None"),
    ],
)
def test_check_fails_on_a_value_that_moved(
    small: Path, robustxai: Callable[..., Done], changed: dict, told: str
) -> None:
    one = record("a.one", "reproduced", value=0.5, interval=[0.25, 0.75])
    write_results(
        small / "build", [one | changed, record("a.two", "partly", value=1.0), record("a.time", "partly")]
    )
    done = robustxai("results", "--check", cwd=small)
    assert (done.returncode, done.stderr) == (1, f"a.one: {told}\n")


def test_a_claim_may_move_by_what_its_notebook_declares(small: Path) -> None:
    line = "REPRODUCED   one | It holds. | ours 0.500 [0.250, 0.750], n=9 images | rule: at least 0.300\n"
    table = {"claim one": {"atol": 0.15, "count": 1}, "bounds of claim one": {"atol": 0.06}}
    cell = {
        "cell_type": "code",
        "source": "",
        "metadata": {"nbval": table},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": line}],
    }
    (small / "notebooks").mkdir()
    notebook = small / "notebooks" / "a.ipynb"
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    committed = {"a.one": record("a.one", "reproduced", value=0.5, interval=[0.25, 0.75], n=9)}

    def moved(**changed: object) -> list[str]:
        fresh = {"a.one": committed["a.one"] | changed}
        return moved_values(fresh, committed, small / "notebooks", ignore=set())

    assert not moved(value=0.6, interval=[0.2, 0.8], n=10)
    assert moved(value=0.7) and moved(interval=[0.1, 0.8]) and moved(n=11)
    assert moved_values({"a.one": {"value": 9.0}}, committed, small / "notebooks", ignore={"a.one"}) == []


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
