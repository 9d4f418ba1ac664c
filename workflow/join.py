"""One results file from those of a chapter's parts, which are runs of one seed each: intervals are over all of them.

A value is the mean over the parts. Its interval has two sources, added as independent ones are (the root of the sum of
the squares): the t interval over the parts, which is what varies from seed to seed, and the mean of the parts' own
intervals, which is what varies with images where one network is measured. It is wider than that of one run over all
seeds, which sees every image under every seed. What varies with nothing must hold in each part. A claim that a part
could not attempt is not attempted. It knows nothing about Snakemake, chapters or how the parts were run.

    python workflow/join.py --results OUT.json PART.json PART.json ...
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robustxai.claims.ledger import Claim, ledger
from robustxai.claims.values import json_value
from robustxai.claims.verdicts import judge, over_settings, samples_needed
from robustxai.metrics import t_interval

ROOT = Path(__file__).resolve().parents[1]
Pair = tuple[float, float] | None


def joined_interval(values: Sequence[float], intervals: Sequence[Pair]) -> Pair:
    """The interval of the mean of one value a part, or None for a single part.

    >>> joined_interval([1.0, 1.0], [(0.5, 1.5), (0.7, 1.3)]), joined_interval([1.0], [None])
    ((0.6, 1.4), None)
    """
    over = t_interval(list(values))
    if math.isnan(over.low):
        return None
    own = [(v - i[0], i[1] - v) for v, i in zip(values, intervals, strict=True) if i is not None]
    below, above = (sum(side) / len(own) for side in zip(*own, strict=True)) if own else (0.0, 0.0)
    return (
        over.value - math.hypot(over.value - over.low, below),
        over.value + math.hypot(over.high - over.value, above),
    )


def joined_value(claim: Claim, values: Sequence[Any], intervals: Sequence[Any]) -> tuple[Any, Any]:
    """The mean and its interval, by name where the rule compares names; a ratio's interval is of the parts' ratios."""
    if not claim.rule.named:
        return sum(values) / len(values), joined_interval(values, intervals)
    mean = {name: sum(v[name] for v in values) / len(values) for name in values[0]}
    if not claim.rule.intervals:
        ratio: Callable[[Any], float] = getattr(claim.rule, "ratio")  # noqa: B009 - of RatioAtLeast alone
        return mean, joined_interval([ratio(v) for v in values], intervals)
    each = {
        name: joined_interval([v[name] for v in values], [i and i[name] for i in intervals]) for name in mean
    }
    return mean, None if None in each.values() else each


def one_setting(claim: Claim, values: Sequence[Any], intervals: Sequence[Any]) -> tuple[Any, Any, str]:
    """Value, interval and verdict over the parts, of a claim or of one of its settings."""
    if claim.exact:
        verdicts = [
            judge(claim.rule, v, interval=i, exact=True) for v, i in zip(values, intervals, strict=True)
        ]
        at = next((k for k, verdict in enumerate(verdicts) if verdict != "reproduced"), 0)
        return values[at], intervals[at], verdicts[at]
    value, interval = joined_value(claim, values, intervals)
    return value, interval, judge(claim.rule, value, interval=interval)


def joined_claim(records: Sequence[Mapping[str, Any]], claim: Claim) -> dict[str, Any]:
    """The record of a claim over its parts' records."""
    kept = {key: records[0][key] for key in ("id", "whose", "unit", "rule", "rule_text")}
    left = [r for r in records if r.get("value") is None]
    if left:
        where = "" if len(left) == len(records) else f"in {len(left)} of {len(records)} parts: "
        return kept | {"verdict": "not attempted", "reason": where + left[0]["reason"]}
    values, intervals = [r["value"] for r in records], [r.get("interval") for r in records]
    counts = {key: [r[key] for r in records if r.get(key) is not None] for key in ("n", "seeds")}
    n, seeds = (
        of(known) if len(known) == len(records) else None
        for of, known in ((min, counts["n"]), (sum, counts["seeds"]))
    )
    common = {"n": n, "seeds": seeds, "parts": values}
    if not claim.settings:
        value, interval, verdict = one_setting(claim, values, intervals)
        needs = samples_needed(claim.rule, value, interval, len(records)) if verdict == "undecided" else None
        return kept | {"verdict": verdict, "value": value, "interval": interval, "needs": needs} | common
    found = {
        s: one_setting(claim, [v[s] for v in values], [(i or {}).get(s) for i in intervals])
        for s in claim.settings
    }
    verdicts = {s: verdict for s, (_, _, verdict) in found.items()}
    return (
        kept
        | {
            "verdict": over_settings(list(verdicts.values()), unknown=bool(claim.unknown)),
            "value": {s: value for s, (value, _, _) in found.items()},
            "interval": {s: interval for s, (_, interval, _) in found.items()},
            "needs": None,
            "settings": verdicts,
        }
        | common
    )


def joined(parts: Mapping[str, Mapping[str, Any]], claims: Mapping[str, Claim]) -> dict[str, Any]:
    """The content of a results file from those of its parts, by their names, such as "seed 3".

    Rows of tables get a column that names the part. Raises ValueError for parts of different chapters, profiles,
    commits or claims.
    """
    first = next(iter(parts.values()))
    for what, of in {
        "chapter": lambda p: p["chapter"], "profile": lambda p: p["profile"], "commit": lambda p: p["run"]["commit"],
        "set of claims": lambda p: [r["id"] for r in p["claims"]],
    }.items():  # fmt: skip
        if len(different := {str(of(part)) for part in parts.values()}) > 1:
            raise ValueError(f"parts must be of one {what}, got {', '.join(sorted(different))}")
    records = zip(*(part["claims"] for part in parts.values()), strict=True)
    times = [part["timing"] for part in parts.values()]
    return {
        "chapter": first["chapter"],
        "profile": first["profile"],
        "claims": [joined_claim(group, claims[group[0]["id"]]) for group in records],
        "tables": {
            name: [{"part": part} | row for part, p in parts.items() for row in p["tables"].get(name, [])]
            for name in dict.fromkeys(name for p in parts.values() for name in p["tables"])
        },
        "run": first["run"],
        "parts": {part: p["run"] | p["timing"] for part, p in parts.items()},
        "timing": {
            "seconds": sum(t["seconds"] for t in times),
            "peak_memory_mb": max(t["peak_memory_mb"] or math.nan for t in times),
            "date": max(t["date"] for t in times),
        },
    }


def main() -> None:
    """Write the joined file, whole or not at all; a part's name is its run's folder, `.../seed-3/results/x.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="where the joined results go")
    parser.add_argument("parts", type=Path, nargs="+", help="results of one seed each")
    args = parser.parse_args()
    parts = {
        path.parent.parent.name.replace("-", " "): json.loads(path.read_text(encoding="utf-8"))
        for path in args.parts
    }
    try:
        content = json_value(joined(parts, ledger(ROOT / "claims.yml")))
    except ValueError as error:
        sys.exit(f"join: {error}")
    args.results.parent.mkdir(parents=True, exist_ok=True)
    part = args.results.with_suffix(".part")
    part.write_text(
        json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    part.replace(args.results)


if __name__ == "__main__":
    main()
