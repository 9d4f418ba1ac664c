"""The workflow, on two tiny chapters in a copy of the checkout whose path has a space.

One long story on one copy rather than many copies: starting Snakemake and a kernel takes seconds each time.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]

CHAPTER = """\
import json, os, pathlib, time
import robustxai.{name}
with open({journal!r}, "a") as journal:
    journal.write("{name} began\\n")
time.sleep(pause)
if fail:
    raise RuntimeError("the chapter broke")
folder = pathlib.Path(os.environ["ROBUSTXAI_RESULTS"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "{name}.json").write_text(json.dumps({{"answer": robustxai.{name}.ANSWER}}))
"""


def write_chapter(root: Path, name: str) -> None:
    """A chapter of two cells that imports its own module, notes that it ran, and leaves a result."""
    parameters = nbformat.v4.new_code_cell(
        "pause = 0.0\nfail = False", metadata={"tags": ["parameters"]}, id="p"
    )
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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkout: the workflow, the library, and two chapters, `one` and `two`."""
    root = tmp_path_factory.mktemp("check out")
    caches = shutil.ignore_patterns("__pycache__", "weights", "profiles")
    shutil.copytree(ROOT / "src", root / "src", ignore=caches)
    shutil.copytree(ROOT / "workflow", root / "workflow", ignore=caches)
    (root / "workflow" / "profiles").mkdir()
    shutil.copy(ROOT / "requirements.lock", root)
    for name in ("one", "two"):
        write_chapter(root, name)
    write_parameters(root)
    return root


def environment(root: Path) -> dict[str, str]:
    """The environment in which the copy's library comes first."""
    return {**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}


def start(root: Path, *arguments: str) -> subprocess.Popen:
    """Start `robustxai ...` in the copy."""
    command = [sys.executable, "-m", "robustxai.cli", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=root, env=environment(root), start_new_session=True, **pipes)


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
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert taken(checkout) == []


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
    assert "one.ipynb has no parameter 'patience': it has pause, fail" in text
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


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="reads /proc")
def test_after_kill_nothing_goes_on_and_the_next_run_finishes_the_rest(checkout: Path) -> None:
    write_parameters(checkout, one={"pause": 600.0})
    process = start(checkout, "run", "--all")
    assert wait_for(lambda: (checkout / "journal").exists(), seconds=300)
    assert not (checkout / "build" / "quick" / "results" / "one.json").exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert wait_for(lambda: not processes_in(checkout), seconds=120), processes_in(checkout)
    assert not (checkout / "build" / "quick" / "results" / "one.json").exists()
    assert taken(checkout) == ["one began"]
    write_parameters(checkout, one={})
    code, text = robustxai(checkout, "run", "--all")
    assert code == 0, text
    assert taken(checkout) == ["one began"]
    assert (result(checkout, "one"), result(checkout, "two")) == (2, 1)
