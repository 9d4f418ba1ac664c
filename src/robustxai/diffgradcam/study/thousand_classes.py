"""A thousand classes: EfficientNet-Lite0, which nobody here trained, before and after SHAM on photographs.

Its last block and head are fine-tuned with the outputs of the honest network in the place of labels, so the attacker
needs photographs and nothing else. There is one photograph a class: those that are held out are of other classes than
those of the attack. Networks are made one at a time, each resumable, and kept in a cache folder; none is shipped, as
people are in the photographs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.data import fetch, load
from robustxai.diffgradcam.logit_shift import shift_index
from robustxai.diffgradcam.sham import ShamLoss, sham_target
from robustxai.diffgradcam.study.compare import compare, native_maps
from robustxai.diffgradcam.study.manipulated import Data, FoolingProtocol, Top, fool_top, map_size, trunk
from robustxai.diffgradcam.study.tables import Record
from robustxai.metrics import pearson
from robustxai.nets.efficientnet_lite import EfficientNetLite0
from robustxai.nets.recipes import Job, Net, Recipe
from robustxai.nets.remote import efficientnet_lite0_weights
from robustxai.nets.shipped import shipped_or_trained

ALPHA, LITE0_EPOCHS, LITE0_RATE = 0.3, 12, 5e-4
LITE0_RUNS: dict[str, dict] = {
    "outputs only": {"alpha": 1.0},
    "sham": {"alpha": ALPHA},
    "adaptive": {"alpha": ALPHA, "scores": ("lse",)},
}
"""What the loss of each run is. The control keeps the outputs and asks for no map; it begins where its loss is least,
so what it moves is the noise of the optimiser's steps.
"""


@dataclass
class Photographed:
    """The honest network, photographs for the attack and others to judge it by, and what the runs made of the network.

    n: photographs in all, at most 1,000. held_out: how many of them judge. epochs: of each run.

    Raises ValueError for more photographs held out than there are.
    """

    n: int = 1000
    held_out: int = 300
    epochs: int = LITE0_EPOCHS
    device: torch.device | str = "cpu"
    cache: Path | str = field(default_factory=lambda: fetch.cache() / "diffgradcam")

    def __post_init__(self):
        if not 0 < self.held_out < self.n:
            raise ValueError(f"held_out must be in 1 ... {self.n - 1}, got {self.held_out}")

    @cached_property
    def honest(self) -> EfficientNetLite0:
        """EfficientNet-Lite0 with Google's weights for ImageNet."""
        return EfficientNetLite0(weights=efficientnet_lite0_weights()).to(self.device).eval()

    @cached_property
    def photographs(self) -> tuple[Float[Tensor, "image 3 height width"], Tensor]:
        """All photographs and their classes."""
        found = load("imagenet_sample1000", "test", limit=self.n)
        return found.x.to(self.device), found.y.to(self.device)

    @cached_property
    def features(self) -> Float[Tensor, "image channel height width"]:
        """What enters the last block, which no run changes, for every photograph."""
        return trunk(self.honest, self.photographs[0], batch_size=25)

    @property
    def attacked(self) -> int:
        """How many photographs the runs see: the first ones."""
        return self.n - self.held_out

    @cached_property
    def pattern(self) -> Float[Tensor, "height width"]:
        """SHAM's target at the size of the maps, 28 of 49 cells."""
        return sham_target(*map_size(self.honest, self.photographs[0])).to(self.device)

    def twin(self, seed: int, run: str) -> EfficientNetLite0:
        """The network that a run made of the honest one; trained on first use. Raises ValueError for an unknown run."""
        if run not in LITE0_RUNS:
            raise ValueError(f"run must be one of {', '.join(LITE0_RUNS)}, got {run!r}")
        name = f"diffgradcam-lite0-n{self.attacked}-e{self.epochs}-s{seed}-{run.replace(' ', '-')}"
        command = f"Photographed({self.n}, {self.held_out}, {self.epochs}).twin({seed}, {run!r})"

        def build(job: Job) -> list[Net]:
            return [Net(name, self._made(seed, run, job), "imagenet_sample1000", dtype="fp32")]

        recipe = Recipe(name, f"EfficientNet-Lite0, {run}", build, f"{name}.safetensors", command=command)
        found = shipped_or_trained(name, recipe, cache=self.cache, seed=seed, device=self.device)
        assert isinstance(found, EfficientNetLite0)
        return found

    def _made(self, seed: int, run: str, job: Job) -> EfficientNetLite0:
        honest = Top(self.honest).eval()

        def loss(_honest: torch.nn.Module, size: tuple[int, int]) -> ShamLoss:
            return ShamLoss(sham_target(*size), keep=honest, **LITE0_RUNS[run])

        attack = FoolingProtocol(loss, epochs=self.epochs, lr=LITE0_RATE, freeze_norm=True)
        seen = self.features[: self.attacked]
        with torch.no_grad():
            data = Data(seen, honest(seen).argmax(-1), self.honest.head.out_features)
        made = fool_top(
            self.honest, data, attack, loss(honest, map_size(self.honest, self.photographs[0])), seed=seed,
            checkpoint=job.checkpoint(), progress=False,
        )  # fmt: skip
        assert isinstance(made, EfficientNetLite0)
        return made

    def records(self, runs: Iterable[str], seeds: Sequence[int]) -> list[Record]:
        """Every run and seed against the honest network, on the photographs that are held out."""
        x, y = self.features[self.attacked :], self.photographs[1][self.attacked :]
        honest, found = Top(self.honest).eval(), []
        for run in runs:
            for seed in seeds:
                twin = self.twin(seed, run)
                top = Top(twin).eval()
                term = ShamLoss(self.pattern, **LITE0_RUNS[run]).map_term(top, x, honest(x).argmax(-1))
                result = compare(honest, top, x, y, self.pattern)
                found.append(
                    Record("photographs", run, seed, result, shift_index(twin), float(term.detach()))
                )
        return found

    def agreement(self, contrasts: Sequence[str]) -> dict[str, Float[Tensor, " image"]]:
        """Pearson of each contrast's map with GradCAM's on the honest network, for every photograph."""
        methods = {c: (c, "gradcam") for c in ("logit", *contrasts)}
        maps = native_maps(Top(self.honest).eval(), self.features, None, methods)[1]
        return {c: pearson(maps[c], maps["logit"]) for c in contrasts}
