"""torchvision's ResNet-18, VGG-16 and GoogLeNet with a new head: the paper's way to fine-tune a network of ImageNet.

Images in [0, 1] go in, the normalisation is inside. The body is what is frozen at first, the head what learns. They
are networks of ReLUs, whose second derivatives are zero nearly everywhere. Knows nothing about training or data.
"""

from __future__ import annotations

from typing import Any
from urllib.error import URLError

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from robustxai.nets.adapters import IMAGENET_MEAN, IMAGENET_STD, read_state
from robustxai.nets.resnet import Normalize, initialize

WITHOUT_EXTRAS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "vgg16": {"init_weights": False},
    "googlenet": {"init_weights": False, "aux_logits": False},
}
"""By the name that `HeadedClassifier` accepts: options of torchvision's builder; GoogLeNet's side exits are off."""


class HeadedClassifier(nn.Module):
    """A torchvision network whose last layer is Linear(features, hidden), batch norm, ReLU, dropout 1/2, Linear.

    architecture: "resnet18", "vgg16" or "googlenet". `body` ends with the last map of convolutions; `head` begins with
    the pooling and keeps what torchvision has before its last layer: VGG's two hidden layers, GoogLeNet's dropout.
    classes: number of logits. hidden: 150 in the paper. weights: of the body, and of VGG's hidden layers: a torchvision
    enum or its name (downloaded once), or None for random ones. `generator` seeds the new layers, and all without
    `weights`; `arguments` rebuilds the network, its weights come from the zoo. Raises ValueError for another
    architecture, and weights that are not its own or cannot be fetched.

    >>> HeadedClassifier("resnet18", classes=5).eval()(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        architecture: str,
        *,
        classes: int,
        hidden: int = 150,
        weights: WeightsEnum | str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if architecture not in WITHOUT_EXTRAS:
            raise ValueError(f"architecture must be one of {', '.join(WITHOUT_EXTRAS)}, got {architecture!r}")
        if min(classes, hidden) < 1:
            raise ValueError(f"classes and hidden must be integers >= 1, got {classes} and {hidden}")
        self.arguments = dict(architecture=architecture, classes=classes, hidden=hidden)
        # GoogLeNet's weights expect images from -1 to 1: torchvision undoes ImageNet's normalisation inside
        halves = architecture == "googlenet"
        self.normalize = Normalize(*((0.5,) * 3,) * 2) if halves else Normalize(IMAGENET_MEAN, IMAGENET_STD)
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            net = torchvision.models.get_model(architecture, weights=None, **WITHOUT_EXTRAS[architecture])
            self.body, kept, features = _take_apart(net)
            new = (
                nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
                nn.Linear(hidden, classes),
            )  # fmt: skip
        for module in net.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.head = nn.Sequential(*kept, *new)
        if weights is None:
            initialize(self, generator=generator)
        else:
            net.load_state_dict(fetched(architecture, weights))  # body and head hold the same parameters
            initialize(nn.Sequential(*new), generator=generator)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.body(self.normalize(x)))


def fetched(architecture: str, weights: WeightsEnum | str) -> dict[str, Tensor]:
    """The state dict of a torchvision enum of this architecture, without side exits.

    Raises ValueError for another network's weights and where they cannot be fetched.
    """
    enum = torchvision.models.get_weight(weights) if isinstance(weights, str) else weights
    kind = torchvision.models.get_model_weights(architecture)
    if type(enum) is not kind:
        raise ValueError(
            f"weights must be of {kind.__name__} for {architecture}, got {enum}, of another network"
        )
    try:
        state = read_state(enum)
    except URLError as error:
        raise ValueError(
            f"{enum} could not be fetched ({error.reason}); with a network connection torchvision keeps them "
            f"in {torch.hub.get_dir()}"
        ) from error
    return {name: value for name, value in state.items() if not name.startswith("aux")}


def _take_apart(net: nn.Module) -> tuple[nn.Module, list[nn.Module], int]:
    """The body, the layers between it and the last linear one, and the inputs of that."""
    parts = dict(net.named_children())
    if "classifier" in parts:  # VGG
        *hidden, last = parts["classifier"].children()
        return parts["features"], [parts["avgpool"], nn.Flatten(), *hidden], last.in_features  # pyright: ignore[reportReturnType]
    body = nn.Sequential()
    for name, part in parts.items():
        if name not in ("avgpool", "dropout", "fc"):
            body.add_module(name, part)
    dropout = [parts["dropout"]] if "dropout" in parts else []
    return body, [parts["avgpool"], nn.Flatten(), *dropout], parts["fc"].in_features  # pyright: ignore[reportReturnType]
