"""The chapter's sets of images with their settings, networks and judges: rendered faces, and two pairs of photographs.

Rendered faces: the noise level was chosen on 600 faces of the "oracle" stream with the shipped classifier of seed 0,
lambda on 16 of them; threshold, dilation and fast mode on 64 faces of the "test" stream. The study's own faces are of a
stream that was opened when all this was frozen, and so are those that are `held_back`. Photographs: the noise level was
chosen on 600 training images of the oracle, the rest on faces.

The faces' networks are shipped; those of photographs are trained on first use and kept in a cache folder. Knows names
and numbers; knows nothing about experiments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.ace import metrics as M
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.study.faces import faces
from robustxai.ace.study.filter_experiments import at_level
from robustxai.ace.study.measures import Judges
from robustxai.ace.study.photographs import PAIRS, Photographs, pick
from robustxai.ace.study.recipes import RECIPES
from robustxai.data import fetch
from robustxai.data.scenes import Scenes
from robustxai.nets import folded
from robustxai.nets.mini_xception import smile_of_expressions
from robustxai.nets.shipped import entry_of, folder_of, shipped_or_trained

LEVELS = {"portraits": 20, "cifar": 40, "smiles": 20, "celebahq": 82}
"""Largest base timestep of the filter: of 10, 20, 40, 80, ... the noisiest at which it alone changes at most 5 % of the
decisions. In `TAU` steps; at 20 these are 0, 10 and 20. The noise has standard deviation 0.08 at 20 and 0.14 at 40.
That of celebahq is the paper's own for faces, 0.27, chosen by nothing that was measured here."""
PAPER_LEVELS = {"noise 0.27": 82, "noise 0.50": 165}
"""Base timesteps at which the noise has the standard deviation of the paper's filters: 0.27 on its faces of 128 pixels,
0.50 on those of 256 and on ImageNet. Here the filter alone then changes more decisions than the author's rule has."""
CHOSEN = "chosen noise"
FOLLOWS = 0.9
"""A classifier takes the shortcut if it agrees with the confounder on more than this share of images where that says
nothing about the label, whatever it was trained on."""
TAU = 3
OPTIONS: dict[str, Any] = {"steps": 50, "distance": "l1", "lam": 0.001, "threshold": 0.2, "dilation": 1}
"""Of `ACE`. A mouth's line is one or two pixels wide here, so that dilation redraws more than the attack changed."""
ORDER = 7  # seed of the order of the photographs, which are stored by class


def unseen(n: int) -> Scenes:
    """n faces on which nothing was chosen.

    >>> unseen(2).images.shape
    torch.Size([2, 3, 32, 32])
    """
    return faces("study", n)


def held_back(n: int) -> Scenes:
    """n other faces, for one check of fast mode after its settings were frozen.

    >>> held_back(2).images.shape
    torch.Size([2, 3, 32, 32])
    """
    return faces("check", n)


