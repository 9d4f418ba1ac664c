"""`robustxai train ranking-<set> --seed S`: common starts for the seeds S, S + 1, S + 2, and every method from each.

The weight of a method is chosen on validation data, once for the three seeds: the highest mean robustness among the
candidates that cost at most 1.5 points of mean accuracy against plain fine-tuning. Names in the zoo:
`ranking-<set>-s<seed>-<method>`; the manifest holds the chosen options. The small sets are shipped; the networks of
real data are trained on first use (see `study.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights
from robustxai.ranking.prepared_table import Table
from robustxai.ranking.study.settings import SETTINGS, Setting, prepared, pretrain, robustness
from robustxai.ranking.training_methods import METHODS, fine_tune
from robustxai.ranking.weight_selection import Options, SelectionScore, select_weights

SEEDS = (0, 1, 2)
GROUP = len(SEEDS)
TABLES = ("synth", "breast_cancer", "adult", "bank_marketing", "compas")
IMAGE_METHODS = (
    "Pretrained", "Vanilla", "WD", "SP", "Est-H", "SSR", "AT", r"R2ET_\H", "R2ET-mm", "R2ET", "SP + R2ET",
    "released recipe",
)  # fmt: skip
FEW_METHODS = ("Pretrained", "Vanilla", "SP", "Est-H", "AT", r"R2ET_\H", "R2ET", "released recipe")


@dataclass(frozen=True)
class Plan:
    """What is trained on a set: `methods`, on at most `limit` rows; `points` and `steps` of the selection's attack.

    search: False takes the methods' own options, where a search would cost hours. shipped: with the library.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    limit: int | None = None
    points: int = 100
    steps: int = 10
    search: bool = True
    shipped: bool = False


PLANS: dict[str, Plan] = {
    "synth": Plan(shipped=True),
    "breast_cancer": Plan(shipped=True),
    "digits": Plan(IMAGE_METHODS, shipped=True),
    "menagerie": Plan(FEW_METHODS, search=False, shipped=True),
    "adult": Plan(limit=10_000),
    "bank_marketing": Plan(limit=10_000),
    "compas": Plan(),
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


@dataclass
class RecipeRun:
    """What one run of a recipe works on: per seed the data and the common start."""

    plan: Plan
    setting: Setting
    job: Job
    data: dict[int, Table]
    starts: dict[int, nn.Module]

    def network(self, method: str, options: Options, seed: int) -> nn.Module:
        """The start of `seed`, fine-tuned; what was trained before is read from its checkpoint."""
        stage = "-".join([slug(method), f"s{seed}", *(f"{key}{value:g}" for key, value in options.items())])
        extra = {"checkpoint": self.job.checkpoint(stage)} if METHODS[method].trained else {}
        training = self.setting.training | extra
        return fine_tune(
            method,
            self.starts[seed],
            self.data[seed],
            k=self.setting.k,
            options=options,
            seed=seed,
            **training,
        )[0]

    def score(self, model: nn.Module, part: str, seed: int) -> SelectionScore:
        """Accuracy and P@k under attack on a part of the data."""
        part_ = getattr(self.data[seed], part)
        return SelectionScore(
            *robustness(model, part_, self.setting, points=self.plan.points, steps=self.plan.steps)
        )

    def chosen(self, method: str, reference: float) -> Options:
        """The options of a method on this set: its own, or those that win on validation data."""
        candidates = METHODS[method].grid if self.plan.search else ()
        if not candidates:
            return METHODS[method].chosen()
        first = min(self.starts)

        def measure(options: Options, i: int) -> SelectionScore:
            return self.score(
                self.network(method, METHODS[method].chosen(options), first + i), "validation", first + i
            )

        search = select_weights(candidates, measure, reference=reference, seeds=len(self.starts))
        return METHODS[method].chosen(search.options)


def build(job: Job, name: str) -> Sequence[Net]:
    """Pretrain on the set, split at each seed, then choose and train every method of its plan."""
    plan, seeds = PLANS[name], range(job.seed, job.seed + GROUP)
    study = RecipeRun(plan, SETTINGS[name], job, {}, {})
    for seed in seeds:
        _, data = prepared(name, seed=seed, limit=plan.limit)
        study.data[seed] = data.to(job.device)
        study.starts[seed] = pretrain(
            study.setting, study.data[seed], seed=seed, progress=job.progress and f"{name} start {seed}",
            checkpoint=job.checkpoint(f"start-s{seed}"),
        )  # fmt: skip
    plain = [study.score(study.network("Vanilla", {}, seed), "validation", seed).accuracy for seed in seeds]
    nets = []
    for method in plan.methods:
        options = study.chosen(method, sum(plain) / len(plain))
        for seed in seeds:
            model = study.network(method, options, seed)
            round_weights(model)
            found = study.score(model, "test", seed)._asdict()
            metrics = {"options": dict(options)} | {f"test_{key}": round(v, 4) for key, v in found.items()}
            nets.append(Net(zoo_name(name, seed, method), model, f"{name}, split {seed}", metrics))
    return nets


def _recipe(name: str) -> Recipe:
    k = SETTINGS[name].k
    return Recipe(
        name=f"ranking-{name.replace('_', '-')}",
        help=f"{name}: {len(PLANS[name].methods)} ways of training, weights chosen for P@{k} on validation data",
        build=lambda job: build(job, name),
        file="ranking.safetensors",
    )


RECIPES = {r.name: r for r in map(_recipe, PLANS)}
