"""Results that a checkout brings along: what an earlier run of a chapter found, or its benchmarks.

A notebook shows them beside what it measures itself. Judges nothing and runs nothing.
"""

import json
from pathlib import Path
from typing import Any

from robustxai import runtime
from robustxai.claims.names import check_chapter, check_profile

CLOCKS = {"time.perf_counter": "seconds on the clock", "time.process_time": "processor seconds"}
RATIO_COLUMNS = {
    "time of … over time of …": "name",
    "setting": "group",
    "ratio": "ratio",
    "rounds": "n",
    "target": "target",
}


def stored(chapter: str, profile: str) -> dict[str, Any] | None:
    """The content of `results/<profile>/<chapter>.json` of the checkout, or None where that file is not.

    profile: "quick", "real", "gpu", "paper", or "bench" for the benchmarks. An installed copy looks in the current
    folder; a run's own ROBUSTXAI_RESULTS is not looked at, as it holds what this run writes.
    Raises ValueError for another profile, for what is no chapter's name, and for a file that is no JSON object.
    """
    check_chapter(chapter)
    check_profile(profile)
    path = (runtime.checkout() or Path()) / "results" / profile / f"{chapter}.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"results/{profile}/{chapter}.json is not a JSON object: run the chapter again.")
    return content


def benchmarks(chapter: str) -> tuple[list[dict[str, Any]], str]:
    """The stored benchmark ratios of a chapter as rows for `plots.show_table`, with quartiles, and a caption that names
    the clock; without a file, no rows and a sentence that says how to get them. Raises ValueError for a file that holds
    no benchmarks.
    """
    content = stored(chapter, "bench")
    if content is None:
        return [], "the benchmark file comes with a checkout: run `make bench` there"
    try:
        rows = [
            {k: (r[v], r["low"], r["high"]) if v == "ratio" else r[v] for k, v in RATIO_COLUMNS.items()}
            for r in content["ratios"]
        ]
        clock = content["machine"]["timer"]
    except (KeyError, TypeError):
        raise ValueError(
            f"results/bench/{chapter}.json holds no benchmarks: run `make bench` again."
        ) from None
    return rows, f"Benchmarks, {CLOCKS.get(clock, clock)}: median of alternating rounds with quartiles"
