"""The notebook rig: notebooks with known drifts pass and fails where they should.

One pytest run with the project's own options goes through two small notebooks, cell by cell: every cell of
`good.ipynb` must pass, every cell of `bad.ipynb` must fail. Each test below looks at one of these cells.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from robustxai._nbval import Tolerant, tolerant
from robustxai.claims import coverage

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHOW = "from IPython.display import HTML, display; display(HTML('{}'))"
PNG = "from IPython.display import display; display({{'image/png': '{}', 'text/plain': 'x'}}, raw=True)"
DIGEST = "data behind x: 2, min 0.00, max {}, mean 0.500"
URI = '<img alt="a" src="data:image/webp;base64,{}"> text'


def said(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    data = {key.replace("_", "/"): value for key, value in data.items()}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def html(markup):
    return shown(text_html=markup, text_plain="<IPython.core.display.HTML object>")


# name: (source, stored outputs, tags)
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
    "data uri": (SHOW.format(URI.format("AAAA")), [html(URI.format("BBBBCCCC"))], []),
    "picture": (PNG.format("AAAA"), [shown(image_png="BBBB", text_plain="x")], []),
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
        SHOW.format(URI.format("AAAA")) + f"; print('{DIGEST.format('1.50')}')",
        [html(URI.format("BBBB")), said(DIGEST.format("1.00") + "\n")],
        [],
    ),
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
            "metadata": {"tags": tags},
        }
        for k, (name, (source, outputs, tags)) in enumerate(cells.items())
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


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("8x7x7, min 0.1", "8x7x7, min 0.1005", True),
        ("8x7x7", "8x7x8", False),
        ("[0.10, 0.20]", "[0.1001, 0.1999]", True),
        ("conv1 0.5", "conv2 0.5", False),
        ("from 3-4", "from 3-5", False),
        ("1e-3", "0.001", True),
        ("a\nb", "a b", False),
        ("nan", "0.0", False),
        ("−0.5", "-0.5", True),
    ],
)
def test_tolerant_texts(a, b, same):
    assert (Tolerant(a) == Tolerant(b)) is same and (Tolerant(a) != Tolerant(b)) is not same


def test_about_how_many_would_decide_is_not_compared():
    line = "UNDECIDED    a | A holds. | ours 0.100 [-0.100, 0.300], n=9 images | rule: positive | "
    stored, fresh = (
        tolerant(line + end, []) for end in ("about 40 images would decide", "about 70 images would decide")
    )
    assert stored == fresh == tolerant(line + "it is open how many would decide", [])
    assert stored != tolerant(line.replace("UNDECIDED", "REPRODUCED") + "about 40 images would decide", [])
    assert stored != tolerant(line.replace("0.300", "0.400") + "about 40 images would decide", [])


def test_tags_are_checked():
    assert tolerant("1", ["nbval-rtol-1e-1", "nbval-atol-0.5", "hide-cell"]).atol == 0.5
    with pytest.raises(ValueError, match="tag 'nbval-rtol-lots' is not understood"):
        tolerant("1", ["nbval-rtol-lots"])


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
