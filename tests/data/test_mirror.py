"""The prepared folder that ROBUSTXAI_DATA names: same arrays as upstream, notes, decoding on demand."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest
import torch
from torchvision.datasets import MNIST, FashionMNIST
from typer.testing import CliRunner

from robustxai._cli.data import app
from robustxai.data import load
from robustxai.data.catalog import entry
from robustxai.data.duplicates import near_duplicates

MIRROR = os.environ.get("ROBUSTXAI_DATA")
pytestmark = [pytest.mark.mirror, pytest.mark.skipif(MIRROR is None, reason="ROBUSTXAI_DATA is not set")]


@pytest.mark.parametrize(("name", "upstream"), [("mnist", MNIST), ("fashion_mnist", FashionMNIST)])
def test_same_arrays_as_torchvision(name, upstream, tmp_path):
    raw = tmp_path / upstream.__name__ / "raw"
    raw.mkdir(parents=True)
    for file in entry(name).files:
        (raw / file.name.removesuffix(".gz")).write_bytes(
            gzip.decompress((Path(MIRROR or "") / name / file.name).read_bytes())
        )
    for split in ("train", "test"):
        theirs, ours = upstream(str(tmp_path), train=split == "train", download=False), load(name, split)
        assert torch.equal(ours.y, theirs.targets) and ours.x.shape == (len(theirs), 1, 28, 28)
        assert torch.equal(ours.x[:, 0], theirs.data.float() / 255)
    if name == "fashion_mnist":
        assert ours.classes == tuple(theirs.classes)


# md5 of the uncompressed files, as the authors and other readers of MNIST publish them
CONTENT = {
    ("mnist", "train-images-idx3-ubyte.gz"): "6bbc9ace898e44ae57da46a324031adb",
    ("mnist", "t10k-images-idx3-ubyte.gz"): "2646ac647ad5339dbf082846283269ea",
    ("fashion_mnist", "train-images-idx3-ubyte.gz"): "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    ("fashion_mnist", "t10k-images-idx3-ubyte.gz"): "8181f5470baa50b63fa0f6fddb340f0a",
}


@pytest.mark.parametrize(("name", "file"), CONTENT)
def test_uncompressed_content_is_the_published_one(name, file):
    data = gzip.decompress((Path(MIRROR or "") / name / file).read_bytes())
    assert hashlib.md5(data).hexdigest() == CONTENT[name, file]


PACKS = (
    "cifar10", "tiny_imagenet25", "smiles64", "dtd10", "dtd_striped", "celebahq128", "imagenet_sample1000",
)  # fmt: skip


@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_packs_are_shuffled_and_decoded_on_demand(name, split):
    e = entry(name)
    if split not in e.splits:
        pytest.skip(f"{name} has no {split} split")
    d = load(name, split, limit=60)
    assert d.x.shape == (60, *e.shape) and 0 <= d.x.min() and d.x.max() <= 1 and d.x.std() > 0.1
    assert len(d.classes) == e.classes and len(d.y.unique()) >= min(9, e.classes)
    again = load(name, split, indices=torch.tensor([59, 0]))
    assert torch.equal(again.x, d.x[[59, 0]]) and torch.equal(again.y, d.y[[59, 0]])


def test_cifar_says_that_it_is_recompressed():
    assert load("cifar10", "test", limit=1).note.startswith("recompressed")


def test_lossless_images_are_close_to_their_recompressed_twins_and_agree_in_label():
    import numpy as np

    clean = load("cifar10_lossless4000", limit=40)
    assert clean.note == ""
    with np.load(Path(MIRROR or "") / "cifar10" / "lossless_train_4000_labels.npz") as z:
        twin = torch.from_numpy(z["jpeg_index"][:40].astype(np.int64))
    place = torch.from_numpy(np.argsort(np.random.default_rng(0).permutation(50000)))
    lossy = load("cifar10", indices=place[twin])
    assert torch.equal(lossy.y, clean.y)
    error = (lossy.x - clean.x).square().mean().sqrt() * 255
    assert 4 < error < 12


def test_tiny_imagenet_boxes_are_where_they_should_be():
    d = load("tiny_imagenet25", "test", limit=200)
    assert d.boxes is not None and (d.boxes[:, 2:] >= d.boxes[:, :2]).all() and d.boxes.max() <= 63
    area = ((d.boxes[:, 2:] - d.boxes[:, :2] + 1).prod(1) / 64**2).mean()
    assert 0.4 < area < 0.7


def test_smiles_are_split_by_near_duplicates_and_have_mouth_boxes():
    train, test = load("smiles64"), load("smiles64", "test")
    assert (len(train), len(test)) == tuple(entry("smiles64").counts.values())
    groups = near_duplicates(torch.cat((train.x, test.x)))
    assert not set(groups[: len(train)]) & set(groups[len(train) :])
    assert len(set(groups)) < len(groups)
    assert test.boxes is not None
    known = test.boxes[~test.boxes.isnan().any(1)]
    assert 600 < len(known) < 741 and set(test.y[~test.boxes.isnan().any(1)].tolist()) == {1}
    area = ((known[:, 2:] - known[:, :2] + 1).prod(1) / 64**2).mean()
    assert 0.15 < area < 0.25 and known.min() >= 0 and known.max() <= 63


def test_textures_can_be_scaled_and_stay_stored_pictures():
    whole, small = load("dtd10", limit=4), load("dtd10", limit=4, size=64)
    assert whole.x.shape == (4, 3, 192, 192) and small.x.shape == (4, 3, 64, 64)
    assert torch.equal(small.y, whole.y) and "chequered" in small.classes and "striped" not in small.classes
    levels = small.x * 255
    assert (levels - levels.round()).abs().max() < 1e-4
    assert (small.x.mean((2, 3)) - whole.x.mean((2, 3))).abs().max() < 0.01


def test_imagenet_sample_has_each_class_once():
    d = load("imagenet_sample1000", "test", limit=3, size=32)
    assert d.x.shape == (3, 3, 32, 32) and d.note
    assert d.classes[0] == "tench" and d.classes[1] == "goldfish"


# persons and those of class 1, as the publishers of these tables count them
TABLES = {
    "adult": ((32561, 7841), (16281, 3846), {1: 9, 13: 42}),
    "bank_marketing": ((28831, None), (12357, None), {1: 12, 8: 10}),
    "compas": ((4320, None), (1852, None), {1: 2, 2: 6}),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_the_published_rows_and_levels(name):
    *counts, levels = TABLES[name]
    parts = [load(name, split) for split in ("train", "test")]
    for part, (n, positive) in zip(parts, counts, strict=True):
        assert part.x.shape == (n, *entry(name).shape) and part.y.unique().tolist() == [0, 1]
        assert positive is None or int(part.y.sum()) == positive
        assert part.features == parts[0].features and part.levels == parts[0].levels
    missing = [int(part.x.isnan().any(1).sum()) for part in parts]
    assert missing == ([2399, 1221] if name == "adult" else [0, 0])
    for column, names in enumerate(parts[0].levels):
        codes = parts[0].x[:, column]
        assert not names or set(codes[~codes.isnan()].tolist()) == set(map(float, range(len(names))))
        if column in levels:
            assert len(names) + (name == "adult") == levels[column]
    shares = [part.y.float().mean().item() for part in parts]
    assert shares[0] == pytest.approx(shares[1], abs=0.006)


def test_compas_and_bank_marketing_hold_no_column_that_they_must_not():
    compas, bank = load("compas", "test"), load("bank_marketing", "test")
    assert not set(compas.features) & {"name", "first", "last", "dob", "decile_score", "is_recid", "id"}
    assert "duration" not in bank.features and bank.note and compas.note
    assert sum(len(load("compas", s)) for s in ("train", "test")) == 6172
    both = [load("bank_marketing", s) for s in ("train", "test")]
    assert sum(int(d.y.sum()) for d in both) == 4640 and sum(map(len, both)) == 41188
    part = load("compas", "test", indices=torch.tensor([5, 0]))
    assert torch.equal(part.x, compas.x[[5, 0]]) and torch.equal(
        load("adult", limit=7).x.isnan().any(1), load("adult").x[:7].isnan().any(1)
    )


def test_cli_checks_what_is_there():
    result = CliRunner().invoke(app, ["get", "cifar10"])
    assert result.exit_code == 0 and "cifar10_jpeg60k.npz: 18,053,428 bytes, checksum fits" in result.stdout
    assert "here" in CliRunner().invoke(app, ["list"], env={"COLUMNS": "200"}).stdout


def test_faces_have_forty_attributes_and_are_split_by_near_duplicates():
    sides = {split: load("celebahq128", split, size=64) for split in entry("celebahq128").splits}
    assert {split: len(d) for split, d in sides.items()} == entry("celebahq128").counts
    for d in sides.values():
        assert d.attributes is not None and d.attributes.shape == (len(d), 40) == (len(d), len(d.features))
        smiling = d.attributes[:, d.features.index("Smiling")]
        assert torch.equal(smiling.long(), d.y) and d.classes == ("not smiling", "smiling") and d.note
        few = d.subset(torch.tensor([3, 0])).attributes
        assert few is not None and torch.equal(few, d.attributes[[3, 0]])
    groups = near_duplicates(torch.cat([d.x for d in sides.values()]), threshold=0.96)
    assert not set(groups[: len(sides["train"])]) & set(groups[len(sides["train"]) :])


def test_stripes_are_one_kind_and_can_be_scaled():
    whole, small = load("dtd_striped", limit=4), load("dtd_striped", limit=4, size=64)
    assert whole.x.shape == (4, 3, 256, 256) and small.x.shape == (4, 3, 64, 64)
    assert small.classes == ("striped",) and not small.y.any()
