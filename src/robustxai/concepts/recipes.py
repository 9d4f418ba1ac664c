"""`robustxai train concepts-menagerie --seed S`: the networks whose concepts are probed and attacked.

Two architectures a seed, one recipe; three seeds are shipped. Names in the zoo: `concepts-<network>-s<seed>`.
"""

from collections.abc import Sequence

import torch
from torch import nn

from robustxai.concepts.world import NAMES, SIZE, labelled
from robustxai.nets import MiniInception, PlainConvNet, RandomShift, accuracy, fit
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.zoo import round_weights

NETWORKS: dict[str, type[nn.Module]] = {"plain": PlainConvNet, "inception": MiniInception}
SEEDS = (0, 1, 2)
IMAGES, EPOCHS = 800, 10  # a class
STREAMS = {"train": 1000, "test": 2000}
RATE = 5e-3


def zoo_name(network: str, seed: int) -> str:
    """Name of a shipped network; `network` is "plain" or "inception"."""
    return f"concepts-{network}-s{seed}"


def build(job: Job, *, n: int = IMAGES, n_test: int = 100, epochs: int = EPOCHS) -> Sequence[Net]:
    """Train both architectures with the job's seed on n pictures of every class."""
    x, y = (t.to(job.device) for t in labelled(n, seed=STREAMS["train"]))
    x_test, y_test = (t.to(job.device) for t in labelled(n_test, seed=STREAMS["test"]))
    nets = []
    for name, network in NETWORKS.items():
        generator = torch.Generator().manual_seed(job.seed)
        model = network(len(NAMES), generator=generator).to(job.device)
        fit(
            model, x, y, epochs=epochs, lr=RATE, augment=RandomShift(4, padding="circular", flip=True),
            seed=job.seed, validation=(x_test, y_test), checkpoint=job.checkpoint(name),
            progress=job.progress and f"concepts: {name}",
        )  # fmt: skip
        round_weights(model)
        dataset = f"concepts menagerie, {len(NAMES)} classes, {SIZE} px, {len(x)} images"
        metrics = {"test_accuracy": round(accuracy(model, x_test, y_test), 4)}
        nets.append(Net(zoo_name(name, job.seed), model, dataset, metrics))
    return nets


RECIPES = {
    "concepts-menagerie": Recipe(
        "concepts-menagerie", "a plain and an Inception-like network of 11 classes with known concepts",
        build, "concepts.safetensors",
    )
}  # fmt: skip
