"""A user's network before anything is attacked: outputs, normalisation, layer, kinks, time; and bad ones refused."""

import copy
import time

import pytest
import torch
from torch import nn

from robustxai.arena.auditing.layers import TokensAsMaps, trace_layer, with_map
from robustxai.arena.auditing.network import AuditedNetwork, OutOfTime, kind_of_outputs
from robustxai.arena.auditing.pictures import PictureSet
from robustxai.arena.auditing.preflight import in_batches, inspect_network
from robustxai.arena.auditing.source import Source
from robustxai.diffgradcam import GradCAM
from robustxai.models import logits_of
from robustxai.nets.softplus import softplus_copy


@pytest.fixture(autouse=True)
def _as_shipped():
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def convolutional(*end: nn.Module, classes: int = 3, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 4, 3, padding=1), act(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), act()]
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes), *end).eval()


X = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def inspected(net: nn.Module, x: torch.Tensor = X, labels=None, **more):
    pictures = PictureSet(x, tuple(f"{i}.png" for i in range(len(x))), labels)
    return inspect_network(Source(net, "mine", **more), pictures, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (convolutional().train(), None),
        (
            nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "eval mode",
        ),
        (nn.Conv2d(3, 5, 1), r"must return logits \(n, classes\), got shape \(4, 5, 16, 16\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "does not run on x"),
        (nn.Conv2d(5, 5, 1), "does not run on x"),
    ],
)
def test_networks_that_are_refused_and_one_that_is_not(net: nn.Module, words: str | None):
    if words is None:
        assert inspected(net).classes == 3  # nothing in it reads its mode
        return
    with pytest.raises(ValueError, match=words) as error:
        inspected(net)
    assert "\n" not in str(error.value)


def test_nan_is_named_with_its_image():
    net = convolutional()

    class Broken(nn.Module):
        def forward(self, x):
            return torch.cat([net(x[:2]), net(x[2:]) * torch.nan])

    with pytest.raises(ValueError, match=r"finite logits, got NaN or infinity on 2\.png"):
        inspected(Broken())


@pytest.mark.parametrize(
    ("end", "kind"),
    [((), "logits"), ((nn.Softmax(1),), "softmax"), ((nn.Sigmoid(),), "sigmoid")],
    ids=["logits", "softmax", "sigmoid"],
)
def test_probabilities_are_noticed_and_their_logarithm_is_explained(end, kind: str):
    net, plain = convolutional(*end), convolutional()
    assert kind_of_outputs(net, X) == kind
    found = inspected(net)
    assert found.model.outputs == kind and any("probabilities" in w for w in found.warnings) == bool(end)
    ours, theirs = found.model(X), plain(X)
    shift = (ours - theirs).mean(1, keepdim=True) if kind == "softmax" else 0.0
    assert torch.allclose(ours - shift, theirs, atol=1e-4)
    assert torch.equal(found.target, theirs.argmax(1))


def test_a_sigmoid_of_one_logit_and_one_logit_alone():
    assert kind_of_outputs(convolutional(nn.Sigmoid(), classes=1), X) == "sigmoid"
    found = inspected(convolutional(classes=1), labels=(0, 1, 1, 0))
    assert found.classes == 1 and found.model.outputs == "logits" and set(found.target.tolist()) <= {0, 1}
    assert 0 <= found.accuracy <= 1


def test_labels_and_a_warning_where_they_do_not_fit():
    net = convolutional(classes=20)
    predicted = net(X).argmax(1)
    assert inspected(net, labels=tuple(predicted.tolist())).accuracy == 1
    wrong = inspected(net, labels=tuple(((predicted + 1) % 20).tolist()))
    assert wrong.accuracy == 0 and any("--mean, --std" in w for w in wrong.warnings)


