"""Attacks made on one network and judged on another, beside changes of the same size that are no attack (spec 4.7).

A transfer counts where the verdict flips *and* the score is beyond all controls. Knows nothing about tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from robustxai.concepts.attacks import MultiLayerPushing, Perturbed
from robustxai.concepts.experiments import Case, exceeds_controls
from robustxai.concepts.results import Cell
from robustxai.concepts.study import Study

LEVELS = ("same network", "another layer", "another seed", "another architecture", "several networks")


@dataclass(frozen=True)
class Transferred:
    """What an attack on the surrogate did on the victim: cells by name, "clean", "attacked" and the controls."""

    level: str
    surrogate: str
    victim: str
    case: Case
    cells: Mapping[str, Cell]

    @property
    def counts(self) -> bool:
        """On the victim, the clean verdict leaves something to attack."""
        return (self.cells["clean"].state == "important") is (self.case.sign < 0)

    @property
    def flipped(self) -> bool:
        """The victim's verdict flipped."""
        return self.counts and (self.cells["attacked"].state == "important") is (self.case.sign > 0)

    @property
    def real(self) -> bool:
        """The verdict flipped, and the score is beyond every control by more than a standard deviation."""
        return self.flipped and exceeds_controls(self.cells, self.case.sign)

    @property
    def strongest_control(self) -> float:
        """The mean score of the control that comes closest to the attack's aim."""
        means = [c.mean for name, c in self.cells.items() if name not in ("clean", "attacked")]
        return max(means) if self.case.sign > 0 else min(means)


def routes(study: Study, *, other_layer: str) -> Iterator[tuple[str, tuple[str, int], tuple[str, int], str]]:
    """(level, surrogate, victim, judged layer) of every route with one surrogate; networks are (kind, seed)."""
    for kind in study.networks:
        own = study.seeds_of(kind)
        after = dict(zip(own, (*own[1:], own[0]), strict=True))
        for seed in own:
            yield LEVELS[0], (kind, seed), (kind, seed), study.layer
            yield LEVELS[1], (kind, seed), (kind, seed), other_layer
            if after[seed] != seed:
                yield LEVELS[2], (kind, seed), (kind, after[seed]), study.layer
            for other in study.networks:
                if other != kind:
                    yield LEVELS[3], (kind, seed), (other, study.seed_like(other, seed)), study.layer


def transfer(
    study: Study, case: Case, *, attack: str = "push", other_layer: str = "b3", levels: Sequence[str] = LEVELS
) -> list[Transferred]:
    """The case over all routes of these levels; "several networks" is an ensemble of all but the victim's kind."""
    found = []
    for level, source, victim, layer in routes(study, other_layer=other_layer):
        if level in levels:
            p = study.moved(*source, case, attack)
            found.append(_judged(study, level, source, victim, case, p, layer))
    if LEVELS[4] in levels:
        found += [
            _judged(study, LEVELS[4], ("all others", seed), (kind, seed), case, p, study.layer)
            for kind in study.networks
            for seed, p in ((s, ensemble(study, case, victim=(kind, s))) for s in study.seeds[:1])
        ]
    return found


def ensemble(study: Study, case: Case, *, victim: tuple[str, int]) -> Perturbed:
    """Token pushing on all networks but the victim and those of its seed."""
    models = [m for kind, seed, m in study.each() if seed != victim[1]]
    if not models:
        raise ValueError("seeds has one value; accepted are two and more, the victim's seed is no surrogate")
    tokens, goal = study.given.concepts[case.concept], study.given.goal[case.towards]
    return MultiLayerPushing([study.layer]).perturb(models, tokens, goal, eps=study.eps)


def _judged(
    study: Study, level: str, source: tuple, victim: tuple, case: Case, p: Perturbed, layer: str
) -> Transferred:
    kind, seed = victim
    cells = study.with_controls(p, kind, seed, case, layer=layer)
    return Transferred(level, f"{source[0]} {source[1]}", f"{victim[0]} {victim[1]}", case, cells)
