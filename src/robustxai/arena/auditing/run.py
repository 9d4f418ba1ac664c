"""One audit while it runs: attacks within a time, what of them is finished, and the report of it.

When the time is over, finished rows are read once more together, which takes no attack. Knows no files but the folder
of finished attacks.
"""

import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path

from robustxai import __version__
from robustxai.arena.auditing.clean_maps import gallery_of, informed, shown_lines, tied
from robustxai.arena.auditing.findings import Shown
from robustxai.arena.auditing.network import OutOfTime
from robustxai.arena.auditing.preflight import in_batches
from robustxai.arena.auditing.report import Report
from robustxai.arena.auditing.rows import Line
from robustxai.arena.auditing.settings import SUITE_NAMES, AuditSettings
from robustxai.arena.auditing.store import AttackStore, fingerprint
from robustxai.arena.auditing.subject import Subject
from robustxai.arena.cells import ArenaCell, Evaluation
from robustxai.arena.evaluate import evaluate
from robustxai.arena.readouts import grid_of
from robustxai.arena.registry import ExplainerRow, Parts
from robustxai.arena.suite import VERSION, Crafted

ATTACKING, ALL = 0.8, 0.95
"""Which share of the minutes the attacks may use, and all of an audit but its report."""
HASTY = (
    "The time was over before images made for one explainer were read by the others: numbers may be too high."
)
RESUME = ".attacks"
"""Folder inside that of the report with the attacks that are finished."""


class AuditRun:
    """One audit: `attack()`, then `report()`. started: by time.monotonic(), when the minutes began. say: progress.

    >>> callable(AuditRun.attack) and callable(AuditRun.report)
    True
    """

    def __init__(
        self,
        subject: Subject,
        settings: AuditSettings,
        started: float | int,
        out: str | Path | None,
        say: Callable[[str], object],
    ):
        self.subject, self.settings, self.started, self.say = subject, settings, started, say
        self.model, self.x = subject.inspected.model, subject.inspected.x
        self.target, self.batch_size = subject.inspected.target, subject.inspected.batch_size
        self.layer = None if subject.layer.name is None else f"net.{subject.layer.name}"
        self.store = None if out is None else AttackStore(self._folder(Path(out)), self.x.device)
        self.parts = Parts(layer=self.layer, masks=subject.masks)
        self.grid = grid_of(self.model, self.layer, self.x)[0]
        self.cells: dict[str, ArenaCell] = {}
        self.evaluation: Evaluation | None = None
        self.out_of_time = False

    def _folder(self, out: Path) -> Path:
        s = {k: v for k, v in vars(self.settings).items() if k in ("eps", "norm", "suite", "on", "seed")}
        s |= {"layer": self.layer, "version": __version__, "suite version": VERSION}
        return out / RESUME / fingerprint(self.model, self.x, s)

    def _until(self, share: float | int) -> None:
        """The network stops when this share of the minutes is over."""
        if self.settings.minutes is not None:
            self.model.clock.end = self.started + 60 * share * self.settings.minutes

    def attack(self) -> None:
        """Attack all rows; where the time is over before, read those that are finished."""
        memory: MutableMapping[str, Crafted] = {} if self.store is None else self.store
        try:
            self._until(ATTACKING)
            self.evaluation = self._evaluate(self.subject.rows, memory)
        except OutOfTime:
            self.out_of_time = True
            finished = [row for row in self.subject.rows if row.name in self.cells]
            try:
                self._until(ALL)
                self.evaluation = self._evaluate(finished, memory) if finished else None
            except OutOfTime:
                self.say(HASTY)

    def _evaluate(self, rows: Sequence[ExplainerRow], memory: MutableMapping[str, Crafted]) -> Evaluation:
        def finished(cell: ArenaCell) -> None:
            if cell.row not in self.cells:
                number = "no number" if cell.number is None else f"{cell.number:.2f}"
                self.say(f"{cell.row}: {cell.state}, {number} ({time.monotonic() - self.started:.0f} s)")
            self.cells[cell.row] = cell

        s = self.settings
        found, self.batch_size = in_batches(
            lambda batch_size: evaluate(
                self.model, self.x, rows=[*rows], eps=(s.eps,), norm=s.norm, suite=SUITE_NAMES[s.suite],
                readout=(s.on,),
                layer=self.layer, masks=self.subject.masks, target=self.target, network=self.subject.source.name,
                seed=s.seed, batch_size=batch_size, on_cell=finished, memory=memory,
            ),
            self.batch_size,
        )  # fmt: skip
        self.cells |= {cell.row: cell for cell in found.cells}
        return found

    def report(self, command: str, *, quick: bool = False) -> Report:
        """What is known now. quick: nothing more is computed, as after Ctrl-C."""
        found, subject = self.evaluation, self.subject
        lines = [self._line(row) for row in subject.rows]
        gallery: tuple[Shown, ...] = ()
        if found is not None and not quick:
            self._until(ALL)
            lines = [self._informed(line, found) for line in lines]
            self.model.clock.stop()
            gallery = self._gallery(lines, found)
        worst = {} if found is None else {row: x.cpu() for (row, _), x in found.adversarials.items()}
        pictures, inspected = subject.pictures, subject.inspected
        hasty = (HASTY,) if found is None and self.cells else ()
        return Report(
            settings=self.settings, network=subject.source.name, layer=subject.layer.words, lines=lines,
            images=pictures.names, x=self.x.cpu(), target=self.target.cpu(), classes=subject.source.classes,
            skipped=pictures.skipped, warnings=(*inspected.warnings, *hasty), accuracy=inspected.accuracy,
            ties=tied(lines),
            grid=self.grid, adversarials=worst, gallery=gallery, how=subject.how, command=command,
            complete=found is not None and not self.out_of_time,
        )  # fmt: skip

    def forget(self) -> None:
        """Remove the finished attacks, which a complete report no longer needs."""
        if self.store is not None:
            self.store.clear()

    def _line(self, row: ExplainerRow) -> Line:
        if row.name in self.cells:
            return Line.of(self.cells[row.name])
        return Line.unfinished(row.name, row.family, float(self.settings.eps), self.settings.on, len(self.x))

    def _informed(self, line: Line, found: Evaluation) -> Line:
        if line.row not in found.clean:
            return line
        masks = self.subject.masks
        return informed(line, self.model, found.clean[line.row], self.x, self.target, masks, self.batch_size)

    def _gallery(self, lines: Sequence[Line], found: Evaluation) -> tuple[Shown, ...]:
        chosen = []
        for line in shown_lines(lines):
            worst = found.adversarials.get((line.row, float(self.settings.eps)))
            if worst is not None:
                explain = self._row(line.row).explainer(self.model, self.parts)
                chosen.append(gallery_of(line, explain, found.clean[line.row], worst, self.target))
        return tuple(chosen)

    def _row(self, name: str) -> ExplainerRow:
        return next(row for row in self.subject.rows if row.name == name)
