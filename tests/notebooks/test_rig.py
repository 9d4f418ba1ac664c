"""The notebook rig: notebooks with known drifts pass and fails where they should.

One pytest run with the project's own options goes through two small notebooks, cell by cell: every cell of
`good.ipynb` must pass, every cell of `bad.ipynb` must fail. Each test below looks at one of these cells.
"""

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from robustxai import plots
from robustxai.claims import coverage
from robustxai.plots import output

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHOW = "from IPython.display import HTML, display; display(HTML('{}'))"
PNG = "from IPython.display import display; display({{'image/png': '{}', 'text/plain': 'x'}}, raw=True)"
DIGEST = "data behind x: 2, min 0.00, max {}, mean 0.500"
URI = '<img alt="a" src="data:image/png;base64,{}"> text'
PLOT = (
    "from matplotlib.figure import Figure; import robustxai.plots as p; p.show(Figure(), data={}, label='x')"
)
TABLE = "from robustxai.plots import show_table; show_table([{{'method': 'a', 'hits': {}, 'loss': {}}}])"


def drawn(left, right, *, noise=0):
    """A picture of two greys (0 to 255) with some noise, as base64."""
    pixels = np.full((64, 96), left) + np.random.default_rng(0).integers(0, noise + 1, (64, 96))
    pixels[:, 48:] += right - left
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype("uint8")).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def displayed(call):
    """The output of a call that displays one thing, as a notebook stores it."""
    caught = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "display", lambda bundle, metadata: caught.append(bundle))
        call()
    return {"output_type": "display_data", "data": caught[0], "metadata": {}}


def table(hits, loss):
    """What `TABLE` shows."""
    return [displayed(lambda: plots.show_table([{"method": "a", "hits": hits, "loss": loss}]))]


