"""The workflow, on two tiny chapters in a copy of the checkout whose path has a space.

One long story on one copy rather than many copies: starting Snakemake and a kernel takes seconds each time.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import build_site
import execute
import nbformat
import pytest

from robustxai._cli._locks import held_elsewhere

ROOT = Path(__file__).resolve().parents[1]

CHAPTER = """\
import json, os, pathlib, time
if where:
    assert os.environ["ROBUSTXAI_DATA"] == where, os.environ["ROBUSTXAI_DATA"]
import robustxai.{name}
with open({journal!r}, "a") as journal:
    journal.write("{name} began\\n")
time.sleep(pause)
if fail:
    raise RuntimeError("the chapter broke")
folder = pathlib.Path(os.environ["ROBUSTXAI_RESULTS"])
folder.mkdir(parents=True, exist_ok=True)
left = {{"answer": robustxai.{name}.ANSWER, "seeds": seeds, "chapter": "{name}", "profile": "quick"}}
record = {{"id": "diffgradcam.sham_entropy", "verdict": "undecided", "value": 0.0, "whose": "paper", "unit": "exact"}}
left["claims"] = [record | {{"rule": {{}}, "rule_text": "none"}}]
left |= {{"run": {{"commit": "none"}}, "timing": {{"seconds": 1.0, "peak_memory_mb": 1.0, "date": "2026-01-01"}}}}
left |= {{"tables": {{"seeds": [{{"seed": seed}} for seed in seeds]}}}}
(folder / "{name}.json").write_text(json.dumps(left))
"""
PARAMETERS = """\
pause = 0.0
fail = False
seeds = [0, 1, 2]
where = ""
"""


def write_chapter(root: Path, name: str) -> None:
    """A chapter of two cells that imports its own module, notes that it ran, and leaves a result."""
    parameters = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}, id="p")
    body = nbformat.v4.new_code_cell(CHAPTER.format(name=name, journal=str(root / "journal")), id="b")
    title = nbformat.v4.new_markdown_cell(f"# Chapter {name}", id="t")
    notebook = nbformat.v4.new_notebook(cells=[title, parameters, body])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    module = root / "src" / "robustxai" / name / "__init__.py"
    module.parent.mkdir()
    module.write_text('"""A tiny chapter."""\n\nANSWER = 1\n')


def write_parameters(root: Path, **chapters: dict) -> None:
    """The quick profile of the copy."""
    (root / "workflow" / "profiles" / "quick.yaml").write_text(json.dumps(chapters))


def small_checkout(root: Path) -> Path:
    """A small checkout in a folder: the workflow, the library, and two chapters, `one` and `two`."""
    caches = shutil.ignore_patterns("__pycache__", "weights", "profiles")
    shutil.copytree(ROOT / "src", root / "src", ignore=caches)
    shutil.copytree(ROOT / "workflow", root / "workflow", ignore=caches)
    (root / "workflow" / "profiles").mkdir()
    shutil.copy(ROOT / "requirements.lock", root)
    shutil.copy(ROOT / "claims.yml", root)
    for name in ("one", "two"):
        write_chapter(root, name)
    write_parameters(root)
    return root


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkout(tmp_path_factory.mktemp("check out"))


def environment(root: Path) -> dict[str, str]:
    """The environment in which the copy's library comes first."""
    return {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}


