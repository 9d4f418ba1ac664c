"""A study: one classification task with its honest networks, their manipulated twins and held-out images.

The menagerie's networks are shipped and load in milliseconds; those of real photographs are trained on first use and
kept in a cache folder, each resumable. Everything after this file is the same for both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from robustxai.data import fetch, load
from robustxai.diffgradcam.sham import sham_target
from robustxai.diffgradcam.study.manipulated import (
    PROTOCOLS,
    Data,
    FooledNetwork,
    FoolingProtocol,
    fool,
    map_size,
    train_honest,
)
from robustxai.diffgradcam.study.recipes import TASKS, scenes, zoo_name
from robustxai.metrics import box_masks
from robustxai.nets import TorchvisionClassifier
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.remote import squeezenet_weights
from robustxai.nets.shipped import shipped_or_trained


@dataclass(frozen=True)
class Photographs:
    """How the networks of a real data set are trained. size: images are enlarged to size x size where it is given."""

    data: str
    classes: int
    n: int
    epochs: int
    network: dict = field(default_factory=dict)
    size: int | None = None


REAL = {
    "cifar10": Photographs("cifar10", 10, 20_000, 6, {"stem_stride": 1}),
    "tiny_imagenet25": Photographs("tiny_imagenet25", 25, 10_000, 6),
    "tiny_imagenet25_resnet18": Photographs(
        "tiny_imagenet25", 25, 10_000, 30, {"architecture": "resnet18"}, size=224
    ),
    "tiny_imagenet25_densenet121": Photographs(
        "tiny_imagenet25", 25, 10_000, 30, {"architecture": "densenet121"}, size=224
    ),
}


@dataclass
class Study:
    """A task by name: one of the menagerie's `TASKS` or of `REAL`.

    n_test: held-out images. device: where networks and images live. cache: folder for networks trained on first use,
    by default `diffgradcam` in the cache folder of `robustxai.data`.
    Raises ValueError for an unknown name.
    """

    name: str
    n_test: int = 300
    device: torch.device | str = "cpu"
    cache: Path | str = field(default_factory=lambda: fetch.cache() / "diffgradcam")

    def __post_init__(self):
        if self.name not in TASKS and self.name not in REAL:
            raise ValueError(f"name must be one of {', '.join((*TASKS, *REAL))}, got {self.name!r}")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return (TASKS | REAL)[self.name].classes

    @cached_property
    def train(self) -> Data:
        """Training images in [0, 1] and labels."""
        if self.name in TASKS:
            s = scenes(TASKS[self.name], "train")
            return Data(s.images.to(self.device), s.labels.to(self.device), self.classes)
        x, y, _ = self._photographs("train", REAL[self.name].n)
        return Data(x.to(self.device), y.to(self.device), self.classes)

    @cached_property
    def _test(self) -> tuple[Tensor, Tensor, Tensor | None]:
        if self.name in TASKS:
            s = scenes(TASKS[self.name], "test", self.n_test)
            return s.images, s.labels, s.masks[:, s.parts.index("object")] > 0.5
        return self._photographs("test", self.n_test)

    def _photographs(self, split: str, n: int) -> tuple[Tensor, Tensor, Tensor | None]:
        recipe = REAL[self.name]
        d = load(recipe.data, split, limit=n)
        side = d.x.shape[-1]
        size = recipe.size or side
        x = interpolate(d.x, (size, size), mode="bilinear", antialias=True) if size != side else d.x
        return x, d.y, None if d.boxes is None else box_masks(d.boxes * size / side, (size, size))

    @property
    def x(self) -> Float[Tensor, "image channel height width"]:
        """Held-out images."""
        return self._test[0].to(self.device)

    @property
    def y(self) -> Tensor:
        """Their labels (n_test,)."""
        return self._test[1].to(self.device)

    @property
    def mask(self) -> Tensor | None:
        """Where the object is, (n_test, H, W) bool: the true mask, or the bounding box; None where nobody drew one."""
        return None if self._test[2] is None else self._test[2].to(self.device)

    @cached_property
    def pattern(self) -> Float[Tensor, "h w"]:
        """SHAM's target at the native size of this study's maps."""
        return sham_target(*map_size(self.honest(0), self.x)).to(self.device)

    def honest(self, seed: int) -> FooledNetwork:
        """The honest network of a seed."""
        return self._network(seed, "clean", lambda checkpoint: self._train(seed, checkpoint))

    def twin(self, seed: int, run: str) -> FooledNetwork:
        """The network that attack `run` made of the honest one."""
        return self._network(
            seed, run, lambda checkpoint: self.attack(seed, PROTOCOLS[run], checkpoint=checkpoint)
        )

    def attack(
        self, seed: int, attack: FoolingProtocol, *, images: int | None = None, **options
    ) -> FooledNetwork:
        """Run an attack now, on the first `images` training images (all by default)."""
        task = (TASKS | REAL)[self.name]
        n = len(self.train.x) if attack.part == "scratch" else images
        data = Data(self.train.x[:n], self.train.y[:n], self.classes)
        return fool(self.honest(seed), data, attack, seed=seed, honest_schedule={"epochs": task.epochs},
                    network=self._architecture, progress=False, **options)  # fmt: skip

    @property
    def _architecture(self) -> dict:
        return TASKS[self.name].architecture if self.name in TASKS else REAL[self.name].network

    def _train(self, seed: int, checkpoint: Path) -> FooledNetwork:
        return train_honest(self.train, seed=seed, epochs=REAL[self.name].epochs, network=self._architecture,
                            checkpoint=checkpoint, progress=f"{self.name} clean")  # fmt: skip

    def _network(self, seed: int, run: str, make: Callable[[Path], FooledNetwork]) -> FooledNetwork:
        name = zoo_name(self.name, seed, run)
        recipe = None if self.name in TASKS else self._recipe(name, seed, run, make)
        found = shipped_or_trained(name, recipe, cache=self.cache, seed=seed, device=self.device)
        assert isinstance(found, FooledNetwork)
        return found

    def _recipe(self, name: str, seed: int, run: str, make: Callable[[Path], FooledNetwork]) -> Recipe:
        """How one network of real photographs is made; stored in float32, so that nothing of it is rounded."""
        call = f"honest({seed})" if run == "clean" else f"twin({seed}, {run!r})"
        dataset = f"{REAL[self.name].data}, {REAL[self.name].n} images"

        def build(job: Job) -> list[Net]:
            return [Net(name, make(job.checkpoint()), dataset, dtype="fp32")]

        return Recipe(
            name, f"{self.name}, {run}", build, f"{name}.safetensors", command=f"Study({self.name!r}).{call}"
        )


def squeezenet(n: int, *, device: torch.device | str = "cpu") -> tuple[nn.Module, Tensor]:
    """SqueezeNet 1.1 with ImageNet weights and n photographs (n, 3, 224, 224), one per class.

    Weights come from the folder `ROBUSTXAI_DATA`, else from torchvision (a network connection).
    """
    images = load("imagenet_sample1000", "test", limit=n).x
    return TorchvisionClassifier("squeezenet1_1", weights=squeezenet_weights()).to(device).eval(), images.to(
        device
    )
