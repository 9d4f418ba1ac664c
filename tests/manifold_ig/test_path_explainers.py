"""The five explainers: identities between them, slow references, batches, gradients, bad input."""

import itertools
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from curved import Classifier, Encoder, Net, generator, module
from scipy.ndimage import gaussian_filter
from torch import nn

from robustxai.manifold_ig import (
    BlurIG,
    GuidedIG,
    IntegratedGradients,
    LatentPathIG,
    ManifoldIG,
    curve_energy,
    gradient_noise,
    path_of,
    paths,
)

EIG, MIG = LatentPathIG, ManifoldIG
TARGET = torch.tensor([0, 3, 2, 1])


def images(n=4, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


def make(name, model, encoder, decoder, **options):
    makers = {
        "IG": lambda: IntegratedGradients(model, **dict(n_steps=8) | options),
        "IG-recon": lambda: IntegratedGradients(model, encoder, decoder, **dict(n_steps=8) | options),
        "EIG": lambda: LatentPathIG(model, encoder, decoder, **dict(n_steps=8) | options),
        "EIG-bridge": lambda: LatentPathIG(
            model, encoder, decoder, endpoint="bridge", **dict(n_steps=8) | options
        ),
        "Blur": lambda: BlurIG(model, **dict(n_steps=8) | options),
        "Guided": lambda: GuidedIG(model, **dict(n_steps=8, max_dist=0.2) | options),
        "MIG": lambda: ManifoldIG(model, encoder, decoder, **dict(n_steps=8, evaluations=6) | options),
        "MIG-released": lambda: ManifoldIG.released(
            model, encoder, decoder, solver=dict(step=1e-3, epsilon=0.0), **options
        ),
    }
    return makers[name]()


NAMES = ("IG", "IG-recon", "EIG", "EIG-bridge", "Blur", "Guided", "MIG", "MIG-released")


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_single_images_give_and_nothing_is_left_behind(name, classifier, encoder, decoder):
    method, x = make(name, classifier, encoder, decoder), images()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in (classifier, encoder, decoder)]
    state = torch.random.get_rng_state()
    values, delta = method.attribute(x, TARGET, return_convergence_delta=True)
    assert values.shape == x.shape and delta.shape == (4,) and not values.requires_grad
    for i in range(4):
        alone = method.attribute(x[i : i + 1], int(TARGET[i]))
        torch.testing.assert_close(alone[0], values[i], rtol=1e-3, atol=1e-4 * float(values.abs().max()))
    few = make(name, classifier, encoder, decoder, batch_size=3)
    torch.testing.assert_close(
        few.attribute(x, TARGET), values, rtol=1e-3, atol=1e-4 * float(values.abs().max())
    )
    assert torch.equal(method(x, TARGET), values.abs().sum(1, keepdim=True)), "the map of its own attribution"
    assert torch.equal(state, torch.random.get_rng_state())
    for m, was in zip((classifier, encoder, decoder), before, strict=True):
        assert all(torch.equal(v, was[k]) for k, v in m.state_dict().items())
        assert not m.training and all(p.grad is None and p.requires_grad for p in m.parameters())
        assert not any(part._forward_hooks or part._backward_hooks for part in m.modules())


@pytest.mark.parametrize("name", ["IG", "IG-recon", "EIG", "EIG-bridge", "Blur", "MIG"])
@pytest.mark.parametrize("score", ["logit", "prob"])
def test_form_a_is_complete(name, score, classifier, encoder, decoder):
    rule = {"rule": "midpoint"} if name == "Blur" else {}
    options = dict(n_steps=100, score=score, **rule)
    result = make(name, classifier, encoder, decoder, **options).explain(images(), TARGET)
    assert (result.completeness_gap < 0.02).all() and result.finite.all()
    end = images() if name in ("IG", "EIG-bridge", "Blur") else decoder(encoder(images()))
    torch.testing.assert_close(result.ends[-1], end.detach())
    scores = classifier(end) if score == "logit" else classifier(end).softmax(1)
    torch.testing.assert_close(result.end, scores.detach()[torch.arange(4), TARGET])


