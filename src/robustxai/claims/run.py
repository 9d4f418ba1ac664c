"""One run of one chapter: claims are checked one by one, then written to `results/<profile>/<chapter>.json`.

Knows nothing about what is measured. A run prints one line per claim that is the same from run to run:
whatever the clock or the machine decides goes into the file and never on the page.
"""

import datetime
import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from robustxai import runtime
from robustxai.checks import check_count
from robustxai.claims.ledger import PROFILES, Claim, of_chapter
from robustxai.claims.lines import as_answer, deciding, said
from robustxai.claims.names import check_chapter, check_profile
from robustxai.claims.values import json_value, values_by_setting
from robustxai.claims.verdicts import VERDICTS, judge, outcomes_needed, over_settings, samples_needed
from robustxai.metrics.statistics import share_interval


def results_path(chapter: str, profile: str) -> Path:
    """Where a run is written: under ROBUSTXAI_RESULTS if set, else the checkout, else the current folder.

    Raises ValueError for what is no name of a chapter or of a folder of results, so that nothing is written elsewhere.
    """
    check_chapter(chapter)
    check_profile(profile)
    root = runtime.checkout()
    folder = os.environ.get("ROBUSTXAI_RESULTS") or (root / "results" if root else "results")
    return Path(folder) / profile / f"{chapter}.json"


