"""Judge stored results again by the ledger of today: the numbers stay, the words follow the rules that hold now.

A run of the real or the gpu profile takes hours, and the words of verdicts or the rule of a claim may change meanwhile.
Values, intervals and counts are those that the run stored. What the run did not measure, because the claim's rule,
settings, premise or row has changed since (its `history` says so), is not attempted until the profile runs again; what
was measured stands under `earlier`.

    python workflow/rejudge.py real
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustxai.claims.ledger import Claim, ledger
from robustxai.claims.verdicts import judge, samples_needed

ROOT = Path(__file__).resolve().parents[1]
OLDER = "the run measured an earlier form of this claim: run the profile again"
MEASURED = ("value", "interval", "n", "seeds")


def rejudged(record: Mapping[str, Any], claim: Claim) -> dict[str, Any]:
    """The record with the verdict, the owner and the unit that the ledger gives it now."""
    new = {
        **record,
        "whose": claim.whose,
        "unit": claim.unit,
        "rule": claim.rule_spec,
        "rule_text": claim.rule.words(),
    }
    if record.get("value") is None:  # skipped, or judged again already
        return new
    if claim.settings or claim.premise or claim.history or record["rule"] != claim.rule_spec:
        measured = {key: record.get(key) for key in MEASURED}
        kept = {key: v for key, v in new.items() if key not in (*MEASURED, "needs")}
        return kept | {
            "verdict": "not attempted",
            "reason": OLDER,
            "earlier": measured | {"rule": record["rule_text"]},
        }
    value, interval = record["value"], record.get("interval")
    verdict = judge(claim.rule, value, interval=interval, exact=claim.exact)
    seeds, n = record.get("seeds"), record.get("n")
    samples = seeds if seeds is not None and seeds > 1 else n
    needs = samples_needed(claim.rule, value, interval, samples) if verdict == "undecided" else None
    return new | {"verdict": verdict, "needs": needs}


def main(profile: str) -> None:
    """Rewrite `results/<profile>/*.json`, each whole or not at all."""
    claims = ledger(ROOT / "claims.yml")
    for path in sorted((ROOT / "results" / profile).glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        content["claims"] = [rejudged(r, claims[r["id"]]) for r in content["claims"] if r["id"] in claims]
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (ROOT / "results" / sys.argv[1]).is_dir():
        sys.exit("usage: python workflow/rejudge.py PROFILE, a folder of results/")
    main(sys.argv[1])
