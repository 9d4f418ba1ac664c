"""The doors of the library: how a network is called, which layer is its head, and how its layers are watched."""

import copy
import threading
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.modules import module as torch_module

from robustxai.capture import CallCounter, Layer, find_layers, observed
from robustxai.checks import check_count, check_images, check_number, check_share
from robustxai.eval_mode import check_calm
from robustxai.models import as_logits, find_head, logits_of


@pytest.fixture(autouse=True)
def _as_shipped():
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


Y = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "output",
    [
        Y,
        {"logits": Y},
        {"out": Y, "aux": 0},
        SimpleNamespace(logits=Y),
        (Y, "more"),
        {"logits": Y, "out": 0 * Y},
    ],
)
def test_what_networks_return(output):
    assert torch.equal(logits_of(lambda x: output, torch.zeros(2, 4)), Y)


def test_single_logits():
    assert as_logits(torch.ones(3), 3).shape == as_logits(torch.ones(3, 1), 3).shape == (3, 1)
    assert as_logits(torch.tensor(1.0), 1).shape == (1, 1)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (torch.zeros(2, 21, 8, 8), r"shape \(2, 21, 8, 8\) for 2 samples.*wrap it"),
        ({"out": torch.zeros(2, 21, 8, 8)}, r"\['out'\] of shape \(2, 21, 8, 8\)"),
        ({"boxes": [], "labels": []}, "a dict with 'boxes', 'labels'"),
        ([{"boxes": Y}], "list"),
        (torch.zeros(3), r"shape \(3,\) for 2 samples"),
        (torch.zeros(2, 0), r"shape \(2, 0\)"),
        (None, "NoneType"),
    ],
)
def test_what_holds_no_logits_gets_a_sentence_with_the_way_out(output, words):
    with pytest.raises(ValueError, match=words) as error:
        logits_of(lambda x: output, torch.zeros(2, 4))
    assert "forward(self, x)" in str(error.value) and "\n" not in str(error.value)


def test_an_error_of_the_network_itself_is_raised_as_it_is():
    def broken(x):
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        logits_of(broken, torch.zeros(2, 4))


class Heads(nn.Module):
    """Logits from `fc`, although another linear layer is registered later, runs later, or has the same shape."""

    def __init__(self, beside: bool):
        super().__init__()
        self.fc, self.body, self.beside = nn.Linear(4, 3), nn.Conv2d(3, 4, 3), beside
        self.other = nn.Linear(4, 3)

    def forward(self, x):
        a = self.body(x).mean((2, 3))
        y = self.fc(a)
        if self.beside:
            self.other(a)
        return y


@pytest.mark.parametrize("beside", [False, True])
def test_the_head_is_the_layer_whose_output_is_the_logits(beside):
    model = Heads(beside).eval()
    assert find_head(model) is model.fc and find_head(nn.Sequential(model)) is model.fc
    state = [p.clone() for p in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(state, model.parameters(), strict=True))


def test_finding_the_head_of_a_network_in_training_mode_leaves_its_statistics():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    before = model[1].running_mean.clone()
    assert find_head(model) is model[4] and model[1].training and torch.equal(before, model[1].running_mean)


def test_networks_without_a_linear_head():
    with pytest.raises(ValueError, match="no linear layer"):
        find_head(nn.Sequential(nn.Conv2d(3, 2, 1)))
    with pytest.raises(ValueError, match="no linear layer whose output is the logits"):
        find_head(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2), nn.Tanh()))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def test_watching_is_of_this_thread_and_leaves_nothing():
    model, seen = net(), []
    inside, done = threading.Event(), threading.Event()

    def other():
        inside.wait()
        for _ in range(20):
            model(torch.zeros(1, 4))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with observed((model[0], lambda m, i, o: seen.append("mine"))):
        inside.set()
        done.wait()
        assert not seen, "the other thread's calls are not this one's"
        twin = copy.deepcopy(model)
        model(torch.zeros(1, 4))
        twin(torch.zeros(1, 4))
    thread.join()
    assert seen == ["mine"] and not torch_module._global_forward_hooks
    assert not any(m._forward_hooks for m in (*model.modules(), *twin.modules()))


