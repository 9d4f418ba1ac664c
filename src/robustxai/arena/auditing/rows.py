"""One line of an audit: what a cell of the arena says about one explainer, with what its clean maps say beside it.

`verdict_of` is the rule by which a line passes, fails or stays undecided. Knows numbers and names only.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustxai.arena.cells import ArenaCell
from robustxai.arena.entries import IGNORES
from robustxai.arena.measures import LEAST_IMAGES
from robustxai.checks import check_share
from robustxai.metrics import Interval, bootstrap_interval

Verdict = Literal["passed", "failed", "undecided"]
CODES: dict[Verdict, int] = {"passed": 0, "failed": 1, "undecided": 3}
"""Exit codes of the command; 2 is bad input, 130 interrupted."""
OUT_OF_TIME = "out of time"
"""The state of a line whose attacks did not end before the time was up."""


@dataclass(frozen=True)
class Line:
    """One explainer at one budget and read-out.

    state: of the cell, or `OUT_OF_TIME`. kept: share of the top that stays, the mean over images of the per-image
    worst, with its interval. noise: the same under noise of the attack's size. transfer: from images crafted on other
    rows. by_image (n,): nan where there is none. dependence, deletion, mass: of clean maps, nan where not measured.

    >>> Line.unfinished("IG", "path", 0.01, "grid", 4).state
    'out of time'
    """

    row: str
    family: str
    eps: float | int
    readout: str
    state: str
    reason: str
    kept: Interval
    noise: float | int
    transfer: float | int
    by_image: Tensor
    worst_attack: str
    dropped: int
    dead: int
    flags: tuple[str, ...]
    dependence: float | int = math.nan
    deletion: float | int = math.nan
    mass: float | int = math.nan

    @classmethod
    def of(cls, cell: ArenaCell) -> "Line":
        """The line of a finished cell."""
        defined = cell.worst.isfinite() if cell.number is not None else torch.zeros_like(cell.kept)
        values = torch.where(defined, cell.worst.cpu().float(), torch.nan)
        attacks = Counter(a for a, d in zip(cell.worst_attack, defined.tolist(), strict=True) if d)
        return cls(
            row=cell.row, family=cell.family, eps=cell.eps, readout=cell.readout, state=cell.state, reason=cell.reason,
            kept=bootstrap_interval(values), noise=float(cell.noise.nanmean()), transfer=float(cell.transfer.nanmean()),
            by_image=values, worst_attack=attacks.most_common(1)[0][0] if attacks else "",
            dropped=cell.dropped, dead=cell.dead, flags=cell.flags,
            dependence=math.nan if cell.depends is None else float(cell.depends.nanmean()),
        )  # fmt: skip

    @classmethod
    def unfinished(cls, row: str, family: str, eps: float | int, readout: str, n: int) -> "Line":
        """The line of a row whose attacks did not end in time."""
        nan, values = math.nan, torch.full((n,), math.nan, device="cpu")
        reason = "The time that the audit was given was over before the attacks on this row were."
        return cls(
            row,
            family,
            eps,
            readout,
            OUT_OF_TIME,
            reason,
            bootstrap_interval(values),
            nan,
            nan,
            values,
            "",
            0,
            0,
            (),
        )

    @property
    def n(self) -> int:
        """Images with a number."""
        return int(self.by_image.isfinite().sum())

    @property
    def counts(self) -> bool:
        """Whether this line has a number of its own, and images enough for an interval."""
        return self.state == "attacked" and self.n >= LEAST_IMAGES

    @property
    def ignores(self) -> bool:
        """Whether the map is one that ignores the network."""
        return self.family == "trivial" or self.dependence < IGNORES

    @property
    def worst(self) -> tuple[int, float | int]:
        """The image of which least stays, and how much; (-1, nan) where there is no number."""
        if not self.n:
            return -1, math.nan
        at = int(self.by_image.nan_to_num(math.inf).argmin())
        return at, float(self.by_image[at])

    @property
    def median(self) -> int:
        """The image in the middle of the order of what stays, the one to show; -1 where there is no number."""
        known = self.by_image.nan_to_num(math.inf)
        return int(known.argsort(stable=True)[(self.n - 1) // 2]) if self.n else -1


def verdict_of(line: Line, least: float | int) -> Verdict:
    """Passed: the lower end of the interval is `least` or more, or a proof. Failed: the upper end is below it.

    Undecided: the interval holds `least`, fewer than 8 images, and every state that is no measurement. Where only an
    upper limit is known (weak) that may fail, and never pass. Raises ValueError for a share outside [0, 1].

    >>> verdict_of(Line.unfinished("IG", "path", 0.01, "grid", 4), 0.5)
    'undecided'
    """
    check_share("fail_under", least)
    if line.state == "proof":
        return "passed"
    if line.state not in ("attacked", "weak") or line.n < LEAST_IMAGES or math.isnan(line.kept.low):
        return "undecided"
    if line.kept.high < least:
        return "failed"
    return "passed" if line.state == "attacked" and line.kept.low >= least else "undecided"


def judged(
    lines: list[Line], least: float | int, rows: tuple[str, ...] = ()
) -> tuple[Verdict, dict[str, Verdict]]:
    """The verdict of an audit, and of each line that counts for it.

    rows: names of those that count; empty is every explainer that reads the network and is possible on it. One that
    failed decides, then one that is undecided; without any line it is undecided. Raises ValueError for unknown names.

    >>> judged([], 0.5)
    ('undecided', {})
    """
    if unknown := [name for name in rows if name not in {line.row for line in lines}]:
        known = ", ".join(dict.fromkeys(line.row for line in lines))
        raise ValueError(f"rows must be explainers of this audit ({known}), got {unknown[0]!r}")
    chosen = [x for x in lines if (x.row in rows if rows else x.family != "trivial" and x.state != "n/a")]
    found: dict[str, Verdict] = {x.row: verdict_of(x, least) for x in chosen}
    order: tuple[Verdict, ...] = ("failed", "undecided", "passed")
    verdicts: list[Verdict] = [v for v in order if v in found.values()]
    return (verdicts[0] if verdicts else "undecided"), found
