"""What an audit found: its lines, its verdict, its first sentences, and all of it as JSON and CSV.

Draws nothing and writes no file; the page is in `page`, the files are in `report`.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from robustxai import __version__
from robustxai.arena.auditing import words
from robustxai.arena.auditing.rows import CODES, OUT_OF_TIME, Line, Verdict, judged
from robustxai.arena.auditing.settings import AuditSettings
from robustxai.metrics import Interval
from robustxai.records import Row, triple

AUDIT_SCHEMA = 1
"""Version of the form of audit.json."""


@dataclass(frozen=True)
class Shown:
    """What the gallery draws of one explainer: places of images, their clean and attacked maps, the attacked images."""

    row: str
    places: tuple[int, ...]
    titles: tuple[str, ...]
    clean: Tensor
    attacked: Tensor
    adversarials: Tensor


@dataclass(frozen=True)
class Findings:
    """An audit: `lines`, one an explainer; `table()`, `passed()`, `summary()`, `json()`, `csv()`.

    network: its name. layer: a sentence about where class activation maps are read. images: names. x (n, C, H, W): the
    clean images; target (n,): their predicted classes, classes: names of these, empty where unknown. skipped: (file,
    reason). accuracy: on the labels, None without. ties: rows that tests cannot tell from the best. grid: side of the
    coarse grid. adversarials: row -> the per-image worst inputs. how: where the images came from. command: that
    gives this report again. complete: nothing was left out for want of time.

    >>> "lines" in Findings.__dataclass_fields__
    True
    """

    settings: AuditSettings
    network: str
    layer: str
    lines: Sequence[Line]
    images: Sequence[str]
    x: Tensor
    target: Tensor
    classes: Sequence[str] = ()
    skipped: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    accuracy: float | int | None = None
    ties: Sequence[str] = ()
    grid: int | None = None
    adversarials: dict[str, Tensor] = field(default_factory=dict)
    gallery: Sequence[Shown] = ()
    how: str = "given"
    command: str = ""
    complete: bool = True

    def table(self) -> list[Row]:
        """One line an explainer, for `plots.show_table` or a data frame; no number where the state forbids one."""
        return [self._row(line) for line in self.lines]

    def verdicts(self, least: float | int | None = None) -> dict[str, Verdict]:
        """The verdict of each line that counts."""
        return judged([*self.lines], self._least(least), tuple(self.settings.rows))[1]

    def verdict(self, least: float | int | None = None) -> Verdict:
        """ "passed", "failed" or "undecided", of all lines that count together; see `rows.verdict_of`."""
        return judged([*self.lines], self._least(least), tuple(self.settings.rows))[0]

    def passed(self, least: float | int | None = None) -> bool:
        """Whether every line that counts keeps at least this share of its top, with its whole interval.

        Undecided is not passed. least: None is the audit's own `fail_under`.
        """
        return self.verdict(least) == "passed"

    def exit_code(self, *, undecided_ok: bool = False) -> int:
        """0 passed, 1 failed, 3 undecided, which `undecided_ok` makes 0."""
        code = CODES[self.verdict()]
        return 0 if code == 3 and undecided_ok else code

    def summary(self) -> list[str]:
        """The first screen, in sentences."""
        first = words.first_line(self.lines)
        said = [] if first is None else [words.headline(first, self.settings, self.grid, self.images)]
        said.append(words.recommended(self.lines, self.ties))
        if not self.complete:
            left = [line.row for line in self.lines if line.state == OUT_OF_TIME]
            said.append(
                f"The time was over before {', '.join(left)} ended; the same command goes on from here."
            )
        return said

    def json(self) -> str:
        """The audit as JSON text: settings, one object a line with the value of every image, verdicts. No times."""
        record = {
            "schema": AUDIT_SCHEMA, "robustxai": __version__, "network": self.network, "layer": self.layer,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self.settings).items()},
            "complete": self.complete, "accuracy": self.accuracy, "grid": self.grid, "images": [*self.images],
            "target": self.target.tolist(), "skipped": [list(pair) for pair in self.skipped],
            "warnings": [*self.warnings], "summary": self.summary(), "ties": [*self.ties],
            "rows": [self._record(line) for line in self.lines],
            "verdict": self.verdict(), "verdicts": self.verdicts(),
        }  # fmt: skip
        return json.dumps(plain(record), indent=1, ensure_ascii=False) + "\n"

    def _least(self, least: float | int | None) -> float:
        return self.settings.fail_under if least is None else least

    def _row(self, line: Line) -> Row:
        numbers: Row = {}
        if line.state in ("attacked", "weak"):
            numbers = {"kept": triple(line.kept), "noise": line.noise, "worst image": line.worst[1]}
        return {
            "explainer": line.row, "state": line.state, "n": line.n, **numbers, "depends on network": line.dependence,
            "deletion": line.deletion, **({} if math.isnan(line.mass) else {"on the object": line.mass}),
            "worst attack": line.worst_attack, "flags": ", ".join(line.flags),
        }  # fmt: skip

    def _record(self, line: Line) -> dict[str, Any]:
        skip = ("by_image", "kept")
        said = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(line).items() if k not in skip}
        return said | {"kept": interval_record(line.kept), "by_image": line.by_image.tolist()}

    def csv(self) -> str:
        """The lines as CSV text; empty where there is no number."""
        text = io.StringIO()
        names = [
            "row",
            "state",
            "eps",
            "readout",
            "n",
            "kept",
            "low",
            "high",
            "noise",
            "transfer",
            "dependence",
            "deletion",
        ]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*names, "worst_attack", "dropped", "dead", "flags", "reason"])
        for line in self.lines:
            known = line.state in ("attacked", "weak", "proof")
            kept = triple(line.kept) if known else (math.nan,) * 3
            numbers = (*kept, line.noise, line.transfer, line.dependence, line.deletion)
            written = ["" if math.isnan(v) else f"{v:.6g}" for v in numbers]
            writer.writerow(
                [line.row, line.state, f"{line.eps:.8g}", line.readout, line.n, *written, line.worst_attack,
                 line.dropped, line.dead, "; ".join(line.flags), line.reason]
            )  # fmt: skip
        return text.getvalue()


def interval_record(kept: Interval) -> dict[str, Any]:
    """An interval as plain values.

    >>> interval_record(Interval(0.5, 0.4, 0.6, 9, 0, "BCa"))["low"]
    0.4
    """
    return dict(vars(kept))


def plain(value: Any) -> Any:
    """A record with null for every number that is none, which JSON has no word for.

    >>> plain({"a": [float("nan"), 1.0]})
    {'a': [None, 1.0]}
    """
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
