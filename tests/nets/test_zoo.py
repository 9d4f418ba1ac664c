"""Stored weights: round trips, parents, checks, and errors that name the file."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import same, tiny

from robustxai.nets import WeightsError, pretrained, round_weights, save_weights, zoo
from robustxai.nets.checksum import check_file
from robustxai.nets.recipes import Net, publish
from robustxai.nets.zoo import PACKAGE_WEIGHTS


def store(out: Path, *nets: Net) -> None:
    publish(nets, file="tiny.safetensors", out=out, command="robustxai train tiny --seed 0", seed=0)


def net(name: str, module: torch.nn.Module, **options) -> Net:
    return Net(name, module, dataset="noise", metrics={"accuracy": 0.5}, **options)


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_a_round_trip_keeps_the_stored_precision(tmp_path: Path, dtype: str) -> None:
    module = tiny()
    store(tmp_path, net("a", module, dtype=dtype))
    loaded = pretrained("a", weights_dir=tmp_path)
    assert all(p.dtype == torch.float32 and p.requires_grad for p in loaded.parameters())
    assert not any(part.training for part in loaded.modules())
    assert same(loaded, module) == (dtype == "fp32")
    assert same(loaded, round_weights(module, dtype=dtype))
    entry = zoo(tmp_path)["a"]
    assert (entry.dtype, entry.dataset, entry.metrics, entry.licence) == (
        dtype,
        "noise",
        {"accuracy": 0.5},
        "MIT",
    )
    assert entry.command == "robustxai train tiny --seed 0"


def test_several_nets_share_a_file_and_a_child_stores_only_what_differs(tmp_path: Path) -> None:
    parent = tiny(1)
    store(tmp_path, net("parent", parent), net("other", tiny(2)))
    child = pretrained("parent", weights_dir=tmp_path)
    with torch.no_grad():
        child.head.bias += 1.0
    before = (tmp_path / "tiny.safetensors").stat().st_size
    store(tmp_path, net("child", child, parent="parent"))
    assert (tmp_path / "tiny.safetensors").stat().st_size - before < 1000
    loaded = pretrained("child", weights_dir=tmp_path)
    assert same(loaded, round_weights(child))
    assert same(pretrained("other", weights_dir=tmp_path), round_weights(tiny(2)))
    assert zoo(tmp_path)["child"].parent == "parent"


def test_a_child_may_come_with_its_parent_and_stands_alone_where_that_is_missing(tmp_path: Path) -> None:
    parent, child = tiny(1), tiny(1)
    with torch.no_grad():
        child.head.bias += 1.0
    store(tmp_path / "both", net("parent", parent), net("child", child, parent="parent"))
    store(tmp_path / "alone", net("child", child, parent="parent"))
    assert zoo(tmp_path / "alone")["child"].parent is None
    assert same(
        pretrained("child", weights_dir=tmp_path / "both"),
        pretrained("child", weights_dir=tmp_path / "alone"),
    )


def test_a_parent_cannot_change_under_its_children(tmp_path: Path) -> None:
    store(tmp_path, net("parent", tiny(1)), net("child", tiny(1), parent="parent"))
    store(tmp_path, net("parent", tiny(1)))
    with pytest.raises(ValueError, match="network 'parent' would change, and child are differences from it"):
        store(tmp_path, net("parent", tiny(2)))
    assert same(pretrained("child", weights_dir=tmp_path), round_weights(tiny(1)))


def test_storing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        store(tmp_path / folder, net("x", tiny(1)), net("y", tiny(2)))
    store(tmp_path / "b", net("x", tiny(1)))
    for name in ("manifest.json", "tiny.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("position", [0, 200, -1])
def test_a_flipped_byte_is_an_error_that_names_the_file(tmp_path: Path, position: int) -> None:
    store(tmp_path, net("a", tiny()))
    pretrained("a", weights_dir=tmp_path)
    path = tmp_path / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weight file .*tiny\.safetensors is altered"):
        pretrained("a", weights_dir=tmp_path)
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is altered"):
        store(tmp_path, net("b", tiny()))


def test_missing_files_and_manifests_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"manifest\.json is not a readable weights manifest"):
        zoo(tmp_path)
    store(tmp_path, net("a", tiny()))
    (tmp_path / "tiny.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"tiny\.safetensors is missing"):
        pretrained("a", weights_dir=tmp_path)


def test_a_manifest_that_does_not_fit_its_file_is_an_error(tmp_path: Path) -> None:
    store(tmp_path, net("a", tiny()))
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["nets"]["a"]["arguments"]["classes"] = 4
    path.write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match=r"tiny\.safetensors does not fit network 'a'"):
        pretrained("a", weights_dir=tmp_path)
    manifest["nets"]["a"]["architecture"] = "os.system"
    path.write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="must be a class inside robustxai"):
        pretrained("a", weights_dir=tmp_path)


def test_an_unknown_name_lists_the_near_ones(tmp_path: Path) -> None:
    store(tmp_path, net("menagerie4-clean-s0", tiny()))
    with pytest.raises(
        ValueError,
        match="name must be a network of the zoo, got 'menagerie4-clean-s1'; near: menagerie4-clean-s0",
    ):
        pretrained("menagerie4-clean-s1", weights_dir=tmp_path)
    with pytest.raises(ValueError, match=r"network name must be of a-z, 0-9, '_', '\.' and '-', got 'A b'"):
        store(tmp_path, net("A b", tiny()))


def test_numbers_that_cannot_be_stored_are_refused(tmp_path: Path) -> None:
    module = tiny()
    with torch.no_grad():
        module.head.bias[0] = 1e6
    with pytest.raises(
        ValueError, match=r"tensor a/head\.bias must be finite as fp16, got a number that is not"
    ):
        save_weights(tmp_path / "a.safetensors", {"a": module})
    save_weights(tmp_path / "a.safetensors", {"a": module}, dtype="fp32")
    with pytest.raises(ValueError, match="dtype must be one of fp16, fp32, int8; got 'int4'"):
        save_weights(tmp_path / "a.safetensors", {"a": module}, dtype="int4")


def test_every_shipped_file_is_in_the_manifest_and_unaltered() -> None:
    manifest = json.loads((PACKAGE_WEIGHTS / "manifest.json").read_text())
    assert {p.name for p in PACKAGE_WEIGHTS.glob("*.safetensors")} == set(manifest["files"])
    for name, file in manifest["files"].items():
        check_file(PACKAGE_WEIGHTS / name, file["sha256"])
        assert file["bytes"] <= 14e6
    assert sum(file["bytes"] for file in manifest["files"].values()) <= 30e6
    assert set(zoo()) == set(manifest["nets"])


def test_the_wheel_carries_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=root, check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = [path.name for path in PACKAGE_WEIGHTS.iterdir() if path.suffix in (".json", ".safetensors")]
    assert "manifest.json" in files
    assert {f"robustxai/nets/weights/{name}" for name in files} <= inside