def test_normalisation_stands_before_the_network():
    net = convolutional()
    found = inspected(net, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    x = (X - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    assert torch.allclose(found.model(X), net(x), atol=1e-6)


def test_a_grey_network_sees_grey_images():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert inspected(net).x.shape == (4, 1, 16, 16)


def test_the_time_is_up_for_copies_as_well():
    model = AuditedNetwork(convolutional())
    twin = softplus_copy(model, 20)
    model.clock.start(minutes=0.0002)
    model(X)
    time.sleep(0.02)
    for net in (model, twin, copy.deepcopy(model)):
        with pytest.raises(OutOfTime):
            net(X)
    model.clock.stop()
    twin(X)


def test_batches_are_halved_where_memory_is_short_and_other_errors_come_out():
    asked = []

    def run(n: int) -> int:
        asked.append(n)
        if n > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return n

    assert in_batches(run, 16) == (2, 2) and asked == [16, 8, 4, 2]
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(lambda n: run(n + 10), 2)
    with pytest.raises(RuntimeError, match="other"):
        in_batches(lambda n: (_ for _ in ()).throw(RuntimeError("other")), 4)


@pytest.mark.parametrize(
    ("act", "smooth"), [(nn.ReLU, True), (nn.ReLU6, True), (nn.GELU, True), (nn.Hardswish, False)]
)
def test_kinks_that_stay_are_said(act: type[nn.Module], smooth: bool):
    found = inspected(convolutional(act=act))
    assert found.smooth is smooth and any("upper limits only" in w for w in found.warnings) is not smooth
    assert found.seconds > 0 and found.megabytes > 0


class Shared(nn.Module):
    """One activation that runs three times, at the end of which there is the last map."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.act = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.ReLU()
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        x = self.act(self.two(self.act(self.one(x))))
        return self.head(self.act(x.mean((2, 3))))


class Tokens(nn.Module):
    """A patch embedding, then tokens with one in front, as a vision transformer has."""

    def __init__(self):
        super().__init__()
        self.patch, self.mix, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = self.mix(torch.cat([t.mean(1, keepdim=True), t], 1))
        return self.head(t.tanh().mean(1))


class ChannelsLast(nn.Module):
    """A last map (n, h, w, K)."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.head = nn.Conv2d(3, 9, 4, 4), nn.LayerNorm(9), nn.Linear(9, 2)

    def forward(self, x):
        return self.head(self.norm(self.body(x).permute(0, 2, 3, 1)).mean((1, 2)))


def test_the_layer_is_traced_asked_for_or_named_by_the_network():
    net = convolutional()
    assert (trace_layer(net, X).name, trace_layer(net, X).size) == ("4", (8, 8))
    assert trace_layer(net, X, "0").name == "0"
    with pytest.raises(ValueError, match="layer must be a module of the model, got 'conv'; near names"):
        trace_layer(net, X, "conv")
    net.gap_layer = "3"  # pyright: ignore[reportArgumentType]
    assert trace_layer(net, X).name == "3" and "itself names" in trace_layer(net, X).words
    shared = trace_layer(Shared(), X)
    assert shared.name == "act:2" and GradCAM(Shared(), shared.name)(X).shape == (4, 1, 16, 16)


def test_tokens_have_no_layer_and_a_reshape_makes_one():
    net = Tokens()
    found = trace_layer(net, X)
    assert found.name is None and "tokens" in found.words and "patch" in found.words
    before = logits_of(net, X)
    assert with_map(net, "mix", "vit") == "mix.map" and torch.equal(logits_of(net, X), before)
    assert GradCAM(net, "mix.map", size="native")(X).shape == (4, 1, 4, 4)
    assert trace_layer(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), X).name is None


def test_a_map_with_its_channels_last_is_seen_as_one():
    net = ChannelsLast()
    found = trace_layer(net, X)
    assert (found.name, found.size, found.channels_last) == ("norm", (4, 4), True)
    before = net(X)
    layer = with_map(net, "norm", "channels_last")
    assert torch.equal(net(X), before) and GradCAM(net, layer, size="native")(X).shape == (4, 1, 4, 4)


def test_the_gradient_goes_through_the_map():
    layer = TokensAsMaps(nn.Identity(), "vit")
    t = torch.rand(2, 5, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad((layer(t) * t.detach()).sum(), t)
    assert torch.equal(gradient, t.detach())
