"""A study: one set with its networks, by seed and method. Everything after this file is the same for all sets.

The networks of the small sets are shipped; those of real data are trained on first use and kept in a cache folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from robustxai.checks import check_name
from robustxai.data import fetch
from robustxai.nets.mlp_stack import MLPStack
from robustxai.nets.shipped import entry_of, shipped_or_trained
from robustxai.ranking.prepared_table import Table
from robustxai.ranking.study.menagerie import objects
from robustxai.ranking.study.recipes import PLANS, RECIPES, zoo_name
from robustxai.ranking.study.settings import SETTINGS, Measured, Setting, measure, prepared
from robustxai.ranking.study.stacked import measure_stack, together


@dataclass(frozen=True)
class Trial:
    """Networks under test at once: `network` is a stack of `count`, or one by itself. `part`: their whole test samples
    and classes, (n, count, d) and (n, count), or (n, ...) and (n,). `x`: the samples under attack, as `network` takes
    them; what is found for each goes to `per_network(found, count)`.

    >>> Trial(nn.Identity(), (torch.zeros(3, 2), torch.zeros(3)), torch.zeros(1, 2), 1).count
    1
    """

    network: nn.Module
    part: tuple[Tensor, Tensor]
    x: Tensor
    count: int


@dataclass
class Study:
    """A set of `PLANS` by name.

    n_test: how many test samples are attacked. device: where networks and samples live. cache: folder for networks that
    are trained on first use, by default `ranking` in the cache folder of `robustxai.data`. Raises ValueError for an
    unknown name.
    """

    name: str
    n_test: int = 150
    device: torch.device | str = "cpu"
    cache: Path | str = field(default_factory=lambda: fetch.cache() / "ranking")

    def __post_init__(self) -> None:
        check_name("name", self.name, tuple(PLANS))
        self._tables: dict[int, Table] = {}

    @property
    def setting(self) -> Setting:
        """k, eps and the training budget."""
        return SETTINGS[self.name]

    @property
    def methods(self) -> tuple[str, ...]:
        """The ways of training that were tried here."""
        return PLANS[self.name].methods

    @cached_property
    def d(self) -> int:
        """Number of features that are ranked."""
        return self.table(0).d

    def table(self, seed: int) -> Table:
        """The prepared set as it was split for `seed`."""
        if seed not in self._tables:
            self._tables[seed] = prepared(self.name, seed=seed, limit=PLANS[self.name].limit)[1]
        return self._tables[seed]

    def test(self, seed: int) -> tuple[Tensor, Tensor]:
        """All test samples (x, y); the first `n_test` are the ones that are attacked."""
        x, y = self.table(seed).test
        return x.to(self.device), y.to(self.device)

    def attacked(self, seed: int) -> Tensor:
        """The samples under attack, (n_test, ...) or fewer."""
        return self.test(seed)[0][: self.n_test]

    def masks(self, seed: int) -> Tensor:
        """Where the object is in the attacked images, (n_test, d) bool; only the rendered set knows it."""
        if self.name != "menagerie":
            raise ValueError(
                f"name must be 'menagerie', the set that knows where its object is, got {self.name!r}"
            )
        return objects(seed, self.n_test).flatten(1).to(self.device)

    def network(self, seed: int, method: str) -> nn.Module:
        """The network that `method` made, in eval mode."""
        if not self.setting.tabular:
            return self._stored(seed, method)
        return self.stack([seed], method).member(0)

    def trials(self, seeds: Sequence[int], method: str) -> Iterator[Trial]:
        """The networks that `method` made at `seeds`, in this order: those of a table as one stack, others alone."""
        if self.setting.tabular:
            stack, part = self.stack(seeds, method), together([self.test(seed) for seed in seeds])
            yield Trial(stack, part, part[0][: self.n_test].flatten(0, 1), len(seeds))
            return
        for seed in seeds:
            yield Trial(self.network(seed, method), self.test(seed), self.attacked(seed), 1)

    def measured(self, seeds: Sequence[int], method: str) -> list[Measured]:
        """What `measure` finds for the network of each seed."""
        found: list[Measured] = []
        for trial in self.trials(seeds, method):
            net = trial.network
            if isinstance(net, MLPStack):
                found += measure_stack(net, trial.part, self.setting, points=self.n_test)
            else:
                found.append(measure(net, trial.part, self.setting, points=self.n_test))
        return found

    def options(self, seed: int, method: str) -> dict[str, float]:
        """The weights that were chosen on validation data; call `network` first for a set that is not shipped."""
        return entry_of(self._name(seed, method), self.cache).metrics["options"]

    def _first(self, seed: int) -> int:
        """The first split of the run that makes the network of `seed`."""
        return seed - seed % PLANS[self.name].splits

    def _name(self, seed: int, method: str) -> str:
        return zoo_name(self.name, self._first(seed) if self.setting.tabular else seed, method)

    def _stored(self, seed: int, method: str) -> nn.Module:
        """The network of a seed or, of a table, the stack that it belongs to."""
        check_name("method", method, self.methods)
        return shipped_or_trained(
            self._name(seed, method), RECIPES[f"ranking-{self.name.replace('_', '-')}"],
            cache=self.cache, seed=self._first(seed), device=self.device,
        )  # fmt: skip

    def stack(self, seeds: Sequence[int], method: str) -> MLPStack:
        """The networks that `method` made of a table at `seeds`, in this order."""
        stacks: dict[int, MLPStack] = {}
        for first in dict.fromkeys(map(self._first, seeds)):
            found = self._stored(first, method)
            if not isinstance(found, MLPStack):
                raise ValueError(
                    f"{self._name(first, method)} must be a stack of networks: remove it from {self.cache}"
                )
            stacks[first] = found
        return MLPStack.of([stacks[self._first(seed)].member(seed - self._first(seed)) for seed in seeds])
