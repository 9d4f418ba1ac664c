"""A row on a network, before any budget: its explainer, defended or not, its clean map, and what is known of it.

Reads images as overlaps with the clean map. Knows nothing about attacks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai.arena.catalogue import DEFENCES
from robustxai.arena.informative import dependence
from robustxai.arena.measures import constant_maps, overlap, overlap_grid, top_count
from robustxai.arena.readouts import READOUTS, Pooled
from robustxai.arena.registry import ExplainerRow, Parts
from robustxai.arena.suite import Threat
from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import read
from robustxai.shapes import Images, Maps, PerSample

RANDOM_DRAWS = 8
IGNORES = 0.1
"""Dep below which a row ignores the network."""


@dataclass
class EnteredRow:
    """A row on a network: the explainer, the same without its defence (None where it has none), its clean map.

    grid: of the coarse read-out. random: two calls differ. proof: why its map cannot move. flags: known beforehand.
    depends (n,): how far the clean map depends on the network. gap: the layer's mean goes straight to the logits.
    """

    row: ExplainerRow
    explain: Explainer
    plain: Explainer | None
    clean: Maps
    grid: int
    random: bool = False
    proof: str | None = None
    flags: tuple[str, ...] = ()
    depends: PerSample | None = None
    gap: bool = False

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
            draws.append(torch.stack((overlap(self.clean, maps), overlap_grid(self.clean, maps, self.grid))))
            dead |= constant_maps(maps)
        p = torch.stack(draws).mean(0)
        if self.proof is not None:
            p = torch.where(constant_maps(self.clean), 1.0, p)
        return dict(zip(("own", "grid"), p, strict=True)), dead


def enter_row(
    row: ExplainerRow, parts: Parts, threat: Threat, defence: str, *, grid: int, seed: int
) -> EnteredRow:
    """A row on the attacked network: defended where there is a defence, its clean map made, called twice on two images,
    and compared with those of networks with other weights (`seed` draws them).
    """
    explain, plain = row.explainer(threat.model, parts), None
    if defence != "none":
        plain, explain = explain, DEFENCES[defence].defend(explain, parts)
    x, t, size = threat.x, threat.target, threat.batch_size
    clean = maps_of(explain, x, t, size)
    one, other = (maps_of(explain, x[:2], t[:2], size) for _ in range(2))
    random = bool((one - other).abs().max() > 1e-3 * one.abs().max())
    depends = dependence(explain, x, t, clean, generator=torch.Generator().manual_seed(seed))
    said = {"random": random, "ignores the network": bool(depends.nanmean() < IGNORES)}
    return EnteredRow(
        row=row, explain=explain, plain=plain, clean=clean, grid=grid, random=random,
        proof=None if row.proof is None else row.proof(explain), depends=depends, gap=parts.gap,
        flags=tuple(flag for flag, holds in said.items() if holds),
    )  # fmt: skip


def maps_of(explain: Explainer, x: Images, target: Tensor, batch_size: int) -> Maps:
    """Maps (n, 1, H, W) of images, without a graph."""
    parts = zip(x.split(batch_size), target.split(batch_size), strict=True)
    with torch.no_grad():
        return torch.cat([read(explain)(*part).detach() for part in parts])
