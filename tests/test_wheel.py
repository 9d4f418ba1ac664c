"""The Colab path: a wheel in an environment of its own, and each notebook copied alone into an empty folder.

The environment holds the wheel and sees the dependencies of the running one, which saves an installation of
5 GB; it does not see the checkout, and that is tested first. `tests/test_project.py` checks that the wheel
asks for every package that it imports.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST = (
    "diffgradcam"  # runs always; the other chapters take minutes each and are checked by their imports here
)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command with no trace of the checkout in its environment; return what it printed."""
    hidden = ("PYTHONPATH", "ROBUSTXAI_DATA", "ROBUSTXAI_RESULTS", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by the tools that are installed."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    fresh = folder / "venv" / "bin" / "python"
    site = Path(
        run(fresh, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    install = ("-m", "pip", "--python", fresh, "install", "--no-deps", "--no-index", wheel)
    run(sys.executable, *install, cwd=folder)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return fresh


def test_the_wheel_has_the_library_the_ledger_and_the_weights(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    weights = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("weights/*")}
    assert {"robustxai/claims.yml", "robustxai/py.typed"} | weights <= names
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "workflow/"))]


def test_the_environment_sees_the_wheel_and_not_the_checkout(python: Path, tmp_path: Path) -> None:
    shown = run(
        python, "-c", "import robustxai, sys; print(robustxai.__file__, *sys.path, sep='\\n')", cwd=tmp_path
    )
    module, *path = shown.splitlines()
    assert Path(module).is_relative_to(python.parents[1])
    assert not [entry for entry in path if Path(entry).is_relative_to(ROOT / "src")]


def test_the_first_chapter_is_imported_from_the_wheel(python: Path, tmp_path: Path) -> None:
    code = "from robustxai.diffgradcam import DiffGradCAM; print(DiffGradCAM.__name__)"
    assert run(python, "-c", code, cwd=tmp_path) == "DiffGradCAM\n"


def test_the_command_line_comes_with_the_wheel(python: Path, tmp_path: Path) -> None:
    assert "robustxai" in run(python.with_name("robustxai"), "--help", cwd=tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_imports_comes_with_the_wheel(notebook: Path, python: Path, tmp_path: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    names = sorted(set(re.findall(r"^(?:from|import) (robustxai[\w.]*)", code, flags=re.MULTILINE)))
    assert any(f"{name}.".startswith(f"robustxai.{notebook.stem}.") for name in names)
    run(python, "-c", "import " + ", ".join(names), cwd=tmp_path)


@pytest.mark.parametrize(
    "notebook",
    [pytest.param(p, marks=[] if p.stem == FIRST else pytest.mark.slow, id=p.stem) for p in NOTEBOOKS],
)
def test_a_notebook_alone_runs_on_the_wheel(notebook: Path, python: Path, tmp_path: Path) -> None:
    shutil.copy(notebook, tmp_path)
    run(python, "-m", "papermill", notebook.name, "executed.ipynb", "-k", "python3", cwd=tmp_path)
    assert (tmp_path / "results" / "quick" / f"{notebook.stem}.json").is_file()
