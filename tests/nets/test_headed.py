"""Networks of ImageNet with a new head: shapes, whose weights, folding, the zoo. All weights here are random."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import ResNet18_Weights, WeightsEnum

from robustxai.nets import HeadedClassifier, folded, pretrained, zoo
from robustxai.nets.headed import WITHOUT_EXTRAS
from robustxai.nets.recipes import Net, publish


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4, size=64, seed=0):
    return torch.rand(n, 3, size, size, generator=seeded(seed))


HEADS = {
    "resnet18": ["AdaptiveAvgPool2d", "Flatten"],
    "vgg16": ["AdaptiveAvgPool2d", "Flatten", *["Linear", "ReLU", "Dropout"] * 2],
    "googlenet": ["AdaptiveAvgPool2d", "Flatten", "Dropout"],
}
FEATURES = {"resnet18": 512, "vgg16": 4096, "googlenet": 1024}


@pytest.mark.parametrize("architecture", WITHOUT_EXTRAS)
def test_the_head_is_the_papers(architecture):
    with torch.device("meta"):
        model = HeadedClassifier(architecture, classes=37)
    kept, new = model.head[:-5], model.head[-5:]
    assert [type(m).__name__ for m in kept] == HEADS[architecture]
    assert [type(m).__name__ for m in new] == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    assert (new[0].in_features, new[0].out_features) == (FEATURES[architecture], 150)
    assert new[1].num_features == 150 and new[3].p == 0.5 and new[4].out_features == 37
    assert not any(name.startswith("aux") for name, _ in model.named_modules())
    assert not any(m.inplace for m in model.modules() if isinstance(m, nn.ReLU))


@pytest.mark.parametrize("architecture", ["resnet18", "googlenet"])
def test_with_weights_the_body_is_torchvisions(architecture, monkeypatch):
    """What enters the head is what torchvision's own network makes of images with its own preprocessing."""
    extra = {"aux_logits": True, "init_weights": False} if architecture == "googlenet" else {}
    whole = torchvision.models.get_model(architecture, weights=None, **extra)
    if architecture == "googlenet":
        whole.transform_input = True  # as torchvision sets it with weights
    whole.fc = nn.Identity()
    state = whole.state_dict() | {
        "fc.weight": torch.zeros(1000, FEATURES[architecture]),
        "fc.bias": torch.zeros(1000),
    }
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **options: state)
    enum = torchvision.models.get_model_weights(architecture).DEFAULT
    model = HeadedClassifier(architecture, classes=5, weights=str(enum), generator=seeded()).eval()
    again = HeadedClassifier(architecture, classes=5, weights=enum, generator=seeded()).eval()
    x, crop = images(2), enum.transforms()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (crop.mean, crop.std))
    with torch.no_grad():
        expected = whole.eval()((x - mean) / std)
        torch.testing.assert_close(
            model.body(model.normalize(x)).mean((2, 3)), expected, rtol=1e-3, atol=1e-4
        )
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("architecture", ["resnet18", "googlenet"])
def test_folded_answers_the_same(architecture):
    model = HeadedClassifier(architecture, classes=3, generator=seeded())
    for i, module in enumerate(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2, generator=seeded(i))
            module.running_var.uniform_(0.5, 1.5, generator=seeded(i))
    model.eval().double()
    less = folded(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in less.modules())
    found = []
    for net in (model, less):
        x = images(2).double().requires_grad_()
        out = net(x)
        found.append((out.detach(), torch.autograd.grad(out.square().sum(), x)[0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(
    "architecture", ["resnet18", "googlenet", pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_a_round_trip_through_the_zoo(architecture, tmp_path):
    model = HeadedClassifier(architecture, classes=3, hidden=8, generator=seeded()).eval()
    net = Net("few", model, "none", dtype="fp32")
    publish([net], file="w.safetensors", out=tmp_path, command="none", seed=0)
    assert zoo(tmp_path)["few"].arguments == {"architecture": architecture, "classes": 3, "hidden": 8}
    again = pretrained("few", weights_dir=tmp_path)
    assert isinstance(again, HeadedClassifier) and not again.training
    with torch.no_grad():
        assert torch.equal(again(images()), model(images()))
        torch.testing.assert_close(folded(again)(images()), model(images()), rtol=1e-3, atol=1e-5)


def test_the_generator_decides_the_weights():
    a, b, c = (HeadedClassifier("resnet18", classes=3, generator=seeded(s)).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(v, b[k]) for k, v in a.items())
    assert not torch.equal(a["body.conv1.weight"], c["body.conv1.weight"])
    assert not torch.equal(a["head.6.weight"], c["head.6.weight"])


def test_bad_input(monkeypatch):
    with pytest.raises(
        ValueError, match=r"^architecture must be one of resnet18, vgg16, googlenet.*, got 'alexnet'"
    ):
        HeadedClassifier("alexnet", classes=3)
    with pytest.raises(ValueError, match=r"^classes and hidden must be integers >= 1, got 0 and 150"):
        HeadedClassifier("resnet18", classes=0)
    with pytest.raises(
        ValueError, match=r"^weights must be of Goog.* for googlenet, got .*, of another network"
    ):
        HeadedClassifier("googlenet", classes=3, weights=ResNet18_Weights.DEFAULT)

    def refuse(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", refuse)
    with pytest.raises(
        ValueError, match=r"could not be fetched \(no route to host\); with a network connection"
    ):
        HeadedClassifier("resnet18", classes=3, weights=ResNet18_Weights.DEFAULT)


@pytest.mark.parametrize("architecture", ["resnet18", "googlenet"])
def test_the_second_derivatives_are_zero(architecture):
    """What an attack on a map would follow: the chapters say so of networks of ReLUs (pitfall P10 of `manifold_ig`)."""
    model = HeadedClassifier(architecture, classes=3, generator=seeded()).eval()
    x = images(1).requires_grad_()
    (slope,) = torch.autograd.grad(model(x)[0, 0], x, create_graph=True)
    (second,) = torch.autograd.grad((slope * images(1, seed=1)).sum(), x)
    assert slope.abs().max() > 0 and not second.any()
