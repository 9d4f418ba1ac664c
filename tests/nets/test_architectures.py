"""Shapes, the GAP contract and the adapters against torchvision's own forward pass."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from helpers import same
from torchvision.transforms.functional import normalize

from robustxai.nets import CompactResNet, TorchvisionClassifier
from robustxai.nets.adapters import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD
from robustxai.nets.zoo import make


@pytest.mark.parametrize(
    ("size", "channels", "stride", "rows"), [(28, 1, 1, 7), (32, 3, 1, 8), (56, 3, 2, 7), (64, 3, 2, 8)]
)
def test_the_last_map_has_seven_or_eight_rows(size: int, channels: int, stride: int, rows: int) -> None:
    net = CompactResNet(5, in_channels=channels, stem_stride=stride).eval()
    x = torch.rand(2, channels, size, size)
    with torch.no_grad():
        maps, logits = net.features(x), net(x)
    assert maps.shape == (2, 64, rows, rows) and logits.shape == (2, 5)
    assert (maps >= 0).all() and (maps == 0).any()
    torch.testing.assert_close(logits, maps.mean((2, 3)) @ net.head.weight.T + net.head.bias)


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_padding_decides_whether_a_circular_shift_moves_the_map(mode: str) -> None:
    net = CompactResNet(3, stem_stride=1, padding_mode=mode).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        moved, expected = net.features(x.roll(4, 3)), net.features(x).roll(1, 3)
    assert torch.allclose(moved, expected, atol=1e-5) == (mode == "circular")


def test_eval_mode_does_not_depend_on_the_batch_and_train_mode_does() -> None:
    net, x = CompactResNet(3), torch.rand(8, 3, 32, 32)
    with torch.no_grad():
        net.eval()
        torch.testing.assert_close(net(x)[:2], net(x[:2]))
        net.train()
        assert not torch.allclose(net(x)[:2], net(x[:2]), atol=1e-3)


def test_normalisation_is_inside() -> None:
    net = CompactResNet(3, mean=(0.1, 0.2, 0.3), std=0.5)
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(net.normalize(x), normalize(x, [0.1, 0.2, 0.3], [0.5] * 3))


def test_the_generator_decides_the_weights_and_arguments_rebuild_the_network() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b = (CompactResNet(3, blocks=2, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert same(a, b)
    assert torch.equal(torch.get_rng_state(), state)
    again = make("robustxai.nets.resnet.CompactResNet", a.arguments)
    again.load_state_dict(a.state_dict())
    assert torch.equal(torch.get_rng_state(), state) and again.arguments == a.arguments


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(widths=(8, 8)), "widths must be 4 numbers, one a stage"),
        (dict(padding_mode="mirror"), "padding_mode must be one of zeros"),
        (dict(mean=(0.5, 0.5)), "mean must be one number or 3"),
    ],
)
def test_bad_arguments_are_one_sentence(change: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CompactResNet(3, **change)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_adapter_is_torchvisions_network_taken_apart(architecture: str, tmp_path: Path) -> None:
    net = torchvision.models.get_model(architecture, num_classes=7).eval()
    half = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    old = half  # the files of DenseNet on the web have older keys, with a dot more
    if architecture == "densenet121":
        old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", k): v for k, v in half.items()}
        assert old.keys() != half.keys()
    torch.save(old, tmp_path / "weights.pth")
    net.load_state_dict({k: v.float() for k, v in half.items()})
    ours = TorchvisionClassifier(architecture, classes=7, weights=tmp_path / "weights.pth").eval()
    x, seen = torch.rand(2, 3, 64, 64), []
    handle = ours.get_submodule(ours.gap_layer).register_forward_hook(lambda m, i, out: seen.append(out))
    with torch.no_grad():
        logits = ours(x)
        torch.testing.assert_close(logits, net(normalize(x, list(IMAGENET_MEAN), list(IMAGENET_STD))))
        maps = ours.features(x)
    handle.remove()
    torch.testing.assert_close(seen[0], maps)
    assert (maps >= 0).all()
    torch.testing.assert_close(logits, ours.head(maps.mean((2, 3))))
    assert not any(part.inplace for part in ours.modules() if isinstance(part, torch.nn.ReLU))


def test_an_adapter_reads_its_own_state_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = TorchvisionClassifier("squeezenet1_1", classes=4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.save(first.state_dict(), tmp_path / "own.pt")
    again = TorchvisionClassifier("squeezenet1_1", classes=4, weights=tmp_path / "own.pt")
    assert torch.equal(again.body.scores.weight, first.body.scores.weight)
    with pytest.raises(ValueError, match=r"body\.scores\.weight is \(4, 512, 1, 1\), the network has \(5,"):
        TorchvisionClassifier("squeezenet1_1", classes=5, weights=tmp_path / "own.pt")
    with pytest.raises(ValueError, match="weights have no"):
        TorchvisionClassifier("resnet18", classes=4, weights=tmp_path / "own.pt")
    with pytest.raises(ValueError, match="architecture must be one of resnet18"):
        TorchvisionClassifier("resnet19")
