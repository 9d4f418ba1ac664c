"""Tolerances from measured differences: what moved is forgiven with a margin, and as little else as can be."""

import json
from pathlib import Path

import pytest
import tolerances
from processors import KINDS

from robustxai.notebook.closeness import Tolerance
from robustxai.plots.output import _html, _plain

COLUMNS = ["method", "P@k"]


def code(shown: str, *, tags: tuple[str, ...] = ()) -> dict:
    """A cell that shows a table of one number; its id follows from its code, as the writer has it."""
    cells = [["a", shown]]
    data = {"text/html": _html(COLUMNS, cells, ""), "text/plain": _plain(COLUMNS, cells, "")}
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    return {
        "cell_type": "code",
        "id": "one",
        "source": "show()",
        "execution_count": 1,
        "outputs": [output],
        "metadata": {"tags": list(tags)},
    }


def put(path: Path, cell: dict) -> None:
    """Write a notebook of one cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one chapter, and its runs on two kinds of processor."""
    monkeypatch.setattr(tolerances, "ROOT", tmp_path)
    put(tmp_path / "notebooks" / "a.ipynb", code("0.50 [0.40, 0.60]", tags=("hide-input", "nbval-atol-0.1")))
    for kind, shown in (("avx2", "0.52 [0.40, 0.65]"), ("default", "0.49 [0.40, 0.60]")):
        put(tmp_path / "build" / "processors" / kind / "notebooks" / "a.ipynb", code(shown))
    return tmp_path / "build"


def test_what_moved_is_written_into_the_cell_in_place_of_its_tags(build: Path, tmp_path: Path) -> None:
    assert tolerances.write("a", build) == 2
    (cell,) = json.loads((tmp_path / "notebooks" / "a.ipynb").read_text())["cells"]
    assert cell["metadata"]["tags"] == ["hide-input"]
    assert cell["metadata"]["nbval"] == {"P@k": {"rtol": 0.07}, "bounds of P@k": {"rtol": 0.15}}


def test_a_kind_is_judged_by_the_others(build: Path) -> None:
    assert tolerances.outside("a", build) == {"avx2": (4, 6), "default": (0, 6)}  # as HTML and as plain text


def test_differences_are_measured_by_column(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tolerances.measure(["a"], build)
    found = json.loads((build / "processors" / "differences.json").read_text())["a"]
    assert found["kinds"] == ["avx2", "default"] and found["words"] == {"avx2": [], "default": []}
    value = next(c for c in found["columns"] if c["column"] == "P@k")
    assert value["numbers"] == 4 and value["moved"] == 4
    assert value["amount"] == pytest.approx(0.02) and value["share"] == pytest.approx(0.04)
    assert "a, avx2: 4 of 6 numbers outside the tolerances of the other kinds" in capsys.readouterr().out


def test_words_that_differ_are_said(build: Path, tmp_path: Path) -> None:
    put(tmp_path / "run.ipynb", code("none"))
    (sentence,) = tolerances.pairs(tmp_path / "notebooks" / "a.ipynb", tmp_path / "run.ipynb")[1]
    assert sentence.startswith("one: text differs")


@pytest.mark.parametrize(
    ("numbers", "declared"),
    [
        ([("0.50", "0.50"), ("3", "3")], {}),
        ([("0.500", "0.502")], {}),
        ([("3", "4"), ("5", "5")], {"count": 1.0}),
        ([("0.90", "0.95"), ("0.10", "0.10")], {"rtol": 0.1}),
        ([("0.001", "-0.002"), ("0.90", "0.90")], {"atol": 0.0045}),
        ([("−0.5", "-0.5")], {}),
    ],
)
def test_the_tolerance_is_the_one_that_lets_the_fewest_numbers_change(
    numbers: list[tuple[str, str]], declared: dict[str, float]
) -> None:
    found = tolerances.fitted(numbers)
    assert found == declared
    assert all(Tolerance(**found).close(a, b) for a, b in numbers)  # pyright: ignore[reportArgumentType]


def test_kinds_set_what_torch_and_the_libraries_below_it_read() -> None:
    names = {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE"}
    assert set(KINDS["avx2"]) == set(KINDS["default"]) == names
    assert KINDS["native"] == {} and KINDS["two-threads"] == {"OMP_NUM_THREADS": "2"}