@dataclass
class Study:
    """A set of images by name, one of `LEVELS`, with everything the experiments need of it.

    device: where networks and images live. cache: folder for networks that are trained on first use, by default `ace`
    in the cache folder of `robustxai.data`. Raises ValueError for an unknown name.
    """

    name: str = "portraits"
    device: torch.device | str = "cpu"
    cache: Path | str = field(default_factory=lambda: fetch.cache() / "ace")

    def __post_init__(self) -> None:
        if self.name not in LEVELS:
            raise ValueError(f"name must be one of {', '.join(LEVELS)}, got {self.name!r}")

    @property
    def drawn(self) -> bool:
        """Whether the images are rendered, so that their factors and regions are known."""
        return self.name == "portraits"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of classes 0 and 1."""
        return ("frown", "smile") if self.drawn else PAIRS[self.name].classes

    @property
    def pictures(self) -> bool:
        """Whether the images may be shown; of others only numbers."""
        return self.drawn or PAIRS[self.name].pictures

    def network(self, kind: str, seed: int = 0) -> nn.Module:
        """A network of this set in eval mode: "ddpm", "oracle", a classifier, "factors" or "attributes"; trained if
        need be. "expressions" of celebahq is the one that nobody here trained.

        All but the denoiser, which has no batch norms, are `folded`: the same up to rounding, and a third faster.
        """
        foreign = kind == "expressions" and self.name == "celebahq"
        net = smile_of_expressions(self.device) if foreign else self._trained(kind, seed)
        return net if kind == "ddpm" else folded(net)

    def _trained(self, kind: str, seed: int) -> nn.Module:
        name, recipe = f"ace-{kind}-{self.name}-s{seed}", RECIPES.get(f"ace-{self.name}")
        if recipe is None and folder_of(name, self.cache) is None:
            raise ValueError(f"seed must be one of the shipped networks of {self.name}, got {seed}")
        return shipped_or_trained(name, recipe, cache=self.cache, seed=seed, device=self.device)

    @cached_property
    def filter(self) -> DiffusionFilter:
        """The set's denoiser up to its level of `LEVELS` in `TAU` steps."""
        net = self.network("ddpm")
        return at_level(DiffusionFilter(net, cast(Any, net).scheduler), LEVELS[self.name], TAU)

    def judges(self, seed: int = 0, *, confounded: bool = False, explained: str = "") -> Judges:
        """The networks of one seed: the classifier (the plain or the confounded one) and those that judge it.

        explained: the kind of the classifier, where it is another one. Classifier and oracle share neither
        architecture, initial weights nor training images. Likeness is measured by the reader of factors or attributes,
        the same for all seeds, and on photographs that have none, by the oracle.
        """
        oracle = self.network("oracle", seed)
        reads = "factors" if self.drawn else "attributes" if PAIRS[self.name].reader_epochs else ""
        reader = self.network(reads) if reads else None
        kind = explained or ("confounded" if confounded else "smile" if self.drawn else "pair")
        named, features = (reads, reader) if reader is not None else (f"oracle {seed}", oracle)
        return Judges(
            classifier=self.network(kind, seed),
            oracle=oracle,
            filter=self.filter,
            features=M.Features(f"{self.name}: {named}", features),
            reader=reader,
        )

    def scenes(self, n: int) -> Scenes:
        """n rendered faces on which nothing was chosen. Raises ValueError for photographs."""
        if not self.drawn:
            raise ValueError(f"name must be a set of drawings, got {self.name!r}")
        return unseen(n)

    def images(self, n: int) -> Float[Tensor, "n channel height width"]:
        """n images on which nothing was chosen: `unseen` faces, or test photographs in a fixed order."""
        images = unseen(n).images if self.drawn else self.photographs(n).x
        return images.to(self.device)

    def photographs(self, n: int) -> Photographs:
        """n test photographs in a fixed order. Raises ValueError for rendered images, and where there are fewer."""
        if self.drawn:
            raise ValueError(f"name must be a set of photographs, got {self.name!r}")
        found = self._photographs
        if n > len(found.x):
            raise ValueError(f"n must be at most {len(found.x)}, got {n}")
        g = torch.Generator().manual_seed(ORDER)
        order = torch.randperm(len(found.x), generator=g, device=g.device)[:n]
        region, attributes = (
            None if part is None else part[order] for part in (found.region, found.attributes)
        )
        return Photographs(found.x[order], found.y[order], found.note, region, attributes, found.names)

    @cached_property
    def _photographs(self) -> Photographs:
        return pick(PAIRS[self.name], "test")

    def notes(self, kind: str, metric: str, seeds: list[int]) -> list[float]:
        """What the recipe measured of the networks of a kind, such as "test_accuracy", one value a seed."""
        names = [f"ace-{kind}-{self.name}-s{seed}" for seed in seeds]
        return [entry_of(name, self.cache).metrics[metric] for name in names]