def start(root: Path, *arguments: str) -> subprocess.Popen:
    """Start `robustxai ...` in the copy, as a terminal does: also where these tests run in the background, with SIGINT
    ignored, which their children would inherit.
    """
    command = [sys.executable, "-m", "robustxai.cli", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    as_a_terminal = {
        "start_new_session": True,
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    }
    return subprocess.Popen(command, cwd=root, env=environment(root), **as_a_terminal, **pipes)


def robustxai(root: Path, *arguments: str) -> tuple[int, str]:
    """Run `robustxai ...` in the copy to its end; return its exit code and everything it printed."""
    with start(root, *arguments) as process:
        text, _ = process.communicate(timeout=600)
    return process.returncode, text


def taken(root: Path) -> list[str]:
    """What the chapters noted since the last call."""
    journal = root / "journal"
    lines = journal.read_text().splitlines() if journal.exists() else []
    journal.unlink(missing_ok=True)
    return sorted(lines)


def result(root: Path, name: str) -> int:
    """The answer that a chapter left in the build folder."""
    return json.loads((root / "build" / "quick" / "results" / f"{name}.json").read_text())["answer"]


def test_first_run_executes_every_chapter_and_the_second_none(checkout: Path) -> None:
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert taken(checkout) == ["one began", "two began"]
    assert (result(checkout, "one"), result(checkout, "two")) == (1, 1)
    lines = [re.sub(r"in \d+ s", "in some s", line) for line in text.splitlines()]
    told = [
        f"{name} (quick): {what}" for name in ("one", "two") for what in ("running", "finished in some s")
    ]
    assert sorted(lines) == sorted([*told, "results: build/quick"]), (
        "nothing else is printed when all is well"
    )
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert taken(checkout) == []


@pytest.mark.parametrize(
    ("file", "content"), [("results/two.json", ""), ("notebooks/two.ipynb", '{"cells": [')]
)
def test_an_output_that_cannot_be_read_is_stale_and_named(checkout: Path, file: str, content: str) -> None:
    (checkout / "build" / "quick" / file).write_text(content)
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert text.splitlines()[0] == f"build/quick/{file} cannot be read: its chapter runs again"
    assert taken(checkout) == ["two began"] and result(checkout, "two") == 1


def test_seeds_are_jobs_whose_results_are_joined_beside_the_profile(checkout: Path) -> None:
    code, text = robustxai(checkout, "run", "one", "--seeds", "4, 7")
    assert code == 0, text
    assert text.splitlines()[-1] == "results: build/quick/seeds-4-7"
    assert taken(checkout) == ["one began", "one began"]
    quick = checkout / "build" / "quick"
    for seed in (4, 7):
        left = json.loads((quick / f"seed-{seed}" / "results" / "one.json").read_text())
        assert left["seeds"] == [seed]
    joined = json.loads((quick / "seeds-4-7" / "results" / "one.json").read_text())
    assert list(joined["parts"]) == ["seed 4", "seed 7"]
    assert joined["tables"]["seeds"] == [{"part": f"seed {s}", "seed": s} for s in (4, 7)]
    assert result(checkout, "one") == 1, "the profile's own run is where it was"
    code, text = robustxai(checkout, "run", "one", "--seeds", "4,7,9")
    assert code == 0, text
    assert taken(checkout) == ["one began"], "only the seed that is new runs"


def test_a_relative_data_folder_is_the_same_one_in_a_chapter(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "my data").mkdir()
    monkeypatch.setenv("ROBUSTXAI_DATA", '"./my data"\r')
    write_parameters(checkout, one={"where": str(checkout / "my data")})
    code, text = robustxai(checkout, "run", "one")
    assert code == 0, text
    write_parameters(checkout)
    taken(checkout)


def test_a_changed_module_runs_its_chapter_only_and_a_touched_one_none(checkout: Path) -> None:
    (checkout / "src" / "robustxai" / "two" / "__init__.py").touch()
    (checkout / "src" / "robustxai" / "one" / "__init__.py").write_text("ANSWER = 2\n")
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert taken(checkout) == ["one began"]
    assert (result(checkout, "one"), result(checkout, "two")) == (2, 1)


def test_a_failing_chapter_publishes_nothing_and_says_where(checkout: Path) -> None:
    write_parameters(checkout, one={"fail": True})
    code, text = robustxai(checkout, "run", "one")
    assert code != 0
    assert "one (quick): cell 3 raised RuntimeError: the chapter broke" in text
    assert "Traceback" not in text
    assert not (checkout / "build" / "quick" / "results" / "one.json").exists()
    assert not (checkout / "build" / "quick" / "notebooks" / "one.ipynb").exists()
    assert result(checkout, "two") == 1
    taken(checkout)


def test_an_unknown_parameter_is_named(checkout: Path) -> None:
    write_parameters(checkout, one={"patience": 3})
    code, text = robustxai(checkout, "run", "one")
    assert code != 0
    assert "one.ipynb has no parameter 'patience': it has pause, fail, seeds, where" in text
    assert taken(checkout) == []


def wait_for(condition, *, seconds: float) -> bool:
    """Whether a condition comes true within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def processes_in(root: Path) -> list[str]:
    """Command lines of living processes that name the copy's folder or work in it; Linux only."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(entry / "cwd")).is_relative_to(root):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended while we looked, or it is not ours
            continue
    return found


def kill_all(process: subprocess.Popen) -> None:
    """As when a machine is switched off: every process of the run at once."""
    os.killpg(process.pid, signal.SIGKILL)


def ctrl_c(process: subprocess.Popen) -> None:
    """As a terminal does it: SIGINT to every process of the run."""
    os.killpg(process.pid, signal.SIGINT)


ENDS = {
    "all killed": (kill_all, -signal.SIGKILL),
    "run killed": (subprocess.Popen.kill, -signal.SIGKILL),
    "Ctrl-C": (ctrl_c, 130),
    "run interrupted": (lambda process: process.send_signal(signal.SIGINT), 130),
}


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", ENDS)
def test_when_a_run_ends_nothing_goes_on_and_the_next_one_finishes_the_rest(checkout: Path, how: str) -> None:
    end, code = ENDS[how]
    write_parameters(checkout, one={"pause": 600.0})
    process = start(checkout, "run", "--all")
    assert wait_for(lambda: (checkout / "journal").exists(), seconds=300)
    assert not (checkout / "build" / "quick" / "results" / "one.json").exists()
    end(process)
    text, _ = process.communicate()
    assert process.returncode == code, text
    assert "Traceback" not in text and "KeyboardInterrupt" not in text, text
    assert ("robustxai: stopped; the next run takes up what is unfinished" in text) == (code == 130), text
    assert wait_for(lambda: not processes_in(checkout), seconds=120), processes_in(checkout)
    assert not held_elsewhere(checkout / "build" / "run.lock")
    assert not (checkout / "build" / "quick" / "results" / "one.json").exists()
    assert taken(checkout) == ["one began"]
    write_parameters(checkout, one={})
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert taken(checkout) == ["one began"]
    assert (result(checkout, "one"), result(checkout, "two")) == (2, 1)


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line of `execute.py` for a chapter of a checkout in a temporary folder."""
    (tmp_path / "src" / "robustxai").mkdir(parents=True)
    write_chapter(tmp_path, "one")
    (tmp_path / "workflow" / "profiles").mkdir(parents=True)
    write_parameters(tmp_path)
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    build = tmp_path / "build" / "quick"
    files = ["--notebook", build / "notebooks" / "one.ipynb", "--results", build / "results" / "one.json"]
    line = [
        "execute.py",
        "--chapter",
        "one",
        "--profile",
        "quick",
        *map(str, files),
        "--log",
        str(build / "one.log"),
    ]
    monkeypatch.setattr(sys, "argv", line)
    return line


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execute.papermill, "execute_notebook", full)
    assert execute.main() == 1
    running, told = capsys.readouterr().err.splitlines()
    assert running == "one (quick): running"
    assert told.startswith("one (quick): OSError: [Errno 28] No space left on device; the log is ")
    assert not (tmp_path / "build" / "quick" / "scratch" / "one").exists()
    monkeypatch.setattr(Path, "mkdir", full)
    assert execute.main() == 1 and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("tries", "code"), [(1, 0), (2, 1)])
def test_a_kernel_that_does_not_come_up_gets_a_second_try(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tries: int,
    code: int,
) -> None:
    calls = []

    def start_late(source: str, target: str, **options: object) -> None:
        calls.append(options)
        if len(calls) <= tries:
            raise RuntimeError("Kernel died before replying to kernel_info")
        shutil.copy(source, target)
        (Path(os.environ["ROBUSTXAI_RESULTS"]) / "one.json").write_text("{}")

    monkeypatch.setenv("ROBUSTXAI_RESULTS", "")  # put back afterwards
    monkeypatch.setattr(execute.papermill, "execute_notebook", start_late)
    assert execute.main() == code, capsys.readouterr().err
    assert len(calls) == 2
    assert calls[0]["start_timeout"] >= 300 and calls[0]["iopub_timeout"] >= 300, "a busy machine is slow"
    assert calls[0]["raise_on_iopub_timeout"], "no output may go missing in silence"


def test_what_a_kernel_writes_about_itself_goes_to_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with execute.kernel_messages_to(tmp_path / "log"):
        subprocess.run([sys.executable, "-c", "import sys; print('of a child', file=sys.stderr)"], check=True)
        print("of the program", file=sys.stderr)
    print("afterwards", file=sys.stderr)
    assert capfd.readouterr().err == "of the program\nafterwards\n"
    assert (tmp_path / "log").read_text() == "of a child\n"


def test_a_site_that_cannot_be_built_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(error: BaseException) -> Callable[..., None]:
        def build(*_: object) -> None:
            (tmp_path / "build" / "site-new").mkdir(parents=True, exist_ok=True)
            raise error

        return build

    monkeypatch.setattr(build_site, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["build_site.py", "--log", str(tmp_path / "build" / "site.log")])
    handler = signal.getsignal(signal.SIGINT)
    for error, code, told in [
        (OSError(28, "No space left on device"), 1, "site: not built, [Errno 28] No space left on device; "),
        (
            shutil.Error([("a", "b", "[Errno 28] No space left")]),
            1,
            "site: not built, [Errno 28] No space left; ",
        ),
        (KeyboardInterrupt(), 130, "site: stopped; "),
    ]:
        monkeypatch.setattr(build_site, "build", fails(error))
        try:
            assert build_site.main() == code
        finally:
            signal.signal(signal.SIGINT, handler)
        lines = capsys.readouterr().err.splitlines()
        assert lines == ["site: building", f"{told}what was there before is unchanged"]
        assert code == 130 or not (tmp_path / "build" / "site-new").exists()


@pytest.mark.parametrize(("committed", "shown"), [(True, "stored"), (False, "fresh")])
def test_a_site_of_stored_chapters_has_nothing_of_this_machine(
    tmp_path: Path, committed: bool, shown: str
) -> None:
    for folder, word in ((tmp_path, "stored"), (tmp_path / "build" / "quick", "fresh")):
        text = json.dumps({"cells": [], "from": word})
        for name in (
            "notebooks/one.ipynb",
            "results/quick/one.json" if word == "stored" else "results/one.json",
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    (tmp_path / "workflow" / "profiles").mkdir(parents=True)
    (tmp_path / "workflow" / "profiles" / "quick.yaml").write_text("{}")
    build_site.assemble(tmp_path, tmp_path / "src", committed=committed)
    for name in ("notebooks/one.ipynb", "results/quick/one.json"):
        assert json.loads((tmp_path / "src" / name).read_text())["from"] == shown
