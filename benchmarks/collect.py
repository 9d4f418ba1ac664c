"""From the JSON of a benchmark run to `results/bench/<chapter>.json`, which the book shows.

    python -m pytest benchmarks --benchmark-only --benchmark-json build/bench.json
    python benchmarks/collect.py build/bench.json

A row has the ratio (median over alternating rounds), its quartiles, the number of rounds and the target; a benchmark
that compares results instead of times has differences with their intervals. The machine is described by its processor,
threads and torch version, never by a name. All files of the folder must be of one commit, or it is said.
"""

import json
import sys
from pathlib import Path

from robustxai import runtime


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


def line(row: dict) -> tuple[str, str, str, str]:
    """A ratio or a difference as cells: what, its number, its interval or quartiles, and the target."""
    value = f"{row['ratio']:.2f}" if "ratio" in row else f"{row['difference']:+.3f}"
    digits = 2 if "ratio" in row else 3
    interval = f"[{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    return row["name"], value, interval, row.get("target") or ""


def as_table(chapters: dict[str, dict]) -> str:
    """One table of all chapters: ours against each peer, by what was measured."""
    parts = [
        (name, group, line(row))
        for name, chapter in chapters.items()
        for group in dict.fromkeys(row["group"] for row in _rows(chapter))
        for row in _rows(chapter)
        if row["group"] == group
    ]
    widths = [max([len(cells[i]) for _, _, cells in parts], default=0) for i in range(4)]
    lines, last = [], None
    for name, group, (what, value, interval, target) in parts:
        if (name, group) != last:
            lines += ["", f"{name}: {group}"]
            last = (name, group)
        cells = (what.ljust(widths[0]), value.rjust(widths[1]), interval.rjust(widths[2]), target)
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines[1:])


def _rows(chapter: dict) -> list[dict]:
    return [*chapter["ratios"], *chapter.get("differences", ())]


def of_other_commits(out: Path, commit: str) -> list[str]:
    """The stored files that another commit measured."""
    stored = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))}
    return [name for name, content in stored.items() if content["machine"].get("commit") != commit]


def main(path: str, out: str = "results/bench") -> None:
    """Write one file per chapter into `out` and print one table; exit code 1 where `out` is not all of one commit."""
    chapters, commit = collect(json.loads(Path(path).read_text(encoding="utf-8"))), runtime.commit()
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, chapter in chapters.items():
        chapter["machine"]["commit"] = commit
        text = json.dumps(chapter, indent=1, ensure_ascii=False) + "\n"
        (Path(out) / f"{name}.json").write_text(text, encoding="utf-8")
    print(as_table(chapters))
    if others := of_other_commits(Path(out), commit):
        sys.exit(
            f"bench: measured by another commit than {commit}: {', '.join(others)}; call `make bench` for all"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
