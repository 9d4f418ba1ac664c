"""What every explainer of the chapter keeps: maps, graphs, guides, doors for networks and images, threads, devices."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from curved import Classifier, Encoder, Net, generator, module
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from robustxai.explainers import precision
from robustxai.explainers.base import Explainer
from robustxai.explainers.reduce import reduced
from robustxai.manifold_ig import (
    BPDA,
    BlurIG,
    ConvFeatures,
    EvenPathIG,
    GradientSHAP,
    GuidedIG,
    IntegratedGradients,
    LatentPathIG,
    ManifoldIG,
    SaliencyOf,
    SmoothGradIG,
    accumulated,
    autoencoder_residual,
    geodesic,
    gradient_noise,
    guided_path,
    largest_eigenvalue,
    paths,
    released_geodesic,
    saliency,
    straight_integral,
    weighted_gradients,
)
from robustxai.manifold_ig.diffid import diff_id

TARGET = torch.tensor([0, 3, 2, 1])
MAKERS = {
    "IG": lambda m, e, d: IntegratedGradients(m, n_steps=6),
    "IG-recon": lambda m, e, d: IntegratedGradients(m, e, d, n_steps=6),
    "EIG": lambda m, e, d: LatentPathIG(m, e, d, n_steps=6),
    "EIG even": lambda m, e, d: EvenPathIG(m, e, d, n_steps=6),
    "MIG": lambda m, e, d: ManifoldIG(m, e, d, n_steps=6, evaluations=4),
    "MIG released": lambda m, e, d: ManifoldIG.released(m, e, d, solver=dict(step=1e-3, epsilon=0.0)),
    "Blur": lambda m, e, d: BlurIG(m, n_steps=6),
    "Blur, form A": lambda m, e, d: BlurIG(m, n_steps=6, rule="midpoint"),
    "Guided": lambda m, e, d: GuidedIG(m, n_steps=6, max_dist=0.2),
    "SmoothGrad": lambda m, e, d: SmoothGradIG(m, samples=3, n_steps=4),
    "SHAP": lambda m, e, d: GradientSHAP(m, samples=5),
}
AWAY = [n for n in MAKERS if "Blur" not in n]


def images(n=4, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


@pytest.fixture
def nets(classifier, encoder, decoder):
    return classifier, encoder, decoder


@pytest.mark.parametrize("name", MAKERS)
def test_a_call_is_the_map_of_the_attribution_and_the_graph_is_kept_when_asked(name, nets):
    explain, x = MAKERS[name](*nets), images()
    values = explain.attribute(x, TARGET)
    assert isinstance(explain, Explainer) and (values < 0).any() and values.shape == x.shape
    assert torch.equal(explain(x, TARGET), reduced(values)) and explain(x, TARGET).shape == (4, 1, 8, 8)
    v = x.clone().requires_grad_()
    assert explain.attribute(v, TARGET).requires_grad is explain.differentiable is (name != "Guided")
    with torch.no_grad():
        assert not explain.attribute(v, TARGET).requires_grad
    assert not values.requires_grad


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_explainer_of_another_network(name, nets):
    other = module(8, Classifier)
    moved, fresh = MAKERS[name](*nets).on(other), MAKERS[name](other, *nets[1:])
    assert torch.equal(moved.attribute(images(), TARGET), fresh.attribute(images(), TARGET))


class Kinked(nn.Module):
    """A network of ReLUs, whose gradients have no gradient."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4))

    def forward(self, x):
        return 8 * self.body(x)


@pytest.mark.parametrize("name", MAKERS)
def test_a_guide_has_a_derivative(name, nets):
    """It is the explainer itself, unless something has none: comparisons, a solver, ReLUs."""
    x = images()
    smooth = MAKERS[name](*nets)
    if name in ("Guided", "MIG", "MIG released", "EIG even"):
        assert isinstance(smooth.guide(x), BPDA if name == "Guided" else LatentPathIG)
    else:
        assert smooth.guide(x) is smooth
    kinked = MAKERS[name](module(5, Kinked), *nets[1:])
    for explain in (smooth, kinked):
        v = x.clone().requires_grad_()
        guide = explain.guide(x)
        assert guide.differentiable
        slope = torch.autograd.grad(guide(v, TARGET).square().sum(), v)[0]
        assert slope.isfinite().all() and (slope.flatten(1).abs().amax(1) > 0).all()
    assert any(isinstance(m, nn.ReLU) for m in kinked.model.modules()), "the network itself stays"


