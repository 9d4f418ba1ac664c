"""`load` and the catalog without any file: built-in sets, positions, names, the command line."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from typer.testing import CliRunner

from robustxai._cli.data import app
from robustxai.data import NotAvailable, UnknownDataset, UnknownSplit, catalog, describe, fetch, load
from robustxai.data.catalog import entry
from robustxai.data.dataset import positions
from robustxai.data.errors import OFFLINE
from robustxai.data.load import READERS


@pytest.fixture(autouse=True)
def nothing_on_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    monkeypatch.setattr(fetch, "cache", lambda: tmp_path / "cache")


@pytest.mark.parametrize("name", OFFLINE)
@pytest.mark.parametrize("split", ["train", "test"])
def test_built_in_sets_keep_the_catalogs_word(name, split):
    e = entry(name)
    limit = 60 if name == "menagerie" else None  # drawn on demand: fewer are quicker
    d = load(name, split, limit=limit)
    assert (len(d), tuple(d.x.shape[1:]), len(d.classes)) == (limit or e.counts[split], e.shape, e.classes)
    assert d.y.unique().tolist() == list(range(e.classes)) and d.x.dtype == torch.float32
    assert (d.name, d.split) == (name, split)
    if name != "breast_cancer":
        assert 0 <= d.x.min() and d.x.max() <= 1


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_the_split_is_a_seeded_stratified_partition(name):
    train, test = load(name, "train"), load(name, "test")
    again = load(name, "train")
    assert torch.equal(train.x, again.x) and torch.equal(train.y, again.y)
    bunch = load_digits() if name == "digits" else load_breast_cancer()
    ours = torch.cat((train.x, test.x)).flatten(1).sort(0).values
    theirs = torch.from_numpy(bunch.data).float() / (16 if name == "digits" else 1)
    torch.testing.assert_close(ours, theirs.sort(0).values)
    shares = [torch.bincount(d.y) / len(d) for d in (train, test)]
    torch.testing.assert_close(shares[0], shares[1], atol=0.01, rtol=0)


def test_breast_cancer_has_names():
    d = load("breast_cancer", "test")
    assert d.classes == ("malignant", "benign") and len(d.features) == 30 and d.features[0] == "mean radius"


def test_limit_and_indices():
    whole = load("digits")
    assert torch.equal(load("digits", limit=50).x, whole.x[:50])
    assert len(load("digits", limit=10**6)) == len(whole)
    which = torch.tensor([5, 3, 3])
    part = load("digits", indices=which)
    assert torch.equal(part.x, whole.x[which]) and torch.equal(part.y, whole.y[which])
    assert torch.equal(whole.subset(which).x, part.x)


def test_menagerie_takes_size_and_any_limit_and_its_splits_differ():
    d = load("menagerie", "test", limit=12, size=32)
    assert d.x.shape == (12, 3, 32, 32)
    assert not torch.equal(d.x, load("menagerie", "train", limit=12, size=32).x)
    assert torch.equal(d.x, load("menagerie", "test", limit=12, size=32).x)
    one = load("menagerie", "test", limit=12, indices=None, size=32).subset(torch.tensor([7]))
    assert torch.equal(one.x[0], d.x[7])


def test_positions_refuse_what_cannot_be():
    assert positions(5, None, None).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"^limit and indices must not both be given"):
        positions(5, 2, torch.tensor([0]))
    with pytest.raises(ValueError, match=r"^limit must be an integer >= 1, got 0"):
        positions(5, 0, None)
    with pytest.raises(ValueError, match=r"^indices must be in \[0, 4\], got -1 to 5"):
        positions(5, None, torch.tensor([-1, 5]))
    with pytest.raises(
        ValueError, match=r"^indices must be int64 of shape \(m,\), got torch.int64 of shape \(1, 1\)"
    ):
        positions(5, None, torch.tensor([[1]]))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("minst", "did you mean mnist"),
        ("Fashion-MNIST", "did you mean fashion_mnist"),
        ("xyzzy", "known are menagerie"),
    ],
)
def test_unknown_names_come_with_near_ones(name, hint):
    with pytest.raises(UnknownDataset, match=rf"^there is no data set named '{name}': {hint}"):
        load(name)


def test_unknown_splits_and_sizes_are_named():
    with pytest.raises(UnknownSplit, match=r"^split of mnist must be one of train, test, got 'val'$"):
        load("mnist", "val")
    with pytest.raises(
        UnknownSplit, match=r"^split of imagenet_sample1000 must be one of test, got 'train'$"
    ):
        load("imagenet_sample1000")
    with pytest.raises(ValueError, match=r"^size must be None for digits, which has one resolution, got 64"):
        load("digits", size=64)
    with pytest.raises(ValueError, match=r"^size must be an integer >= 1, got 0"):
        load("menagerie", size=0)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "adult", "bank_marketing", "compas"])
def test_a_missing_set_names_every_way_out(name):
    with pytest.raises(NotAvailable) as error:
        load(name)
    sentence = str(error.value)
    assert sentence.startswith(
        f"{name} is not on this machine: pass download=True, run `robustxai data get {name}`"
    )
    assert "ROBUSTXAI_DATA" in sentence and all(n in sentence for n in OFFLINE) and "\n" not in sentence


@pytest.mark.parametrize(
    "name",
    [
        "tiny_imagenet25",
        "smiles64",
        "dtd10",
        "dtd_striped",
        "celebahq128",
        "imagenet_sample1000",
        "cifar10_lossless4000",
    ],
)
def test_sets_without_a_public_pack_say_so(name):
    with pytest.raises(
        NotAvailable, match=rf"^{name} has no public prepared download: it is read only from "
    ):
        load(name, entry(name).splits[0], download=True)


def test_a_data_folder_that_is_none_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "gone"))
    sentence = r"^ROBUSTXAI_DATA names '.*gone', which is not a folder: there is none at /.*gone\.$"
    with pytest.raises(NotAvailable, match=sentence):
        load("mnist")


def test_catalog_is_complete():
    names = [e.name for e in catalog()]
    assert len(set(names)) == len(names) and set(names) == set(READERS)
    for e in catalog():
        assert e.title and e.licence and e.used_in and all(e.counts.values()), e.name
        assert (e.source == "no file needed") == (e.name in OFFLINE) and (e.size > 0) == bool(e.files)
        assert e.name == "menagerie" or (e.citation and e.url.startswith("http"))
        for f in e.files:
            assert all(len(s) == 64 and int(s, 16) >= 0 for s in f.sha256) and f.size > 0
            assert bool(f.urls) == bool(f.upstream_size)
        assert set(e.sha256) == {f.name for f in e.files}


def test_describe_is_a_data_card():
    text = describe("fashion_mnist")
    assert "MIT" in text and "arXiv 1708.07747" in text and text.count("sha256") == 4
    assert "recompressed" in describe("cifar10")


def run(*words: str):
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})


def test_cli_lists_every_set():
    result = run("list")
    assert result.exit_code == 0 and all(e.name in result.stdout for e in catalog())
    assert "prepared folder only" in result.stdout and "built in" in result.stdout


def test_cli_shows_and_needs_no_file_for_built_in_sets():
    assert run("show", "mnist").stdout.strip() == describe("mnist")
    assert run("get", "digits").stdout == "digits needs no file.\n"


@pytest.mark.parametrize("command", ["get", "show"])
def test_cli_answers_a_wrong_name_with_one_sentence(command):
    result = run(command, "minst")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == "robustxai data: there is no data set named 'minst': did you mean mnist?\n"


def test_cli_answers_a_missing_pack_with_one_sentence():
    result = run("get", "tiny_imagenet25")
    assert (
        result.exit_code == 1
        and result.stderr.count("\n") == 1
        and "no public prepared download" in result.stderr
    )