def figure(data):
    """What `PLOT` shows and prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        shown_ = displayed(lambda: plots.show(Figure(), data=data, label="x"))
    return [shown_, said(printed.getvalue())]


def said(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    data = {key.replace("_", "/"): value for key, value in data.items()}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def html(markup):
    return shown(text_html=markup, text_plain="<IPython.core.display.HTML object>")


# name: (source, stored outputs, tags or the table of tolerances)
GOOD = {
    "same": ("print('mean 0.504')", [said("mean 0.504\n")], []),
    "number within tolerance": ("print('mean 0.504 of -1.2e3')", [said("mean 0.500 of -1.205e3\n")], []),
    "numbers that are nearly zero": ("print('drift 3.1e-07')", [said("drift -2e-07\n")], []),
    "padding": ("print('a  99.9 |')", [said("a 100.1 |\n")], []),
    "loose tag": ("print('ours 0.54, n=37')", [said("ours 0.50, n=38\n")], ["nbval-rtol-1e-1"]),
    "loose absolute tag": ("print('ours 0.015')", [said("ours -0.004\n")], ["nbval-atol-0.02"]),
    "trailing semicolon": ("1 + 1;", [], []),
    "value": (
        "1 + 1",
        [shown(text_plain="2") | {"output_type": "execute_result", "execution_count": 1}],
        [],
    ),
    "stderr": ("import sys; print('10 it/s', file=sys.stderr)", [], []),
    "warning": ("import warnings; warnings.warn('take care')", [], []),
    "progress": ("print('10%\\r', end=''); print('all')", [said("all\n")], []),
    "data uri": (SHOW.format(URI.format(drawn(50, 90))), [html(URI.format(drawn(50, 90, noise=3)))], []),
    "picture": (PNG.format(drawn(50, 90)), [shown(image_png=drawn(50, 90, noise=3), text_plain="x")], []),
    "a column of its own": (TABLE.format(3, 0.54), table(3, 0.5), {"loss": {"atol": 0.05}}),
    "a share of images": (TABLE.format(0.45, 0.5), table(0.5, 0.5), {"hits": {"of": 20}}),
    "a count": (TABLE.format("'4 of 6'", 0.5), table("3 of 6", 0.5), {"hits": {"count": 1}}),
    "a figure": (PLOT.format([0.0, 0.501, 1.0]), figure([0.0, 0.5, 1.0]), []),
    "results go elsewhere": ("import os; print('ROBUSTXAI_RESULTS' in os.environ)", [said("True\n")], []),
}
BAD = {
    "number outside tolerance": ("print('mean 0.520')", [said("mean 0.500\n")], []),
    "sign": ("print('drop 0.5')", [said("drop -0.5\n")], []),
    "integer": ("print('n=501')", [said("n=500\n")], []),
    "outside a loose tag": ("print('ours 0.60')", [said("ours 0.50\n")], ["nbval-rtol-1e-1"]),
    "changed word": ("print('contradicted 0.5')", [said("reproduced 0.5\n")], []),
    "missing number": ("print('a 1.0')", [said("a 1.0 2.0\n")], []),
    "no semicolon": ("1 + 1", [], []),
    "html text": (SHOW.format("<b>new</b>"), [html("<b>old</b>")], []),
    "data uri with another digest": (
        SHOW.format(URI.format(drawn(50, 90))) + f"; print('{DIGEST.format('1.50')}')",
        [html(URI.format(drawn(50, 90))), said(DIGEST.format("1.00") + "\n")],
        [],
    ),
    "another data uri": (SHOW.format(URI.format(drawn(90, 50))), [html(URI.format(drawn(50, 90)))], []),
    "another picture": (PNG.format(drawn(90, 50)), [shown(image_png=drawn(50, 90), text_plain="x")], []),
    "no column of its own": (TABLE.format(3, 0.54), table(3, 0.5), {"hits": {"atol": 0.05}}),
    "an integer beside it": (
        TABLE.format(4, 0.5),
        table(3, 0.5),
        {"loss": {"atol": 0.05}, "hits": {"rtol": 0.5}},
    ),
    "two images": (TABLE.format(0.4, 0.5), table(0.5, 0.5), {"hits": {"of": 20}}),
    "two of six": (TABLE.format("'5 of 6'", 0.5), table("3 of 6", 0.5), {"hits": {"count": 1}}),
    "of another number": (TABLE.format("'3 of 8'", 0.5), table("3 of 6", 0.5), {"hits": {"count": 1}}),
    "figure of other data": (PLOT.format([1.0, 0.5, 0.0]), figure([0.0, 0.5, 1.0]), []),
    "unknown tolerance": (TABLE.format(3, 0.5), table(3, 0.5), {"loss": {"about": 0.05}}),
    "missing output": ("pass", [said("something\n")], []),
    "error": ("raise ValueError('no')", [], []),
    "not executed": ("print('a')", [], []),
    "unknown tag": ("print('a')", [said("a\n")], ["nbval-rtol-lots"]),
}


def write(path, cells):
    """A notebook with one cell per entry."""
    stored = [
        {
            "cell_type": "code",
            "id": f"cell-{k}",
            "source": source,
            "outputs": outputs,
            "execution_count": None if name == "not executed" else k + 1,
            "metadata": {"tags" if isinstance(asked, list) else "nbval": asked},
        }
        for k, (name, (source, outputs, asked)) in enumerate(cells.items())
    ]
    path.write_text(json.dumps({"cells": stored, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """For each notebook and cell: None, or the message it failed with."""
    folder = tmp_path_factory.mktemp("rig")
    write(folder / "good.ipynb", GOOD)
    write(folder / "bad.ipynb", BAD)
    shutil.copy(ROOT / "conftest.py", folder)
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    ini = {"addopts": options["addopts"], "filterwarnings": "\n  ".join(options["filterwarnings"])}
    ini["markers"] = "\n  ".join(options["markers"])
    (folder / "pytest.ini").write_text("[pytest]\n" + "".join(f"{key} =\n  {ini[key]}\n" for key in ini))
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--junitxml", report, folder]
    environment = {key: value for key, value in os.environ.items() if key != "ROBUSTXAI_RESULTS"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert report.is_file(), done.stdout + done.stderr
    result = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failed = [child for child in case if child.tag in ("failure", "error")]
        key = "good" if "good" in case.attrib["classname"] else "bad"
        index = int(case.attrib["name"].removeprefix("Cell "))
        result[key, index] = "".join(child.text or "" for child in failed) if failed else None
    assert len(result) == len(GOOD) + len(BAD), done.stdout
    return result


@pytest.mark.parametrize("name", GOOD)
def test_passes(outcomes, name):
    assert outcomes["good", list(GOOD).index(name)] is None


@pytest.mark.parametrize("name", BAD)
def test_fails(outcomes, name):
    assert outcomes["bad", list(BAD).index(name)] is not None


def test_the_report_names_the_first_difference(outcomes):
    message = outcomes["bad", list(BAD).index("number outside tolerance")]
    assert "number differs: 0.500 is stored, 0.520 came out (rtol 0.01, atol 1e-06)" in message
    assert "commit notebooks with outputs" in outcomes["bad", list(BAD).index("not executed")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_are_executed(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["execution_count"] for cell in cells if "".join(cell["source"]).strip())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_check_their_claims(path):
    found = coverage(path)
    assert found.complete, (
        f"not checked: {found.unchecked}; not in the ledger: {found.unknown}; without interval: {found.unbounded}"
    )
