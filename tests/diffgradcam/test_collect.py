"""The script that turns a benchmark run into the numbers which the book shows."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
COLLECT = runpy.run_path(str(ROOT / "benchmarks" / "collect.py"))


def run_of(*benchmarks) -> dict:
    machine = {
        "node": "host-17",
        "python_version": "3.12.1",
        "timer": "time.perf_counter",
        "cpu": {"brand_raw": "Some CPU", "count": 8},
        "torch": {"version": "2.6.0", "threads": 2},
    }
    return {"machine_info": machine, "benchmarks": list(benchmarks)}


def measured(chapter: str, name: str, ratio: float) -> dict:
    info = dict(chapter=chapter, name=name, target="2 or more", n=5, ratio=ratio, low=2.0, high=3.25)
    return {"group": "g", "extra_info": info | {"reference_seconds": 0.0123}}


def test_rows_go_to_their_chapter_without_the_machines_name(tmp_path, capsys):
    other = {"group": None, "extra_info": {"images_per_second": 7}}  # a benchmark that compares nothing
    run = run_of(measured("one", "a / b", 2.71828), other, measured("two", "c / d", 1.0))
    (tmp_path / "run.json").write_text(json.dumps(run))
    COLLECT["main"](str(tmp_path / "run.json"), str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one.json", "two.json"]
    text = (tmp_path / "out" / "one.json").read_text()
    assert "host-17" not in text
    one = json.loads(text)
    commit = one["machine"].pop("commit")
    assert isinstance(commit, str) and commit
    assert one["machine"] == {
        "cpu": "Some CPU", "cores": 8, "threads": 2, "torch": "2.6.0", "python": "3.12.1",
        "timer": "time.perf_counter",
    }  # fmt: skip
    assert one["ratios"] == [
        {"name": "a / b", "group": "g", "ratio": 2.718, "low": 2.0, "high": 3.25, "n": 5,
         "target": "2 or more", "reference_ms": 12.3},
    ]  # fmt: skip
    assert "a / b  2.72  [2.00, 3.25]  2 or more" in capsys.readouterr().out


def test_a_benchmark_may_compare_results_instead_of_times(tmp_path, capsys):
    row = dict(
        name="flip", difference=0.0123456, low=-0.01, high=0.03, n=9, target=None, by_seed=[0.25, 1 / 3]
    )
    info = {"chapter": "one", "differences": [row]}
    run = run_of({"group": "fast minus strict", "extra_info": info})
    (tmp_path / "run.json").write_text(json.dumps(run))
    COLLECT["main"](str(tmp_path / "run.json"), str(tmp_path / "out"))
    one = json.loads((tmp_path / "out" / "one.json").read_text())
    assert one["ratios"] == []
    assert one["differences"] == [
        row | {"group": "fast minus strict", "difference": 0.0123, "by_seed": [0.25, 0.3333]}
    ]
    out = capsys.readouterr().out
    assert "one: fast minus strict" in out and "flip  +0.012  [-0.010, 0.030]" in out


def test_the_stored_ratios_have_the_shape_that_is_shown():
    stored = json.loads((ROOT / "results" / "bench" / "diffgradcam.json").read_text())
    assert stored["ratios"] and {"cpu", "threads", "torch", "timer"} <= stored["machine"].keys()
    for row in stored["ratios"]:
        assert 0 < row["low"] <= row["ratio"] <= row["high"] and row["n"] >= 3