class Run:
    """A run of `chapter` in `profile`; `claims.start` makes one and keeps it as the current run.

    Raises ValueError for another profile, a chapter without claims, and what is no device.

    >>> Run("diffgradcam").path.name
    'diffgradcam.json'
    """

    def __init__(
        self,
        chapter: str,
        *,
        profile: str = "quick",
        path: Path | str | None = None,
        device: torch.device | str = "cpu",
        ledger: Path | str | None = None,
    ):
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
        self.chapter, self.profile, self.device = chapter, profile, _device(device)
        self.claims = of_chapter(chapter, ledger)
        self.path = results_path(chapter, profile) if path is None else Path(path)
        self.done: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, Any] = {}
        self.watch = runtime.Stopwatch(self.device).__enter__()

    def check(
        self,
        id: str,
        value: Any,
        *,
        interval: Any = None,
        n: int | None = None,
        seeds: int | None = None,
        premise: bool | None = None,
        **extra: Any,
    ) -> None:
        """Judge one claim by its rule, print the line and keep the record, as `claims.check` says; `extra` goes into
        the file as it is.
        """
        self._settle(id, value, interval=interval, n=n, seeds=seeds, premise=premise, **extra)

    def _settle(
        self,
        id: str,
        value: Any,
        *,
        interval: Any,
        n: int | None,
        seeds: int | None,
        premise: bool | None = None,
        hits: int | None = None,
        **extra: Any,
    ) -> None:
        """`check`; hits: how many of n outcomes, where the value is their share."""
        claim = self._open(id)
        if self.profile not in claim.profiles:
            planned = ", ".join(claim.profiles)
            raise ValueError(f"{id} is for the profiles {planned}, not {self.profile}: leave it out there.")
        if (premise is None) == bool(claim.premise):
            states = "states one" if claim.premise else "states none"
            raise ValueError(f"premise of {id} must be given where the ledger states one, which {states}")
        if premise is not None and not premise:
            self.skip(id, f"the premise does not hold here: {claim.premise}")
            return
        n, seeds = (
            None if count is None else check_count(f"{name} of {id}", count, 0)
            for name, count in (("n", n), ("seeds", seeds))
        )
        values, intervals = values_by_setting(claim, value, interval)
        verdicts = {
            name: judge(claim.rule, v, interval=intervals[name], exact=claim.exact)
            for name, v in values.items()
        }
        verdict = over_settings(list(verdicts.values()), unknown=bool(claim.unknown))
        samples = seeds if seeds is not None and seeds > 1 else n
        open_ = [name for name, found in verdicts.items() if found == "undecided"]
        more = {
            name: samples_needed(claim.rule, values[name], intervals[name], samples)
            if hits is None
            else outcomes_needed(claim.rule, hits, n or 0)
            for name in open_
        }
        counts = [count for count in more.values() if count is not None]
        needs = max(counts) if counts and len(counts) == len(more) else None
        self._print(
            claim,
            verdict,
            *said(claim, values, intervals, n, seeds),
            *deciding(verdict, needs, None if hits is not None else seeds, claim),
        )
        found = (
            {"value": values, "interval": intervals}
            if claim.settings
            else {"value": values[""], "interval": intervals[""]}
        )
        self.done[id] = self._record(claim, verdict) | found | {
            "n": n, "seeds": seeds, "needs": needs, **({"settings": verdicts} if claim.settings else {}), **extra,
        }  # fmt: skip

    def share(self, id: str, hits: Sequence[bool], *, seeds: int | None = None, reason: str) -> None:
        """Judge the share of hits by the claim's rule, with its exact binomial interval (Clopper & Pearson), n is their
        number; not attempted for `reason` if there are none. Raises ValueError for hits that are not yes or no.
        """
        try:
            given = list(hits)
        except TypeError:
            raise ValueError(f"hits of {id} must be a list of yes or no, got {hits!r:.80}") from None
        answers = [as_answer(hit) for hit in given]
        if None in answers:
            wrong = given[answers.index(None)]
            raise ValueError(f"hits of {id} must be yes or no, True or False, got {wrong!r:.80}")
        if answers:
            low, high = share_interval(sum(map(bool, answers)), len(answers))
            share = sum(map(bool, answers)) / len(answers)
            self._settle(
                id, share, interval=(low, high), n=len(answers), seeds=seeds, hits=sum(map(bool, answers))
            )
        else:
            self.skip(id, reason)

    def skip(self, id: str, reason: str) -> None:
        """Record a claim as not attempted, with the reason a reader will see."""
        claim = self._open(id)
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"reason for skipping {id} must say in a few words why, got none.")
        self._print(claim, "not attempted", reason.strip())
        self.done[id] = self._record(claim, "not attempted") | {"reason": reason.strip()}

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep a named table (a list of rows) in the results file, for the replication report."""
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"name of a table must be text, got {name!r}")
        if name in self.tables:
            raise ValueError(f"the table {name!r} was stored already in this run.")
        listed = isinstance(rows, Iterable) and not isinstance(rows, Mapping)
        kept = list(rows) if listed else []
        if not listed or not all(isinstance(row, Mapping) for row in kept):
            raise ValueError(f"rows of the table {name!r} must be mappings of columns to values")
        self.tables[name] = json_value(kept)

    def finish(self) -> None:
        """Write the results file, whole or not at all. Raises ValueError while a claim of this profile is
        open.
        """
        open_ = [i for i, c in self.claims.items() if self.profile in c.profiles and i not in self.done]
        if open_:
            raise ValueError(f"the run cannot finish: no check and no skip for {', '.join(open_)}.")
        for id, claim in self.claims.items():
            if id not in self.done:
                reason = f"not part of the profile {self.profile} (only {', '.join(claim.profiles)})"
                self.done[id] = self._record(claim, "not attempted") | {"reason": reason}
        content = {
            "chapter": self.chapter,
            "profile": self.profile,
            "claims": [self.done[id] for id in self.claims],
            "tables": self.tables,
            "run": runtime.environment(self.device),
            "timing": {
                "seconds": self.watch.seconds,
                "peak_memory_mb": runtime.peak_memory_mb(self.device),
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            },
        }
        text = json.dumps(json_value(content), indent=1, ensure_ascii=False, allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(self.path)
        for words, whose in (("the paper's", ("paper",)), ("our own", ("ours", "pilot"))):
            verdicts = [r["verdict"] for r in self.done.values() if r["whose"] in whose]
            counts = ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts)
            if verdicts:
                print(f"{len(verdicts)} of {words} claims: {counts}")
        print(f"(results/{self.profile}/{self.chapter}.json)")

    def _open(self, id: str) -> Claim:
        if id not in self.claims:
            near = difflib.get_close_matches(id, self.claims, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise ValueError(f"id={id!r} is not a claim of {self.chapter} in the ledger claims.yml{hint}")
        if id in self.done:
            raise ValueError(f"{id} was checked already in this run: each claim gets one verdict.")
        return self.claims[id]

    def _record(self, claim: Claim, verdict: str) -> dict[str, Any]:
        return {
            "id": claim.id,
            "verdict": verdict,
            "whose": claim.whose,
            "unit": claim.unit,
            "rule": claim.rule_spec,
            "rule_text": claim.rule.words(),
        }

    def _print(self, claim: Claim, verdict: str, *parts: str) -> None:
        name = claim.id.partition(".")[2]
        print(" | ".join([f"{verdict.upper():<12} {name}", claim.statement, *parts]))


def _device(device: torch.device | str) -> torch.device:
    try:
        return torch.device(device)
    except (TypeError, RuntimeError):
        raise ValueError(f"device must be a device such as cpu or cuda, got {device!r}") from None
