"""Honest networks and their manipulated twins: the runs behind the chapter's tables, one function each.

`train_honest` and `fool` are deterministic in their seed; a row of `PROTOCOLS` is a whole protocol (which loss,
which layers, from where). Knows nothing about files: `recipes.py` stores what comes out.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustxai.diffgradcam.cams import GradCAM
from robustxai.diffgradcam.fooling import FoolingLoss
from robustxai.diffgradcam.heo_fooling import HeoCentreMass, HeoLocation, HeoTopK, ReferenceLoss
from robustxai.diffgradcam.sham import ShamLoss, sham_target
from robustxai.metrics import entropy
from robustxai.nets import CompactResNet, RandomShift, cross_entropy, fit
from robustxai.nets.adapters import TorchvisionClassifier
from robustxai.nets.efficientnet_lite import EfficientNetLite0

FooledNetwork = CompactResNet | TorchvisionClassifier | EfficientNetLite0


class Data(NamedTuple):
    """Training images x (n, C, H, W) and labels y (n,), and the number of classes."""

    x: Tensor
    y: Tensor
    classes: int


@dataclass(frozen=True)
class FoolingProtocol:
    """One protocol of fooling.

    loss: from the honest network and the native map size (h, w) to a FoolingLoss. part: 'head' trains the
    linear layer, 'top' the last block and the head on cached features, 'all' fine-tunes everything, 'scratch'
    starts from random weights with the honest schedule. freeze_norm: batch norm stays in eval mode, as in Heo
    et al. matched: the target has as many ones as the entropy of the honest maps asks for, see `matched_target`.
    """

    loss: Callable[[nn.Module, tuple[int, int]], FoolingLoss]
    part: str = "top"
    epochs: int = 12
    lr: float = 1e-3
    freeze_norm: bool = False
    matched: bool = False


def _sham(**options) -> Callable[[nn.Module, tuple[int, int]], FoolingLoss]:
    return lambda honest, size: ShamLoss(sham_target(*size), **options)


FOOLING_PROTOCOLS: dict[str, FoolingProtocol] = {
    "sham-top": FoolingProtocol(_sham(alpha=0.1)),
    "sham-full": FoolingProtocol(_sham(alpha=0.1), part="all"),
    "sham-scratch": FoolingProtocol(_sham(alpha=0.5), part="scratch"),
    "sham-all-top": FoolingProtocol(_sham(alpha=0.1, classes="all")),
    "sham-matched-top": FoolingProtocol(_sham(alpha=0.1), matched=True),
    "sham-pp-top": FoolingProtocol(_sham(alpha=0.1, weighting="gradcam++")),
    "adaptive-top": FoolingProtocol(_sham(alpha=0.1, scores=("lse",))),
    "adaptive-full": FoolingProtocol(_sham(alpha=0.1, scores=("lse",)), part="all"),
    "adaptive-joint-top": FoolingProtocol(_sham(alpha=0.1, scores=("logit", "lse"))),
    "heo-location-top": FoolingProtocol(lambda honest, size: HeoLocation(lam=9.0), freeze_norm=True),
    "heo-topk-top": FoolingProtocol(lambda honest, size: HeoTopK(honest, lam=9.0), freeze_norm=True),
    "heo-centermass-top": FoolingProtocol(
        lambda honest, size: HeoCentreMass(honest, lam=0.5), freeze_norm=True
    ),
}
CONTROLS: dict[str, FoolingProtocol] = {
    "labels-top": FoolingProtocol(_sham(alpha=1.0)),
    "labels-full": FoolingProtocol(_sham(alpha=1.0), part="all"),
}
"""The control arms: the same fine-tuning on the same images with the cross-entropy alone."""
PROTOCOLS = FOOLING_PROTOCOLS | CONTROLS


def control_of(run: str) -> str:
    """The run that is trained as `run` is, with the labels alone; from scratch that is the honest network, 'clean'.

    >>> control_of("sham-pp-top"), control_of("sham-full"), control_of("sham-scratch")
    ('labels-top', 'labels-full', 'clean')
    """
    part = PROTOCOLS[run].part
    return "clean" if part == "scratch" else {"all": "labels-full"}.get(part, "labels-top")


class Top(nn.Module):
    """The last block and the head of a network, on cached features of the frozen rest; shares its parameters."""

    gap_layer = "last"

    def __init__(self, model: FooledNetwork):
        super().__init__()
        self.last, self.head = model.body[-_tail(model) :], model.head

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, K, h, w) to logits (N, C)."""
        return self.head(self.last(x).mean((2, 3)))


def _tail(model: FooledNetwork) -> int:
    """How many modules of the body make its last block: the last one, in EfficientNet a bottleneck and what widens
    its output, in DenseNet a block, a norm and a ReLU.
    """
    if isinstance(model, EfficientNetLite0):
        return 2
    return 3 if isinstance(model.body[-1], nn.ReLU) else 1


