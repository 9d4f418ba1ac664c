"""Attacks made on one network and judged on another, beside changes of the same size that are no attack (spec 4.7).

A transfer counts where the verdict flips *and* the score is beyond all controls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from robustxai.concepts.attacks import MultiLayerPushing, Perturbed
from robustxai.concepts.study.cases import Case, exceeds_controls
from robustxai.concepts.study.outcomes import Flip
from robustxai.concepts.study.study import Member, Study
from robustxai.concepts.tcav_result import Cell

LEVELS = ("same network", "another layer", "another seed", "another architecture", "several networks")


@dataclass(frozen=True, kw_only=True)
class Transferred(Flip):
    """What an attack on the surrogate did on the victim; the cells also hold the controls."""

    level: str
    surrogate: str
    victim: str

    @property
    def real(self) -> bool:
        """The verdict flipped, and the score is beyond every control by more than a standard deviation."""
        return self.flipped and exceeds_controls(self.cells, self.case.sign)

    def control(self, name: str) -> float:
        """The mean score of a control by its name in `CONTROLS`; of sign noise, the mean over its sets."""
        means = [c.mean for key, c in self.cells.items() if key.startswith(name)]
        return sum(means) / len(means)

    @property
    def strongest_control(self) -> float:
        """The mean score of the control that comes closest to the attack's aim."""
        means = [c.mean for name, c in self.cells.items() if name not in ("clean", "attacked")]
        return max(means) if self.case.sign > 0 else min(means)


@dataclass(frozen=True)
class Route:
    """From the attacked network, or several, to the one that judges, and at which layer."""

    level: str
    surrogate: Member
    victim: Member
    layer: str


def routes(study: Study, *, other_layer: str) -> Iterator[Route]:
    """Every route with one surrogate."""
    for kind in study.networks:
        own = study.seeds_of(kind)
        after = dict(zip(own, (*own[1:], own[0]), strict=True))
        for seed in own:
            here = (kind, seed)
            yield Route(LEVELS[0], here, here, study.layer)
            yield Route(LEVELS[1], here, here, other_layer)
            if after[seed] != seed:
                yield Route(LEVELS[2], here, (kind, after[seed]), study.layer)
            for other in study.networks:
                if other != kind:
                    yield Route(LEVELS[3], here, (other, study.seed_like(other, seed)), study.layer)


def transfer(
    study: Study, case: Case, *, attack: str = "push", other_layer: str = "b3", levels: Sequence[str] = LEVELS
) -> list[Transferred]:
    """The case over all routes of these levels; "several networks" is the `ensemble` of the other seeds, for one
    victim an architecture.

    Attacks are made in parallel, then the victims judge in parallel.
    """
    found = [r for r in routes(study, other_layer=other_layer) if r.level in levels]
    sources = list(dict.fromkeys(r.surrogate for r in found))
    moved = study.on(lambda kind, seed: study.moved(kind, seed, case, attack), sources)
    made = dict(zip(sources, moved, strict=True))
    jobs = [(r, made[r.surrogate]) for r in found]
    if LEVELS[4] in levels:
        seed = study.seeds[0]
        pushed = ensemble(study, case, without=seed)
        jobs += [
            (Route(LEVELS[4], ("all others", seed), (kind, seed), study.layer), pushed)
            for kind in study.networks
        ]

    def judged(kind: str, seed: int) -> dict[Route, dict[str, Cell]]:
        return {
            r: study.with_controls(p, kind, seed, case, layer=r.layer)
            for r, p in jobs
            if r.victim == (kind, seed)
        }

    victims = list(dict.fromkeys(r.victim for r, _ in jobs))
    cells = {r: c for part in study.on(judged, victims) for r, c in part.items()}
    return [
        Transferred(
            case=case, cells=cells[r], level=r.level, surrogate="{} {}".format(*r.surrogate),
            victim="{} {}".format(*r.victim),
        )
        for r, _ in jobs
    ]  # fmt: skip


def ensemble(study: Study, case: Case, *, without: int) -> Perturbed:
    """Token pushing on all networks, of every architecture, but those of one seed: the victims'."""
    models = [m for _, seed, m in study.each() if seed != without]
    if not models:
        raise ValueError("seeds must be two or more, as the victim's seed is no surrogate, got one")
    tokens, goal = study.given.concepts[case.concept], study.given.goal[case.towards]
    return MultiLayerPushing([study.layer]).perturb(models, tokens, goal, eps=study.eps)
