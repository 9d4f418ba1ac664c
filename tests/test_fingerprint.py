"""What makes a chapter stale and what does not, on a small tree of files."""

import json
from pathlib import Path

import pytest
from build_site import PAGES
from fingerprint import (
    fingerprint,
    imported_files,
    imported_names,
    notebook_code,
    profile_parameters,
    site_fingerprint,
)

FILES = {
    "requirements.lock": "numpy==2\n",
    "claims.yml": "one: [{id: one.a}]\ntwo: [{id: two.a}]\n",
    "workflow/profiles/quick.yaml": "one: {n: 1}\ntwo: {n: 2}\n",
    "src/robustxai/__init__.py": "",
    "src/robustxai/metrics/__init__.py": "from robustxai.metrics.maps import ssim\n",
    "src/robustxai/metrics/maps.py": "ssim = 1\n",
    "src/robustxai/nets/__init__.py": "",
    "src/robustxai/nets/weights/shared.safetensors": "weights",
    "src/robustxai/nets/weights/one_fooled.safetensors": "weights of one",
    "src/robustxai/nets/weights/two_fooled.safetensors": "weights of two",
    "src/robustxai/nets/weights/manifest.json": json.dumps(
        {
            "nets": {
                "a": {"file": "one_fooled.safetensors", "seed": 1},
                "b": {"file": "two_fooled.safetensors"},
            }
        }
    ),
    "src/robustxai/one/__init__.py": "def late():\n    from ..metrics import ssim\n    return ssim\n",
    "src/robustxai/one/style.json": "{}",
    "src/robustxai/two/__init__.py": "from robustxai import nets\n",
    "book/intro.md": "# Intro\n",
}


def write_notebook(root: Path, chapter: str, code: str, **extra: object) -> None:
    """A notebook of one code cell."""
    cell = {"cell_type": "code", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
    file = root / "notebooks" / f"{chapter}.ipynb"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"cells": [cell | extra]}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    write_notebook(tmp_path, "one", "%matplotlib inline\nimport robustxai.one\n!ls\n")
    write_notebook(tmp_path, "two", "from robustxai.two import *")
    return tmp_path


def keys(root: Path) -> dict[str, str]:
    """The fingerprints of both chapters in the quick profile."""
    return {name: fingerprint(root, name, "quick", ["one", "two"]) for name in ("one", "two")}


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("requirements.lock", {"one", "two"}),
        ("src/robustxai/__init__.py", {"one", "two"}),
        ("src/robustxai/one/__init__.py", {"one"}),
        ("src/robustxai/one/style.json", {"one"}),
        ("src/robustxai/metrics/maps.py", {"one"}),
        ("src/robustxai/two/__init__.py", {"two"}),
        ("src/robustxai/nets/__init__.py", {"two"}),
        ("src/robustxai/nets/weights/shared.safetensors", {"two"}),
        ("src/robustxai/nets/weights/two_fooled.safetensors", {"two"}),
        ("src/robustxai/nets/weights/one_fooled.safetensors", set()),
        ("book/intro.md", set()),
    ],
)
def test_a_changed_file_makes_stale_what_depends_on_it(root: Path, file: str, stale: set[str]) -> None:
    before = keys(root)
    path = root / file
    path.write_text("# changed\n" + path.read_text())
    after = keys(root)
    assert {name for name in after if after[name] != before[name]} == stale


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("claims.yml", "one.a", "one.b", {"one"}),
        ("workflow/profiles/quick.yaml", "n: 2", "n: 3", {"two"}),
        ("src/robustxai/nets/weights/manifest.json", '"seed": 1', '"seed": 2', set()),
        ("notebooks/one.ipynb", "import robustxai.one", "import robustxai.one as o", {"one"}),
    ],
)
def test_a_changed_part_counts_for_its_chapter_only(
    root: Path, file: str, old: str, new: str, stale: set[str]
) -> None:
    before = keys(root)
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))
    after = keys(root)
    assert {name for name in after if after[name] != before[name]} == stale