def test_there_is_one_reducer():
    assert saliency is reduced
    a = torch.randn(2, 3, 4, 4, generator=generator())
    assert torch.equal(SaliencyOf(lambda x, target: a)(a, 0), reduced(a))
    with pytest.raises(
        ValueError,
        match=r"explain must return attributions \(n, \.\.\.\), got shape \(1, 3, 4, 4\) .* for 2 samples",
    ):
        SaliencyOf(lambda x, target: a[:1])(a, 0)


class Wrapped(nn.Module):
    """A network that returns something else than the one inside."""

    def __init__(self, inner, kind):
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, x):
        return self.kind(self.inner(x))


OUTPUTS = {
    "dict": lambda y: {"logits": y},
    "out": lambda y: {"out": y},
    "tuple": lambda y: (y, None),
    "object": lambda y: SimpleNamespace(logits=y),
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("name", MAKERS)
def test_networks_may_return_anything_that_holds_logits(name, kind, nets):
    model, *parts = nets
    wrapped = Wrapped(model, OUTPUTS[kind]).eval()
    for target in (TARGET, None):
        plain = MAKERS[name](*nets).explain(images(), target)
        found = MAKERS[name](wrapped, *parts).explain(images(), target)
        assert torch.equal(found.values, plain.values) and torch.equal(found.end, plain.end)
        assert torch.equal(found.target, plain.target)


@pytest.mark.parametrize("shape", ["(n, 1)", "(n,)"])
@pytest.mark.parametrize("name", MAKERS)
def test_one_logit_is_two_classes_of_opposite_scores(name, shape, nets):
    model, *parts = nets
    single = Wrapped(model, lambda y: y[:, 2] if shape == "(n,)" else y[:, 2:3]).eval()
    zero, one = (MAKERS[name](single, *parts).attribute(images(), k) for k in (0, 1))
    torch.testing.assert_close(zero, -one, rtol=1e-4, atol=1e-6)
    if name not in ("Guided", "MIG released"):
        torch.testing.assert_close(one, MAKERS[name](*nets).attribute(images(), 2), rtol=1e-4, atol=1e-6)
    predicted = MAKERS[name](single, *parts).explain(images())
    assert torch.equal(predicted.target, (predicted.end * (2 * predicted.target - 1) > 0).long())


@pytest.mark.parametrize("name", MAKERS)
def test_normalised_images_get_one_warning(name, nets):
    x, explain = (images() - 0.45) / 0.22, MAKERS[name](*nets)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        explain.attribute(x, TARGET)
    assert len(said) == (name in AWAY)
    if said:
        assert said[0].category is UserWarning and "outside [0, 1]" in str(said[0].message)
        explain.attribute(
            x, TARGET, torch.zeros_like(x)
        )  # warnings are errors: the baseline is given, none comes
        explain.attribute((1 + 5e-6) * images().clamp(0, 1), TARGET)  # what resizing leaves


class Moody(nn.Module):
    """In eval mode at the top, and a batch norm in training mode below."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def moody(net):
    top = Moody(copy.deepcopy(net)).eval()
    norm = next(m for m in top.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    norm.train()
    return top, norm


@pytest.mark.parametrize("part", ["model", "decoder"])
def test_whatever_reads_its_mode_must_be_in_eval_mode(part, nets):
    top, norm = moody(nets[0 if part == "model" else 2])
    was = norm.running_mean.clone()
    m, e, d = (top, *nets[1:]) if part == "model" else (*nets[:2], top)
    x, path = images(), torch.rand(3, 4, 3, 8, 8, generator=generator())
    calls = [
        lambda: LatentPathIG(m, e, d).attribute(x, TARGET),
        lambda: ManifoldIG(m, e, d).explain(x, TARGET),
    ]
    if part == "model":
        calls += [
            lambda: straight_integral(m, torch.zeros_like(x), x, TARGET),
            lambda: accumulated(m, path, TARGET),
            lambda: weighted_gradients(m, path, path, TARGET),
            lambda: gradient_noise(m, path, TARGET),
            lambda: diff_id(m, x, x[:, 0]),
            lambda: autoencoder_residual(path, Moody(nn.BatchNorm2d(3))),
        ]
    else:
        z = e(x).detach()
        calls += [lambda: geodesic(d, 0 * z, z), lambda: released_geodesic(d, 0 * z, z)]
    for call in calls:
        with pytest.raises(ValueError, match=r"must be in eval mode, got training mode .*inner"):
            call()
    assert torch.equal(norm.running_mean, was)


def test_a_network_without_modes_may_be_in_training_mode():
    plain = module(5, Kinked)
    expected = IntegratedGradients(plain, n_steps=4).attribute(images(), TARGET)
    assert torch.equal(IntegratedGradients(plain.train(), n_steps=4).attribute(images(), TARGET), expected)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("name", ["IG", "EIG", "MIG", "Blur", "Guided"])
def test_numbers_of_numpy_count(name, nets):
    kinds = {
        "IG": IntegratedGradients,
        "EIG": LatentPathIG,
        "MIG": ManifoldIG,
        "Blur": BlurIG,
        "Guided": GuidedIG,
    }
    parts = nets if name in ("EIG", "MIG") else nets[:1]
    more = {"evaluations": np.int64(3)} if name == "MIG" else {}
    explain = kinds[name](*parts, n_steps=np.int64(5), batch_size=np.int32(7), **more)
    assert explain.n_steps == 5 and type(explain.n_steps) is int
    plain = kinds[name](*parts, n_steps=5, batch_size=7, **{k: int(v) for k, v in more.items()})
    assert torch.equal(explain.attribute(images(), TARGET), plain.attribute(images(), TARGET))


@pytest.mark.parametrize("name", ["IG", "Blur", "Blur, form A", "Guided", "SmoothGrad", "SHAP"])
def test_half_precision_gives_nearly_the_map_of_float32(name, nets):
    """Differences of blurs, small steps and long sums are float32 inside."""
    explain, half = MAKERS[name](*nets), MAKERS[name](copy.deepcopy(nets[0]).bfloat16(), *nets[1:])
    x = images()
    found, expected = half.attribute(x.bfloat16(), TARGET), explain.attribute(x, TARGET)
    assert found.dtype == torch.bfloat16
    pairs = zip(found.float().flatten(1), expected.flatten(1), strict=True)
    assert min(float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs) > 0.97
    off = (found.float().flatten(1).sum(1) - expected.flatten(1).sum(1)).abs()
    assert (off < 0.05 * expected.flatten(1).abs().sum(1)).all()


@pytest.mark.parametrize("name", MAKERS)
def test_eight_threads_give_the_bits_of_one(name, nets):
    explain = MAKERS[name](*nets)
    xs = [images(2, seed) for seed in range(8)]
    alone = [explain.attribute(x, TARGET[:2]) for x in xs]
    with ThreadPoolExecutor(8, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in range(3):
            found = list(pool.map(lambda x: explain.attribute(x, TARGET[:2]), xs))
            assert all(torch.equal(a, b) for a, b in zip(alone, found, strict=True))


def test_features_are_watched_by_their_own_thread():
    net = module(5, Classifier)
    features, xs = ConvFeatures(net, layers=2), [images(2, seed) for seed in range(8)]
    alone = [features(x) for x in xs]
    assert [f.shape[1] for f in alone[0]] == [12, 12]
    with ThreadPoolExecutor(8) as pool:
        for one, two in zip(alone, pool.map(features, xs), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not any(m._forward_hooks for m in net.modules())


@pytest.fixture
def elsewhere():
    """Another default device: tensors made without `device=` land where they cannot be used."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("name", MAKERS)
def test_numbers_are_made_on_the_device_of_their_tensor(name, nets, request):
    x = images()
    expected = MAKERS[name](*nets).attribute(x, TARGET)
    z = nets[1](x).detach()
    steep = largest_eigenvalue(nets[2], z, iterations=2)
    request.getfixturevalue("elsewhere")
    assert torch.equal(MAKERS[name](*nets).attribute(x, TARGET), expected)
    assert torch.equal(largest_eigenvalue(nets[2], z, iterations=2), steep)


class NoDouble(TorchDispatchMode):
    """A device without float64, as Apple's."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float64 and out.numel() > 0:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return out


def test_a_guided_path_needs_no_double(monkeypatch, classifier):
    x, slope = images(), lambda y: y.sin() + 0.1
    expected = guided_path(slope, torch.zeros_like(x), x, n_steps=6, max_dist=0.2)[0]
    maps = diff_id(classifier, x, x[:, 0], TARGET)
    with NoDouble(), pytest.raises(TypeError, match="float64"):
        guided_path(slope, torch.zeros_like(x), x, n_steps=6, max_dist=0.2)
    assert precision.widest(torch.device("mps")) == torch.float32
    monkeypatch.setattr(paths, "widest", lambda device: precision.widest(torch.device("mps")))
    with NoDouble():
        found = guided_path(slope, torch.zeros_like(x), x, n_steps=6, max_dist=0.2)[0]
        assert torch.equal(diff_id(classifier, x, x[:, 0], TARGET), maps)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_parts_keep_their_weights_and_modes():
    nets = [module(3, Classifier), module(2, Encoder), module(1, Net)]
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in nets]
    explain = ManifoldIG(*nets, n_steps=4, evaluations=2)
    explain.guide(images())(images().requires_grad_(), TARGET).sum().backward()
    for net, was in zip(nets, before, strict=True):
        assert all(torch.equal(v, was[k]) for k, v in net.state_dict().items()) and not net.training
