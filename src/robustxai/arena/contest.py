"""One row of the arena at work: its readings of images, wherever these were crafted, and the cells they make.

`Entry` is what stays the same over budgets, `Contest` one row at one budget. The order of rows, and what is handed from
one to another, is `evaluate`'s business.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustxai.arena.cells import Cell, Evidence, nothing, state_of
from robustxai.arena.counting import Passes, counted
from robustxai.arena.measures import constant_maps, overlap, overlap_grid, top_count
from robustxai.arena.readouts import READOUTS, Pooled, networks_of
from robustxai.arena.registry import ExplainerRow
from robustxai.arena.suite import NOISE_DRAWS, Crafted, RealisedNoise, Threat, craft, searched
from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import read
from robustxai.metrics.perturbation import per_sample
from robustxai.shapes import Images, Maps, PerSample

RANDOM_DRAWS = 8
MASKED = 0.05
"""By how much less the twin's derivatives must leave than the map's own, for these to count as masked."""
OTHER_READOUT = 0.1
"""By how much less images crafted for a read-out must leave than those for the other, for it to be a flag."""


@dataclass
class Entry:
    """A row on a network: the explainer, the same without its defence (None where it has none), its clean map.

    grid: of the coarse read-out. random: two calls differ. proof: why its map cannot move. flags: known beforehand.
    """

    row: ExplainerRow
    explain: Explainer
    plain: Explainer | None
    clean: Maps
    grid: int
    random: bool = False
    proof: str | None = None
    flags: tuple[str, ...] = ()

    def seen_as(self, readout: str) -> tuple[Explainer, int]:
        """The explainer that an attack on this read-out differentiates, and how many values are its top."""
        if readout == "grid":
            return Pooled(self.explain, self.grid), top_count(self.grid**2, READOUTS["grid"])
        return self.explain, top_count(self.clean[0].numel(), READOUTS["own"])

    def overlaps(self, x: Images, target: Tensor, batch_size: int) -> tuple[dict[str, PerSample], Tensor]:
        """P of images in each read-out, and which of their maps are dead or constant. A random row draws 8 maps.

        A map that cannot move and is constant has no top to lose: 1 (P9).
        """
        draws, dead = [], torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(RANDOM_DRAWS if self.random else 1):
            maps = maps_of(self.explain, x, target, batch_size)
            draws.append(
                torch.stack((overlap(self.clean, maps), overlap_grid(self.clean, maps, self.grid)))
            )
            dead |= constant_maps(maps)
        p = torch.stack(draws).mean(0)
        if self.proof is not None:
            p = torch.where(constant_maps(self.clean), 1.0, p)
        return dict(zip(("own", "grid"), p, strict=True)), dead


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

    entry: Entry
    threat: Threat
    readings: list[Reading] = field(default_factory=list)
    cost: dict[str, Passes] = field(default_factory=dict)
    reading_cost: Passes = field(default_factory=Passes)
    noises: list[tuple[Tensor, dict[str, PerSample]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the row."""
        return self.entry.row.name

    def networks(self) -> list:
        """All networks that the row's passes go through."""
        plain = [] if self.entry.plain is None else networks_of(self.entry.plain)
        twin = [] if self.threat.twin is None else [self.threat.twin]
        return [self.threat.model, *twin, *networks_of(self.entry.explain), *plain]

    def attack(self, readout: str) -> None:
        """Craft images against the row in a read-out, and read them."""
        explain, k = self.entry.seen_as(readout)
        with counted(*self.networks()) as passes:
            found = craft(
                self.threat, explain, k, lambda x: self.overlaps(x)[0][readout],
                cost=self.entry.row.cost, random=self.entry.random,
            )  # fmt: skip
        self.cost[readout] = passes
        for one in found:
            self.read(one, self.name, readout)

    def attack_undefended(self) -> None:
        """Craft images against the row without its defence, and read them: what an attacker does who ignores it."""
        assert self.entry.plain is not None
        k = self.entry.seen_as("own")[1]
        for one in craft(self.threat, self.entry.plain, k, lambda x: self.overlaps(x)[0]["own"], cost=torch.inf):
            self.read(one, "undefended", None)

    def begin_again(self, readout: str) -> None:
        """The row's own `topk` from the images of others that move its map farthest, where these do better than its own."""
        own, elsewhere = self._least(readout, own=True), self._least(readout, own=False)
        if not _mean(elsewhere) < _mean(own) - MASKED or self.entry.proof is not None:
            return
        explain, k = self.entry.seen_as(readout)
        first = self.worst_images(readout, own=False).x
        guide = None
        if self.threat.twin is not None and explain.model is self.threat.model:
            twin = explain.on(self.threat.twin)
            guide = lambda _: twin  # noqa: E731
        if not explain.differentiable:
            guide = explain.guide
        with counted(*self.networks()) as passes:
            found = searched(self.threat, explain, k, "topk-restart", "topk", guide, first)
        self.cost[readout] = self.cost.get(readout, Passes()) + passes
        self.read(found, self.name, readout)

    def read(self, found: Crafted, source: str, readout: str | None) -> None:
        """Read images that were crafted on a row."""
        with counted(*self.networks()) as passes:
            p, dead = self.overlaps(found.x)
        self.reading_cost = self.reading_cost + passes
        kept = {name: values.masked_fill(~found.kept, torch.nan) for name, values in p.items()}
        self.readings.append(Reading(found, source, readout, kept, dead & found.kept))

    def overlaps(self, x: Images) -> tuple[dict[str, PerSample], Tensor]:
        """P of images in each read-out, and which maps are dead."""
        return self.entry.overlaps(x, self.threat.target, self.threat.batch_size)

    def worst_images(self, readout: str, *, own: bool | None = None) -> Crafted:
        """The per-image worst images of this row in a read-out, of its own attacks, of others, or of both."""
        some = self._some(own)
        if not some:
            t = self.threat
            fine = torch.ones_like(t.target, dtype=torch.bool)
            return Crafted("clean", t.x, ~fine, fine)
        which = torch.stack([r.p[readout].nan_to_num(torch.inf) for r in some]).argmin(0)
        pick = lambda values: torch.stack(values)[which, torch.arange(len(which), device=which.device)]  # noqa: E731
        x = some[0].crafted.x.clone()
        for i, one in enumerate(some):
            x = torch.where(per_sample(which == i, x), one.crafted.x, x)
        fields = ([r.crafted.followed for r in some], [r.crafted.kept for r in some])
        return Crafted("worst", x, *map(pick, fields))

    def label(self, reading: Reading, readout: str) -> str:
        """What the images of a reading are called in the cell of a read-out."""
        if reading.source != self.name:
            return "undefended" if reading.source == "undefended" else f"from {reading.source}"
        if reading.readout in (None, readout):
            return reading.crafted.name
        return f"{reading.readout}:{reading.crafted.name}"

    def cell(self, readout: str, network: str, defence: str, generator: torch.Generator) -> Cell:
        """The cell of a read-out, of all readings so far; `generator` draws the noise."""
        worst = self.worst_images(readout)
        p, names = self._worst(readout)
        by_attack: dict[str, Tensor] = {}
        for r in self.readings:
            label = self.label(r, readout)
            by_attack[label] = _least([by_attack[label], r.p[readout]] if label in by_attack else [r.p[readout]])
        own = [r for r in self.readings if r.source == self.name and r.readout == readout]
        followed_by = {r.crafted.name: r.crafted.followed for r in own}
        followed = torch.stack(list(followed_by.values())).any(0) if own else torch.zeros_like(worst.kept)
        with counted(*self.networks()) as passes:
            grid, noise = self.overlaps(worst.x)[0]["grid"], self.noise(worst, readout, generator)
        transfer, mine = self._least(readout, own=False), self._least(readout, own=True)
        restarted = by_attack.get("topk-restart", nothing(len(p)))
        found = Evidence(
            own=mine, transfer=transfer, noise=noise, restarted=restarted, followed=followed, proof=self.entry.proof
        )
        state, reason = state_of(found)
        t, passes = self.threat, passes + self.cost.get(readout, Passes()) + self.reading_cost
        dead = torch.stack([r.dead for r in self.readings]).any(0) if self.readings else ~worst.kept
        return Cell(
            row=self.name, family=self.entry.row.family, network=network, defence=defence, eps=t.eps, norm=t.norm,
            readout=readout, state=state, reason=reason, worst=p, noise=noise, transfer=transfer, by_attack=by_attack,
            by_grid=grid.masked_fill(~worst.kept, torch.nan), worst_attack=names, followed=followed, kept=worst.kept,
            dead=int(dead.sum()), dropped=int((~worst.kept).sum()),
            flags=(*self.entry.flags, *self._flags(by_attack, followed_by, readout)),
            forwards=passes.forwards, backwards=passes.backwards, followed_by=followed_by,
        )  # fmt: skip

    def noise(self, worst: Crafted, readout: str, generator: torch.Generator) -> PerSample:
        """P under noise of the size of these changes that keeps the class, mean of 5 draws."""
        t = self.threat
        control = RealisedNoise(worst.x, t.x, t.eps, t.norm)
        for size, known in self.noises:
            if torch.equal(size, control.size):
                return known[readout]
        draws = []
        for _ in range(NOISE_DRAWS):
            found = control.perturb(t.model, t.x, t.target, generator=generator)
            still = ~found.moved | ~found.kept
            draws.append({k: v.masked_fill(still, torch.nan) for k, v in self.overlaps(found.x)[0].items()})
        mean = {k: torch.stack([one[k] for one in draws]).nanmean(0) for k in READOUTS}
        self.noises.append((control.size, mean))
        return mean[readout]

    def _some(self, own: bool | None) -> list[Reading]:
        return [r for r in self.readings if own is None or (r.source == self.name) == own]

    def _least(self, readout: str, *, own: bool) -> PerSample:
        some = [r.p[readout] for r in self._some(own)]
        return _least(some) if some else nothing(len(self.threat.x)).to(self.threat.x)

    def _worst(self, readout: str) -> tuple[PerSample, list[str]]:
        if not self.readings:
            return nothing(len(self.threat.x)).to(self.threat.x), [""] * len(self.threat.x)
        p = torch.stack([r.p[readout] for r in self.readings])
        which = p.nan_to_num(torch.inf).argmin(0).tolist()
        return _least(list(p)), [self.label(self.readings[i], readout) for i in which]

    def _flags(self, by_attack: dict[str, Tensor], followed: dict[str, Tensor], readout: str) -> list[str]:
        flags = []
        direct, twin = by_attack.get("topk"), by_attack.get("topk-twin")
        if direct is not None and twin is not None and followed["topk-twin"].double().mean() >= 0.9:
            if followed["topk"].double().mean() < 0.9:
                flags.append("gradient masked")
            elif _mean(twin) < _mean(direct) - MASKED:
                flags.append("gradient masked in part")
        other = [v for k, v in by_attack.items() if k.startswith(("own:topk", "grid:topk"))]
        mine = [v for k, v in by_attack.items() if k.startswith("topk")]
        if other and mine and _mean(_least(mine)) < _mean(_least(other)) - OTHER_READOUT:
            flags.append("differs by read-out")
        return flags


def maps_of(explain: Explainer, x: Images, target: Tensor, batch_size: int) -> Maps:
    """Maps (n, 1, H, W) of images, without a graph."""
    parts = zip(x.split(batch_size), target.split(batch_size), strict=True)
    with torch.no_grad():
        return torch.cat([read(explain)(*part).detach() for part in parts])


def _least(values: list[Tensor]) -> Tensor:
    """The least of each image, NaN where all are."""
    stacked = torch.stack(values)
    lowest = stacked.nan_to_num(torch.inf).amin(0)
    return lowest.masked_fill(stacked.isnan().all(0), torch.nan)


def _mean(values: Tensor) -> float:
    return float(values.nanmean())
