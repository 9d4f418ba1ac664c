"""How measures meet networks: whatever they return, one eval-mode rule, devices without double precision."""

import copy
import functools
from types import SimpleNamespace

import jaxtyping
import pytest
import torch
from brought import Returns, X, convnet
from torch import nn

from robustxai.manifold_ig import straight_integral
from robustxai.metrics import (
    accuracy,
    agreement,
    deletion,
    infidelity,
    information_curves,
    insertion,
    kl,
    mean_ignoring_nan,
)


@pytest.fixture(autouse=True)
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


MAPS = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2))
LABELS = torch.tensor([0, 1, 1])
MEASURES = {
    "deletion": lambda net, target=LABELS: deletion(net, X, MAPS, target).auc,
    "insertion": lambda net, target=LABELS: insertion(net, X, MAPS, target).auc,
    "infidelity": lambda net, target=LABELS: infidelity(net, X, X, target, draws=3).raw,
    "information": lambda net, target=LABELS: information_curves(net, X, MAPS, target, confident=0).sic.auc,
}
measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


@measures
@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: {"logits": z},
        lambda z: {"out": z},
        lambda z: SimpleNamespace(logits=z),
        lambda z: (z, z.sum()),
    ],
    ids=["logits", "out", "ModelOutput", "tuple"],
)
def test_whatever_a_network_returns(measure, wrap):
    net = convnet()
    for target in (LABELS, None, 2, [0, 1, 2]):
        torch.testing.assert_close(measure(Returns(net, wrap), target), measure(net, target), equal_nan=True)


@measures
def test_a_single_logit_is_two_classes(measure):
    net = convnet(1)
    two = Returns(net, lambda z: torch.cat((torch.zeros_like(z), z), 1))
    for wrap in (lambda z: z, lambda z: z[:, 0], lambda z: {"logits": z[:, 0]}):
        for target in (0, 1, None):
            torch.testing.assert_close(
                measure(Returns(net, wrap), target), measure(two, target), equal_nan=True
            )


def test_the_logit_of_a_single_logit_is_z_of_class_1_and_minus_z_of_class_0():
    net, x = nn.Linear(4, 1), torch.rand(3, 4)
    weight = net.weight.detach().expand(3, 4)
    for c, sign in ((0, -1), (1, 1)):
        found = infidelity(net, x, sign * weight, c, score="logit")
        assert found.raw.max() < 1e-10 and (found.null > 1e-6).all()


def test_logits_of_a_single_logit_may_be_a_row():
    z, w = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    assert accuracy(z, torch.tensor([1, 0])) == 1 and agreement(z, w[:, None]) == 0.5
    torch.testing.assert_close(kl(z, w), kl(z[:, None], w[:, None]))


class Drops(nn.Module):
    """A layer of an unknown type that reads its mode."""

    def forward(self, x):
        return x * (torch.rand_like(x) > 0.5) if self.training else x


@measures
@pytest.mark.parametrize(
    "layer", [nn.BatchNorm2d(8), nn.Dropout(0.5), Drops(), nn.InstanceNorm2d(8, track_running_stats=True)]
)
def test_layers_in_training_mode_are_refused_and_statistics_stay(measure, layer):
    net = convnet(norm=copy.deepcopy(layer)).eval()
    measure(net)
    net[1].train()  # the root is in eval mode
    before = copy.deepcopy(net.state_dict())
    for model in (net, net.forward):
        with pytest.raises(
            ValueError, match=r"^model must be in eval mode, got training mode \(1\).*model\.eval\(\)$"
        ):
            measure(model)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    plain = convnet().train()
    measure(plain)  # nothing in it reads its mode
    assert plain.training


