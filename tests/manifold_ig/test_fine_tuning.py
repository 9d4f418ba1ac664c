"""Two stages: what is frozen in the first keeps every bit, batch norms too (pitfall P9), and moves in the second."""

from urllib.error import URLError

import pytest
import torch
from torch import nn

from robustxai.manifold_ig import vae_loss
from robustxai.manifold_ig.study.fine_tuning import BATCH, fine_tune_classifier
from robustxai.nets import ConvVAE, HeadedClassifier

PROBED = {"resnet18": ("bn1", "conv1"), "googlenet": ("conv1.bn", "conv1.conv"), "vgg16": (None, "0")}


def data(n=4, size=64):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 3, size, size, generator=generator), torch.arange(n) % 2


def changed(before, model):
    """Names of the tensors that are no longer as they were."""
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "architecture", ["resnet18", "googlenet", pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_the_body_is_frozen_first_and_moves_then(architecture):
    model = HeadedClassifier(architecture, classes=2, hidden=8, generator=torch.Generator().manual_seed(0))
    norm, convolution = PROBED[architecture]
    x, y = data()
    before = copied(model)
    fine_tune_classifier(model, x, y, epochs=(2, 0))
    moved = changed(before, model)
    learnt = {f"head.{name}" for name, _ in model.head.named_parameters()}
    statistics = {f"head.{name}" for name, _ in model.head.named_buffers()}
    assert learnt | statistics == moved and not model.training
    if architecture == "vgg16":  # its hidden layers are not frozen in the paper
        assert "head.2.weight" in moved
    before = copied(model)
    fine_tune_classifier(model, x, y, epochs=(0, 1))
    moved = changed(before, model)
    assert f"body.{convolution}.weight" in moved and learnt <= moved
    assert (
        norm is None
        or {f"body.{norm}.running_mean", f"body.{norm}.running_var", f"body.{norm}.weight"} <= moved
    )


def small_model():
    model = HeadedClassifier("resnet18", classes=2, hidden=4, generator=torch.Generator().manual_seed(0))
    model.body = nn.Sequential(nn.Conv2d(3, 512, 8, 8), nn.BatchNorm2d(512), nn.ReLU())
    return model


def test_a_lone_last_image_is_left_out():
    x, y = data(BATCH + 1, 8)
    results = []
    for count in (BATCH + 1, BATCH):
        model = small_model()
        model.load_state_dict({k: torch.full_like(v, 0.01) for k, v in model.state_dict().items()})
        fine_tune_classifier(model, x[:count], y[:count], epochs=(1, 1))
        results.append(model.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())
    with pytest.raises(ValueError, match=r"^x must hold 2 images or more, .* got 1"):
        fine_tune_classifier(small_model(), x[:1], y[:1])


def test_each_stage_has_its_own_checkpoint(tmp_path):
    x, y = data(6, 8)
    model = small_model()
    fine_tune_classifier(model, x, y, epochs=(1, 1), checkpoint=tmp_path / "net.safetensors")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["net-0.safetensors", "net-1.safetensors"]
    again = small_model()
    fine_tune_classifier(again, x, y, epochs=(1, 1), checkpoint=tmp_path / "net.safetensors")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_loss_of_the_paper(monkeypatch):
    """KL + MSE + perceptual with weight 1 each in normalised images, from 16 convolutions of VGG-19."""
    loss = vae_loss.paper_loss(weights=None)
    assert isinstance(loss.features, vae_loss.ConvFeatures)
    x, _ = data(2, 32)
    seen = loss.features(x)
    assert len(seen) == 16 and all((maps < 0).any() for maps in seen)  # before the activation
    assert not any(p.requires_grad for p in loss.features.network.parameters())
    assert loss.kl == loss.perceptual and loss.kl / loss.mse == pytest.approx(0.226**2, rel=1e-2)
    vae = ConvVAE(widths=(4, 4), latent=2, blocks=0)
    value = loss(vae, x, x)
    value.backward()
    assert value.isfinite() and all(p.grad is not None for p in vae.decoder.parameters())

    def refuse(**options):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models.vgg19", refuse)
    with pytest.raises(
        ValueError,
        match=r"^weights must be None offline, got VGG19_Weights.IMAGENET1K_V1, which could not be fetched",
    ):
        vae_loss.paper_loss()
