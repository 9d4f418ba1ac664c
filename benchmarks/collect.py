"""From the JSON of a benchmark run to `results/bench/<chapter>.json`, which the book shows.

    python -m pytest benchmarks --benchmark-only --benchmark-json build/bench.json
    python benchmarks/collect.py build/bench.json

A row has the ratio (median over alternating rounds), its quartiles, the number of rounds and the target; a benchmark
that compares results instead of times has differences with their intervals. The machine is described by its processor,
threads and torch version, never by a name.
"""

import json
import sys
from pathlib import Path


def collect(run: dict) -> dict[str, dict]:
    """Per chapter, the machine and a row for each ratio and each difference measured, in the order of the run."""
    cpu, software = run["machine_info"]["cpu"], run["machine_info"]["torch"]
    machine = {
        "cpu": cpu.get("brand_raw", cpu.get("arch", "unknown")),
        "cores": cpu.get("count"),
        "threads": software["threads"],
        "torch": software["version"],
        "python": run["machine_info"]["python_version"],
        "timer": run["machine_info"]["timer"],
    }
    chapters: dict[str, dict] = {}
    for benchmark in run["benchmarks"]:
        info = benchmark["extra_info"]
        if "ratio" not in info and "differences" not in info:
            continue
        chapter = chapters.setdefault(info["chapter"], {"machine": machine, "ratios": []})
        for row in info.get("differences", ()):
            rounded = {key: _rounded(value) for key, value in row.items()}
            chapter.setdefault("differences", []).append({"group": benchmark["group"]} | rounded)
        if "ratio" not in info:
            continue
        row = {"name": info["name"], "group": benchmark["group"]}
        row |= {key: round(info[key], 3) for key in ("ratio", "low", "high")}
        row |= {"n": info["n"], "target": info["target"]}
        row |= {"reference_ms": round(1000 * info["reference_seconds"], 1)}
        chapter["ratios"].append(row)
    return chapters


def _rounded(value: object) -> object:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def main(path: str, out: str = "results/bench") -> None:
    """Write one file per chapter into `out` and print its rows."""
    chapters = collect(json.loads(Path(path).read_text(encoding="utf-8")))
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, chapter in chapters.items():
        text = json.dumps(chapter, indent=1, ensure_ascii=False) + "\n"
        (Path(out) / f"{name}.json").write_text(text, encoding="utf-8")
        for row in chapter["ratios"]:
            goal = f", target {row['target']}" if row["target"] else ""
            print(f"{row['ratio']:8.2f}  [{row['low']:.2f}, {row['high']:.2f}]  {row['name']}{goal}")
        for row in chapter.get("differences", ()):
            print(
                f"{row['difference']:+8.3f}  [{row['low']:.3f}, {row['high']:.3f}]  {row['name']}, {row['group']}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
