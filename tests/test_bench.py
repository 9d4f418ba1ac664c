"""Benchmarks as one table, and stored ones of one commit; nothing is timed here."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("collect_benchmarks", ROOT / "benchmarks" / "collect.py")
assert SPEC and SPEC.loader
collect = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(collect)

INFO = {
    "chapter": "ace",
    "name": "ours / theirs",
    "target": "below 1",
    "n": 5,
    "ratio": 0.5,
    "low": 0.41,
    "high": 0.6,
}
DIFFERENCE = {"name": "flips", "difference": 0.01, "low": -0.02, "high": 0.04, "n": 9, "target": None}


def measured(*infos: dict) -> dict:
    """What pytest-benchmark leaves."""
    machine = {"cpu": {"brand_raw": "some", "count": 2}, "torch": {"threads": 2, "version": "2"}}
    each = [{"group": "a thing", "extra_info": info} for info in infos]
    return {"machine_info": machine | {"python_version": "3", "timer": "t"}, "benchmarks": each}


def write(tmp_path: Path, *infos: dict) -> None:
    (tmp_path / "run.json").write_text(json.dumps(measured(*infos)))


def test_one_table_of_every_chapter(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(collect.runtime, "commit", lambda: "abc")
    ratio = INFO | {"reference_seconds": 0.1}
    other = ratio | {"chapter": "ranking", "name": "a longer name / theirs", "ratio": 12.0, "target": None}
    write(tmp_path, ratio, other, {"chapter": "ace", "differences": [DIFFERENCE]})
    collect.main(str(tmp_path / "run.json"), str(tmp_path / "bench"))
    assert capsys.readouterr().out.splitlines() == [
        "ace: a thing",
        "  ours / theirs             0.50     [0.41, 0.60]  below 1",
        "  flips                   +0.010  [-0.020, 0.040]",
        "",
        "ranking: a thing",
        "  a longer name / theirs   12.00     [0.41, 0.60]",
    ]
    stored = json.loads((tmp_path / "bench" / "ace.json").read_text())
    assert stored["machine"]["commit"] == "abc" and stored["ratios"][0]["ratio"] == 0.5


def test_files_of_another_commit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratio = INFO | {"reference_seconds": 0.1}
    write(tmp_path, ratio, ratio | {"chapter": "ranking"})
    monkeypatch.setattr(collect.runtime, "commit", lambda: "abc")
    collect.main(str(tmp_path / "run.json"), str(tmp_path / "bench"))
    write(tmp_path, ratio)
    monkeypatch.setattr(collect.runtime, "commit", lambda: "def")
    with pytest.raises(SystemExit, match=r"another commit than def: ranking\.json; call `make bench`"):
        collect.main(str(tmp_path / "run.json"), str(tmp_path / "bench"))


def test_stored_benchmarks_are_of_one_commit() -> None:
    stored = [json.loads(path.read_text()) for path in (ROOT / "results" / "bench").glob("*.json")]
    assert stored and len({content["machine"].get("commit") for content in stored}) == 1
