"""The VAE, its loss and its recipe: shapes, smoothness, size, formulas, storage."""

import os
from dataclasses import replace
from functools import partial

import pytest
import torch
from curved import generator
from torch import nn
from torch.nn import functional as F

from robustxai.manifold_ig.study import image_sets, recipes
from robustxai.manifold_ig.vae_loss import (
    ConvFeatures,
    VAELoss,
    divergence,
    feature_distance,
    reconstruction_error,
)
from robustxai.nets import CompactResNet, ConvVAE, fit, pretrained, zoo
from robustxai.nets.recipes import Recipe, run
from robustxai.nets.vae import ResidualBlock

TINY = dict(widths=(8, 8, 8), latent=4, blocks=1)


def tiny(**options):
    return ConvVAE(**(TINY | options), generator=generator()).eval()


def images(n=6, size=16, seed=1):
    return torch.rand(n, 3, size, size, generator=generator(seed))


def test_the_default_network_is_small_and_spatial():
    vae = ConvVAE(generator=generator()).eval()
    assert sum(p.numel() for p in vae.parameters()) < 1.2e6
    x = images(2, 64)
    z = vae.encode(x)
    y = vae.decode(z)
    assert z.shape == (2, 16, 4, 4) and y.shape == x.shape and 0 < y.min() < y.max() < 1
    torch.testing.assert_close(vae(x), y)


@pytest.mark.parametrize("options", [{}, dict(skip_kernel=3), dict(decoder_activation="elu", blocks=0)])
def test_arguments_rebuild_the_network_and_the_seed_its_weights(options):
    first, state = tiny(**options), torch.random.get_rng_state()
    again = ConvVAE(**first.arguments, generator=generator()).eval()
    assert torch.equal(first(images()), again(images()))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(
        first(images()), ConvVAE(**first.arguments, generator=generator(1)).eval()(images())
    )


def test_a_1x1_skip_before_the_upsampling_is_the_skip_after_it():
    with torch.random.fork_rng(devices=[]):
        block = ResidualBlock(6, 4, "up", "silu", 1).eval()
    x = torch.randn(2, 6, 5, 5, generator=generator())
    big = F.interpolate(x, scale_factor=2.0, mode="nearest")
    torch.testing.assert_close(block(x), block.act(block.main(big) + block.skip(big)))


def test_the_decoder_is_smooth_unless_it_is_asked_for_elu():
    """Second derivatives along a line change little over a small step; those of ELU jump somewhere."""

    def largest_jump(activation):
        vae = tiny(decoder_activation=activation).double()
        z, u = torch.randn(2, 1, 4, 2, 2, generator=generator(3), dtype=torch.float64)
        t = torch.linspace(-0.4, 0.4, 601, dtype=torch.float64)
        y = vae.decode((z + t.view(-1, 1, 1, 1) * u).contiguous()).detach().flatten(1)
        second = y.diff(n=2, dim=0) / (t[1] - t[0]) ** 2
        return float(second.diff(dim=0).abs().amax() / second.abs().amax())

    assert largest_jump("silu") < 0.02 < 0.05 < largest_jump("elu")


def test_divergence_and_distance_are_their_formulas():
    assert float(divergence(torch.zeros(2, 3), torch.zeros(2, 3))) == 0
    normal = torch.distributions.Normal
    mean, log_variance = torch.randn(2, 4, 3, generator=generator())
    exact = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_variance), exact.mean())
    features = lambda x: [x, 2 * x]  # noqa: E731
    x, y = images(), images(seed=2)
    torch.testing.assert_close(feature_distance(features, y, x), 2.5 * (y - x).square().mean())


def test_features_are_the_first_convolutions_and_the_rest_does_not_run():
    network = CompactResNet(3, widths=(4, 4, 6, 6), generator=generator()).eval()
    x = images(size=32)
    seen = ConvFeatures(network, 3)(x)
    stem = network.body[0]
    torch.testing.assert_close(seen[0], stem[0](network.normalize(x)))
    torch.testing.assert_close(seen[1], network.body[1][0].conv1(stem(network.normalize(x))))
    assert len(seen) == 3 and not any(m._forward_hooks for m in network.modules())
    ran = []
    network.head.register_forward_hook(lambda *_: ran.append(1))
    ConvFeatures(network, 3)(x)
    assert not ran


def test_training_lowers_the_loss_and_leaves_the_feature_network_alone():
    teacher = CompactResNet(3, widths=(4, 4, 6, 6), generator=generator()).requires_grad_(False).eval()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    x = torch.rand(48, 3, 1, 1, generator=generator()).expand(-1, -1, 16, 16).contiguous()
    vae, error = tiny(), reconstruction_error(tiny(), x)
    history = fit(
        vae, x, torch.zeros(48), epochs=25, lr=5e-3, batch_size=16, loss=VAELoss(ConvFeatures(teacher, 2)),
        measure=reconstruction_error, progress=False,
    )  # fmt: skip
    assert history.accuracy[-1] == pytest.approx(reconstruction_error(vae, x)) and not vae.training
    assert history.accuracy[-1] < 0.7 * error and history.loss[-1] < 0.7 * history.loss[0]
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    parts = [VAELoss(kl=kl, mse=mse) for kl, mse in ((1, 0), (0, 1), (1, 1))]
    values = []
    for loss in parts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            values.append(float(loss(vae, x, x).detach()))
    assert values[2] == pytest.approx(values[0] + values[1], rel=1e-5)