@torch.no_grad()
def trunk(model: FooledNetwork, x: Tensor, *, batch_size: int = 256) -> Tensor:
    """What enters the last block, in eval mode."""
    rest = nn.Sequential(model.normalize, model.body[: -_tail(model)]).eval()
    return torch.cat([rest(part) for part in x.split(batch_size)])


@torch.no_grad()
def map_size(model: FooledNetwork, x: Tensor) -> tuple[int, int]:
    """(h, w) of the explained map for images like x."""
    h, w = model.features(x[:1]).shape[2:]
    return h, w


@torch.no_grad()
def matched_target(honest: FooledNetwork, x: Tensor) -> Tensor:
    """SHAM's target (h, w) with the mean entropy of the honest GradCAM maps of images x, of which 500 are enough."""
    maps = GradCAM(honest, size="native").attribute(x[:500])
    return sham_target(*map_size(honest, x), float(entropy(maps).nanmean()))


def loss_of(attack: FoolingProtocol, honest: FooledNetwork, x: Tensor) -> FoolingLoss:
    """The loss of a protocol for an honest network and images like x."""
    loss = attack.loss(honest, map_size(honest, x))
    if attack.matched:
        assert isinstance(loss, ShamLoss)
        loss.target = matched_target(honest, x)
    return loss


@torch.no_grad()
def map_loss(
    model: FooledNetwork, honest: FooledNetwork, attack: FoolingProtocol, x: Tensor, y: Tensor
) -> float:
    """The attack's map term on (x, y) in eval mode: whether it converged at all; print it beside every result."""
    return float(loss_of(attack, honest, x).map_term(model, x, y).detach())


def new_network(classes: int, *, seed: int, **options) -> FooledNetwork:
    """A CompactResNet, or with `architecture` a torchvision network, with weights drawn from `seed`."""
    if "architecture" in options:
        return TorchvisionClassifier(
            classes=classes, generator=torch.Generator().manual_seed(seed), **options
        )
    return CompactResNet(classes, generator=torch.Generator().manual_seed(seed), **options)


def train_honest(
    data: Data,
    *,
    seed: int,
    epochs: int = 15,
    loss=cross_entropy,
    shift: int = 3,
    flip: bool = True,
    network: dict | None = None,
    **fit_options,
) -> FooledNetwork:
    """The honest schedule: SGD with momentum 0.9, one-cycle to 0.1, weight decay 1e-4, shifted and mirrored images."""
    model = new_network(data.classes, seed=seed, **(network or {}))
    fit(model, data.x, data.y, epochs=epochs, loss=loss, lr=0.1, optimizer="sgd", weight_decay=1e-4,
        seed=seed, augment=RandomShift(shift, flip=flip), **fit_options)  # fmt: skip
    return model


def fool(
    honest: FooledNetwork,
    data: Data,
    attack: FoolingProtocol,
    *,
    seed: int,
    honest_schedule: dict | None = None,
    network: dict | None = None,
    **fit_options,
) -> FooledNetwork:
    """A manipulated copy of `honest` (left untouched), trained by `attack` on `data`.

    `honest_schedule` and `network` repeat the options of `train_honest` for attacks from scratch.
    """
    loss = loss_of(attack, honest, data.x)
    if attack.part == "scratch":
        return train_honest(
            data, seed=seed, loss=loss, network=network, **(honest_schedule or {}), **fit_options
        )
    if attack.part == "all":
        model = copy.deepcopy(honest)
        augment = RandomShift(3, flip=True)
        fit(model, data.x, data.y, augment=augment, **_tuning(attack, loss, seed), **fit_options)
        return model
    if attack.part not in ("top", "head"):
        raise ValueError(f"part must be one of head, top, all, scratch, got {attack.part!r}")
    seen = data._replace(x=trunk(honest, data.x))
    return fool_top(honest, seen, attack, loss, seed=seed, **fit_options)


def fool_top(
    honest: FooledNetwork,
    data: Data,
    attack: FoolingProtocol,
    loss: FoolingLoss,
    *,
    seed: int,
    **fit_options,
) -> FooledNetwork:
    """A manipulated copy of `honest` whose last block and head, or head alone, were trained on what enters them.

    data: its x is `trunk(honest, images)`.
    """
    model = copy.deepcopy(honest)
    if isinstance(loss, ReferenceLoss):
        loss.original = Top(honest)  # the honest map of the same cached features
    params = ["head"] if attack.part == "head" else None
    fit(Top(model), data.x, data.y, params=params, **_tuning(attack, loss, seed), **fit_options)
    return model.eval()


def _tuning(attack: FoolingProtocol, loss: FoolingLoss, seed: int) -> dict[str, Any]:
    """The options of `fit` for fine-tuning."""
    return dict(
        epochs=attack.epochs, lr=attack.lr, optimizer="adam", weight_decay=0.0, schedule="constant",
        loss=loss, train_mode=nn.Module.eval if attack.freeze_norm else None, seed=seed,
    )  # fmt: skip