def test_no_evaluations_make_the_manifold_path_the_latent_line(classifier, encoder, decoder):  # T9
    zero = ManifoldIG(classifier, encoder, decoder, n_steps=9, evaluations=0)
    line = LatentPathIG(classifier, encoder, decoder, n_steps=9)
    torch.testing.assert_close(
        zero.attribute(images(), TARGET), line.attribute(images(), TARGET), rtol=0, atol=1e-6
    )
    bent = ManifoldIG(classifier, encoder, decoder, n_steps=9)
    assert (bent.attribute(images(), TARGET) - line.attribute(images(), TARGET)).abs().max() > 5e-4
    found = bent.explain(images(), TARGET).geodesic
    assert found is not None and (found.energy < curve_energy(paths.straight(
        found.latents[0], found.latents[-1], 10), decoder=decoder)).all()  # fmt: skip


def test_affine_autoencoders_make_all_decoded_methods_the_same(classifier):  # T4
    w = torch.randn(192, 5, generator=generator()) / 14
    encode, decode = lambda x: x.flatten(1) @ w, lambda z: (z @ w.T).unflatten(1, (3, 8, 8)) + 0.3
    options = dict(n_steps=40)
    recon = IntegratedGradients(classifier, encode, decode, **options).attribute(images(), TARGET)
    for method in (LatentPathIG, ManifoldIG):
        torch.testing.assert_close(
            method(classifier, encode, decode, **options).attribute(images(), TARGET),
            recon,
            rtol=0,
            atol=1e-5,
        )
    left = IntegratedGradients(classifier, encode, decode, rule="trapezoid", n_steps=400).attribute(
        images(), TARGET
    )
    form_b = ManifoldIG(classifier, encode, decode, rule="released", n_steps=400).attribute(images(), TARGET)
    torch.testing.assert_close(form_b, left, rtol=0, atol=1e-2 * float(left.abs().max()))


def test_endpoint_modes():
    path = torch.rand(4, 2, 3, generator=generator())
    start, end = torch.zeros(2, 3), torch.ones(2, 3)
    assert torch.equal(paths.endpoints(path, start, end), path)
    anchored = paths.endpoints(path, start, end, "anchor")
    assert torch.equal(anchored[[0, -1]], torch.stack((start, end))) and torch.equal(
        anchored[1:-1], path[1:-1]
    )
    bridged = paths.endpoints(path, start, end, "bridge", points=2)
    assert len(bridged) == 8 and torch.equal(bridged[2:-2], path)
    torch.testing.assert_close(bridged[1], path[0] / 2)
    torch.testing.assert_close(bridged[[0, -1]], torch.stack((start, end)))


def test_the_released_preset_stops_short_and_uses_form_b(classifier, encoder, decoder):
    method = ManifoldIG.released(classifier, encoder, decoder, sweeps=3, solver=dict(step=1e-3, epsilon=0.0))
    x = images()
    result = method.explain(x, TARGET)
    found = result.geodesic
    assert found is not None and len(found.latents) == 20 and found.trace.shape == (4, 4)
    z0, z1 = encoder(torch.zeros_like(x)), encoder(x)
    torch.testing.assert_close(found.latents[-1], torch.lerp(z0, z1, 0.95).detach())
    y = found.images.clone().requires_grad_()
    probability = classifier(y.flatten(0, 1)).softmax(1).unflatten(0, (20, 4))
    slopes = torch.autograd.grad(probability[:, torch.arange(4), TARGET].sum(), y)[0]
    torch.testing.assert_close(result.values, (found.images[-1] - found.images[0]) * slopes.mean(0))