@pytest.fixture
def small_task():
    """Few images, and networks that train in seconds; same names as the real ones."""
    vae = {"widths": (4, 4, 4, 4), "blocks": 0}
    small = {
        "resnet": {"widths": (16, 16, 16, 16)},
        "vgg": {"widths": (4, 4), "hidden": 4},
        "inception": {"widths": (4, 8)},
    }
    return replace(
        image_sets.TASKS["portraits"],
        n=32,
        n_classifier=32,
        vae=vae,
        vae_epochs=1,
        epochs=1,
        classifiers=small,
    )


def stored(name, build, task, out, **options):
    return run(
        Recipe(name, "", lambda job: build(job, task, **options), "m.safetensors"), out=out, progress=False
    )


def test_the_recipes_store_networks_that_load_again(tmp_path, small_task):
    build = partial(recipes.build_vae, teacher_epochs=1)
    assert stored("manifold_ig-vae-portraits", build, small_task, tmp_path) == [
        "manifold_ig-vae-portraits-s0"
    ]
    entry = zoo(tmp_path)["manifold_ig-vae-portraits-s0"]
    assert set(entry.metrics) == {"test_mse", "test_relative_error", "black_mse", "white_mse"}
    vae = pretrained(entry.name, weights_dir=tmp_path)
    assert isinstance(vae, ConvVAE) and vae(images(1, 64)).shape == (1, 3, 64, 64)
    assert not list(tmp_path.glob(".checkpoints/*"))

    names = stored("manifold_ig-classifiers-portraits", recipes.build_classifiers, small_task, tmp_path)
    assert sorted(names) == sorted(
        recipes.classifier_name("portraits", architecture, 0, inputs)
        for architecture in ("resnet", "vgg", "inception")
        for inputs in ("recon", "raw")
    )
    for name in names:
        assert set(zoo(tmp_path)[name].metrics) == {"test_accuracy_recon", "test_accuracy_raw"}
        model = pretrained(name, weights_dir=tmp_path)
        assert model(images(2, 64)).shape == (2, 2)
        assert not any(isinstance(m, nn.ReLU | nn.MaxPool2d) for m in model.modules())


def test_classifiers_of_the_two_inputs_start_alike_and_end_apart(tmp_path, small_task):
    stored("v", partial(recipes.build_vae, teacher_epochs=1), small_task, tmp_path)
    stored("c", recipes.build_classifiers, small_task, tmp_path)
    names = [recipes.classifier_name("portraits", "vgg", 0, inputs) for inputs in recipes.INPUTS]
    x = images(4, 64)
    recon, raw = (pretrained(name, weights_dir=tmp_path)(x) for name in names)
    assert not torch.allclose(recon, raw, atol=1e-4)


@pytest.mark.parametrize("name", ["fashion", "smiles64"])
def test_real_sets_fit_their_networks(name):
    if not os.environ.get("ROBUSTXAI_DATA"):
        pytest.skip("ROBUSTXAI_DATA is not set")
    task = image_sets.TASKS[name]
    samples = task.read("test", 40)
    assert samples.x.shape[1] == task.channels and len(samples.y.unique()) == len(samples.classes)
    assert ConvVAE(in_channels=task.channels, **task.vae).eval()(samples.x[:2]).shape == samples.x[:2].shape
    for architecture in task.classifiers:
        model = recipes.make_classifier(task, architecture, len(samples.classes), 0).eval()
        assert model(samples.x[:2]).shape == (2, len(samples.classes))
    if samples.masks is not None:
        share = samples.masks.mean((1, 2))
        assert ((share == 0) | ((share > 0.03) & (share < 0.5))).all() and (
            share[samples.y == 1] > 0
        ).float().mean() > 0.8


def test_plain_images_are_added():
    x = recipes.with_plain_images(images(100))
    assert len(x) == 104 and (x[100:102] == 0).all() and (x[102:] == 1).all()


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: ConvVAE(widths=()),
            r"widths must be one integer >= 2 or more, latent an integer .*, got \(\), 16 and 2",
        ),
        (
            lambda: ConvVAE(decoder_activation="relu"),
            "activation must be one of silu, elu, softplus, got 'relu'",
        ),
        (lambda: ConvVAE(skip_kernel=5), "skip_kernel must be one of 1, 3, got 5"),
        (
            lambda: tiny().encode(images(size=12)),
            r"x must have sides that are multiples of 8 pixels, got \(12, 12\)",
        ),
        (lambda: ConvFeatures(nn.Conv2d(3, 3, 1), 2), r"layers must be in \[1, 1\], got 2"),
        (lambda: image_sets.faces("validation", 3), "split must be one of train, test, got 'validation'"),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
