"""A cell of the arena: one explainer on one network at one budget and read-out. A state first, a number second.

`judged_state` is the rule; the loop that fills cells is in `evaluate`. Knows tensors and names only.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.arena.measures import LEAST_IMAGES
from robustxai.metrics import bootstrap_interval
from robustxai.records import Row, triple
from robustxai.shapes import PerSample

CELL_STATES = ("attacked", "not attacked", "weak", "proof", "n/a")
"""attacked: a number. not attacked: nothing was there to follow; no number, no rank. weak: "at most", no rank. proof:
no change of the input can move the map. n/a: something that the row needs is not there."""
FOLLOWED, MARGIN, FARTHER = 0.9, 0.02, 0.05
"""The share of images on which a gradient must have been followed, how far below noise an attack must be, and by how
much others may do better."""


@dataclass(frozen=True, kw_only=True)
class ArenaCell:
    """One explainer, network, budget and read-out over n images.

    readout: "own" is the map as it is, "grid" its means over the coarsest grid of the table. reason: one sentence for
    every state but attacked. worst: per-image worst overlap P over the suite, NaN where the class was not kept or P is
    undefined. noise: P under noise of the attack's realised size, mean of 5 draws. transfer: worst P over images
    crafted on other rows or by a black box, NaN if there are none. by_attack: name -> P. by_grid: P on the grid of the
    worst image. worst_attack: which attack found it. followed: some attack on this row followed a gradient. kept: the
    class at the worst image is the clean one. dead: images with a dead or constant attacked map. dropped: images whose
    class was not kept. forwards, backwards: images that went through the network, twins included, and gradients
    that came back. followed_by: attack -> whether it followed a gradient. depends (n,): how
    far the clean map depends on the network's weights, None where there is no map.
    """

    row: str
    family: str
    network: str
    defence: str = "none"
    eps: float | int
    norm: str
    readout: str
    state: str
    reason: str
    worst: PerSample
    noise: PerSample
    transfer: PerSample
    by_attack: dict[str, Tensor]
    by_grid: PerSample
    worst_attack: list[str]
    followed: Bool[Tensor, " n"]
    kept: Bool[Tensor, " n"]
    dead: int
    dropped: int
    flags: tuple[str, ...] = ()
    forwards: int = 0
    backwards: int = 0
    followed_by: dict[str, Tensor] = field(default_factory=dict)
    depends: PerSample | None = None

    @property
    def n(self) -> int:
        """Images with a number."""
        return int(self.worst.isfinite().sum())

    @property
    def number(self) -> float | None:
        """The mean worst P; None where a state or fewer than `LEAST_IMAGES` forbid one."""
        if self.state not in ("attacked", "weak", "proof") or self.n < LEAST_IMAGES:
            return None
        return float(self.worst.nanmean())

    def line(self) -> Row:
        """The cell as a line of a table: P with its bootstrap interval over images only where it has a number."""
        numbers = {
            "P": self.worst,
            "noise": self.noise,
            "transfer": self.transfer,
            "P on the grid": self.by_grid,
        }
        cells: Row = {k: triple(bootstrap_interval(v)) for k, v in numbers.items() if v.isfinite().any()}
        if self.number is None:
            cells.pop("P", None)
        return {
            "row": self.row, "family": self.family, "network": self.network, "defence": self.defence,
            "eps": self.eps, "norm": self.norm, "read-out": self.readout, "state": self.state, "n": self.n,
            **cells, "flags": ", ".join(self.flags), "reason": self.reason, "forwards": self.forwards,
        }  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: `cells`; clean maps (n, 1, H, W) of each row; for each row and eps the per-image worst
    inputs (n, C, H, W); the clean inputs; explained classes (n,); the settings: threat model, scalar, k, T, seed and
    suite.
    """

    cells: list[ArenaCell]
    clean: dict[str, Tensor]
    adversarials: dict[tuple[str, float], Tensor]
    x: Float[Tensor, "n channel height width"]
    target: Tensor
    settings: dict[str, object]

    def table(self) -> list[Row]:
        """One line a cell."""
        return [cell.line() for cell in self.cells]


def nothing(n: int) -> PerSample:
    """NaN for each of n images."""
    return torch.full((n,), torch.nan, device="cpu")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the state of a cell is judged by: P (n,) under the row's own attacks, under images crafted elsewhere, under
    noise of the same size, and with the own attack begun again where the others' images were; NaN where there is none.

    followed (n,): some own attack followed a gradient. proof: why the map cannot move, or None.
    """

    own: PerSample
    transfer: PerSample
    noise: PerSample
    restarted: PerSample
    followed: Bool[Tensor, " n"]
    proof: str | None = None


def judged_state(found: Evidence) -> tuple[str, str]:
    """(state, reason) of a cell with numbers.

    proof: there is one, and no attack followed a gradient. Attacked: the row's own attacks followed a gradient on
    `FOLLOWED` of the images and leave at least `MARGIN` less than noise of their size; and images crafted elsewhere
    leave no more than `FARTHER` less than they do, or the own attack, begun again there, gets as low. Everything else
    is weak where something moved the map farther than noise, and not attacked where nothing did. Noise is compared with
    the own attacks alone, as the least of many numbers is below the mean of five whatever was done.

    >>> p = torch.full((8,), 0.5)
    >>> judged_state(Evidence(own=p, transfer=p, noise=p + 0.3, restarted=p * torch.nan, followed=p > 0))
    ('attacked', '')
    >>> judged_state(Evidence(own=p + 0.5, transfer=p + 0.5, noise=p + 0.5, restarted=p * torch.nan, followed=p < 0))[0]
    'not attacked'
    """
    if found.proof is not None and not found.followed.any():
        return "proof", found.proof
    own, noise, transfer = (_mean(v) for v in (found.own, found.noise, found.transfer))
    if float(found.followed.cpu().double().mean()) < FOLLOWED:
        if transfer < noise - FARTHER:
            return (
                "weak",
                "No attack on this row had a gradient to follow, yet images crafted elsewhere move its map.",
            )
        return (
            "not attacked",
            "No attack had a gradient to follow, and nothing crafted elsewhere moves the map.",
        )
    if transfer < own - FARTHER and not _mean(found.restarted) <= transfer:
        return "weak", "Images crafted elsewhere move this map farther than the attack on it does."
    if not own <= noise - MARGIN:
        return "weak", "The attack moves the map no farther than noise of its size."
    return "attacked", ""


def masking(by_attack: dict[str, Tensor], followed: dict[str, Tensor]) -> list[str]:
    """Whether the twin finds what the map's own derivative hides: P and `followed` (n,) by the name of the attack.

    >>> p, yes = torch.full((8,), 0.5), torch.ones(8, dtype=torch.bool)
    >>> masking({"topk": p + 0.5, "topk-twin": p}, {"topk": ~yes, "topk-twin": yes})
    ['gradient masked']
    """
    if not {"topk", "topk-twin"} <= set(followed) or followed["topk-twin"].cpu().double().mean() < FOLLOWED:
        return []
    if followed["topk"].cpu().double().mean() < FOLLOWED:
        return ["gradient masked"]
    hidden = _mean(by_attack["topk-twin"]) < _mean(by_attack["topk"]) - FARTHER
    return ["gradient masked in part"] if hidden else []


def _mean(values: PerSample) -> float:
    return float(values.nanmean())
