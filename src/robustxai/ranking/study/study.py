"""A study: one set with its networks, by seed and method. Everything after this file is the same for all sets.

The networks of the small sets are shipped; those of real data are trained on first use and kept in a cache folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from robustxai.checks import check_name
from robustxai.data import fetch
from robustxai.nets.shipped import entry_of, shipped_or_trained
from robustxai.ranking.prepared_table import Table
from robustxai.ranking.study.menagerie import objects
from robustxai.ranking.study.recipes import GROUP, PLANS, RECIPES, zoo_name
from robustxai.ranking.study.settings import SETTINGS, Setting, prepared


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
        check_name("method", method, self.methods)
        name, recipe = zoo_name(self.name, seed, method), RECIPES[f"ranking-{self.name.replace('_', '-')}"]
        first = seed - seed % GROUP  # a run makes the networks of several seeds
        return shipped_or_trained(name, recipe, cache=self.cache, seed=first, device=self.device)

    def options(self, seed: int, method: str) -> dict[str, float]:
        """The weights that were chosen on validation data; call `network` first for a set that is not shipped."""
        return entry_of(zoo_name(self.name, seed, method), self.cache).metrics["options"]
