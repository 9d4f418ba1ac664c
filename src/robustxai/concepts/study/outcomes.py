"""What an attack did to a verdict: cells without and with it, and what counts as a flip.

Only a clean verdict that leaves something to attack counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TypeVar

from robustxai.concepts.attacks import Perturbed
from robustxai.concepts.study.cases import Case
from robustxai.concepts.tcav_result import Cell

Some = TypeVar("Some", bound="Flip")


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A case's cells by name: "clean", "attacked", and whatever stands beside them, such as controls."""

    case: Case
    cells: Mapping[str, Cell]

    @property
    def clean(self) -> Cell:
        """The cell of the exemplars as collected."""
        return self.cells["clean"]

    @property
    def attacked(self) -> Cell:
        """The cell of the attacked exemplars."""
        return self.cells["attacked"]

    @property
    def counts(self) -> bool:
        """The clean verdict leaves something to attack: not important to induce, important to remove."""
        return (self.clean.state == "important") is (self.case.sign < 0)

    @property
    def flipped(self) -> bool:
        """The verdict became important (induce), or stopped being so (remove)."""
        return self.counts and (self.attacked.state == "important") is (self.case.sign > 0)

    @property
    def strong(self) -> bool:
        """A flip to the other end: a mean score of 0.9 and more (induce), or of 0.1 and less (remove)."""
        mean = self.attacked.mean
        return self.flipped and (mean >= 0.9 if self.case.sign > 0 else mean <= 0.1)

    @property
    def by_sets(self: Some) -> Some:
        """The same with the verdicts of the test over sets."""
        return replace(self, cells={name: cell.by_sets for name, cell in self.cells.items()})


@dataclass(frozen=True, kw_only=True)
class Outcome(Flip):
    """An attack on one network and what it did there; the cells also hold "noise" of the same size and "goal", the
    images that token pushing aims at.

    `distance_left`: share of the squared distance to the goal's centroid. `other_label`: share of the exemplars whose
    predicted class changed.
    """

    network: str
    seed: int
    attack: str
    perturbed: Perturbed
    distance_left: float
    other_label: float

    @property
    def noise(self) -> Cell:
        """The cell of exemplars with noise of the same size."""
        return self.cells["noise"]


def needed(found: Sequence[Mapping[float, Flip]]) -> float:
    """The smallest setting from which on, all larger ones too, every network flips; nan if not even the largest does.

    found: per network, an outcome a setting. Only networks whose clean verdict leaves something to attack are looked
    at; nan without any.
    """
    counting = [f for f in found if all(flip.counts for flip in f.values())]
    smallest = nan
    for setting in sorted(counting[0], reverse=True) if counting else ():
        if not all(f[setting].flipped for f in counting):
            break
        smallest = setting
    return smallest