def test_watchers_nest_replace_outputs_and_go_when_the_block_fails():
    model, order = net(), []
    with (
        observed((model[0], lambda m, i, o: order.append("outer"))),
        observed((model[0], lambda m, i, o: order.append("inner") or torch.zeros_like(o))),
    ):
        found = model(torch.ones(1, 4))
    assert order == ["outer", "inner"] and torch.equal(found, model[2](torch.zeros(1, 4)))
    with pytest.raises(KeyError), observed((model[0], lambda m, i, o: {}["gone"])):
        model(torch.ones(1, 4))
    assert not torch_module._global_forward_hooks


def test_layers_by_name_module_and_call():
    model = net()
    assert Layer(model, model[1]).name == "1" and repr(Layer(model, "1:3")) == "1:3"
    calls = CallCounter(Layer(model, "1"))
    assert calls.wanted() and not calls.wanted()
    with pytest.raises(ValueError, match="'1:1' to '1:2'"):
        calls.check()
    for bad in ("7", "1:0", "1:x", "", ":1"):
        with pytest.raises(ValueError, match="near names are"):
            Layer(model, bad)
    with pytest.raises(ValueError, match=r"torch\.jit"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the end of torch.jit, from some version on
            traced = torch.jit.trace(model, torch.zeros(1, 4))
        Layer(traced, "1")
    with pytest.raises(ValueError, match="different module names"):
        find_layers(model, ["1", "1"])


class Noisy(nn.Module):
    """A layer of one's own whose result depends on the mode."""

    def forward(self, x):
        return self._noise(x)

    def _noise(self, x):
        return x + torch.randn_like(x) if self.training else x


class Functional(nn.Module):
    """Dropout as a function, in a module with children and without parameters."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return nn.functional.dropout(self.fc(x), 0.5, self.training)


@pytest.mark.parametrize("layer", [Noisy(), Functional(), nn.BatchNorm1d(4), nn.Dropout(0.1), nn.LSTM(4, 4)])
def test_whatever_reads_its_mode_is_refused_in_training_mode(layer):
    model = nn.Sequential(nn.Linear(4, 4), layer).train()
    with pytest.raises(
        ValueError, match=r"model must be in eval mode, got training mode .*call model\.eval\(\)"
    ):
        check_calm("model", model)
    check_calm("model", model.eval())
    check_calm("model", nn.Sequential(model))  # a wrapper, itself in training mode


def test_what_reads_no_mode_and_what_has_none_is_welcome():
    check_calm("model", nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4), nn.Dropout(0.0)).train())
    check_calm("model", lambda x: x)
    with pytest.raises(ValueError, match="decoder must be in eval mode, got training mode"):
        check_calm("decoder", nn.Dropout(0.5).train().forward)


def test_numbers_of_numpy_and_of_tensors_count():
    import numpy as np

    assert check_count("k", np.int64(3)) == check_count("k", torch.tensor(3)) == 3
    assert check_number("eps", np.float32(0.5)) == check_number("eps", torch.tensor(0.5)) == 0.5
    for bad in (1.5, "2", None, float("nan")):
        with pytest.raises(ValueError, match="share must be a number in"):
            check_share("share", bad)


def test_images_may_leave_the_range_by_rounding_only():
    check_images("x", torch.full((1, 3, 2, 2), 1 + 2.4e-7))
    for x, words in (
        (torch.full((1, 3, 2, 2), 1.01), "pixels from 1.01 to 1.01"),
        (torch.full((1, 3, 2, 2), float("nan")), "NaN"),
        (torch.zeros(0, 3, 2, 2), "not empty"),
        (torch.zeros(3, 2, 2), "shape"),
        (torch.zeros(1, 3, 2, 2).int(), "dtype"),
        ([1, 2], r"got \[1, 2\]"),
    ):
        with pytest.raises(ValueError, match=words):
            check_images("x", x)
