"""`robustxai train ranking-<set> --seed S`: the common start of a set, and every method fine-tuned from it.

The weight of a method is chosen on validation data: the most robust candidate that costs at most 1.5 points of
accuracy. Names in the zoo: `ranking-<set>-s<seed>-<method>`; the manifest holds the chosen options. The small sets are
shipped; the networks of real data are trained on first use (see `bench.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights
from robustxai.ranking.methods import METHODS, fine_tune
from robustxai.ranking.select import Score, select_weights
from robustxai.ranking.study import SETTINGS, Setting, prepared, pretrain, robustness
from robustxai.ranking.tables import Part, Table

SEEDS = (0, 1, 2)
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


def build(job: Job, name: str) -> Sequence[Net]:
    """Pretrain on the set, split at the job's seed, then choose and train every method of its plan."""
    plan = PLANS[name]
    setting, data = prepared(name, seed=job.seed, limit=plan.limit)
    data = replace(data, **{part: _to(getattr(data, part), job) for part in ("train", "validation", "test")})
    start = pretrain(
        setting,
        data,
        seed=job.seed,
        progress=job.progress and f"{name} start",
        checkpoint=job.checkpoint("start"),
    )

    def measure(model: nn.Module, part: str = "validation") -> Score:
        return Score(*robustness(model, getattr(data, part), setting, points=plan.points, steps=plan.steps))

    reference = measure(start).accuracy

    nets = []
    for method in plan.methods:
        options = chosen(method, start, data, setting, plan, job, measure, reference)
        model = _tuned(method, start, data, setting, job, options)
        round_weights(model)
        found = measure(model, "test")
        metrics = {"options": options} | {f"test_{key}": round(v, 4) for key, v in found._asdict().items()}
        nets.append(Net(zoo_name(name, job.seed, method), model, f"{name}, split {job.seed}", metrics))
    return nets


def chosen(
    method: str, start: nn.Module, data: Table, setting: Setting, plan: Plan, job: Job,
    measure: Callable[[nn.Module], Score], reference: float,
) -> Mapping[str, float | int]:  # fmt: skip
    """The options of a method on this set: its own, or those that win on validation data (spec 12.3, last line)."""
    candidates = METHODS[method].grid if plan.search else ()
    if not candidates:
        return METHODS[method].chosen()
    search = select_weights(
        candidates,
        lambda options, _seed: measure(_tuned(method, start, data, setting, job, options)),
        reference=reference,
    )
    return METHODS[method].chosen(search.options)


def _tuned(
    method: str, start: nn.Module, data: Table, setting: Setting, job: Job, options: Mapping[str, float | int]
) -> nn.Module:
    stage = "-".join([slug(method), *(f"{key}{value:g}" for key, value in options.items())])
    extra = {"checkpoint": job.checkpoint(stage)} if METHODS[method].trained else {}
    return fine_tune(
        method, start, data, k=setting.k, options=options, seed=job.seed, **setting.training, **extra
    )[0]


def _to(part: Part, job: Job) -> Part:
    x, y = part
    return x.to(job.device), y.to(job.device)


def _recipe(name: str) -> Recipe:
    k = SETTINGS[name].k
    return Recipe(
        name=f"ranking-{name.replace('_', '-')}",
        help=f"{name}: {len(PLANS[name].methods)} ways of training, weights chosen for P@{k} on validation data",
        build=lambda job: build(job, name),
        file="ranking.safetensors",
    )


RECIPES = {r.name: r for r in map(_recipe, PLANS)}
