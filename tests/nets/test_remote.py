"""Networks from torchvision and diffusers, without a network connection."""

import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import AlexNet_Weights, ResNet18_Weights, WeightsEnum

from robustxai.nets import TorchvisionClassifier, pretrained


def test_torchvision_enums_and_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **options: state)
    for name in (ResNet18_Weights.IMAGENET1K_V1, "ResNet18_Weights.IMAGENET1K_V1"):
        net = pretrained(name)
        assert isinstance(net, TorchvisionClassifier) and not net.training
        assert torch.equal(net.body.conv1.weight, state["conv1.weight"])


def test_other_torchvision_classifiers_get_their_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision.models.alexnet().state_dict()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **options: state)
    net = pretrained(AlexNet_Weights.DEFAULT)
    assert isinstance(net, torch.nn.Sequential) and not net.training
    torch.testing.assert_close(net.normalize.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", refuse)
    with pytest.raises(
        ValueError, match=r"could not be fetched \(no route to host\); offline, use a name of"
    ):
        pretrained(ResNet18_Weights.DEFAULT)


def test_a_diffusers_folder(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    unet.save_pretrained(tmp_path / "unet")
    for loaded in (pretrained(tmp_path / "unet"), pretrained(str(tmp_path), subfolder="unet")):
        assert type(loaded) is diffusers.UNet2DModel and not loaded.training
        assert torch.equal(loaded.conv_in.weight, unet.conv_in.weight)
    with pytest.raises(ValueError, match="could not be read as a diffusers model"):
        pretrained(tmp_path)


def test_without_diffusers_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("diffusers", "diffusers.models", "diffusers.models.auto_model"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="is a diffusers model: pip install diffusers to load it"):
        pretrained(tmp_path)
