"""`robustxai train concepts-menagerie --seed S`: the networks whose concepts are probed and attacked.

Two architectures a seed, one recipe; four seeds are shipped, and three of `concepts-hardened`, the plain network
trained adversarially. Names in the zoo: `concepts-<network>-s<seed>`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustxai.concepts.rendered_classes import NAMES, SIZE, labelled
from robustxai.concepts.study.adversarial_training import adversarial, attacked_accuracy
from robustxai.data import load
from robustxai.nets import MiniInception, PlainConvNet, RandomShift, accuracy_of, fit
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.training import Loss, cross_entropy
from robustxai.nets.zoo import round_weights

NETWORKS: dict[str, type[nn.Module]] = {"plain": PlainConvNet, "inception": MiniInception}
HARDENED = "hardened"  # the plain network, trained adversarially
SEEDS = (0, 1, 2)
IMAGES, EPOCHS = 800, 10  # a class
TEST_IMAGES = 100  # a class
HARD_EPOCHS = 12
STREAMS = {"train": 1000, "test": 2000}
RATE = 5e-3


def zoo_name(network: str, seed: int, stem: str = "") -> str:
    """Name of a network, "plain" or "inception"; those of photographs have the stem "textures"."""
    return "-".join(filter(None, ("concepts", stem, network, f"s{seed}")))


@dataclass(frozen=True)
class Pictures:
    """Training and test images with labels, the names of the classes, and what the manifest calls the set."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    words: str


def build(job: Job, *, n: int = IMAGES, n_test: int = TEST_IMAGES, epochs: int = EPOCHS) -> Sequence[Net]:
    """Train both architectures with the job's seed on n images of every class."""
    given = _drawn(n, n_test)
    return [_trained(job, name, given, epochs=epochs) for name in NETWORKS]


def build_hardened(
    job: Job, *, n: int = IMAGES, n_test: int = TEST_IMAGES, epochs: int = HARD_EPOCHS
) -> Sequence[Net]:
    """Train the plain architecture adversarially with the job's seed, on the same images."""
    given = _drawn(n, n_test)
    net = _trained(job, HARDENED, given, epochs=epochs, loss=adversarial)
    x, y = given.x_test.to(job.device), given.y_test.to(job.device)
    reached = {"attacked_accuracy": round(attacked_accuracy(net.module, x, y), 4)}
    return [replace(net, dataset=f"{net.dataset}, adversarial", metrics={**net.metrics, **reached})]


def _drawn(n: int, n_test: int) -> Pictures:
    x, y = labelled(n, seed=STREAMS["train"])
    words = f"concepts menagerie, {len(NAMES)} classes, {SIZE} px, {len(x)} images"
    return Pictures(x, y, *labelled(n_test, seed=STREAMS["test"]), NAMES, words)


def _trained(
    job: Job,
    name: str,
    given: Pictures,
    *,
    stem: str = "",
    epochs: int,
    loss: Loss = cross_entropy,
    **arguments: object,
) -> Net:
    x, y, x_test, y_test = (t.to(job.device) for t in (given.x, given.y, given.x_test, given.y_test))
    generator = torch.Generator().manual_seed(job.seed)
    architecture = NETWORKS.get(name, PlainConvNet)
    model = architecture(len(given.classes), generator=generator, **arguments).to(job.device)
    fit(
        model, x, y, epochs=epochs, lr=RATE, loss=loss, augment=RandomShift(4, padding="circular", flip=True),
        seed=job.seed, validation=(x_test, y_test), checkpoint=job.checkpoint(name),
        progress=job.progress and f"{job.name}: {name}",
    )  # fmt: skip
    round_weights(model)
    metrics = {"test_accuracy": round(accuracy_of(model, x_test, y_test), 4)}
    return Net(zoo_name(name, job.seed, stem), model, given.words, metrics)


@dataclass(frozen=True)
class Photographs:
    """How the networks of real photographs are trained: on the first `n` images, as those of the rendered ones."""

    data: str = "tiny_imagenet25"
    n: int = 10_000
    n_test: int = 1250
    epochs: int = 16
    widths: tuple[int, ...] = (24, 48, 96, 128, 160)


def build_photographs(job: Job, plan: Photographs = Photographs()) -> Sequence[Net]:
    """Train both architectures on Tiny ImageNet's 25 classes; not shipped, trained on first use."""
    train, test = load(plan.data, "train", limit=plan.n), load(plan.data, "test", limit=plan.n_test)
    given = Pictures(train.x, train.y, test.x, test.y, train.classes, f"{plan.data}, {len(train)} images")
    return [
        _trained(job, name, given, stem="textures", epochs=plan.epochs, widths=plan.widths)
        for name in NETWORKS
    ]


RECIPES = {
    "concepts-menagerie": Recipe(
        "concepts-menagerie", "a plain and an Inception-like network of 11 classes with known concepts",
        build, "concepts.safetensors",
    ),
    "concepts-hardened": Recipe(
        "concepts-hardened", "the plain network of the menagerie, trained adversarially within 8/255",
        build_hardened, "concepts_hardened.safetensors",
    ),
    "concepts-textures": Recipe(
        "concepts-textures", "the same two architectures on the 25 classes of tiny_imagenet25",
        build_photographs, "concepts-textures.safetensors",
    ),
}  # fmt: skip
