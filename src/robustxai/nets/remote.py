"""Networks from elsewhere, for readers with a network connection: torchvision enums and diffusers models.

It knows how to call those libraries, and nothing about the zoo's own files.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from torch import nn
from torchvision.models import SqueezeNet1_1_Weights, WeightsEnum

from robustxai.data.fetch import named_folder
from robustxai.nets.adapters import ARCHITECTURES, TorchvisionClassifier, check_download
from robustxai.nets.checksum import check_file
from robustxai.nets.resnet import Normalize

FILES = {
    "squeezenet1_1_fp16.pth": "f1bbad077367b8989ae9e0a83136ae8a404f7f0b87e13040b69b189d1e0aafab",
}
"""sha256 of the files that are read from the folder `imagenet_weights` of ROBUSTXAI_DATA."""


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
    (name, sha256), folder = next(iter(FILES.items())), named_folder()
    local = None if folder is None else folder / "imagenet_weights" / name
    if local is None or not local.is_file():
        return SqueezeNet1_1_Weights.DEFAULT
    check_file(local, sha256)
    return local
