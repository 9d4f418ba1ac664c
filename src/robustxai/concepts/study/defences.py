"""Experiments on defences: which restore the clean verdict of attacked exemplars, and which change a clean one.

Every function judges named sets of exemplars, "clean" among them, so that one call serves several attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustxai.concepts.activation_cache import ActivationCache, Memory, fresh
from robustxai.concepts.cav import CAV
from robustxai.concepts.defences import (
    CLEANERS,
    Behind,
    detection_rate,
    halved,
    noisy_copies,
    outlier_scores,
    vote,
)
from robustxai.concepts.study.cases import EPS, LAYER, LAYERS, Case, Materials, attack_case, verdict_cells
from robustxai.concepts.study.recipes import HARDENED
from robustxai.concepts.study.study import Study
from robustxai.concepts.tcav import TCAV
from robustxai.concepts.tcav_result import Cell

Cleaner = Callable[[Tensor], Tensor]
Sets = Mapping[str, Tensor]
CLEAN = "clean"
ATTACKS = ("push", "gradient")
NONE, ANOTHER = "none", "adversarially trained network"


@dataclass(frozen=True)
class Defended:
    """One defence on one cell: mean score and verdict by set, "clean" and the attacks."""

    name: str
    score: Mapping[str, float]
    state: Mapping[str, str]

    def holds(self, attack: str) -> bool:
        """The attacked exemplars get the verdict of the clean ones."""
        return self.state[attack] == self.state[CLEAN]

    def restores(self, attack: str) -> bool:
        """Attacked and clean exemplars both get the true verdict of a concept that was to be removed."""
        return self.holds(attack) and self.state[CLEAN] == "important"

    def removed(self, attack: str) -> bool:
        """The clean exemplars get the true verdict, the attacked ones do not."""
        return self.state[CLEAN] == "important" and not self.holds(attack)


def restored(
    found: Sequence[Mapping[str, Defended]], name: str, attacks: Sequence[str] = ATTACKS
) -> list[bool]:
    """Whether a defence restores the true verdict, for every network and attack that removed it without a defence.

    found: per network, by name; networks without this defence are left out. A network that stands in for another one is
    asked where its own clean verdict is true.
    """
    return [
        rows[name].restores(a)
        for rows in found
        if name in rows
        for a in attacks
        if (rows[ANOTHER].state[CLEAN] == "important" if name == ANOTHER else rows[NONE].removed(a))
    ]


def _found(name: str, cells: Mapping[str, Sequence[Cell]]) -> Defended:
    mean = {k: sum(c.mean for c in v) / len(v) for k, v in cells.items()}
    return Defended(name, mean, {k: vote(c.state for c in v) for k, v in cells.items()})


def cleaned(
    model: nn.Module,
    given: Materials,
    case: Case,
    sets: Sets,
    *,
    layer: str = LAYER,
    cav: CAV | None = None,
    cleaners: Mapping[str, Cleaner] | None = None,
    memory: Memory = fresh,
) -> list[Defended]:
    """No defence, and every cleaner (of exemplars and random images alike).

    cleaners: None is all of `CLEANERS`, and noise-averaged and median CAVs, too.
    """
    ways: dict[str, tuple[Cleaner | None, CAV]] = {NONE: (None, cav or CAV())}
    ways |= {name: (f, cav or CAV()) for name, f in (CLEANERS if cleaners is None else cleaners).items()}
    if cleaners is None:
        ways["noise-averaged CAV"] = (lambda x: noisy_copies(x), cav or CAV())
        ways["median CAV"] = (None, CAV("median"))
    kept = memory(model)
    return [_seen_through(model, given, case, sets, name, way, layer, kept) for name, way in ways.items()]


def _seen_through(
    model: nn.Module,
    given: Materials,
    case: Case,
    sets: Sets,
    name: str,
    way: tuple[Cleaner | None, CAV],
    layer: str,
    kept: ActivationCache,
) -> Defended:
    """The sets judged by the probe, after cleaning them and the random images, if there is a cleaner."""
    clean, cav = way
    images, target = given.scored[case.target], given.index(case.target)
    shown, random = (
        (sets, given.random)
        if clean is None
        else ({k: clean(x) for k, x in sets.items()}, [clean(s) for s in given.random])
    )
    tcav = TCAV(model, [layer], cav=cav, cache=kept)
    r = tcav.score(images, target, shown, random, correction="none", keep=clean is None)
    return _found(name, {k: [r[k, layer]] for k in sets})


def voted(
    models: Sequence[nn.Module],
    given: Materials,
    case: Case,
    sets: Sets,
    *,
    layers: Sequence[str],
    cav: CAV | None = None,
    memory: Memory = fresh,
) -> Defended:
    """The majority over layers of one or more networks; the score is the mean over them."""
    cells: dict[str, list[Cell]] = {k: [] for k in sets}
    for model in models:
        tcav = TCAV(model, layers, cav=cav, cache=memory(model))
        for name, by_layer in verdict_cells(tcav, given, case.target, sets).items():
            cells[name] += by_layer.values()
    plural = "s" * (len(models) > 1)
    return _found(f"vote of {len(models)} network{plural} x {len(layers)} layers", cells)


def several_sets(
    model: nn.Module,
    given: Materials,
    case: Case,
    collections: Sequence[Sets],
    *,
    layer: str = LAYER,
    cav: CAV | None = None,
    memory: Memory = fresh,
) -> Defended:
    """The majority over independently collected exemplar sets; what is not attacked in a collection is "clean".

    collections: sets by name, each with "clean"; the first has all names, those of the others were attacked too.
    """
    tcav = TCAV(model, [layer], cav=cav, cache=memory(model))
    cells = [
        {k: c[layer] for k, c in verdict_cells(tcav, given, case.target, sets).items()}
        for sets in collections
    ]
    hit = sum(len(sets) > 1 for sets in collections)
    voting = {k: [c.get(k, c[CLEAN]) for c in cells] for k in collections[0]}
    return _found(f"vote of {len(cells)} concept sets, {hit} attacked", voting)


def collected(
    model: nn.Module,
    given: Materials,
    case: Case,
    tokens: Tensor,
    attacks: Sequence[str],
    *,
    layer: str = LAYER,
) -> dict[str, Tensor]:
    """Another collection of the case's concept, "clean" and by attack: an attacker who reaches it, too."""
    other = replace(given, concepts={**given.concepts, case.concept: tokens})
    return {CLEAN: tokens} | {a: attack_case(model, other, case, attack=a, layer=layer).x for a in attacks}


