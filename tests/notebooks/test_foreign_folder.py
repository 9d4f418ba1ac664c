"""The plug-in in a folder that has nothing to do with this book: a small notebook with its own table and figure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = {
    "a table": "import pandas as pd; pd.DataFrame({'method': ['a', 'b'], 'loss': [0.5 + move, 0.25]})",
    "a picture": (
        "import matplotlib.pyplot as plt; plt.plot([0, 1, 2], [0, 1 + 20 * move, 4]); plt.title('a line'); plt.show()"
    ),
    "a print": "print('mean', 0.125 + move, 'of', 8)",
}
"""What the foreign notebook shows; `move` says how far its numbers are from the stored ones."""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one executed notebook, as its owner would commit it."""
    pytest.importorskip("pandas")
    folder = tmp_path_factory.mktemp("foreign")
    sources = ["import os; move = float(os.environ.get('MOVE', 0))", *CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / "theirs.ipynb")
    return folder


def pytest_there(folder: Path, *, move: float = 0.0) -> tuple[int, str]:
    """The exit code and what is said by the documented command in that folder."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "robustxai.nbval"]
    env = {k: v for k, v in os.environ.items() if k != "ROBUSTXAI_RESULTS"} | {"MOVE": str(move)}
    done = subprocess.run(
        [*command, "-q", "-p", "no:cacheprovider"], cwd=folder, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_what_did_not_change_passes(foreign: Path) -> None:
    code, told = pytest_there(foreign)
    assert code == 0 and "4 passed" in told, told


def test_what_changed_fails_with_the_column_and_the_picture(foreign: Path) -> None:
    code, told = pytest_there(foreign, move=0.1)
    assert code == 1 and "3 failed, 1 passed" in told, told
    assert "number differs (loss): 0.50 is stored, 0.60 came out" in told
    assert "picture differs" in told
    assert "number differs: 0.125 is stored, 0.225 came out" in told


def test_a_declared_column_may_move(foreign: Path, tmp_path: Path) -> None:
    notebook = json.loads((foreign / "theirs.ipynb").read_text())
    notebook["cells"][1]["metadata"]["nbval"] = {"loss": {"atol": 0.2}}
    (tmp_path / "theirs.ipynb").write_text(json.dumps(notebook))
    code, told = pytest_there(tmp_path, move=0.1)
    assert code == 1 and "2 failed, 2 passed" in told, told
