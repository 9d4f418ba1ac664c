"""`robustxai train diffgradcam-<task> --seed S`: an honest network of the menagerie and its twins.

One recipe a task; the seeds that are shipped are in `Task`. Names in the zoo: `diffgradcam-<task>-s<seed>-<run>`, run
being `clean` or a name of `PROTOCOLS`. A fine-tuned network is stored as a difference from the honest one, eight bits a
weight: no mean over images of a correlation or an entropy moves by more than .004, and none that a claim reads by more
than .002. From scratch a network has 16 bits. `robustxai train diffgradcam-vit` is a transformer of the ten animals, to
be explained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from robustxai.data.scenes import Scenes, menagerie
from robustxai.diffgradcam.study.manipulated import (
    FOOLING_PROTOCOLS,
    PROTOCOLS,
    Data,
    FooledNetwork,
    fool,
    map_loss,
    train_honest,
)
from robustxai.nets import CompactViT, RandomShift, accuracy_of, fit
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights

SIZE = 56
SEEDS = (0, 1, 2)
NETWORK = {"widths": (16, 24, 48, 48)}
COMMON = ("sham-top", "sham-full", "sham-scratch", "heo-location-top")
CONTROL = ("labels-top", "labels-full")
DETAILED = (*COMMON, *CONTROL, "sham-matched-top", "sham-pp-top", "adaptive-top")


@dataclass(frozen=True)
class Task:
    """A label set of the menagerie, how many images to train on, and the runs that are shipped.

    attacks: runs of every seed in `seeds`. more: runs of the first three. labels: the label set, where the task has
    another name. network: what differs from `NETWORK`.
    """

    name: str
    classes: int
    n: int
    epochs: int = 10
    attacks: tuple[str, ...] = COMMON
    more: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS
    labels: str = ""
    network: dict = field(default_factory=dict)

    @property
    def architecture(self) -> dict:
        """The options of `CompactResNet`."""
        return NETWORK | self.network

    def runs(self, seed: int) -> tuple[str, ...]:
        """The runs that are made with a seed, without the honest network."""
        return self.attacks + (self.more if seed in SEEDS else ())


TASKS = {
    t.name: t
    for t in (
        Task("animals2", 2, 1600),
        Task(
            "animals4",
            4,
            2000,
            attacks=DETAILED,
            more=tuple(run for run in FOOLING_PROTOCOLS if run not in DETAILED),
        ),
        Task(
            "animals4_circular",
            4,
            2000,
            attacks=("sham-full",),
            labels="animals4",
            network={"padding_mode": "circular"},
        ),
        Task("animals10", 10, 3000),
        Task(
            "animal_colour100",
            100,
            4000,
            attacks=(*COMMON, "sham-all-top", "adaptive-top"),
        ),
    )
}


def scenes(task: Task, split: str, n: int | None = None) -> Scenes:
    """The task's images; 'train' and 'test' come from different streams, 500 test images by default."""
    seeds = {"train": 1000, "test": 2000}
    if split not in seeds:
        raise ValueError(f"split must be one of train, test, got {split!r}")
    count = n or (task.n if split == "train" else 500)
    return menagerie(
        count,
        size=SIZE,
        classes=task.labels or task.name,
        generator=torch.Generator().manual_seed(seeds[split]),
    )


def zoo_name(task: str, seed: int, run: str) -> str:
    """Name of a shipped network; `run` is 'clean' or a name of `PROTOCOLS`."""
    return f"diffgradcam-{task.replace('_', '-')}-s{seed}-{run}"


def build(job: Job, task: Task) -> Sequence[Net]:
    """Train the honest network of `task` with the job's seed, then each of its twins from it."""
    train = scenes(task, "train")
    data = Data(train.images.to(job.device), train.labels.to(job.device), task.classes)
    honest = train_honest(data, seed=job.seed, network=task.architecture, checkpoint=job.checkpoint("clean"),
                          progress=f"{task.name} clean", epochs=task.epochs)  # fmt: skip
    nets = [for_shipping(task, job.seed, "clean", honest, honest)]
    for run in task.runs(job.seed):
        twin = fool(
            honest, data, PROTOCOLS[run], seed=job.seed, honest_schedule={"epochs": task.epochs},
            network=task.architecture, checkpoint=job.checkpoint(run), progress=f"{task.name} {run}",
        )  # fmt: skip
        nets.append(for_shipping(task, job.seed, run, twin, honest))
    return nets


@cache
def _test(name: str) -> tuple[Tensor, Tensor]:
    test = scenes(TASKS[name], "test")
    return test.images, test.labels


def for_shipping(task: Task, seed: int, run: str, module: FooledNetwork, honest: FooledNetwork) -> Net:
    """A network as it is shipped, rounded in place to what is kept of it, with its measures on 500 test images.

    honest: the network that it came from, rounded already; itself for 'clean'.
    """
    tuned = run != "clean" and PROTOCOLS[run].part != "scratch"
    dtype = "int8" if tuned else "fp16"
    round_weights(module, dtype=dtype, parent=honest if tuned else None)
    device = next(module.parameters()).device
    x, y = (part.to(device) for part in _test(task.name))
    metrics = {"test_accuracy": round(accuracy_of(module, x, y), 4)}
    if run in FOOLING_PROTOCOLS:
        metrics["test_map_loss"] = round(map_loss(module, honest, PROTOCOLS[run], x, y), 4)
    dataset = f"menagerie {task.labels or task.name}, {SIZE} px, {task.n} images"
    parent = zoo_name(task.name, seed, "clean") if tuned else None
    return Net(zoo_name(task.name, seed, run), module, dataset, metrics, parent=parent, dtype=dtype)


def _recipe(task: Task) -> Recipe:
    return Recipe(
        name=f"diffgradcam-{task.name.replace('_', '-')}",
        help=f"{task.classes} classes: honest network and {len(task.attacks + task.more)} twins",
        build=lambda job: build(job, task),
        file="diffgradcam.safetensors",
    )


def build_vit(job: Job, *, n: int = 8000, epochs: int = 40) -> Sequence[Net]:
    """Train a `CompactViT` on n images of the ten animals: shifted and mirrored, AdamW to 2e-3 in one cycle."""
    task = TASKS["animals10"]
    train, test = scenes(task, "train", n), scenes(task, "test")
    model = CompactViT(task.classes, size=SIZE, generator=torch.Generator().manual_seed(job.seed)).to(
        job.device
    )
    fit(model, train.images.to(job.device), train.labels.to(job.device), epochs=epochs, lr=2e-3, weight_decay=0.05,
        seed=job.seed, augment=RandomShift(4, flip=True), checkpoint=job.checkpoint("vit"),
        progress="vit of the animals" if job.progress else False)  # fmt: skip
    round_weights(model)
    reached = round(accuracy_of(model, test.images.to(job.device), test.labels.to(job.device)), 4)
    dataset = f"menagerie {task.name}, {SIZE} px, {n} images"
    return [Net(f"diffgradcam-vit-s{job.seed}", model, dataset, {"test_accuracy": reached})]


VIT = Recipe(
    name="diffgradcam-vit",
    help="a small vision transformer of the ten animals",
    build=build_vit,
    file="diffgradcam_vit.safetensors",
)
RECIPES = {r.name: r for r in (*map(_recipe, TASKS.values()), VIT)}
