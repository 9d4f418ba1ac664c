"""One row of the arena at work: its readings of images, wherever these were crafted, and the cells they make.

What stays the same over budgets is an `EnteredRow`. The order of rows, and what is handed from one to another, is
`evaluate`'s business.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robustxai.arena.cells import FARTHER, ArenaCell, Evidence, judged_state, masking, nothing
from robustxai.arena.counting import Passes, count_passes
from robustxai.arena.entries import EnteredRow
from robustxai.arena.readouts import READOUTS, networks_of
from robustxai.arena.realised_noise import NoiseDraws
from robustxai.arena.suite import Crafted, Threat, craft, derivatives, searched, searched_by_squares
from robustxai.metrics.perturbation import per_sample
from robustxai.shapes import Images, PerSample


@dataclass
class Reading:
    """Images as one row reads them: P by read-out, NaN where the class was not kept, and which maps are dead.

    source: on which row they were crafted. readout: for which, None where the row had no say.
    """

    crafted: Crafted
    source: str
    readout: str | None
    p: dict[str, PerSample]
    dead: Tensor


@dataclass
class Contest:
    """One row at one budget: its readings, and what its own attacks cost in each read-out."""

    entry: EnteredRow
    threat: Threat
    draws: NoiseDraws
    readings: list[Reading] = field(default_factory=list)
    cost: dict[str, Passes] = field(default_factory=dict)
    reading_cost: Passes = field(default_factory=Passes)
    known: list[tuple[Images, tuple[dict[str, PerSample], Tensor]]] = field(default_factory=list)
    noises: list[tuple[list[Crafted], dict[str, PerSample]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        family, suite = self.entry.row.family, self.threat.suite
        if family == "trivial" or (family == "cam" and self.entry.gap and not suite.cam_twin):
            self.threat = replace(self.threat, twin=None)

    @property
    def name(self) -> str:
        """The name of the row."""
        return self.entry.row.name

    def networks(self) -> list:
        """All networks that the row's passes go through."""
        plain = [] if self.entry.plain is None else networks_of(self.entry.plain)
        twin = [] if self.threat.twin is None else [self.threat.twin]
        return [self.threat.model, *twin, *networks_of(self.entry.explain), *plain]

    def _labelled(self, readout: str) -> Threat:
        """The threat against this row in a read-out, for the memory of searches."""
        return replace(self.threat, label=f"{self.name}|{readout}")

    def attack(self, readout: str) -> None:
        """Craft images against the row in a read-out, and read them."""
        explain, k = self.entry.seen_as(readout)
        with count_passes(*self.networks()) as passes:
            found = craft(
                self._labelled(readout), explain, k, lambda x: self.overlaps(x)[0][readout],
                cost=self.entry.row.cost, random=self.entry.random,
            )  # fmt: skip
            without = not (explain.differentiable or self.entry.random or self.entry.proof)
            squares = [searched_by_squares(self._labelled(readout), explain, k)] if without else []
        self.cost[readout] = passes
        for one in found:
            self.read(one, self.name, readout)
        for one in squares:
            self.read(one, "black box", readout)

    def attack_undefended(self) -> None:
        """Craft images against the row without its defence, and read them: what an attacker does who ignores it."""
        assert self.entry.plain is not None
        k = self.entry.seen_as("own")[1]
        undefended = craft(
            self._labelled("undefended"),
            self.entry.plain,
            k,
            lambda x: self.overlaps(x)[0]["own"],
            cost=torch.inf,
        )
        for one in undefended:
            self.read(one, "undefended", None)

    def begin_again(self, readout: str) -> None:
        """The row's own `topk` from the images of others that move its map farthest, where these beat its own."""
        own, elsewhere = self._least(readout, own=True), self._least(readout, own=False)
        if not _mean(elsewhere) < _mean(own) - FARTHER or self.entry.proof is not None:
            return
        explain, k = self.entry.seen_as(readout)
        first = self.worst_images(readout, own=False).x
        ways = derivatives(self.threat, explain, self.entry.random)
        mine = {r.crafted.name: r for r in self.readings if r.source == self.name and r.readout == readout}
        best = min(ways, key=lambda name: _mean(mine[name].p[readout]) if name in mine else torch.inf)
        with count_passes(*self.networks()) as passes:
            found = searched(self._labelled(readout), explain, k, "topk-restart", "topk", ways[best], first)
        self.cost[readout] = self.cost.get(readout, Passes()) + passes
        self.read(found, self.name, readout)

    def read(self, found: Crafted, source: str, readout: str | None) -> None:
        """Read images that were crafted on a row."""
        with count_passes(*self.networks()) as passes:
            p, dead = self.overlaps(found.x)
        self.reading_cost = self.reading_cost + passes
        kept = {name: values.masked_fill(~found.kept, torch.nan) for name, values in p.items()}
        self.readings.append(Reading(found, source, readout, kept, dead & found.kept))

    def overlaps(self, x: Images) -> tuple[dict[str, PerSample], Tensor]:
        """P of images in each read-out, and which maps are dead; the same images are read once."""
        for images, found in self.known:
            if images is x:
                return found
        found = self.entry.overlaps(x, self.threat.target, self.threat.batch_size)
        self.known = [*self.known[-3:], (x, found)]
        return found

    def worst_images(self, readout: str, *, own: bool | None = None) -> Crafted:
        """The per-image worst images of this row in a read-out, of its own attacks, of others, or of both (None)."""
        some = self._some(own)
        if not some:
            fine = torch.ones_like(self.threat.target, dtype=torch.bool)
            return Crafted("clean", self.threat.x, ~fine, fine)
        which, x = self._which(some, readout), some[0].crafted.x
        for i, one in enumerate(some):
            x = torch.where(per_sample(which == i, x), one.crafted.x, x)
        followed, kept = _picked([r.crafted.followed for r in some], which), [r.crafted.kept for r in some]
        return Crafted("worst", x, followed, _picked(kept, which))

    def _which(self, some: list[Reading], readout: str) -> Tensor:
        """Which readings are the worst of each image. Of a random row, the same for all images, the least on average:
        the least of several draws is low whatever was done.
        """
        p = torch.stack([r.p[readout].nan_to_num(torch.inf) for r in some])
        if self.entry.random:
            return p.mean(1, keepdim=True).expand_as(p).argmin(0)
        return p.argmin(0)

    def label(self, reading: Reading, readout: str) -> str:
        """What the images of a reading are called in the cell of a read-out."""
        if reading.source != self.name:
            return (
                reading.source if reading.source in ("undefended", "black box") else f"from {reading.source}"
            )
        if reading.readout in (None, readout):
            return reading.crafted.name
        return f"{reading.readout}:{reading.crafted.name}"

    def cell(self, readout: str, network: str, defence: str) -> ArenaCell:
        """The cell of a read-out, of all readings so far."""
        worst, some = self.worst_images(readout), self.readings
        which = self._which(some, readout)
        p, grid = (_picked([r.p[name] for r in some], which) for name in (readout, "grid"))
        names = [self.label(some[i], readout) for i in which.tolist()]
        by_attack: dict[str, Tensor] = {}
        for r in self.readings:
            label = self.label(r, readout)
            by_attack[label] = _least(
                [by_attack[label], r.p[readout]] if label in by_attack else [r.p[readout]]
            )
        own = [r for r in self.readings if r.source == self.name and r.readout == readout]
        followed_by = {r.crafted.name: r.crafted.followed for r in own}
        followed = torch.stack(list(followed_by.values())).any(0) if own else torch.zeros_like(worst.kept)
        with count_passes(*self.networks()) as passes:
            noise = self.noise(worst, readout)
        self.reading_cost = self.reading_cost + passes
        transfer, mine = self._least(readout, own=False), self._least(readout, own=True)
        restarted = by_attack.get("topk-restart", nothing(len(p)))
        found = Evidence(
            own=mine,
            transfer=transfer,
            noise=noise,
            restarted=restarted,
            followed=followed,
            proof=self.entry.proof,
        )
        state, reason = judged_state(found)
        t, passes = self.threat, self.cost.get(readout, Passes()) + self.reading_cost
        dead = torch.stack([r.dead for r in some]).any(0)
        return ArenaCell(
            row=self.name, family=self.entry.row.family, network=network, defence=defence, eps=t.eps, norm=t.norm,
            readout=readout, state=state, reason=reason, worst=p, noise=noise, transfer=transfer, by_attack=by_attack,
            by_grid=grid, worst_attack=names, followed=followed, kept=worst.kept,
            dead=int(dead.sum()), dropped=int((~worst.kept).sum()),
            flags=(*self.entry.flags, *masking(by_attack, followed_by)),
            forwards=passes.forwards, backwards=passes.backwards, followed_by=followed_by,
            depends=self.entry.depends,
        )  # fmt: skip

    def noise(self, worst: Crafted, readout: str) -> PerSample:
        """P under noise of the size of these changes that keeps the class, mean of the draws."""
        drawn = self.draws.images(worst.x)
        for known, p in self.noises:
            if known is drawn:
                return p[readout]
        reads = [(self.overlaps(one.x)[0], one.kept) for one in drawn]
        p = {
            k: torch.stack([p[k].masked_fill(~kept, torch.nan) for p, kept in reads]).nanmean(0)
            for k in READOUTS
        }
        self.noises.append((drawn, p))
        return p[readout]

    def _some(self, own: bool | None) -> list[Reading]:
        return [r for r in self.readings if own is None or (r.source == self.name) == own]

    def _least(self, readout: str, *, own: bool) -> PerSample:
        some = self._some(own)
        if not some:
            return nothing(len(self.threat.x)).to(self.threat.x)
        return _picked([r.p[readout] for r in some], self._which(some, readout))


def _picked(values: list[Tensor], which: Tensor) -> Tensor:
    """Of several values of each image (n,) the one that `which` says."""
    return torch.stack(values)[which, torch.arange(len(which), device=which.device)]


def _least(values: list[Tensor]) -> Tensor:
    """The least of each image, NaN where all are."""
    stacked = torch.stack(values)
    lowest = stacked.nan_to_num(torch.inf).amin(0)
    return lowest.masked_fill(stacked.isnan().all(0), torch.nan)


def _mean(values: Tensor) -> float:
    return float(values.nanmean())