class NoDoubles(torch.Tensor):
    """A tensor as on a device without double precision: an operation there that gives float64 fails."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        found = super().__torch_function__(func, types, args, kwargs or {})
        if isinstance(found, cls) and found.dtype == torch.float64:
            raise TypeError("this device has no float64")
        return found


def test_double_precision_is_of_the_cpu():
    net = convnet()
    x, maps, labels = (t.as_subclass(NoDoubles) for t in (X, MAPS, LABELS))
    with pytest.raises(TypeError, match="no float64"):
        x.double()
    calls = {
        "deletion": lambda x, maps, t: deletion(net, x, maps, t).auc,
        "infidelity": lambda x, maps, t: infidelity(net, x, x, t, draws=3).raw,
        "information": lambda x, maps, t: information_curves(net, x, maps, t, confident=0).sic.auc,
        "accuracy": lambda x, maps, t: torch.tensor(accuracy(net(x), t)),
        "agreement": lambda x, maps, t: torch.tensor(agreement(net(x), net(x))),
        "kl": lambda x, maps, t: kl(net(x), net(x)),
        "mean": lambda x, maps, t: torch.tensor(mean_ignoring_nan(x.flatten()).mean),
    }
    for name, call in calls.items():
        found, expected = call(x, maps, labels), call(X, MAPS, LABELS)
        assert torch.equal(found.cpu().nan_to_num(-1), expected.nan_to_num(-1)), name


@measures
def test_a_default_device_changes_nothing(measure):
    net = convnet()
    expected = measure(net)
    with torch.device("meta"):
        found = measure(net)
    assert torch.equal(found.nan_to_num(-1), expected.nan_to_num(-1))


def test_many_large_maps_are_more_than_torchs_quantile_takes():
    from robustxai.metrics.information import _shown

    flat = torch.rand(9, 2_000_000, generator=torch.Generator().manual_seed(0))
    assert _shown(flat, (0.5,)).float().mean((1, 2)).sub(0.5).abs().max() < 1e-6


@pytest.mark.parametrize(
    "measure", [deletion, insertion, information_curves, functools.partial(infidelity, attribution=X)]
)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(target=1.7), r"^target must be an int, integers of shape \(3,\) or None, got"),
        (dict(target=[0, 1]), r"^target must be an int, integers of shape \(3,\) or None, got"),
        (
            dict(target=torch.tensor([0, 1, 2, 0])),
            r"^target must be an int, integers of shape \(3,\) or None, got",
        ),
        (
            dict(target=torch.tensor([True, False, True])),
            r"^target must be an int, integers of shape \(3,\) or None, got",
        ),
        (dict(target=-1), r"^target must be classes in \[0, 2\], got class -1"),
        (dict(target="cat"), r"^target must be an int, integers of shape \(3,\) or None, got 'cat'"),
        (dict(x=X * torch.nan), r"^x must be finite .*, got NaN or infinite numbers"),
        (dict(x=X[:0]), r"^x must be .*, got shape \(0, 3, 8, 8\) and dtype torch\.float32"),
        (dict(x=X.long()), r"^x must be floating-point .*, got dtype torch\.int64"),
        (dict(batch_size=0), "^batch_size must be an integer >= 1, got 0"),
        (dict(batch_size=2.5), r"^batch_size must be an integer >= 1, got 2\.5"),
    ],
)
def test_bad_requests(measure, options, words):
    given = dict(model=convnet(), x=X) | options
    if not isinstance(measure, functools.partial):
        given["maps"] = MAPS
    with pytest.raises(ValueError, match=words):
        measure(**given)


@pytest.mark.parametrize("baseline", [torch.nan, torch.ones(5), "grey", None, [1, 2, 3, 4]])
def test_a_baseline_that_is_none(baseline):
    with pytest.raises(ValueError, match=r"^baseline"):
        deletion(convnet(), X, MAPS, baseline=baseline)
    if baseline is not None:
        with pytest.raises(ValueError, match=r"^baseline"):
            infidelity(convnet(), X, X, baseline=baseline)


def test_logits_that_are_not_finite_have_no_curve_and_spoil_no_other():
    net = convnet()

    def broken(x):  # of images like the second one
        far = (x - X[1]).flatten(1).abs().mean(1) < 0.2
        return net(x).masked_fill(far[:, None], torch.nan)

    assert broken(X).isnan().any(1).tolist() == [False, True, False]
    for measure in MEASURES.values():
        found, clean = measure(broken), measure(net)
        assert found[1].isnan()
        torch.testing.assert_close(found[[0, 2]], clean[[0, 2]], equal_nan=True)


ASKED = {
    "infidelity": lambda net, x: infidelity(net, x, x),
    "deletion": lambda net, x: deletion(net, x, x[:, :1], n_steps=2),
    "insertion": lambda net, x: insertion(net, x, x[:, :1], n_steps=2),
    "information_curves": lambda net, x: information_curves(net, x, x[:, :1]),
    "straight_integral": lambda net, x: straight_integral(net, 0 * x, x, 0, n_steps=2),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_batch_norm_that_trains_is_refused_and_left_as_it_was(name):
    """F8: the root is in eval mode and one layer below it is not."""
    norm = nn.BatchNorm2d(4)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    norm.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"model must be in eval mode, got training mode \(1\)"):
        ASKED[name](net, torch.rand(2, 3, 8, 8))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
