"""`robustxai train ranking-<set> --seed S`: common starts for some splits from S on, and every method from each.

The weight of a method is chosen on validation data of the first three splits, once for all of a run: the highest mean
robustness among the candidates that cost at most 1.5 points of mean accuracy against plain fine-tuning. The networks of
a table are trained side by side and stored as one stack, `ranking-<set>-s<first split>-<method>`; those of images one
by one, `ranking-<set>-s<split>-<method>`. The manifest holds the chosen options. The small sets are shipped; the
networks of real data are trained on first use (see `study.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustxai.nets.mlp_stack import MLPStack
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights
from robustxai.ranking.study.settings import SETTINGS, Setting, prepared, pretrain, robustness
from robustxai.ranking.study.stacked import fit_stack, score_stack, together
from robustxai.ranking.training_methods import METHODS, beginning, fine_tune
from robustxai.ranking.weight_selection import Options, SelectionScore, select_weights

IMAGE_METHODS = (
    "Pretrained", "Vanilla", "WD", "SP", "Est-H", "SSR", "AT", r"R2ET_\H", "R2ET-mm", "R2ET", "SP + R2ET",
    "released recipe",
)  # fmt: skip
CHOOSING = 3
"""On so many splits the weight of a method is chosen."""
WITHOUT_EXACT = tuple(method for method in METHODS if method != "Exact-H")
"""A whole Hessian of the hundred columns of Adult costs hours a search."""
FEW_METHODS = ("Pretrained", "Vanilla", "SP", "Est-H", "AT", r"R2ET_\H", "R2ET", "released recipe")


@dataclass(frozen=True)
class Plan:
    """What is trained on a set: `methods`, on at most `limit` rows; `points` and `steps` of the selection's attack.

    splits: how many belong to a run. search: False takes the methods' own options, where a search would cost hours.
    shipped: with the library.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    splits: int = 3
    limit: int | None = None
    points: int = 100
    steps: int = 10
    search: bool = True
    shipped: bool = False


PLANS: dict[str, Plan] = {
    "synth": Plan(splits=30, shipped=True),
    "breast_cancer": Plan(splits=12, shipped=True),
    "digits": Plan(IMAGE_METHODS, shipped=True),
    "menagerie": Plan(FEW_METHODS, search=False, shipped=True),
    "adult": Plan(WITHOUT_EXACT, splits=10, limit=10_000),
    "bank_marketing": Plan(WITHOUT_EXACT, splits=10, limit=10_000),
    "compas": Plan(splits=10),
    "mnist": Plan(FEW_METHODS, limit=6000, search=False),
    "cifar10": Plan(FEW_METHODS, limit=6000, search=False),
}


def slug(method: str) -> str:
    r"""A method's name as part of a network's name: "SP + R2ET_\H" becomes "sp-r2et-noh"."""
    plain = method.lower().replace(r"_\h", "-noh").replace(" + ", "-").replace(" ", "-")
    return plain


def zoo_name(name: str, seed: int, method: str) -> str:
    """Name of the network that `method` made on a set."""
    return f"ranking-{name.replace('_', '-')}-s{seed}-{slug(method)}"


class RecipeRun:
    """One run of a recipe: splits with their common starts, and the networks that the methods make of them.

    A subclass says how networks are made and kept: one by one, or as a stack.
    """

    def __init__(self, plan: Plan, setting: Setting, job: Job, name: str):
        self.plan, self.setting, self.job, self.name = plan, setting, job, name
        self.seeds = range(job.seed, job.seed + plan.splits)
        self.data = {
            seed: prepared(name, seed=seed, limit=plan.limit)[1].to(job.device) for seed in self.seeds
        }

    def networks(self, method: str, options: Options, seeds: range) -> Any:
        """The starts of these seeds, fine-tuned; what was trained before is read from its checkpoint."""
        raise NotImplementedError

    def scores(self, networks: Any, part: str, seeds: range) -> list[SelectionScore]:
        """Accuracy and P@k under attack on a part of the data, one a seed."""
        raise NotImplementedError

    def stored(self, networks: Any, method: str, options: Options) -> list[Net]:
        """What goes into the weight file, with what was measured on the test part."""
        raise NotImplementedError

    def checkpoint(self, method: str, options: Options, *more: str) -> dict[str, Path]:
        """Where a training is kept until the run ends; the untouched start needs no place."""
        stage = "-".join([slug(method), *more, *(f"{key}{value:g}" for key, value in options.items())])
        return {"checkpoint": self.job.checkpoint(stage)} if METHODS[method].trained else {}

    def chosen(self, method: str, reference: float) -> Options:
        """The options of a method on this set: its own, or those that win on validation data."""
        candidates = METHODS[method].grid if self.plan.search else ()
        if not candidates:
            return METHODS[method].chosen()
        known: dict[str, list[SelectionScore]] = {}

        def measure(options: Options, i: int) -> SelectionScore:
            key = repr(options)
            if key not in known:
                known[key] = self.validated(method, METHODS[method].chosen(options))
            return known[key][i]

        search = select_weights(candidates, measure, reference=reference, seeds=len(self.seeds[:CHOOSING]))
        return METHODS[method].chosen(search.options)

    def validated(self, method: str, options: Options) -> list[SelectionScore]:
        """How good a method is on validation data with these options, on the splits that choose."""
        first = self.seeds[:CHOOSING]
        return self.scores(self.networks(method, options, first), "validation", first)

    def nets(self) -> list[Net]:
        """Every method of the plan: its weight is chosen, its networks are trained."""
        plain = [score.accuracy for score in self.validated("Vanilla", {})]
        found: list[Net] = []
        for method in self.plan.methods:
            options = self.chosen(method, sum(plain) / len(plain))
            found += self.stored(self.networks(method, options, self.seeds), method, options)
        return found

    def metrics(self, options: Options, scores: Sequence[SelectionScore]) -> dict[str, Any]:
        """The manifest's words: the chosen options, and means over the splits of a network or stack."""
        means = zip(SelectionScore._fields, zip(*scores, strict=True), strict=True)
        return {"options": dict(options)} | {
            f"test_{key}": round(sum(values) / len(values), 4) for key, values in means
        }


