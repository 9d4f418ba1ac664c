"""A folded network answers as the original does, has no batch norms left, and leaves the original alone."""

import pytest
import torch
from torch import nn

from robustxai.nets import (
    CompactInception,
    CompactResNet,
    CompactVGG,
    ConvVAE,
    MiniInception,
    PlainConvNet,
    ResNet9,
    TorchvisionClassifier,
    folded,
)
from robustxai.nets.fold import Doubling


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lived_in(model):
    """With running statistics and weights of the batch norms that are not those of the start."""
    for i, module in enumerate(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            for t, low in ((module.running_mean, -0.2), (module.running_var, 0.5), (module.bias.data, -0.1),
                           (module.weight.data, 0.5)):  # fmt: skip
                t.copy_(low + torch.rand(t.shape, generator=seeded(i)))
    return model.eval()


NETS = {
    "resnet": lambda: CompactResNet(3, widths=(4, 4, 8, 8), generator=seeded()),
    "vgg": lambda: CompactVGG(3, widths=(4, 8), hidden=8, generator=seeded()),
    "inception": lambda: CompactInception(3, widths=(4, 8, 16), activation="silu", generator=seeded()),
    "plain": lambda: PlainConvNet(3, widths=(8,) * 5, generator=seeded()),
    "mini-inception": lambda: MiniInception(3, widths=(8,) * 5, generator=seeded()),
    "resnet9": lambda: ResNet9(classes=3, generator=seeded()),
    "vae": lambda: ConvVAE(widths=(8, 8, 8), generator=seeded()),
    "vae with the paper's skips": lambda: ConvVAE(widths=(8, 8), skip_kernel=3, generator=seeded()),
    "resnet18": lambda: TorchvisionClassifier("resnet18", classes=3, generator=seeded()),
}


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_gradients_are_the_same_up_to_rounding(name):
    model = lived_in(NETS[name]()).double()
    less = folded(model)
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in less.modules())
    assert not any(p.requires_grad for p in less.parameters())
    x = torch.rand(2, 3, 32, 32, generator=seeded(9)).double()
    found = []
    for net in (model, less):
        v = x.clone().requires_grad_()
        out = net(v)
        found.append((out.detach(), torch.autograd.grad(out.square().sum(), v)[0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_the_original_stays_as_it_was():
    model = lived_in(NETS["resnet"]())
    before = {name: t.clone() for name, t in model.state_dict().items()}
    folded(model)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_a_norm_that_is_not_behind_a_convolution_stays():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    less = folded(lived_in(model))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in less.modules()) == 2


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"^model must be in eval mode, got training mode"):
        folded(NETS["resnet"]())


@pytest.mark.parametrize("bias", [True, False])
def test_doubling_is_nearest_neighbours_and_a_convolution(bias):
    convolution = nn.Conv2d(3, 5, 3, padding=1, bias=bias).double()
    x = torch.rand(2, 3, 4, 6, generator=seeded(1)).double().requires_grad_()
    way = nn.Sequential(nn.Upsample(scale_factor=2.0, mode="nearest"), convolution)
    ours, theirs = Doubling(convolution)(x), way(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(y.cos().sum(), x)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("skip_kernel", "doubled"), [(1, 3), (3, 0)])
def test_an_autoencoder_doubles_and_convolves_in_one_where_its_skips_allow_it(skip_kernel, doubled):
    less = folded(ConvVAE(widths=(8, 8, 8), skip_kernel=skip_kernel, generator=seeded()).eval())
    assert sum(isinstance(m, Doubling) for m in less.modules()) == doubled