def test_blur_ig_equals_a_slow_reference(classifier):
    x, steps, sigma_max, e = images(), 6, 2.5, 0.01

    def blurred(image, sigma):
        return torch.from_numpy(gaussian_filter(image.numpy(), (0, sigma, sigma), mode="constant"))

    expected = torch.zeros_like(x)
    for n, image in enumerate(x):
        sigmas = [i * sigma_max / steps for i in range(steps + 1)]
        for low, high in itertools.pairwise(sigmas):
            y = blurred(image, low)[None].clone().requires_grad_()
            slope = torch.autograd.grad(classifier(y)[0, TARGET[n]], y)[0][0]
            change = (blurred(image, low + e) - blurred(image, low)) / e
            expected[n] -= (high - low) * slope * change
    ours = BlurIG(classifier, n_steps=steps, sigma_max=sigma_max).attribute(x, TARGET)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def guided_reference(gradient, start, end, steps, fraction, max_dist):
    """Guided IG of one image, feature by feature as the paper's pseudo-code has it, in float64."""
    x, total = start.copy(), np.abs(end - start).sum()
    attribution = np.zeros_like(x)
    for s in range(steps):
        slope, a = gradient(x), (s + 1) / steps
        low = start + max(a - max_dist, 0) * (end - start)
        high = start + min(a + max_dist, 1) * (end - start)
        goal, before = total * (1 - a), x.copy()
        for _ in range(10_000):
            time = np.where(end != start, (x - start) / np.where(end != start, end - start, 1), 1)
            x = np.where(time < max(a - max_dist, 0) - 1e-12, low, x)
            left = np.abs(x - end).sum()
            if left <= goal + 1e-9:
                break
            size = np.where(np.abs(x - high) < 1e-12, np.inf, np.abs(slope))
            chosen = (size <= np.quantile(size, fraction, method="lower")) & np.isfinite(size)
            way = np.abs(x - high)[chosen].sum()
            share = (left - goal) / way if way > 0 else np.inf
            if share > 1:
                x = np.where(chosen, high, x)
                continue
            x = np.where(chosen, x + (high - x) * share, x)
            break
        attribution += (x - before) * slope
    return attribution


@pytest.mark.parametrize(("fraction", "max_dist"), [(0.25, 0.02), (0.1, 1.0), (0.6, 0.1)])
def test_guided_ig_equals_a_slow_reference(fraction, max_dist):
    model = module(3, Classifier).double()
    x, base = images(3).double(), images(3, 7).double()
    base[:, :, :2] = x[:, :, :2]  # features that do not move
    ours = GuidedIG(model, n_steps=12, fraction=fraction, max_dist=max_dist).attribute(x, TARGET[:3], base)
    for n in range(3):

        def gradient(flat, n=n):
            y = torch.from_numpy(flat).reshape(1, 3, 8, 8).requires_grad_()
            return torch.autograd.grad(model(y)[0, TARGET[n]], y)[0].flatten().numpy()

        start, end = base[n].flatten().numpy(), x[n].flatten().numpy()
        expected = guided_reference(gradient, start, end, 12, fraction, max_dist)
        assert np.abs(ours[n].flatten().numpy() - expected).max() < 1e-6 * np.abs(expected).max()


