"""MODEL of `robustxai audit`: where networks come from, what is refused in one sentence, and nothing is left behind."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from robustxai.arena.auditing.source import read_weights
from robustxai.arena.auditing.sources import from_module, load_source

FACTORY = """
import torch
from torch import nn
from helper import CLASSES

def make():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    net.classes, net.mean, net.std = CLASSES, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    return net

def number():
    return 3

def broken():
    raise KeyError("no such key")

def needs(a):
    return a
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(FACTORY)
    (tmp_path / "helper.py").write_text("CLASSES = ['cat', 'dog']\n")
    yield tmp_path
    sys.modules.pop("helper", None)


def test_a_factory_in_a_file_with_what_it_imports_and_nothing_written_beside_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = load_source(f"{folder}/mine.py:make")
    assert found.net(torch.rand(1, 3, 8, 8)).shape == (1, 2)
    assert found.classes == ("cat", "dog") and found.mean == (0.5, 0.5, 0.5) and found.name == "mine.py:make"
    assert sorted(p.name for p in folder.rglob("*")) == ["helper.py", "mine.py"]
    assert str(folder) not in sys.path and sys.dont_write_bytecode is False


def one_sentence(error: pytest.ExceptionInfo[ValueError], *words: str) -> None:
    said = str(error.value)
    assert "\n" not in said and len(said) < 400 and all(word in said for word in words), said


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("mine.py:maek", ("no factory 'maek'", "make")),
        ("mine.py:number", ("must return a network", "int")),
        ("mine.py:broken", ("broken raised KeyError",)),
        ("mine.py:needs", ("needs raised TypeError",)),
        ("other.py:make", ("must name a file that exists",)),
        ("torchvision:resnet19", ("no classifier 'resnet19'", "resnet18")),
        ("torchvision:resnet18?wieghts=x.pth", ("takes weights", "'wieghts'")),
        ("torchvision:resnet18?classes=0", ("classes must be an integer >= 1",)),
        ("torchvision:resnet18?weights=nowhere.pth", ("nowhere.pth",)),
        ("zoo:diffgradcam-animals4-s0-claen", ("near", "clean")),
        ("hf:nowhere", ("config.json",)),
        ("net.pth", ("MODEL must be one of", "pickled network is refused")),
        ("resnet18", ("MODEL must be one of",)),
    ],
)
def test_what_is_no_network_gets_one_sentence(folder: Path, model: str, words: tuple[str, ...]):
    with pytest.raises(ValueError) as error:
        load_source(f"{folder}/{model}" if model.partition(":")[0] in ("mine.py", "other.py") else model)
    one_sentence(error, *words)


def test_weights_of_torchvision_and_how_many_classes_they_have(tmp_path: Path):
    state = load_source("torchvision:squeezenet1_1?classes=7", seed=1).net.state_dict()
    for name, write in (("w.pth", torch.save), ("w.safetensors", save_file)):
        write(state, tmp_path / name)
        found = load_source(f"torchvision:squeezenet1_1?weights={tmp_path}/{name}&classes=7")
        assert all(torch.equal(state[key], value) for key, value in found.net.state_dict().items())
        assert found.size == 224 and not found.notes and not found.net.training
    assert "random" in load_source("torchvision:squeezenet1_1").notes[0]
    with pytest.raises(ValueError) as error:
        load_source(f"torchvision:resnet18?weights={tmp_path}/w.pth")
    one_sentence(error, "do not fit ResNet")


def test_random_weights_come_from_the_seed_alone():
    first, again, other = (load_source("torchvision:squeezenet1_1?classes=2", seed=s).net for s in (0, 0, 1))
    ones, twos, threes = (next(net.parameters()) for net in (first, again, other))
    assert torch.equal(ones, twos) and not torch.equal(ones, threes)


class Payload:
    """A pickle that would run a command."""

    def __reduce__(self):
        return (print, ("ran",))


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"fc.weight": Payload()}, tmp_path / "w.pth")
    with pytest.raises(ValueError) as error:
        read_weights(str(tmp_path / "w.pth"))
    one_sentence(error, "pickled objects", "refused")
    assert "ran" not in capsys.readouterr().out


def test_the_zoo_says_the_size():
    found = load_source("zoo:diffgradcam-animals4-s0-clean")
    assert found.size == 56 and not found.net.training


def test_timm_says_its_normalisation_and_a_timm_object_is_recognised():
    timm = pytest.importorskip("timm")
    found = load_source("timm:resnet10t.c3_in1k?classes=5")
    assert found.size == 176 and found.mean == (0.485, 0.456, 0.406) and "random" in found.notes[0]
    same = from_module(timm.create_model("resnet10t.c3_in1k", pretrained=False, num_classes=5))
    assert (same.mean, same.size, same.name) == (found.mean, found.size, "ResNet")
    with pytest.raises(ValueError, match="near names are"):
        load_source("timm:resnet10x")


@pytest.fixture
def hugging_face(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=3,
        id2label={0: "ant", 1: "bee", 2: "cat"}, label2id={"ant": 0, "bee": 1, "cat": 2},
    )  # fmt: skip
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    return tmp_path


def test_a_hugging_face_folder_with_its_preprocessing(hugging_face: Path):
    said = {
        "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5], "do_normalize": True, "size": {"shortest_edge": 40}
    }  # fmt: skip
    (hugging_face / "preprocessor_config.json").write_text(json.dumps(said))
    found = load_source(f"hf:{hugging_face}")
    assert (found.classes, found.size, found.mean) == (("ant", "bee", "cat"), 40, [0.1, 0.2, 0.3])
    (hugging_face / "preprocessor_config.json").write_text(json.dumps(said | {"rescale_factor": 2 / 255}))
    found = load_source(f"hf:{hugging_face}")
    x = torch.rand(4)
    ours = (x[:, None] - torch.tensor(found.mean)) / torch.tensor(found.std)
    theirs = (255 * x[:, None] * (2 / 255) - torch.tensor(said["image_mean"])) / 0.5
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_hugging_face_folder_without_preprocessing_or_with_a_pickle(hugging_face: Path):
    found = load_source(f"hf:{hugging_face}")
    assert found.mean is None and "preprocessor_config.json" in found.notes[0]
    (hugging_face / "model.safetensors").unlink()
    torch.save({}, hugging_face / "pytorch_model.bin")
    with pytest.raises(ValueError) as error:
        load_source(f"hf:{hugging_face}")
    one_sentence(error, "must hold safetensors", "pickle")


def test_a_network_in_python_may_say_what_it_expects():
    net = nn.Linear(2, 2)
    assert from_module(net).mean is None and from_module(net).name == "Linear"
    net.mean, net.std, net.size = [0.5], [0.2], 64  # pyright: ignore[reportArgumentType]
    assert (from_module(net).mean, from_module(net).size) == ([0.5], 64)
