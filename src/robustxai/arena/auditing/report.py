"""`Report`: what an audit found, and the four files it is saved in. Knows files; draws nothing itself."""

from pathlib import Path

import numpy as np

from robustxai.arena.auditing.findings import Findings
from robustxai.arena.auditing.page import page
from robustxai.nets.checkpoint import Written

REPORT_FILES = ("report.html", "audit.json", "audit.csv", "adversarials.npz")


class Report(Findings):
    """An audit, as `robustxai.arena.audit` gives it: `table()`, `save("audit/")`, `passed(0.5)`.

    >>> issubclass(Report, Findings)
    True
    """

    def save(self, out: str | Path, *, full: bool = True) -> list[Path]:
        """Write report.html, audit.json, audit.csv and adversarials.npz into a folder; all are whole, or as they were.

        full: also the attacked images, which are large. Raises OSError for a folder that cannot be written.
        """
        folder, written = Path(out), Written()
        texts = {"report.html": page(self), "audit.json": self.json(), "audit.csv": self.csv()}
        for name, text in texts.items():
            written.add(folder / name, lambda to, text=text: to.write_text(text, encoding="utf-8"))
        if full:
            written.add(folder / REPORT_FILES[-1], self._save_images)
        written.commit()
        return [folder / name for name in (*texts, *(REPORT_FILES[-1:] if full else ()))]

    def _save_images(self, to: Path) -> None:
        """The clean images, their classes, and for every row the attacked ones, as float32."""
        arrays = {"clean": self.x, "target": self.target} | self.adversarials
        with open(to, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **{k: v.cpu().numpy() for k, v in arrays.items()})