def test_the_guided_path_spends_its_distance_evenly_inside_its_band(classifier):
    x, start = images(), torch.zeros(4, 3, 8, 8)
    slope = lambda y: torch.randn(y.shape, generator=generator(1))  # noqa: E731
    path, _ = paths.guided_path(slope, start, x, n_steps=10, fraction=0.25, max_dist=0.15)
    left = (path - x).abs().flatten(2).sum(2)
    share = 1 - torch.arange(11) / 10
    torch.testing.assert_close(left, share[:, None] * left[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(path[-1], x)
    off = path / x.clamp_min(1e-3) - (1 - share).view(-1, 1, 1, 1, 1)
    assert off[..., x[0, 0] > 0.05].abs().max() < 0.16


@pytest.mark.parametrize("name", ["IG", "IG-recon", "EIG", "EIG-bridge", "Blur"])
def test_attributions_are_differentiable_in_the_images(name):
    nets = [module(3, Classifier).double(), module(2, Encoder).double(), module(1, Net).double()]
    method = make(name, *nets, score="prob", n_steps=4)
    x = images(2).double()
    direction = torch.randn(x.shape, generator=generator(5), dtype=torch.float64)
    weight = torch.randn(x.shape, generator=generator(6), dtype=torch.float64)
    value = lambda t: (method.attribute(x + t * direction, TARGET[:2]) * weight).sum()  # noqa: E731
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    exact = float(torch.autograd.grad(value(t), t)[0])
    numeric = float((value(torch.tensor(1e-5)) - value(torch.tensor(-1e-5))) / 2e-5)
    assert exact == pytest.approx(numeric, rel=1e-4) and abs(exact) > 1e-6


def test_the_manifold_path_is_differentiated_with_its_bend_held_fixed(classifier, encoder, decoder):
    method = ManifoldIG(classifier, encoder, decoder, n_steps=6, evaluations=8)
    x = images().requires_grad_()
    values = method.attribute(x, TARGET)
    torch.testing.assert_close(values.detach(), method.attribute(x.detach(), TARGET), rtol=1e-4, atol=1e-5)
    frozen = method.freeze(x, torch.zeros_like(x))
    again = frozen.attribute(x, TARGET)
    torch.testing.assert_close(again, values, rtol=1e-4, atol=1e-5)
    one, two = (torch.autograd.grad(v.square().sum(), x)[0] for v in (values, again))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4 * float(two.abs().max()))
    assert one.abs().max() > 0 and x.grad is None


def test_a_warm_start_is_passed_on(classifier, encoder, decoder):
    method = ManifoldIG(classifier, encoder, decoder, n_steps=8, evaluations=1)
    full = ManifoldIG(classifier, encoder, decoder, n_steps=8, evaluations=60).explain(images(), TARGET)
    cold = method.explain(0.99 * images(), TARGET).geodesic
    warm = method.explain(0.99 * images(), TARGET, warm=full.geodesic).geodesic
    assert cold is not None and warm is not None and warm.energy.mean() < cold.energy.mean()


def test_what_the_autoencoder_changes_is_reported(classifier, encoder, decoder):
    x = images(12, 9)
    result = LatentPathIG(classifier, encoder, decoder, n_steps=3).explain(x)
    raw, rebuilt = classifier(x).argmax(1), classifier(decoder(encoder(x))).argmax(1)
    assert torch.equal(result.prediction_changed, raw != rebuilt) and result.prediction_changed.any()
    assert torch.equal(result.target, rebuilt), "the class predicted where the path ends"
    bridged = LatentPathIG(classifier, encoder, decoder, n_steps=3, endpoint="bridge").explain(x)
    assert torch.equal(bridged.target, raw)
    assert not IntegratedGradients(classifier, n_steps=3).explain(x).prediction_changed.any()


def test_paths_that_are_not_finite_are_flagged(classifier, encoder, decoder):
    x = images()
    level = encoder(x)[:, :1].detach()
    holes = lambda z: torch.where(z[:, :1, None, None] > level.median(), torch.nan, decoder(z))  # noqa: E731
    for method in (LatentPathIG, ManifoldIG):
        finite = method(classifier, encoder, holes, n_steps=4).explain(x, TARGET).finite
        assert not finite.all() and torch.equal(finite[level[:, 0] > level.median()], torch.zeros(2).bool())


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("build", "arguments", "words"),
    [
        (lambda m, e, d: LatentPathIG(m, e, lambda z: d(z)[:, :1]), {}, r"decoder must give .*, got \(1, 8, 8\)"),
        (lambda m, e, d: IntegratedGradients(m, e, lambda z: d(z)[:, :1]), {}, r"decoder must .*, got \(1, 8, 8\)"),
        (lambda m, e, d: IntegratedGradients(m, e), {}, "encoder and decoder must be given both"),
        (lambda m, e, d: IntegratedGradients(m), dict(target=4), r"target must be classes in \[0, 3\], got class 4"),
        (lambda m, e, d: IntegratedGradients(m), dict(baselines=torch.zeros(3, 4, 4)), r"baselines must .*\(3, 4, 4\)"),
        (lambda m, e, d: IntegratedGradients(m), dict(x=torch.full((1, 3, 8, 8), math.nan)), r"x must .* got NaN"),
        (lambda m, e, d: IntegratedGradients(m), dict(x=torch.zeros(1, 3, 8, 8).int()), r"x must .* got dtype torch"),
        (lambda m, e, d: IntegratedGradients(Classifier()), {}, "model must be in eval mode, got training mode"),
        (lambda m, e, d: IntegratedGradients(m, rule="simpson"), {}, r"rule must be one of .*, got 'simpson'"),
        (lambda m, e, d: IntegratedGradients(m, score="odds"), {}, "score must be one of logit, .*, got 'odds'"),
        (lambda m, e, d: IntegratedGradients(m, n_steps=0), {}, "n_steps must be an integer >= 1, got 0"),
        (lambda m, e, d: LatentPathIG(m, e, d, endpoint="raw"), {}, "endpoint must be one of recon, .*, got 'raw'"),
        (lambda m, e, d: ManifoldIG(m, e, d, mode="slow"), {}, "mode must be one of fast, released, got 'slow'"),
        (lambda m, e, d: ManifoldIG(m, e, d), dict(x=torch.zeros(1, 3, 8, 8)), r"z0 and z1 must .*, got equal ones in"),
        (lambda m, e, d: BlurIG(m), dict(baselines=0.0), r"baselines must be None for BlurIG, which .*, got 0\.0"),
        (lambda m, e, d: BlurIG(m), dict(x=torch.zeros(2, 192)), r"x must be images \(n, C, H, W\)"),
        (lambda m, e, d: BlurIG(m, sigma_max=0), {}, "sigma_max must be a finite number > 0, got 0"),
        (lambda m, e, d: BlurIG(m, spacing="log"), {}, "spacing must be one of linear, sqrt, got 'log'"),
        (lambda m, e, d: GuidedIG(m, fraction=0), {}, r"fraction must be a finite number in \(0, 1\], got 0"),
        (lambda m, e, d: IntegratedGradients(m, n_steps=2.5), {}, "n_steps must be an integer >= 1, got 2.5"),
        (lambda m, e, d: EIG(m, e, d, batch_size=0), {}, "batch_size must be an integer >= 1, got 0"),
        (lambda m, e, d: IntegratedGradients(m), dict(target="cat"), "target must be an int, .* got 'cat'"),
        (lambda m, e, d: EIG(lambda x: m(x)[:, 0], e, d), dict(target=2), r"classes in \[0, 1\], got class 2"),
        (lambda m, e, d: EIG(lambda x: m(x)[:2], e, d), {}, r"model must return .*, got shape \(2, 4\) for 4 samples:"),
        (lambda m, e, d: EIG(lambda x: x, e, d), dict(target=1), r"model must return .*, got shape \(1, 3, 8, 8\)"),
        (lambda m, e, d: IntegratedGradients(lambda x: [m(x), 0]), {}, r"must return logits \(n, classes\), got list"),
        (lambda m, e, d: IntegratedGradients(m), dict(x=torch.zeros(0, 3, 8, 8)), r"x must .* got shape \(0, 3"),
        (lambda m, e, d: IntegratedGradients(m), dict(x=images().double()), "model does not run on x .*float64"),
        (lambda m, e, d: IntegratedGradients(m), dict(x=images().half()), "model does not run on x .*float16"),
        (lambda m, e, d: EIG(m, e, d), dict(x=images().double()), "encoder does not run on x .*float64"),
        (lambda m, e, d: IntegratedGradients(m), dict(baselines="white"), "baselines must be None, a number or images"),
        (lambda m, e, d: IntegratedGradients(lambda x: m(x.detach())), {}, r"model must have .*, got none"),
        (lambda m, e, d: BlurIG(m), dict(x=torch.zeros(0, 3, 8, 8)), r"x must be .*, got shape \(0, 3, 8, 8\)"),
        (lambda m, e, d: EIG(m, e, d, bridge_points=0), {}, "bridge_points must be an integer >= 1, got 0"),
        (lambda m, e, d: EIG(m, e, d, bend=torch.zeros(51, 2, 6)), {}, r"bend must have shape .*, got \(51, 2, 6\)"),
        (lambda m, e, d: MIG(m, e, d, evaluations=-1), {}, "evaluations must be an integer >= 0, got -1"),
        (lambda m, e, d: MIG.released(m, e, d, n_steps=2), {}, "n_steps must be an integer >= 3 .* got 2"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(build, arguments, words, classifier, encoder, decoder):
    with pytest.raises(ValueError, match=words) as caught:
        build(classifier, encoder, decoder).attribute(**dict(x=images()) | arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda *nets: MIG(*nets, solver=dict(tol=1)), "solver must have options among modes, history.*, got 'tol'"),
        (lambda *nets: MIG(*nets, solver=dict(n_points=9)), r"solver must have options among .*, got 'n_points'"),
        (lambda *nets: MIG(*nets, solver=dict(polish=-3)), "polish must be an integer >= 0, got -3"),
        (lambda *nets: MIG(*nets, solver=dict(modes=0)), r"evaluations must be an integer >= 0 and .*, got 40 and 0"),
        (lambda *nets: MIG(*nets, solver=dict(penalty=1.0)), "penalty must be None or a function .* got 1.0"),
        (lambda *nets: MIG.released(*nets, sweeps=-1), "sweeps must be an integer >= 0, got -1"),
        (lambda *nets: EIG(*nets, bend=torch.zeros(3, 4, 6)), r"bend must be \(51, n, .* got shape \(3, 4, 6\)"),
    ],
)  # fmt: skip
def test_what_no_image_could_mend_is_refused_when_a_method_is_made(
    build, words, classifier, encoder, decoder
):
    with pytest.raises(ValueError, match=words) as caught:
        build(classifier, encoder, decoder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_no_pass_of_a_network_is_larger_than_the_bound(name, classifier, encoder, decoder):
    """Six points between the ends fit into one pass, so that the solver need not take a whole curve."""
    sizes = {"classifier": [], "encoder": [], "decoder": []}
    hooks = [
        net.register_forward_pre_hook(lambda _, args, key=key: sizes[key].append(len(args[0])))
        for key, net in (("classifier", classifier), ("encoder", encoder), ("decoder", decoder))
    ]
    steps = {} if name == "MIG-released" else {"n_steps": 7}
    try:
        bounded = make(name, classifier, encoder, decoder, batch_size=6, **steps)
        few = bounded.explain(images(20, 8), baselines=None if name == "Blur" else images(20, 9))
    finally:
        for hook in hooks:
            hook.remove()
    most = {key: max(found, default=0) for key, found in sizes.items()}
    if name == "MIG-released":
        most.pop("decoder")  # the reference moves the nodes of all curves side by side
    assert all(size <= 6 for size in most.values()) and most["classifier"] > 0, most
    whole = make(name, classifier, encoder, decoder, batch_size=None, **steps).explain(
        images(20, 8), baselines=None if name == "Blur" else images(20, 9)
    )
    scale = float(whole.values.abs().max())
    torch.testing.assert_close(few.values, whole.values, rtol=1e-3, atol=1e-4 * scale)
    torch.testing.assert_close(few.completeness_gap, whole.completeness_gap, rtol=1e-2, atol=1e-4)


def test_the_gap_of_a_constant_is_zero(encoder, decoder):
    """Nothing to explain and nothing explained: 0 / 0 is no gap. What is given to a constant is an infinite one."""
    still = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    with torch.no_grad():
        still[1].weight.zero_()
    found = LatentPathIG(still, encoder, decoder, n_steps=4).explain(images(), TARGET)
    assert torch.equal(found.completeness_gap, torch.zeros(4))
    wrong = replace(found, values=torch.ones_like(found.values))
    assert wrong.completeness_gap.isinf().all()


def test_decoded_paths_end_at_the_reconstruction_to_the_bit(classifier, encoder, decoder):  # T12
    x = images()
    ends = make("IG-recon", classifier, encoder, decoder).explain(x, TARGET).ends
    found = make("MIG", classifier, encoder, decoder).explain(x, TARGET)
    assert torch.equal(found.ends[1], ends[1]) and torch.equal(found.ends[1], decoder(encoder(x)))
    assert found.geodesic is not None and torch.equal(found.geodesic.latents[-1], encoder(x))


def test_a_shared_memory_finds_each_path_once_and_changes_nothing():
    calls, memory = [], {}
    encode, decode = (
        nn.Linear(6, 3, dtype=torch.float64).eval(),
        nn.Sequential(nn.Linear(3, 6, dtype=torch.float64), nn.Tanh()).eval(),
    )

    def counted(z):
        calls.append(len(z))
        return decode(z)

    x = torch.rand(2, 6, generator=generator(3), dtype=torch.float64)
    models = [nn.Linear(6, 2, dtype=torch.float64).eval() for _ in range(2)]
    for kind in (LatentPathIG, partial(ManifoldIG, evaluations=5)):
        plain = [kind(m, encode, decode, n_steps=6).attribute(x, 0) for m in models]
        spent = []
        for model, expected in zip(models, plain, strict=True):
            before = len(calls)
            found = kind(model, encode, counted, n_steps=6, memory=memory).attribute(x, 0)
            assert torch.equal(found, expected)
            spent.append(len(calls) - before)
        assert spent[1] < spent[0]
        other = kind(models[0], encode, counted, n_steps=6, memory=memory).attribute(x.flip(0), 0)
        assert torch.allclose(other, plain[0].flip(0), atol=1e-12)
    longer = ManifoldIG(models[0], encode, counted, n_steps=6, evaluations=9, memory=memory)
    fresh = ManifoldIG(models[0], encode, decode, n_steps=6, evaluations=9)
    assert torch.equal(longer.attribute(x, 0), fresh.attribute(x, 0))


def test_the_noise_of_an_attribution_is_that_of_the_gradients_it_adds_up(classifier, encoder, decoder):
    x = images()
    found = make("EIG", classifier, encoder, decoder).explain(x, TARGET)
    path = path_of(make("EIG", classifier, encoder, decoder), x, torch.zeros_like(x))
    slow = gradient_noise(classifier, (path[1:] + path[:-1]) / 2, TARGET)
    torch.testing.assert_close(found.noise, slow, rtol=1e-4, atol=1e-6)
    for name in NAMES:
        whole = make(name, classifier, encoder, decoder).explain(x, TARGET)
        few = make(name, classifier, encoder, decoder, batch_size=3).explain(x, TARGET)
        assert (whole.noise >= 0).all() and whole.noise.shape == (4,)
        torch.testing.assert_close(whole.noise, few.noise, rtol=1e-3, atol=1e-5)
    assert make("IG", classifier, encoder, decoder, n_steps=1).explain(x, TARGET).noise is None
    assert make("EIG", classifier, encoder, decoder).explain(x.requires_grad_(), TARGET).noise is None


def test_a_search_from_the_encoded_pixel_line_needs_fewer_evaluations(classifier, encoder, decoder):
    x, start = images(), torch.zeros(4, 3, 8, 8)
    with torch.no_grad():
        x = decoder(encoder(x))
    for budget in (1, 5):
        line, encoded = (
            make("MIG", classifier, encoder, decoder, evaluations=budget, first=first).geodesic(x, start)
            for first in ("line", "encoded")
        )
        assert (encoded.trace[0] <= line.trace[0]).all()
        torch.testing.assert_close(encoded.latents[[0, -1]], line.latents[[0, -1]], rtol=0, atol=0)
    still = make("MIG", classifier, encoder, decoder, evaluations=0, first="encoded")
    torch.testing.assert_close(
        still.attribute(x, TARGET), make("EIG", classifier, encoder, decoder).attribute(x, TARGET)
    )


@pytest.mark.usefixtures("as_shipped")
def test_an_unknown_first_guess_is_refused(classifier, encoder, decoder):
    with pytest.raises(ValueError, match=r"^first must be one of line, encoded, got 'random'"):
        make("MIG", classifier, encoder, decoder, first="random")
