"""A weights manifest is read and never obeyed: other functions, circles of parents and wrong types are one sentence."""

import json
from pathlib import Path

import jaxtyping
import pytest
import torch
from helpers import same, tiny

from robustxai.nets import MLP, WeightsError, pretrained, zoo
from robustxai.nets.recipes import Net, publish
from robustxai.nets.zoo import make


@pytest.fixture
def as_shipped():
    """Run without the runtime type checks, as a user does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def store(out: Path, *names: str) -> dict:
    nets = [Net(name, tiny(i), dataset="noise") for i, name in enumerate(names)]
    publish(nets, file="tiny.safetensors", out=out, command="", seed=0)
    return json.loads((out / "manifest.json").read_text())


def rewrite(out: Path, manifest: object) -> None:
    (out / "manifest.json").write_text(json.dumps(manifest))


FUNCTIONS = [
    "os.system",
    "robustxai.nets.zoo.save_weights",
    "robustxai.nets.checkpoint.save_tensors",
    "robustxai.nets.zoo.pretrained",
    "robustxai.nets.entry.ZooEntry",
    "robustxai.nets.resnet.Tensor",
    "robustxai.nets.resnet.nn",
    "robustxai.nets.adapters.CompactResNet",
    "robustxai.nets.nothing.Here",
    "robustxai.nets.resnet.Nothing",
    "robustxai.nets.CompactResNet",
    "robustxai.ace.metrics.realism.Features",
    "robustxai.cli.main",
    "robustxai",
    "",
]


@pytest.mark.parametrize("architecture", FUNCTIONS)
def test_only_networks_written_in_nets_are_built(architecture, tmp_path):
    manifest = store(tmp_path, "a")
    target = tmp_path / "written"
    manifest["nets"]["a"] |= dict(
        architecture=architecture, arguments=dict(path=str(target), data="x", modules={})
    )
    rewrite(tmp_path, manifest)
    with pytest.raises(WeightsError, match=r"must be a class inside robustxai\.nets, an nn\.Module$"):
        pretrained("a", weights_dir=tmp_path)
    assert not target.exists()


@pytest.mark.parametrize("name", ["weights", "generator"])
def test_arguments_name_no_files_and_no_downloads(name):
    with pytest.raises(WeightsError, match=f"must describe the network, got '{name}'"):
        make("robustxai.nets.adapters.TorchvisionClassifier", {"architecture": "resnet18", name: "x.pth"})


@pytest.mark.parametrize(
    "arguments", [{"classes": "four"}, {"class": 4}, {}, {"classes": 4, "widths": 3}, {"classes": -1}]
)
def test_arguments_that_the_network_does_not_take_are_one_sentence(arguments):
    with pytest.raises(WeightsError, match="does not take its arguments"):
        make("robustxai.nets.resnet.CompactResNet", arguments)


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({"a": "a"}, "'a' must not descend from itself: a < a"),
        ({"a": "b", "b": "a"}, "'a' must not descend from itself: a < b < a"),
        ({"a": "b", "b": "c", "c": "b"}, "'a' must not descend from itself: a < b < c < b"),
        ({"a": "nobody"}, "network 'a' needs its parent 'nobody', which is not there"),
    ],
)
def test_parents_that_go_round_in_a_circle(parents, message, tmp_path):
    manifest = store(tmp_path, "a", "b", "c")
    for name, parent in parents.items():
        manifest["nets"][name]["parent"] = parent
    rewrite(tmp_path, manifest)
    with pytest.raises(WeightsError, match=message):
        pretrained("a", weights_dir=tmp_path)


WRONG = [
    dict(file=3), dict(file="../tiny.safetensors"), dict(prefix=None), dict(architecture=["x"]), dict(arguments=[]),
    dict(arguments=None), dict(parent=4), dict(parent=["a"]), dict(metrics=3), dict(seed="0"), dict(dtype="int4"),
    dict(dtype=16), dict(licence=None), dict(more=1),
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_fields_of_wrong_types_are_one_sentence(change, tmp_path, as_shipped):
    manifest = store(tmp_path, "a")
    manifest["nets"]["a"] |= change
    if change.get("file") == "../tiny.safetensors":
        manifest["files"]["../tiny.safetensors"] = manifest["files"]["tiny.safetensors"]
    rewrite(tmp_path, manifest)
    with pytest.raises(WeightsError, match=r"manifest\.json is not a readable weights manifest") as caught:
        zoo(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        3,
        None,
        {},
        {"files": [], "nets": []},
        {"files": {}, "nets": {"a": 3}},
        {"files": 1, "nets": {"a": {}}},
    ],
)
def test_other_shapes_of_a_manifest_are_one_sentence(manifest, tmp_path):
    rewrite(tmp_path, manifest)
    with pytest.raises(WeightsError, match=r"manifest\.json is not a readable weights manifest"):
        zoo(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(WeightsError, match=r"manifest\.json is not a readable weights manifest"):
        zoo(tmp_path)


def test_a_file_that_is_no_safetensors_file_is_one_sentence(tmp_path):
    import hashlib

    manifest = store(tmp_path, "a")
    (tmp_path / "tiny.safetensors").write_bytes(b"nothing")
    manifest["files"]["tiny.safetensors"]["sha256"] = hashlib.sha256(b"nothing").hexdigest()
    rewrite(tmp_path, manifest)
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is no safetensors file"):
        pretrained("a", weights_dir=tmp_path)


def test_every_shipped_network_may_be_built_and_is_float32_under_any_default(tmp_path):
    first = {entry.architecture: name for name, entry in zoo().items()}
    usual = {name: pretrained(name) for name in first.values()}
    torch.set_default_dtype(torch.float64)
    try:
        for name, net in usual.items():
            wide = pretrained(name)
            assert same(wide, net), name
            floats = [t for t in wide.state_dict().values() if t.is_floating_point()]
            assert floats and all(t.dtype == torch.float32 for t in floats), name
        own = MLP(4)
        publish(
            [Net("own", own, "noise", dtype="fp32")], file="a.safetensors", out=tmp_path, command="", seed=0
        )
        assert all(p.dtype == torch.float32 for p in pretrained("own", weights_dir=tmp_path).parameters())
    finally:
        torch.set_default_dtype(torch.float32)
