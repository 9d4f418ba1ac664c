"""A set of concepts with its networks, and what attacks do to all of them; the same for rendered and real images.

The networks of the rendered menagerie are shipped; those of photographs are trained on first use and kept in a cache
folder. Attacked exemplars are remembered, so that transfer, defences and ablations attack nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from robustxai.concepts.activation_cache import GIB, ActivationCache
from robustxai.concepts.attacks import Perturbed, controls, sign_noise
from robustxai.concepts.cav import CAV
from robustxai.concepts.exemplars import stream
from robustxai.concepts.study import cases as E
from robustxai.concepts.study.image_sets import TASKS, Task
from robustxai.concepts.study.imagenet_networks import FOREIGN, foreign_network
from robustxai.concepts.study.measures import label_changes, remaining_distance
from robustxai.concepts.study.outcomes import Outcome
from robustxai.concepts.study.recipes import NETWORKS, RECIPES, zoo_name
from robustxai.concepts.tcav import TCAV
from robustxai.concepts.tcav_result import Cell
from robustxai.data import fetch
from robustxai.nets import folded
from robustxai.nets.shipped import shipped_or_trained
from robustxai.runtime import side_by_side

Result = TypeVar("Result")
Member = tuple[str, int]
"""A network of a study: its kind and its seed."""
MEMORY = 8 * GIB  # of what is known of one network


@dataclass
class Study:
    """A set of `TASKS` by name.

    seeds, networks: which are compared. n, runs: exemplars a set, and random sets. eps: the budget. layer: attacked
    and judged. device: where networks and images live. cache: folder for networks that are trained on first use, by
    default `concepts` in the cache folder of `robustxai.data`. folder: the reader's photographs, for the set
    "imagenet". Raises ValueError for an unknown name or network.
    """

    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    networks: tuple[str, ...] = tuple(NETWORKS)
    n: int = 50
    runs: int = 20
    eps: float = E.EPS
    layer: str = E.LAYER
    cav: CAV = field(default_factory=CAV)
    device: torch.device | str = "cpu"
    cache: Path | str = field(default_factory=lambda: fetch.cache() / "concepts")
    folder: Path | str | None = None

    def __post_init__(self) -> None:
        if self.name not in TASKS:
            raise ValueError(f"name must be one of {', '.join(TASKS)}, got {self.name!r}")
        known = [*FOREIGN, *(NETWORKS if self.task.recipe else ())]
        if wrong := [kind for kind in self.networks if kind not in known]:
            raise ValueError(f"networks must be among {', '.join(known)} for {self.name}, got {wrong[0]!r}")
        self._nets: dict[str, nn.Module] = {}
        self._tools: dict[tuple, TCAV] = {}
        self._caches: dict[int, ActivationCache] = {}
        self._moved: dict[tuple, Perturbed] = {}

    @property
    def task(self) -> Task:
        """The set's cases and how it is read."""
        return TASKS[self.name]

    @cached_property
    def given(self) -> E.Materials:
        """What the analyst and the attacker have, on the study's device."""
        return self.task.materials(self.n, self.runs, self.folder).to(self.device)

    def network(self, kind: str, seed: int) -> nn.Module:
        """A network of this set, `folded`: "plain" or "inception" of a seed, trained if need be; or one that nobody
        here trained, by its name in `FOREIGN`, the same for all seeds."""
        name = kind if kind in FOREIGN else zoo_name(kind, seed, self.task.stem)
        if name not in self._nets:
            make = self._foreign if kind in FOREIGN else self._trained
            self._nets[name] = folded(make(name, seed)).to(
                memory_format=torch.channels_last
            )  # faster on CPUs
        return self._nets[name]

    def _foreign(self, kind: str, _seed: int) -> nn.Module:
        return foreign_network(kind, self.given.names).to(self.device)

    def _trained(self, name: str, seed: int) -> nn.Module:
        recipe = RECIPES.get(self.task.recipe)
        return shipped_or_trained(name, recipe, cache=self.cache, seed=seed, device=self.device)

    def seeds_of(self, kind: str) -> tuple[int, ...]:
        """The seeds of an architecture: one for a network that has no others."""
        return self.seeds[:1] if kind in FOREIGN else self.seeds

    def seed_like(self, kind: str, seed: int) -> int:
        """This seed where the architecture has it, else its only one."""
        return seed if seed in self.seeds_of(kind) else self.seeds_of(kind)[0]

    @property
    def members(self) -> list[Member]:
        """Kind and seed of all networks."""
        return [(kind, seed) for kind in self.networks for seed in self.seeds_of(kind)]

    def each(self) -> Iterator[tuple[str, int, nn.Module]]:
        """Kind, seed and network of all."""
        for kind, seed in self.members:
            yield kind, seed, self.network(kind, seed)

    def on(
        self, function: Callable[[str, int], Result], members: Sequence[Member] | None = None
    ) -> list[Result]:
        """[function(kind, seed) for these members; None is all], in parallel where the study is on the CPU.

        What calls share is made before.
        """
        members = self.members if members is None else members
        for kind, seed in members:
            self.network(kind, seed)
        _ = self.given
        workers = None if torch.device(self.device).type == "cpu" else 1
        return side_by_side(lambda member: function(*member), members, workers=workers)

    def memory(self, model: nn.Module) -> ActivationCache:
        """What all tools of one of the study's networks have computed: of one image, everything at most once."""
        return self._caches.setdefault(id(model), ActivationCache(MEMORY))

    def tool(self, kind: str, seed: int, layer: str = "", cav: CAV | None = None, both: bool = False) -> TCAV:
        """The analyst's TCAV of one layer; both: with the p value of the test over sets, too."""
        key = (kind, seed, layer or self.layer, cav or self.cav, both)
        if key not in self._tools:
            model = self.network(kind, seed)
            cache = self.memory(model)
            self._tools[key] = TCAV(model, [key[2]], cav=key[3], sets=both, cache=cache)
        return self._tools[key]

    def moved(
        self, kind: str, seed: int, case: E.Case, attack: str = "push", *, eps: float | None = None
    ) -> Perturbed:
        """The case's exemplars attacked on a network by "push" or "gradient"; remembered."""
        eps = self.eps if eps is None else eps
        goal = case.towards if attack == "push" else case.sign  # all that the attack knows of the aim
        key = (kind, seed, case.target, case.concept, goal, attack, eps)
        if key not in self._moved:
            self._moved[key] = E.attack_case(
                self.network(kind, seed), self.given, case, attack=attack, layer=self.layer, eps=eps
            )
        return self._moved[key]

    def judged(self, kind: str, seed: int, case: E.Case, sets: dict, **which) -> dict[str, Cell]:
        """Cells of named exemplar sets for the case's class; which: `layer`, `cav` and `both` of `tool`."""
        tcav = self.tool(kind, seed, **which)
        found = E.verdict_cells(tcav, self.given, case.target, sets)
        return {name: cells[tcav.layers[0]] for name, cells in found.items()}

    def outcomes(self, attack: str = "push", cases: Sequence[E.Case] | None = None) -> list[Outcome]:
        """What the attack does to every case on every network, judged by both tests."""
        chosen = self.task.cases if cases is None else cases
        parts = self.on(lambda kind, seed: self._outcomes(kind, seed, attack, chosen))
        return [o for part in parts for o in part]

    def _outcomes(self, kind: str, seed: int, attack: str, cases: Sequence[E.Case]) -> list[Outcome]:
        found = []
        for case in cases:
            p = self.moved(kind, seed, case, attack)
            noise = sign_noise(p.clean, self.eps, generator=stream("noise", case.name, seed))
            sets = {"clean": p.clean, "noise": noise, "attacked": p.x, "goal": self.given.goal[case.towards]}
            cells = self.judged(kind, seed, case, sets, both=True)
            model, goal = self.network(kind, seed), sets["goal"]
            found.append(
                Outcome(
                    case=case, cells=cells, network=kind, seed=seed, attack=attack, perturbed=p,
                    distance_left=remaining_distance(model, self.layer, p.clean, p.x, goal),
                    other_label=label_changes(model, p.clean, p.x),
                )
            )  # fmt: skip
        return found

    def with_controls(
        self, perturbed: Perturbed, kind: str, seed: int, case: E.Case, *, layer: str = ""
    ) -> dict[str, Cell]:
        """Bare cells on one network of clean exemplars, attacked ones, and every control of the same size (spec 6)."""
        sets = {"clean": perturbed.clean, "attacked": perturbed.x, **controls(perturbed)}
        cells = self.judged(kind, seed, case, sets, layer=layer, both=True)
        return {name: cell.bare for name, cell in cells.items()}