def test_outputs_and_timings_do_not_count(root: Path) -> None:
    before = keys(root)
    code = "from robustxai.two import *"
    write_notebook(
        root, "two", code, execution_count=7, metadata={"papermill": {"duration": 3}}, outputs=[{}]
    )
    assert keys(root) == before


def test_relative_imports_are_followed_to_their_module() -> None:
    assert imported_names("from . import a", package="robustxai.one") == {"robustxai.one", "robustxai.one.a"}
    assert imported_names("from ..metrics.maps import b", package="robustxai.one") == {
        "robustxai.metrics.maps",
        "robustxai.metrics.maps.b",
    }
    assert imported_names("import numpy, robustxai.nets") == {"robustxai.nets"}


def test_imported_files_are_all_that_an_import_runs(root: Path) -> None:
    src = root / "src"
    code = notebook_code(root / "notebooks" / "one.ipynb")
    found = {path.relative_to(src / "robustxai").as_posix() for path in imported_files(src, code)}
    assert found == {"__init__.py", "one/__init__.py", "metrics/__init__.py", "metrics/maps.py"}


def test_an_unknown_profile_is_one_sentence(root: Path) -> None:
    with pytest.raises(ValueError, match=r"^profile 'fast' is unknown: choose one of quick$"):
        profile_parameters(root, "fast", "one")


def test_the_site_depends_on_pages_and_results(root: Path) -> None:
    before = site_fingerprint(root)
    (root / "book" / "intro.md").write_text("# Hello\n")
    middle = site_fingerprint(root)
    (root / "workflow" / "profiles" / "gpu.yaml").write_text("")
    (root / "build" / "gpu" / "results").mkdir(parents=True)
    (root / "build" / "gpu" / "results" / "one.json").write_text("{}")
    assert len({before, middle, site_fingerprint(root)}) == 3


@pytest.mark.parametrize("name", PAGES)
def test_the_site_depends_on_all_that_it_is_made_of(root: Path, name: str) -> None:
    file = root / name if Path(name).suffix else root / name / "page.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text("one")
    before = site_fingerprint(root)
    file.write_text("two")
    assert site_fingerprint(root) != before


@pytest.mark.parametrize(
    "left",
    [
        "src/robustxai/nets/weights/.lock",
        "src/robustxai/nets/weights/.checkpoints/net/one.safetensors",
        "src/robustxai/one/__pycache__/one.cpython-311.pyc",
        "src/robustxai/one/__pycache__/one.cpython-311.pyc.140231",
        "src/robustxai/one/.style.json.12.part",
        "book/.ipynb_checkpoints/intro.ipynb",
        "book/_ext/__pycache__/offline.cpython-311.pyc",
        "build/site-src/results/quick/one.json",
        "build/quick/results/one.json",
        ".hypothesis/examples/1",
        "results/quick/.one.json.12.part",
    ],
)
def test_what_tests_and_builds_leave_makes_nothing_stale(root: Path, left: str) -> None:
    before = keys(root), site_fingerprint(root)
    (root / left).parent.mkdir(parents=True, exist_ok=True)
    (root / left).write_text("left behind")
    assert (keys(root), site_fingerprint(root)) == before


def test_the_ends_of_lines_do_not_count(root: Path) -> None:
    before = keys(root), site_fingerprint(root)
    for file in [path for path in root.rglob("*") if path.suffix in (".lock", ".py", ".yml", ".yaml", ".md")]:
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert (keys(root), site_fingerprint(root)) == before


def test_zeros_in_a_file_keep_every_byte(root: Path) -> None:
    file = root / "src/robustxai/nets/weights/shared.safetensors"
    file.write_bytes(b"\0\r\n")
    before = keys(root)
    file.write_bytes(b"\0\n")
    assert keys(root)["two"] != before["two"]
