"""torchvision's ResNet-18, DenseNet-121 and SqueezeNet 1.1 with the interface of `CompactResNet`.

Images in [0, 1] go in, the normalisation is inside, `body` ends with the map that enters global average
pooling (GAP), and no ReLU works in place, so that every layer can be hooked. It knows nothing about
training or the zoo.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlparse

import torch
import torchvision
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from robustxai.nets.checksum import sha256_of
from robustxai.nets.entry import WeightsError
from robustxai.nets.resnet import Normalize, initialize

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARCHITECTURES = ("resnet18", "densenet121", "squeezenet1_1")


class TorchvisionClassifier(nn.Module):
    """A torchvision classifier from images in [0, 1] to logits, taken apart at its GAP.

    architecture: "resnet18", "densenet121" or "squeezenet1_1". classes: number of logits. weights: a
    torchvision weights enum (downloads) or a state-dict file (.pth/.pt read with `weights_only=True`, or
    .safetensors), with torchvision's keys or this class's own. mean, std: per channel, for images in [0,
    1]. `generator` seeds the initial weights when `weights` is None. `gap_layer` names the module whose
    output enters GAP: the last block of ResNet-18, relu(features) in DenseNet-121, the ReLU behind the
    class convolution in SqueezeNet 1.1, where `head` is the identity. Raises ValueError for another
    architecture or weights that do not fit.

    >>> TorchvisionClassifier("squeezenet1_1", classes=5).eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 5])
    """

    gap_layer = "body"

    def __init__(
        self,
        architecture: str,
        *,
        classes: int = 1000,
        weights: WeightsEnum | str | Path | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}; got {architecture!r}")
        self.arguments = dict(architecture=architecture, classes=classes, mean=list(mean), std=list(std))
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            net = torchvision.models.get_model(architecture, weights=None, num_classes=classes)
        for module in net.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.normalize = Normalize(mean, std)
        self.body, self.head = _take_apart(architecture, net)
        if weights is None:
            initialize(self, generator=generator)
        else:
            self._load(net, weights)

    def features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch feature rows columns"]:
        """The map that enters GAP, non-negative: 7x7 at 224 pixels, 13x13 for SqueezeNet."""
        return self.body(self.normalize(x))

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.features(x).mean((2, 3)))

    def _load(self, net: nn.Module, weights: WeightsEnum | str | Path) -> None:
        state = read_state(weights)
        own = any(name.startswith("body.") for name in state)
        target: nn.Module = self if own else net  # both hold the same parameters
        expected = target.state_dict()
        for name, value in state.items():
            if name in expected and value.shape != expected[name].shape:
                want, got = tuple(expected[name].shape), tuple(value.shape)
                raise ValueError(
                    f"weights do not fit: {name} is {got}, the network has {want}; "
                    "pass the number of classes of the weights and replace `head` afterwards"
                )
        missing = sorted(name for name in expected.keys() - state.keys() if "num_batches" not in name)
        if missing:
            raise ValueError(
                f"weights have no {missing[0]} ({len(missing)} tensors missing); another network?"
            )
        target.load_state_dict(state, strict=False)


def read_state(weights: WeightsEnum | str | Path) -> dict[str, Tensor]:
    """The state dict of a torchvision enum or a file: floats as float32, DenseNet's old keys made new.

    Raises WeightsError for a file that is missing or holds no state dict, and for a download that is altered.
    """
    if isinstance(weights, WeightsEnum):
        check_download(weights)
        state = weights.get_state_dict(progress=False, check_hash=True)
    else:
        state = _from_file(Path(weights))
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    return {
        old.sub(r"\1\2", name): value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }


def _from_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"weights must be a file that exists, got {path}") from error
    except Exception as error:  # a broken file makes torch's reader fail in any way
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"weights {path} cannot be read: {said}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"weights {path} must hold a state dict of tensors, got {type(state).__name__}")
    return dict(state)


def check_download(weights: WeightsEnum) -> None:
    """A file that torchvision downloaded before has the hash of its name, which torch checks only as it downloads.

    Raises WeightsError, naming the file, where it has not; a file that is not there yet will be checked by torch.
    """
    name = Path(urlparse(weights.url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    named = re.search(r"-([a-f0-9]{8,})\.", name)
    if named is None or not path.is_file():
        return
    stat = path.stat()
    if not sha256_of(path, mtime_ns=stat.st_mtime_ns, size=stat.st_size).startswith(named[1]):
        raise WeightsError(f"weight file {path} is altered: its sha256 is not that of its name; remove it")


def _take_apart(architecture: str, net: nn.Module) -> tuple[nn.Sequential, nn.Module]:
    children = OrderedDict(net.named_children())
    if architecture == "resnet18":
        body = OrderedDict((name, part) for name, part in children.items() if name not in ("avgpool", "fc"))
        return nn.Sequential(body), children["fc"]
    features = OrderedDict(children["features"].named_children())
    if architecture == "densenet121":
        return nn.Sequential(OrderedDict([*features.items(), ("relu", nn.ReLU())])), children["classifier"]
    dropout, convolution, relu, _pool = children["classifier"].children()
    scores = [("dropout", dropout), ("scores", convolution), ("relu", relu)]
    return nn.Sequential(OrderedDict([*features.items(), *scores])), nn.Identity()
