"""The small-scale study of spec 12: for each set a network, a budget, k and eps; and one row of its table.

The whole study is a loop over sets, seeds and methods: `prepared`, `pretrain`, `fine_tune`, `evaluate_setting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from robustxai import nets
from robustxai.checks import check_count, check_name
from robustxai.explainers.gradient import Saliency
from robustxai.metrics import mean_ignoring_nan
from robustxai.nets import MLP, ResNet9, SmallConvNet
from robustxai.ranking.er_attack import RankingAttack
from robustxai.ranking.prepared_table import Table, load_table, prepare
from robustxai.ranking.stability import attacked_precision
from robustxai.ranking.study.attacked_samples import attacked
from robustxai.ranking.study.menagerie import drawn_table
from robustxai.ranking.study.performance import performance
from robustxai.ranking.synthetic_table import adult_like


def _mlp(data: Table, generator: torch.Generator) -> nn.Module:
    return MLP(data.d, len(data.classes), generator=generator)


def _convnet(data: Table, generator: torch.Generator) -> nn.Module:
    _, channels, size, _ = data.train[0].shape
    return SmallConvNet(len(data.classes), in_channels=channels, size=size, generator=generator)


def _resnet9(data: Table, generator: torch.Generator) -> nn.Module:
    widths = (8, 16, 24, 24) if data.name == "menagerie" else (64, 128, 256, 512)
    return ResNet9(len(data.classes), widths=widths, generator=generator)


@dataclass(frozen=True)
class Setting:
    """What belongs to a set: top-k size and attack radius, epochs of both trainings, learning rate of the second.

    >>> Setting("mine", k=4, eps=0.3).training
    {'epochs': 10, 'lr': 0.001}
    """

    name: str
    k: int = 8
    eps: float = 0.5
    pretraining: int = 40
    epochs: int = 10
    lr: float = 1e-3
    build: Callable[[Table, torch.Generator], nn.Module] = _mlp

    @property
    def tabular(self) -> bool:
        """Whether its networks are those of tables, which are trained and attacked side by side."""
        return self.build is _mlp

    @property
    def training(self) -> dict[str, Any]:
        """The arguments of `fit` that all methods share."""
        return dict(epochs=self.epochs, lr=self.lr)


SETTINGS = {
    s.name: s
    for s in (
        Setting("synth"),
        Setting("breast_cancer", pretraining=60, epochs=40),
        Setting("digits", k=16, eps=0.3, pretraining=12, epochs=6, lr=5e-4, build=_convnet),
        Setting("adult", pretraining=10, epochs=5),
        Setting("bank_marketing", pretraining=10, epochs=5),
        Setting("compas", pretraining=30, epochs=10),
        Setting("menagerie", k=50, eps=0.5, pretraining=15, epochs=3, lr=5e-4, build=_resnet9),
        Setting("mnist", k=50, eps=1.0, pretraining=4, epochs=3, lr=5e-4, build=_convnet),
        Setting("cifar10", k=50, eps=0.5, pretraining=30, epochs=10, lr=1e-4, build=_resnet9),
    )
}
"""The first three as measured in spec 12.1; the real tables have more rows, so fewer epochs."""


def prepared(name: str, *, seed: int = 0, limit: SupportsIndex | None = None) -> tuple[Setting, Table]:
    """The setting and the data of a set, split at `seed`; the drawn sets have samples of their own at each.

    >>> setting, data = prepared("synth", limit=200)
    >>> setting.k, data.d
    (8, 28)
    """
    check_name("name", name, tuple(SETTINGS))
    if name == "menagerie":
        return SETTINGS[name], drawn_table(seed=seed)
    if name == "synth":  # other rows of the same population: independent, as splits of one set are not
        n = 3000 if limit is None else check_count("limit", limit)
        rows = adult_like(n, generator=torch.Generator().manual_seed(seed))
        return SETTINGS[name], prepare(rows, seed=seed)
    return SETTINGS[name], load_table(name, seed=seed, limit=limit)


def pretrain(
    setting: Setting,
    data: Table,
    *,
    seed: int = 0,
    progress: bool | str = False,
    checkpoint: str | Path | None = None,
) -> nn.Module:
    """The network that all methods start from: initial weights and order of samples from `seed`; Adam, 1e-3.

    >>> pretrain(Setting("mine", pretraining=1), prepared("synth", limit=200)[1]).training
    False
    """
    model = setting.build(data, torch.Generator().manual_seed(seed))
    nets.fit(
        model, *data.train, epochs=setting.pretraining, lr=1e-3, optimizer="adam", schedule="constant",
        weight_decay=0.0, batch_size=128, validation=data.validation, seed=seed, progress=progress,
        checkpoint=checkpoint,
    )  # fmt: skip
    return model


@dataclass(frozen=True)
class Measured:
    """One network on one set. Shares in [0, 1]: accuracy and AUC (one against the rest, averaged) on the whole part.

    Per attacked sample, (n,): P@k under ERAttack (`er`), the MSE attack (`mse`), the adaptive attack (`adaptive`) and
    random changes of that length (`random`), nan where the attack had no gradient to follow (P1); normalised thickness
    in the ball (`local`) and towards ERAttack's result (`adversarial`, nan where it had no gradient).

    >>> half = torch.tensor([0.5, float("nan")])
    >>> Measured(0.9, 0.9, half, half, half, half, half, half).row.measured
    0.5
    """

    accuracy: float
    auc: float
    er: Tensor
    mse: Tensor
    adaptive: Tensor
    random: Tensor
    local: Tensor
    adversarial: Tensor

    def mean(self, name: str) -> float:
        """Mean over samples, undefined ones left out."""
        return mean_ignoring_nan(getattr(self, name)).mean

    @property
    def row(self) -> "SettingRow":
        """The means, as a row of the table."""
        er, mse, random, local = (self.mean(name) for name in ("er", "mse", "random", "local"))
        measured = 1 - self.er.isnan().cpu().double().mean().item()
        return SettingRow(self.accuracy, self.auc, er, mse, random, local, measured)


@dataclass(frozen=True)
class SettingRow:
    """Means of `Measured`; `thickness` is the local one, `measured` the share of samples that ERAttack could follow.

    >>> SettingRow(0.9, 0.95, 0.7, 0.8, 0.97, 0.1, 1.0).er
    0.7
    """

    accuracy: float
    auc: float
    er: float
    mse: float
    random: float
    thickness: float
    measured: float


def measure(
    model: nn.Module,
    part: tuple[Tensor, Tensor],
    setting: Setting,
    *,
    eps: float | None = None,
    points: SupportsIndex = 150,
    steps: SupportsIndex = 40,
    score: str = "prob",
) -> Measured:
    """All of `Measured` for a test part (x, y); the first `points` samples are attacked.

    >>> setting = Setting("mine", k=4, pretraining=1)
    >>> data = prepared("synth", limit=200)[1]
    >>> model = pretrain(setting, data)
    >>> measure(model, data.test, setting, points=3, steps=2).er.shape
    torch.Size([3])
    """
    x, y = part
    some = x[: check_count("points", points)]
    return Measured(
        *performance(model, x, y),
        *attacked(model, some, setting.k, setting.eps if eps is None else eps, steps=steps, score=score),
    )


def evaluate_setting(
    model: nn.Module, part: tuple[Tensor, Tensor], setting: Setting, **options: Any
) -> SettingRow:
    """One row of the table; options as for `measure`.

    >>> setting = Setting("mine", k=4, pretraining=1)
    >>> data = prepared("synth", limit=200)[1]
    >>> model = pretrain(setting, data)
    >>> 0 <= evaluate_setting(model, data.test, setting, points=3, steps=2).random <= 1
    True
    """
    return measure(model, part, setting, **options).row


def robustness(
    model: nn.Module, part: tuple[Tensor, Tensor], setting: Setting, *, points: int = 100, steps: int = 10
) -> tuple[float, float]:
    """Accuracy, and mean P@k under ERAttack on the first `points` samples: what a choice of weights needs to know."""
    x, y = part
    some, explain = x[:points], Saliency(model)
    result = RankingAttack(setting.k, setting.eps, steps=steps).perturb(model, some, explain=explain)
    return performance(model, x, y)[0], mean_ignoring_nan(
        attacked_precision(explain, some, result, setting.k)
    ).mean
