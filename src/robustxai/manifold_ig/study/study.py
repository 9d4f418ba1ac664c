"""A set with its autoencoder and classifiers, and the images that all of them agree on.

The networks of the rendered faces are shipped; those of real sets are trained on first use and kept in a cache folder.
Everything after this file is the same for all sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from robustxai.data import fetch
from robustxai.explainers.path_explainer import PathExplainer
from robustxai.manifold_ig.path_cache import Recall
from robustxai.manifold_ig.study.image_sets import TASKS, Samples, Task
from robustxai.manifold_ig.study.recipes import RECIPES, classifier_name, in_parts, reconstructed, vae_name
from robustxai.manifold_ig.study.tables import methods
from robustxai.metrics.predictions import predicted
from robustxai.models import logits_of
from robustxai.nets import ConvVAE, folded
from robustxai.nets.shipped import folder_of, shipped_or_trained
from robustxai.records import Row
from robustxai.runtime import side_by_side


@dataclass
class Study:
    """A set of `TASKS` by name.

    seeds, architectures: of the classifiers that are compared, all of the set's where none is named. device: where
    networks and images live. solver: how the converged geodesics are found; n_steps: segments of all paths but the
    released one. batch_size: images in one pass of a network; 32 of 64 pixels fit into the cache of a core, and more
    are slower there. cache: folder for networks that are trained on first use, by default `manifold_ig` in the cache
    folder of `robustxai.data`. Raises ValueError for an unknown name or an architecture that the set does not have.
    """

    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    architectures: tuple[str, ...] = ()
    device: torch.device | str = "cpu"
    n_steps: int = 20
    solver: dict[str, Any] = field(default_factory=lambda: {"coarse": 8, "polish": 0})
    evaluations: int = 30
    batch_size: int = 32
    cache: Path | str = field(default_factory=lambda: fetch.cache() / "manifold_ig")

    def __post_init__(self) -> None:
        if self.name not in TASKS:
            raise ValueError(f"name must be one of {', '.join(TASKS)}, got {self.name!r}")
        self.architectures = self.architectures or tuple(self.task.classifiers)
        if unknown := [a for a in self.architectures if a not in self.task.classifiers]:
            known = ", ".join(self.task.classifiers)
            raise ValueError(f"architectures must be among {known} for {self.name}, got {unknown[0]!r}")
        self.memory: dict[bytes, Any] = Recall()
        self.networks: dict[str, nn.Module] = {}
        self._answers: dict[str, dict[str, Tensor]] = {}

    @property
    def task(self) -> Task:
        """The set's sizes and how it is read."""
        return TASKS[self.name]

    def network(self, name: str) -> nn.Module:
        """A network of this set by its name in the zoo, `folded`: frozen, in eval mode, fast; trained if need be."""
        if name not in self.networks:
            kind = "vae" if name == vae_name(self.name) else "classifiers"
            if kind == "classifiers" and folder_of(name, self.cache) is None:
                self.network(vae_name(self.name))  # classifiers are trained on what it rebuilds
            seed = cast(re.Match[str], re.search(r"-s(\d+)", name.removeprefix(f"manifold_ig-{self.name}")))
            found = shipped_or_trained(
                name, RECIPES[f"manifold_ig-{kind}-{self.name}"], cache=self.cache, seed=int(seed[1]),
                device=self.device,
            )  # fmt: skip
            self.networks[name] = folded(found)
        return self.networks[name]

    @cached_property
    def vae(self) -> ConvVAE:
        """The autoencoder."""
        return cast(ConvVAE, self.network(vae_name(self.name)))

    def classifier(self, architecture: str, seed: int, inputs: str = "recon") -> nn.Module:
        """A classifier trained on reconstructions ("recon") or on the images themselves ("raw")."""
        return self.network(classifier_name(self.name, architecture, seed, inputs))

    def each(self) -> Iterator[tuple[str, int, nn.Module]]:
        """Architecture, seed and network of all classifiers trained on reconstructions."""
        for architecture in self.architectures:
            for seed in self.seeds:
                yield architecture, seed, self.classifier(architecture, seed)

    @cached_property
    def pool(self) -> Samples:
        """The first test images."""
        found = self.task.read("test", self.task.pool)
        masks = None if found.masks is None else found.masks.to(self.device)
        return Samples(found.x.to(self.device), found.y.to(self.device), found.classes, masks)

    @cached_property
    def codes(self) -> Tensor:
        """The codes of the first test images."""
        with torch.no_grad():
            return torch.cat([self.vae.encode(part) for part in in_parts(self.pool.x)])

    @cached_property
    def rebuilt(self) -> Tensor:
        """The reconstructions of the first test images."""
        return reconstructed(self.vae, self.pool.x)

    def predictions(self, inputs: str = "recon") -> dict[tuple[str, int], dict[str, Tensor]]:
        """(architecture, seed) -> the classes (n,) that the classifier gives the first test images: "reconstructions"
        and "raw images"; all classifiers in parallel."""
        kinds = {"reconstructions": self.rebuilt, "raw images": self.pool.x}
        keys = [(a, s) for a in self.architectures for s in self.seeds]
        names = {key: classifier_name(self.name, *key, inputs) for key in keys}
        models = {
            name: self.network(name) for name in names.values()
        }  # one by one, as they may have to be trained

        @torch.no_grad()
        def answer(name: str) -> dict[str, Tensor]:
            model = models[name]
            return {
                k: torch.cat([predicted(logits_of(model, part)) for part in v.split(64)])
                for k, v in kinds.items()
            }

        todo = [name for name in models if name not in self._answers]
        self._answers |= zip(todo, side_by_side(answer, todo), strict=True)
        return {key: self._answers[name] for key, name in names.items()}

    @cached_property
    def agreed(self) -> Tensor:
        """Positions in the pool that every classifier gets right on the image and on its reconstruction."""
        good = torch.ones_like(self.pool.y, dtype=torch.bool)
        for classes in self.predictions().values():
            for given in classes.values():
                good &= given == self.pool.y
        return good.nonzero()[:, 0]

    @cached_property
    def found(self) -> Tensor:
        """The agreed positions whose mask says where something is to be found; all where there are no masks."""
        if self.pool.masks is None:
            return self.agreed
        return self.agreed[self.pool.masks[self.agreed].flatten(1).any(1)]

    def samples(self, n: int, *, skip: int = 0, masked: bool = False) -> Samples:
        """n of the agreed images after the first `skip`; `masked`: of those with something in the mask.

        Raises ValueError where there are fewer.
        """
        good = self.found if masked else self.agreed
        rows = good[skip : skip + n]
        if len(rows) < n:
            raise ValueError(
                f"n and skip must be at most {len(good)} together on this set, got {n} after {skip}"
            )
        masks = None if self.pool.masks is None else self.pool.masks[rows]
        return Samples(self.pool.x[rows], self.pool.y[rows], self.pool.classes, masks)

    def methods(self, model: nn.Module, **options: Any) -> dict[str, PathExplainer]:
        """The methods on one classifier; all classifiers share the paths that were found."""
        settings: dict[str, Any] = dict(
            evaluations=self.evaluations, n_steps=self.n_steps, solver=self.solver, first="encoded",
            memory=self.memory, batch_size=self.batch_size,
        )  # fmt: skip
        return methods(model, self.vae.encode, self.vae.decode, **(settings | options))

    def accuracies(self) -> list[Row]:
        """One row an architecture and kind of training: test accuracy on reconstructions and on images by seed, and
        the share of images whose reconstruction changes the prediction."""
        rows = []
        for architecture in self.architectures:
            for inputs in ("recon", "raw"):
                found = self.predictions(inputs)
                given = [found[architecture, seed] for seed in self.seeds]
                scores = {
                    f"on {kind}": torch.stack([(one[kind] == self.pool.y).float().mean() for one in given])
                    for kind in given[0]
                }
                other = [one["reconstructions"] != one["raw images"] for one in given]
                scores["prediction changed"] = torch.stack([o.float().mean() for o in other])
                rows.append(Row(architecture=architecture, trained=inputs) | scores)
        return rows