def aware(
    model: nn.Module,
    given: Materials,
    case: Case,
    *,
    attack: str = "push",
    layer: str = LAYER,
    eps: float = EPS,
    cav: CAV | None = None,
    memory: Memory = fresh,
) -> Defended:
    """Half size, against an attacker who differentiates through it (the final check of spec section 8)."""
    moved = attack_case(Behind(model, CLEANERS["half size"], halved), given, case, attack=attack,
                     layer=f"model.{layer}", eps=eps).x  # fmt: skip
    sets = {CLEAN: given.concepts[case.concept], attack: moved}
    clean, probe = CLEANERS["half size"], cav or CAV()
    name, kept = "half size, attacker aware", memory(model)
    return _seen_through(model, given, case, sets, name, (clean, probe), layer, kept)


def hardened(study: Study, seed: int, case: Case) -> Defended:
    """A network of the same kind that was trained adversarially, in place of the usual one; the attacks are on it."""
    sets = {CLEAN: study.given.concepts[case.concept]}
    sets |= {a: study.moved(HARDENED, seed, case, a).x for a in ATTACKS}
    cells = study.judged(HARDENED, seed, case, sets)
    return _found(ANOTHER, {name: [cell] for name, cell in cells.items()})


def detected(
    model: nn.Module,
    given: Materials,
    case: Case,
    moved: Tensor,
    *,
    layer: str = LAYER,
    false_alarms: float = 0.05,
) -> float:
    """The share of attacked exemplars that an outlier test on activations finds, with clean ones of another source."""
    tokens = given.concepts[case.concept]
    half = len(given.goal[case.concept]) // 2
    trusted, check = given.goal[case.concept][:half], given.goal[case.concept][half:]
    usual = outlier_scores(model, layer, torch.cat((tokens, check)), trusted)
    return detection_rate(outlier_scores(model, layer, moved, trusted), usual, false_alarms=false_alarms)


def defended(
    study: Study, kind: str, seed: int, case: Case, more: Sequence[Tensor], *, layers: Sequence[str] = LAYERS,
    cleaners: Mapping[str, Cleaner] | None = None,
) -> tuple[dict[str, Defended], dict[str, float]]:  # fmt: skip
    """Every defence that needs one network, by name, and the share of attacked exemplars that an outlier test finds.

    more: two other collections of the concept. The case's own is attacked; in the last vote the first of `more`, too.
    cleaners: as `cleaned` takes them.
    """
    model, given = study.network(kind, seed), study.given
    here = {"layer": study.layer, "memory": study.memory}
    sets = {CLEAN: given.concepts[case.concept]} | {a: study.moved(kind, seed, case, a).x for a in ATTACKS}
    hit, (second, third) = collected(model, given, case, more[0], ATTACKS, layer=study.layer), more
    rows = cleaned(model, given, case, sets, cav=study.cav, cleaners=cleaners, **here)
    rows.append(voted([model], given, case, sets, layers=layers, memory=study.memory))
    rows.append(several_sets(model, given, case, [sets, {CLEAN: second}, {CLEAN: third}], **here))
    rows.append(several_sets(model, given, case, [sets, hit, {CLEAN: third}], **here))
    found = {a: detected(model, given, case, sets[a], layer=study.layer) for a in ATTACKS}
    return {row.name: row for row in rows}, found
