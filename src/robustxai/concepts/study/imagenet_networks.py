"""Third-party ImageNet networks: torchvision's and EfficientNet-Lite0, with their weights, for photographs.

They see small images enlarged, answer for the classes of the study only, and their blocks are named as those of our
networks, so that everything in this chapter works on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import SqueezeNet1_1_Weights, WeightsEnum

from robustxai.nets import TorchvisionClassifier
from robustxai.nets.efficientnet_lite import EfficientNetLite0
from robustxai.nets.remote import efficientnet_lite0_weights, from_torchvision, squeezenet_weights
from robustxai.nets.resnet import Normalize

BLOCKS = ("b2", "b3", "b4", "b5")
LITE0 = "efficientnet_lite0"
OTHER_NAMES = {"beacon lighthouse": "beacon"}


@dataclass(frozen=True)
class Foreign:
    """An architecture of torchvision, or `LITE0`: modules of each block by name, the pixels it is shown, and weights.

    The last block ends where the mean over positions is taken; `head` comes after it ("" is none).
    """

    architecture: str
    blocks: tuple[tuple[str, ...], ...]
    size: int
    weights: str
    head: str = "fc"


FOREIGN = {
    "squeezenet": Foreign(
        "squeezenet1_1",
        (
            ("0", "1", "2", "3", "4", "5"),
            ("6", "7", "8"),
            ("9", "10", "11"),
            ("12", "dropout", "scores", "relu"),
        ),
        128,
        "SqueezeNet1_1_Weights.IMAGENET1K_V1",
        "",
    ),
    "googlenet": Foreign(
        "googlenet",
        (
            ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b"),
            ("maxpool3", "inception4a", "inception4b", "inception4c"),
            ("inception4d", "inception4e", "maxpool4", "inception5a"),
            ("inception5b",),
        ),
        224,
        "GoogLeNet_Weights.IMAGENET1K_V1",
    ),
    "lite0": Foreign(
        LITE0,
        (
            ("body.stem", *(f"body.block{i}" for i in range(5))),
            tuple(f"body.block{i}" for i in range(5, 11)),
            tuple(f"body.block{i}" for i in range(11, 15)),
            ("body.block15", "body.top"),
        ),
        160,
        "",
        "head",
    ),
    "resnet50": Foreign(
        "resnet50",
        (
            ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2"),
            ("layer3",),
            ("layer4.0", "layer4.1"),
            ("layer4.2",),
        ),
        224,
        "ResNet50_Weights.IMAGENET1K_V1",
    ),
}
"""By the name that `Study` and the chapter's parameter `networks` accept. SqueezeNet's weights may lie in the folder
ROBUSTXAI_DATA, those of EfficientNet-Lite0 ("lite0") are a package, the others are downloaded by torchvision."""


class ForeignNetwork(nn.Module):
    """One of `FOREIGN` for images (n, 3, h, w) in [0, 1] of any size, with the logits of `names` in their order.

    weights: a torchvision enum, its name, or a file (SqueezeNet and EfficientNet-Lite0); None for random ones. Blocks
    are "b2" to "b5"; what follows b5 is the mean over positions and a linear head. Raises ValueError for a kind that is
    not in the table, a name that ImageNet does not have, and weights that cannot be fetched.
    """

    def __init__(self, kind: str, names: Sequence[str], *, weights: WeightsEnum | str | Path | None) -> None:
        super().__init__()
        if kind not in FOREIGN:
            raise ValueError(f"kind must be one of {', '.join(FOREIGN)}, got {kind!r}")
        plan = FOREIGN[kind]
        known = SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
        wanted = [OTHER_NAMES.get(name, name) for name in names]
        if unknown := [name for name in wanted if name not in known]:
            raise ValueError(f"names must be ImageNet's classes, got {unknown[0]!r}")
        self.size = plan.size
        self.normalize, net = _whole(plan, weights)
        for block, modules in zip(BLOCKS, plan.blocks, strict=True):
            self.add_module(block, nn.Sequential(*(net.get_submodule(name) for name in modules)))
        self.head = net.get_submodule(plan.head) if plan.head else nn.Identity()
        self.rows: Tensor
        self.register_buffer("rows", torch.tensor([known.index(name) for name in wanted]))

    def forward(self, x: Float[Tensor, "n channel height width"]) -> Float[Tensor, "n classes"]:
        """Logits (n, len(names))."""
        size = (self.size, self.size)
        a = self.normalize(F.interpolate(x, size, mode="bilinear", align_corners=False))
        for block in BLOCKS:
            a = self.get_submodule(block)(a)
        return self.head(a.mean((2, 3)))[:, self.rows]


def _whole(plan: Foreign, weights: WeightsEnum | str | Path | None) -> tuple[nn.Module, nn.Module]:
    """The normalisation and the network that a plan takes apart."""
    if plan.architecture == "squeezenet1_1":
        enum = torchvision.models.get_weight(weights) if isinstance(weights, str) else weights
        classifier = TorchvisionClassifier("squeezenet1_1", weights=enum)
        return classifier.normalize, classifier.body
    if plan.architecture == LITE0:
        if weights is not None and not isinstance(weights, Path):
            raise ValueError(f"weights must be a file for {LITE0}, got {weights}")
        lite = EfficientNetLite0(weights=weights)
        return lite.normalize, lite
    if weights is None:
        with torch.random.fork_rng(devices=[]):
            extra = {"init_weights": False} if plan.architecture == "googlenet" else {}
            net = torchvision.models.get_model(plan.architecture, weights=None, **extra)
        return Normalize((0.5,) * 3, (0.5,) * 3), net
    if isinstance(weights, Path):
        raise ValueError(f"weights must be an enum for {plan.architecture}, got the file {weights.name}")
    loaded = from_torchvision(weights)
    net, normalize = loaded.get_submodule("net"), loaded.get_submodule("normalize")
    # torchvision's GoogLeNet takes ImageNet's normalisation back and applies its own, which has 1/2 and 1/2
    return (Normalize((0.5,) * 3, (0.5,) * 3) if getattr(net, "transform_input", False) else normalize), net


def foreign_network(kind: str, names: Sequence[str]) -> ForeignNetwork:
    """The network with ImageNet's weights, in eval mode: from ROBUSTXAI_DATA where they are there, else downloaded.

    Raises WeightsError for "lite0" where neither that folder nor an installed package has its weights.
    """
    local = {"squeezenet": squeezenet_weights, "lite0": efficientnet_lite0_weights}
    weights = local[kind]() if kind in local else FOREIGN[kind].weights
    return ForeignNetwork(kind, names, weights=weights).eval()
