"""notebook: the canonical form, the generated first cell, the lint, and the commands."""

import base64
import copy
import importlib.metadata
import importlib.util
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from robustxai import notebook, runtime
from robustxai._cli.notebook import app
from robustxai.notebook import bootstrap
from robustxai.notebook.writer import strip_png

ROOT = Path(__file__).resolve().parents[1]
ALT = "Ten animals in a row, each with a bright heat map over its head"

HOME = "/" + "home/me"  # in two pieces: no tracked file names a path of a machine


def png():
    """A small PNG with a comment inside."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "some program 1.2")
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(buffer, format="PNG", pnginfo=info, dpi=(90, 90))
    return buffer.getvalue()


def code(source, *, outputs=(), count=None, **metadata):
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
        "metadata": metadata,
    }


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def picture():
    data = {"image/png": base64.encodebytes(png()).decode(), "text/plain": "Figure: x"}
    return {"output_type": "display_data", "data": data, "metadata": {"image/png": {"width": 4, "dpi": 90}}}


def markup(html):
    return {"output_type": "display_data", "data": {"text/html": html}, "metadata": {}}


def book(*cells):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def sound(tmp_path):
    """A notebook without a problem: (path, function that changes it and saves it again)."""
    figure = {"image": {"alt": ALT}, "figure": {"caption": "Ten animals.", "name": "animals"}}
    cells = book(
        {"cell_type": "markdown", "source": "# A chapter", "metadata": {}},
        code(notebook.bootstrap_cell(), count=1, tags=["hide-cell"]),
        code("seed = 0  # of the generator\nsizes = [1, 2]  # pixels", count=2, tags=["parameters"]),
        code("show()", count=3, outputs=[stream("data behind x: 1.00\n"), picture()], mystnb=figure),
        code("def f(x):\n    return x", count=4),
    )
    path = tmp_path / "chapter.ipynb"

    def change(edit=lambda cells: None):
        edited = copy.deepcopy(cells)
        edit(edited["cells"])
        notebook.write_notebook(edited, path)
        return [str(problem).partition(": ")[2] for problem in notebook.lint(path)]

    return path, change


def test_canonical_form_is_a_fixed_point():
    messy = book(
        code("a = 1\na", count=7, outputs=[picture()], papermill={"duration": 3}, tags=["b", "a"], x=True),
        code("profile = 'x'", tags=["injected-parameters"]),
        {"cell_type": "markdown", "source": ["# T\n", "text"], "metadata": {}, "id": "random"},
        code("a = 1\na", count=9, outputs=[stream("1\n"), stream("x\rtock\n2\n"), stream("noise", "stderr")]),
        code(""),
    )
    messy["metadata"] = {"papermill": {"input_path": HOME}, "language_info": {"version": "3.11.2"}}
    before = copy.deepcopy(messy)
    text = notebook.dumps(messy)
    assert messy == before, "the argument is left alone"
    assert notebook.dumps(json.loads(text)) == text and text.endswith("}\n")
    first, markdown, third, empty = json.loads(text)["cells"]
    assert (first["execution_count"], third["execution_count"], empty["execution_count"]) == (1, 2, None)
    assert first["metadata"] == {"tags": ["a", "b"]} and markdown["source"] == ["# T\n", "text"]
    assert third["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["1\n", "tock\n", "2\n"]}]
    assert third["id"] == first["id"] + "-2" and markdown["id"] != "random"
    assert first["outputs"][0]["metadata"] == {"image/png": {"width": 4}}
    for word in ("papermill", "/home", "3.11.2", "noise", "injected"):
        assert word not in text


def test_ids_follow_the_content_only():
    a = json.loads(notebook.dumps(book(code("a"), code("b"))))["cells"]
    b = json.loads(notebook.dumps(book(code("new"), code("a"), code("b"))))["cells"]
    assert [cell["id"] for cell in a] == [cell["id"] for cell in b[1:]], "the others keep their ids"


def test_png_keeps_its_pixels_and_loses_its_comments():
    data = png()
    clean = strip_png(data)
    assert b"Software" in data and b"Software" not in clean and b"pHYs" not in clean
    assert Image.open(io.BytesIO(clean)).tobytes() == Image.open(io.BytesIO(data)).tobytes()
    assert strip_png(clean) == clean
    with pytest.raises(ValueError, match="does not hold a PNG"):
        strip_png(b"GIF89a")
    chunk = b"tIME" + bytes(7)
    dated = data[:-12] + struct.pack(">I", 7) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[-12:]
    assert strip_png(dated) == clean


def test_load_refuses_other_files(tmp_path):
    (tmp_path / "a.ipynb").write_text("not json")
    with pytest.raises(ValueError, match="does not hold JSON"):
        notebook.read_notebook(tmp_path / "a.ipynb")
    (tmp_path / "a.ipynb").write_text('{"nbformat": 3}')
    with pytest.raises(ValueError, match="not a notebook of format 4"):
        notebook.read_notebook(tmp_path / "a.ipynb")


def test_a_sound_notebook_has_no_problem(sound):
    _, change = sound
    assert change() == []


def edit(index, **changes):
    """A function that updates one cell of a notebook."""
    return lambda cells: cells[index].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells[3]["metadata"].clear(), "describe it in mystnb.image.alt in 8 words"),
        (lambda cells: cells[3]["metadata"]["mystnb"]["image"].update(alt="a b"), "alt in 8 words"),
        (lambda cells: cells[3]["metadata"]["mystnb"]["figure"].pop("name"), "set mystnb.figure.name"),
        (lambda cells: cells.append(dict(cells[3])), "'animals' is taken"),
        (edit(2, metadata={}), "0 cells are tagged `parameters`"),
        (edit(2, source="seed = 0"), "the parameter 'seed = 0' has no comment"),
        (edit(2, source="seed = int(3)  # x"), "only `name = literal  # comment`"),
        (edit(2, source="a = b = 3  # x"), "only `name = literal  # comment`"),
        (edit(1, source="import robustxai"), "the first code cell is not the generated one"),
        (edit(4, execution_count=None), "was not executed"),
        (lambda cells: cells.insert(3, code("b")), "was not executed"),
        (edit(4, outputs=[{"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}]), "E: v"),
        (edit(4, outputs=[stream(f"in {HOME}/x.py\n")]), f"output names the absolute path {HOME}"),
        (edit(0, source="see /tmp/x"), "source names the absolute path /tmp/x"),
        (edit(4, outputs=[stream("<object at 0x7f00aa11bb22>\n")]), "memory address"),
        (edit(4, outputs=[stream("line\n" * 121)]), "prints 121 lines"),
        (edit(4, source="def f():\n" + "    a = 1\n" * 11), "defines f in 11 lines"),
        (edit(4, source="def f(:"), "is not Python"),
        (edit(4, outputs=[markup('<img src="a" alt="b">')]), "whose alt has fewer than 8 words"),
        (edit(4, outputs=[markup('<script src="https://x/y">')]), "loads https://x/y from the network"),
    ],
)
def test_lint_finds_each_problem(sound, change, message):
    _, apply = sound
    found = apply(change)
    assert any(message in problem for problem in found), found


def test_lint_sees_a_wrong_order_and_a_messy_file(sound):
    path, change = sound
    change()
    stored = json.loads(path.read_text())
    stored["cells"][4]["execution_count"] = 9
    path.write_text(json.dumps(stored))
    found = [str(problem) for problem in notebook.lint(path)]
    assert found == [
        f"{path}: not in canonical form: run `robustxai notebook format`.",
        f"{path}, cell 5: ran as number 9, but stands at 4: run the notebook from the top.",
    ]


def test_functions_of_ten_lines_and_a_docstring_are_fine(sound):
    _, change = sound
    source = 'def f():\n    """Say\n    what."""\n' + "    a = 1\n" * 10
    assert change(edit(4, source=source)) == []


def run_bootstrap(monkeypatch, *, missing, environment=(), returncode=0, versions=None):
    """Execute the cell as if `missing` modules were absent and others had these `versions`; the pip commands it would
    have run.
    """
    calls = []
    installed = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: (versions or {}).get(name) or installed(name)
    )
    found = importlib.util.find_spec
    monkeypatch.delenv("ROBUSTXAI_SOURCE", raising=False)
    for name, value in environment:
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found(name))
    done = subprocess.CompletedProcess([], returncode)
    monkeypatch.setattr(subprocess, "run", lambda command: calls.append(command[3:]) or done)
    exec(compile(notebook.bootstrap_cell(), "bootstrap", "exec"), {})
    return calls


def test_bootstrap_does_nothing_where_the_package_is(monkeypatch):
    assert run_bootstrap(monkeypatch, missing=()) == []


def test_bootstrap_installs_what_is_missing_and_leaves_torch_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    source = [("ROBUSTXAI_SOURCE", "some/robustxai.whl")]
    calls = run_bootstrap(monkeypatch, missing=("robustxai", "jaxtyping", "yaml"), environment=source)
    assert calls == [
        [
            "install",
            "--quiet",
            *(r for r in bootstrap.project_metadata()[2] if r.startswith(("jaxtyping", "pyyaml"))),
        ],
        ["install", "--quiet", "--no-deps", "some/robustxai.whl"],
    ]


@pytest.mark.parametrize(
    ("have", "least", "fits"),
    [
        ("0.36.0", "0.36", True),
        ("0.36", "0.36.0", True),
        ("1.0.0+cu126", "0.36", True),
        ("0.36.1rc1", "0.36", True),
        ("2", "1.26", True),
        ("0.100", "0.36", True),
        ("0.35.2", "0.36", False),
        ("0.4", "0.36", False),
        ("0.36.1", "0.36.2", False),
    ],
)
def test_bootstrap_compares_versions_as_numbers(monkeypatch, have, least, fits):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    project = ("https://github.com/someone/x", "1", [f"diffusers>={least}"])
    monkeypatch.setattr(bootstrap, "project_metadata", lambda: project)
    calls = run_bootstrap(monkeypatch, missing=("robustxai",), versions={"diffusers": have})
    assert calls[:-1] == ([] if fits else [["install", "--quiet", f"diffusers>={least}"]])


def test_bootstrap_says_when_a_package_was_loaded_before_it_was_renewed(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(
        bootstrap, "project_metadata", lambda: ("https://github.com/someone/x", "1", ["numpy>=1.26"])
    )
    calls = run_bootstrap(monkeypatch, missing=("robustxai",), versions={"numpy": "1.21.0"})
    assert calls[0] == ["install", "--quiet", "numpy>=1.26"]
    assert capsys.readouterr().out.startswith("numpy was loaded before it was renewed: restart the runtime")


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_bootstrap_never_replaces_torch(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(
        bootstrap, "project_metadata", lambda: ("https://github.com/someone/x", "1", [f"{name}>=2.7"])
    )
    with pytest.raises(SystemExit, match=rf"^{name} 0.1.2 is too old: robustxai needs {name}>=2.7, and "):
        run_bootstrap(monkeypatch, missing=("robustxai",), versions={name: "0.1.2"})


@pytest.mark.parametrize("why", ["no address", "not hosted", "pip fails"])
def test_bootstrap_fails_with_one_sentence(monkeypatch, why):
    environment = [("ROBUSTXAI_SOURCE", "x.whl")] if why == "pip fails" else []
    if why == "no address":
        monkeypatch.setitem(sys.modules, "google.colab", sys)
        monkeypatch.setattr(bootstrap, "project_metadata", lambda: ("https://github.com/OWNER/x", "1", []))
    with pytest.raises(SystemExit, match=r"robustxai is not installed: run `pip install`.*ROBUSTXAI_SOURCE"):
        run_bootstrap(monkeypatch, missing=("robustxai",), environment=environment, returncode=1)


def test_bootstrap_on_colab_takes_the_tagged_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    project = ("https://github.com/someone/x", "1.2.3", ["torch>=2.6"])
    monkeypatch.setattr(bootstrap, "project_metadata", lambda: project)
    calls = run_bootstrap(monkeypatch, missing=("robustxai",))
    assert calls == [["install", "--quiet", "--no-deps", "git+https://github.com/someone/x@v1.2.3"]]


def test_the_formatter_leaves_the_cell_alone():
    command = [sys.executable, "-m", "ruff", "format", "--config", ROOT / "pyproject.toml", "--diff", "-"]
    done = subprocess.run(command, input=notebook.bootstrap_cell() + "\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_an_installed_copy_generates_the_same_cell(monkeypatch):
    here = notebook.bootstrap_cell()
    address, version, requirements = bootstrap.project_metadata()
    monkeypatch.setattr(runtime, "checkout", lambda: None)
    monkeypatch.setattr(bootstrap, "metadata", lambda _: About(address, version))
    monkeypatch.setattr(bootstrap, "requires", lambda _: [*requirements, 'pytest>=8; extra == "test"'])
    assert notebook.bootstrap_cell() == here


class About(dict):
    """The metadata of an installed distribution."""

    def __init__(self, address, version):
        super().__init__(Version=version)
        self.address = address

    def get_all(self, key):
        return {"Project-URL": [f"Repository, {self.address}"]}[key]


def test_repository_is_none_until_settled(monkeypatch):
    monkeypatch.setattr(bootstrap, "project_metadata", lambda: ("https://github.com/OWNER/x", "1", []))
    assert notebook.repository() is None
    monkeypatch.setattr(bootstrap, "project_metadata", lambda: ("https://github.com/someone/x", "1", []))
    assert notebook.repository() == "https://github.com/someone/x"


def test_insert_bootstrap_replaces_an_older_cell():
    old = notebook.bootstrap_cell().replace("v0", "v9")
    for cells, length in ((book(code("a")), 2), (book(code(old, count=1), code("a")), 2), (book(), 1)):
        once = notebook.insert_bootstrap(cells)
        assert notebook.insert_bootstrap(once) == once
        assert "".join(once["cells"][0]["source"]) == notebook.bootstrap_cell()
        assert len(once["cells"]) == length


def test_the_commands(sound, tmp_path):
    path, change = sound
    change()
    runner = CliRunner()
    assert runner.invoke(app, ["check", str(tmp_path)]).exit_code == 0
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored))
    checked = runner.invoke(app, ["check", str(path)])
    assert checked.exit_code == 1 and "not in canonical form" in checked.output
    formatted = runner.invoke(app, ["format", str(path)])
    assert formatted.exit_code == 1 and "formatted" in formatted.output
    assert runner.invoke(app, ["format", str(path)]).exit_code == 0
    assert runner.invoke(app, ["check", str(path)]).exit_code == 0
    del stored["cells"][1]
    path.write_text(json.dumps(stored))
    assert "updated" in runner.invoke(app, ["bootstrap", str(path)]).output
    assert "".join(notebook.read_notebook(path)["cells"][1]["source"]) == notebook.bootstrap_cell()
    missing = runner.invoke(app, ["check", str(tmp_path / "nothing")])
    assert isinstance(missing.exception, ValueError) and "holds none" in str(missing.exception)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_committed_notebooks_are_clean_and_executed(path):
    assert [str(problem) for problem in notebook.lint(path)] == []
