"""Claims: what a paper says, what is measured here, the rule that decides, and the verdict.

    from robustxai import claims
    claims.start("diffgradcam", profile=profile)
    claims.check("diffgradcam.sham_accuracy", drop, interval=(low, high), n=500, seeds=3)
    claims.skip("diffgradcam.human_study", "needs people")
    claims.finish()                                   # writes results/<profile>/diffgradcam.json

The ledger `claims.yml` holds the claims, `rules` says what a rule can be and `verdicts` what follows from it.
Knows nothing about any method.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from robustxai.claims.coverage import Coverage, coverage
from robustxai.claims.ledger import PROFILES, Claim, ledger, of_chapter
from robustxai.claims.run import Run, results_path
from robustxai.claims.stored import benchmarks, stored
from robustxai.claims.verdicts import VERDICTS, judge

__all__ = [
    "PROFILES",
    "VERDICTS",
    "Claim",
    "Coverage",
    "Run",
    "benchmarks",
    "check",
    "coverage",
    "finish",
    "judge",
    "ledger",
    "of_chapter",
    "results_path",
    "share",
    "skip",
    "start",
    "stored",
    "table",
]

_current: Run | None = None


def start(
    chapter: str,
    *,
    profile: str = "quick",
    path: Path | str | None = None,
    device: torch.device | str = "cpu",
    ledger: Path | str | None = None,
) -> None:
    """Begin a run; an unfinished one is dropped. `path` is the results file, `device` where the chapter
    computes.
    """
    global _current
    _current = Run(chapter, profile=profile, path=path, device=device, ledger=ledger)


def current() -> Run:
    """The run that `start` began. Raises ValueError when there is none."""
    if _current is None:
        raise ValueError("no run has begun: call claims.start(chapter, profile=profile) first.")
    return _current


def check(
    id: str,
    value: Any,
    *,
    interval: Any = None,
    n: int | None = None,
    seeds: int | None = None,
    premise: bool | None = None,
    **extra: Any,
) -> None:
    """Judge one claim of the current run, print one line and record it.

    `value` is a number, or a mapping of names to numbers where the rule compares named values or the ledger names
    settings or choices. `interval` is (low, high) in the same units, or one pair per name; without one, or with bounds
    that are nan, only what the ledger calls exact has a verdict. `n` counts what the ledger calls its unit, `seeds`
    networks or splits, both from 0; `premise`: whether the premise that the ledger states holds here, False means not
    attempted; `extra` is stored with the claim. Raises ValueError for an unknown id, a second check, a value or an
    interval that is not finite, a premise that the ledger does not state or that is missing, and a negative count.
    """
    current().check(id, value, interval=interval, n=n, seeds=seeds, premise=premise, **extra)


def share(id: str, hits: Sequence[bool], *, seeds: int | None = None, reason: str) -> None:
    """Judge one claim about a share of yes-no outcomes; without any it is not attempted, for this reason.

    Raises ValueError for outcomes other than True and False.
    """
    current().share(id, hits, seeds=seeds, reason=reason)


def skip(id: str, reason: str) -> None:
    """Record a claim of the current run as not attempted, with the reason."""
    current().skip(id, reason)


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store a named table of the current run in its results file."""
    current().table(name, rows)


def finish() -> None:
    """Write the results of the current run and end it. Raises ValueError while a claim of its profile is
    open.
    """
    global _current
    current().finish()
    _current = None
