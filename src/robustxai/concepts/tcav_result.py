"""What `TCAV.score` returns: one cell a concept and layer, with the scores of all its CAVs and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from robustxai.concepts.cav import FittedCAVs
from robustxai.concepts.significance import state
from robustxai.metrics import Interval, bootstrap_interval


@dataclass(frozen=True)
class Cell:
    """A concept at a layer for one class.

    `scores` (runs,): sign score of every CAV, the share of images whose directional derivative is positive;
    `random`: those of random CAVs (random set against random set). `magnitude` (runs,): mean of the derivative over
    |g| |v|, which does not saturate. `p_t`, `p_permutation`: two-sided, against
    `random`; `p`: the larger one, corrected for the number of cells. `state`: important, anti-important or not
    significant. `p_sets`: the concept's mean magnitude among those of the random sets taken as concepts (sign
    scores end at 0 and 1); nan where it was not requested. `accuracy`, `stability`: of the probes. `warning`:
    why not to trust the cell, and how many examples were left out, or empty.

    >>> import torch
    >>> from robustxai.concepts import TCAV
    >>> def images(n, top):
    ...     x = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(n))
    ...     x[:, :, :4] *= top
    ...     return x
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2, bias=False)).eval()
    >>> _ = torch.nn.init.zeros_(net[1].weight)
    >>> net[1].weight.data[1, :32] = 1.0  # class 1 is a bright upper half
    >>> random = [images(n, 0.5) for n in (11, 12, 13, 14)]
    >>> cell = TCAV(net, ["0"]).score(images(6, 0.5), 1, {"dark": images(10, 0.0)}, random).cells[0]
    >>> cell.mean, cell.used, cell.warning[:36]
    (0.0, 10, 'only 10 images of each random set, w')
    """

    concept: str
    layer: str
    target: int
    scores: Float[Tensor, " runs"]
    random: Float[Tensor, " baseline"]
    magnitude: Float[Tensor, " runs"]
    p_t: float
    p_permutation: float
    p_sets: float
    p: float
    state: str
    accuracy: float
    stability: float
    warning: str
    cavs: FittedCAVs

    @cached_property
    def interval(self) -> Interval:
        """Bootstrap interval of the mean score over runs; runs share the exemplars, so it is optimistic."""
        return bootstrap_interval(self.scores)

    @property
    def mean(self) -> float:
        """Mean sign score over runs, the TCAV score."""
        return float(self.scores.mean())

    @property
    def used(self) -> int:
        """How many examples of each set the probes had; fewer than were given where sets have several sizes."""
        return self.cavs.used

    @property
    def raw_p(self) -> float:
        """The larger of the two p values before correction; the permutation's where the t test is undefined."""
        return self.p_permutation if self.p_t != self.p_t else max(self.p_t, self.p_permutation)

    @property
    def by_sets(self) -> Cell:
        """The same cell with the verdict of the test over sets, at 5 % and without correction."""
        return replace(self, p=self.p_sets, state=state(self.mean, self.p_sets))

    @property
    def bare(self) -> Cell:
        """The same cell without its CAVs, which are nearly all of its memory."""
        return replace(self, cavs=self.cavs.none)

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        line = f"{self.concept} at {self.layer}: {self.mean:.2f} [{low:.2f}, {high:.2f}], p {self.p:.2g}, {self.state}"
        return f"{line} (warning: {self.warning})" if self.warning else line


@dataclass(frozen=True)
class TCAVResult:
    """All cells of a call; `result["striped", "b3"]` is one. `warnings`: those of the cells, with their names.

    >>> TCAVResult(()).cells, TCAVResult(()).warnings
    ((), ())
    """

    cells: tuple[Cell, ...]

    def __getitem__(self, which: tuple[str, str]) -> Cell:
        for cell in self.cells:
            if (cell.concept, cell.layer) == which:
                return cell
        raise KeyError(which)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(f"{c.concept} at {c.layer}: {c.warning}" for c in self.cells if c.warning)

    def __str__(self) -> str:
        return "\n".join(map(str, self.cells))