class OneByOne(RecipeRun):
    """Networks of images: a list, one a split."""

    def __init__(self, *given: Any):
        super().__init__(*given)
        self.starts = {
            seed: pretrain(
                self.setting, data, seed=seed, checkpoint=self.job.checkpoint(f"start-s{seed}"),
                progress=self.job.progress and f"{self.name} start {seed}",
            )
            for seed, data in self.data.items()
        }  # fmt: skip

    def networks(self, method: str, options: Options, seeds: range) -> list[nn.Module]:
        return [
            fine_tune(
                method, self.starts[seed], self.data[seed], k=self.setting.k, options=options, seed=seed,
                **self.setting.training | self.checkpoint(method, options, f"s{seed}"),
            )[0]
            for seed in seeds
        ]  # fmt: skip

    def scores(self, networks: Sequence[nn.Module], part: str, seeds: range) -> list[SelectionScore]:
        attack = {"points": self.plan.points, "steps": self.plan.steps}
        return [
            SelectionScore(*robustness(net, getattr(self.data[seed], part), self.setting, **attack))
            for seed, net in zip(seeds, networks, strict=True)
        ]

    def stored(self, networks: Sequence[nn.Module], method: str, options: Options) -> list[Net]:
        scores = self.scores([round_weights(net) for net in networks], "test", self.seeds)
        return [
            Net(
                zoo_name(self.name, s, method), net, f"{self.name}, split {s}", self.metrics(options, [score])
            )
            for s, net, score in zip(self.seeds, networks, scores, strict=True)
        ]


class SideBySide(RecipeRun):
    """Networks of a table: one stack, a member a split."""

    def __init__(self, *given: Any):
        super().__init__(*given)
        drawn = [
            self.setting.build(data, torch.Generator().manual_seed(seed)) for seed, data in self.data.items()
        ]
        self.starts = fit_stack(
            MLPStack.of(drawn).to(self.job.device), list(self.data.values()), epochs=self.setting.pretraining,
            seed=self.job.seed, checkpoint=self.job.checkpoint("start"),
        )  # fmt: skip

    def networks(self, method: str, options: Options, seeds: range) -> MLPStack:
        starts = self.starts.some([seed - self.job.seed for seed in seeds])
        stack, more = beginning(METHODS[method], starts, options)
        if METHODS[method].trained:
            terms = METHODS[method].regularisers(self.setting.k, options)
            kept = self.checkpoint(method, options, f"{len(seeds)}-splits")
            splits = [self.data[seed] for seed in seeds]
            fit_stack(stack, splits, terms, seed=self.job.seed, **self.setting.training | more | kept)
        return stack

    def scores(self, networks: MLPStack, part: str, seeds: range) -> list[SelectionScore]:
        samples = together([getattr(self.data[seed], part) for seed in seeds])
        return score_stack(networks, samples, self.setting, points=self.plan.points, steps=self.plan.steps)

    def stored(self, networks: MLPStack, method: str, options: Options) -> list[Net]:
        round_weights(networks)
        metrics = self.metrics(options, self.scores(networks, "test", self.seeds))
        splits = f"{self.name}, splits {self.seeds[0]} to {self.seeds[-1]}"
        return [Net(zoo_name(self.name, self.seeds[0], method), networks, splits, metrics)]


def build(job: Job, name: str) -> Sequence[Net]:
    """Pretrain on the set, split at each seed, then choose and train every method of its plan."""
    setting = SETTINGS[name]
    return (SideBySide if setting.tabular else OneByOne)(PLANS[name], setting, job, name).nets()


def _recipe(name: str) -> Recipe:
    k = SETTINGS[name].k
    return Recipe(
        name=f"ranking-{name.replace('_', '-')}",
        help=f"{name}: {len(PLANS[name].methods)} ways of training, weights chosen for P@{k} on validation data",
        build=lambda job: build(job, name),
        file="ranking.safetensors",
    )


RECIPES = {r.name: r for r in map(_recipe, PLANS)}
