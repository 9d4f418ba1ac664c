"""torchvision's networks under our layer names, and the paper's classes from a folder of photographs."""

import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import WeightsEnum

from robustxai.concepts.activations import activations, class_gradients
from robustxai.concepts.study import imagenet_folder
from robustxai.concepts.study.imagenet_networks import FOREIGN, ForeignNetwork, foreign_network
from robustxai.concepts.study.study import Study
from robustxai.nets import folded
from robustxai.nets.efficientnet_lite import EfficientNetLite0
from robustxai.nets.remote import from_torchvision

CHANNELS = {
    "squeezenet": [128, 256, 512, 1000],
    "googlenet": [480, 512, 832, 1024],
    "lite0": [40, 112, 192, 1280],
    "resnet50": [512, 1024, 2048, 2048],
}


def picture(seed=0, size=224, n=1):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", FOREIGN)
def test_blocks_are_named_like_ours(kind):
    model = ForeignNetwork(kind, ["spider web", "beacon lighthouse"], weights=None).eval()
    x = picture(size=32)
    assert model(x).shape == (1, 2) and model.rows.tolist() == [815, 437]
    maps = activations(model, x, ["b2", "b3", "b4", "b5"])
    assert [a.shape[1] for a in maps.values()] == CHANNELS[kind]
    assert class_gradients(model, x, 0, ["b4"])["b4"].shape == maps["b4"].shape


@pytest.mark.parametrize("kind", ["googlenet", "resnet50"])
def test_the_parts_compute_what_the_whole_does(kind, monkeypatch):
    """At the size of the weights nothing is enlarged, and torchvision's own preprocessing is inside."""
    extra = {"aux_logits": True, "init_weights": False} if kind == "googlenet" else {}
    whole = torchvision.models.get_model(kind, weights=None, **extra)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **options: whole.state_dict())
    x, expected = picture(1), from_torchvision(FOREIGN[kind].weights)
    model = foreign_network(kind, ["zebra", "honeycomb"])
    seen = expected.normalize(x)  # what random weights make of it hardly depends on x
    seen = expected.net._transform_input(seen) if kind == "googlenet" else seen
    torch.testing.assert_close(model.normalize(x), seen, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected(x)[:, [340, 599]], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(folded(model)(x), model(x), rtol=1e-3, atol=1e-4)


def test_the_parts_of_lite0_compute_what_the_whole_does(tmp_path):
    whole = EfficientNetLite0(generator=torch.Generator().manual_seed(0)).eval()
    torch.save(whole.state_dict(), tmp_path / "lite0.pth")
    model = ForeignNetwork("lite0", ["zebra", "honeycomb"], weights=tmp_path / "lite0.pth").eval()
    x = picture(1, size=FOREIGN["lite0"].size)
    with torch.no_grad():
        torch.testing.assert_close(model(x), whole(x)[:, [340, 599]])
    with pytest.raises(ValueError, match="weights must be a file for efficientnet_lite0, got DEFAULT"):
        ForeignNetwork("lite0", ["zebra"], weights="DEFAULT")


def test_bad_input(as_shipped):
    with pytest.raises(ValueError, match="names must be ImageNet's classes, got 'unicorn'"):
        ForeignNetwork("squeezenet", ["unicorn"], weights=None)
    with pytest.raises(
        ValueError, match="kind must be one of squeezenet, googlenet, lite0, resnet50, got 'alexnet'"
    ):
        ForeignNetwork("alexnet", ["zebra"], weights=None)


@pytest.fixture
def photographs(tmp_path):
    """A folder as ImageNet's, and DTD as torchvision unpacks it; the brightness of a picture says what it is."""
    counts = {"zebra": 5, "honeycomb": 4, "Pembroke": 4, "bookcase": 20, "Arabian camel": 20}
    places = {tmp_path / name: n for name, n in counts.items()}
    places |= {tmp_path / "dtd" / "dtd" / "images" / kind: 6 for kind in (*imagenet_folder.TEXTURES, "woven")}
    for i, (place, n) in enumerate(places.items()):
        place.mkdir(parents=True)
        for k in range(n):
            Image.new("RGB", (40, 30 + k), (10 * i, k, 0)).save(place / f"{k}.png")
    return tmp_path


def test_materials_from_a_folder(photographs):
    given = imagenet_folder.materials(photographs, n=2, runs=3, size=16)
    assert (
        set(given.concepts) == {*imagenet_folder.TEXTURES, "corgi"}
        and len(given.random) == 3
        and len(given.null) == 8
    )
    assert given.scored["zebra"].shape == (3, 3, 16, 16) and given.own["zebra"].shape == (2, 3, 16, 16)
    assert given.index("zebra") == 340 and given.index("honeycomb") == 599
    level = {c: (255 * given.scored[c][:, 0]).unique().tolist() for c in imagenet_folder.CLASSES}
    assert level == {"zebra": [0.0], "honeycomb": [10.0]}
    others = torch.cat([*given.random, *given.null, given.goal["random"]])
    assert set((255 * others[:, 0]).round().unique().tolist()) == {30.0, 40.0}
    for mine, theirs in ((given.concepts, given.goal), (given.scored, given.own)):
        for name in set(mine) & set(theirs):  # the second channel numbers a class's files
            seen = [set((255 * x[:, 1]).round().unique().tolist()) for x in (mine[name], theirs[name])]
            assert not seen[0] & seen[1]


def test_folders_that_lack_something(photographs, tmp_path, as_shipped):
    with pytest.raises(ValueError, match="folder must have one subfolder of images a class, got None"):
        _ = Study("imagenet", networks=("googlenet",)).given
    with pytest.raises(
        ValueError, match=r"folder must have the 580 random images of runs and n, got 40 of other"
    ):
        imagenet_folder.materials(photographs, n=20, size=16)
    (photographs / "Pembroke").rename(photographs / "corgi")
    with pytest.raises(ValueError, match="got fewer in 'Pembroke'"):
        imagenet_folder.materials(photographs, n=2, runs=3, size=16)
