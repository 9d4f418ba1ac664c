"""CAMs that keep their graph, of layers named by call, of several layers, and of transformers."""

import pytest
import torch
from problems import HEADS, TinyGAP
from pytorch_grad_cam import GradCAM as TheirGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchvision.models import swin_t, vit_b_16

import robustxai.diffgradcam as D
from robustxai.diffgradcam import DiffGradCAM, DiffGradCAMPlusPlus, FullGrad, GradCAM
from robustxai.explainers.reshape import tokens
from robustxai.metrics import pearson

SMOOTH = sorted(
    n for n in D.__all__ if isinstance(getattr(D, n), type) and issubclass(getattr(D, n), D.ContrastiveCAM)
)


def images(n: int = 2, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


def made(name: str, model: nn.Module):
    """An explainer of this name, with raw maps: no ReLU, which would hide half of the derivative."""
    if name == "SigmoidBranch":
        g = torch.Generator().manual_seed(0)
        features = torch.randn(12, 6, generator=g, dtype=torch.float64)
        return D.SigmoidBranch(model, features, torch.arange(12) % 5, relu=False, size="native")
    return getattr(D, name)(model, relu=False, size="native")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", SMOOTH)
def test_the_graph_holds_the_derivative_of_the_map(name, head):
    """Directional derivatives equal central differences; without a request there is no graph, and the same map."""
    torch.manual_seed(0)
    model, x = head().double().eval(), images()
    cam = made(name, model)
    v = x.clone().requires_grad_()
    try:
        maps = cam.attribute(v, 1)
    except ValueError as error:
        assert name == "CAM" and "global average pooling" in str(error)
        return
    weight = torch.randn(maps.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    (g,) = torch.autograd.grad((maps * weight).sum(), v)
    plain = cam.attribute(x, 1)
    assert not plain.requires_grad and torch.allclose(plain, maps.detach(), rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        assert not cam.attribute(v, 1).requires_grad
        d = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
        up, down = ((cam.attribute(x + h * d, 1) * weight).sum() for h in (1e-7, -1e-7))
    assert float((g * d).sum()) == pytest.approx(float(up - down) / 2e-7, rel=2e-3, abs=1e-7)


def test_the_exact_plus_plus_and_all_classes_keep_their_graph():
    model, x = TinyGAP().double().eval(), images().requires_grad_()
    for maps in (
        DiffGradCAMPlusPlus(model, exact_hess=True).attribute(x, 1),
        DiffGradCAM(model).attribute_all(x),
        FullGrad(model).attribute(x, 1),
    ):
        (g,) = torch.autograd.grad(maps.square().sum(), x)
        assert g.abs().max() > 0


class Shared(nn.Module):
    """One activation that runs three times, as in EfficientNet-Lite."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolutions = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.act, self.fc = nn.ReLU6(), nn.Linear(3, 4)

    def forward(self, x):
        for conv in self.convolutions:
            x = self.act(conv(x))
        return self.fc(x.mean((2, 3)))


def test_a_call_of_a_shared_layer_can_be_named():
    model, x = Shared().double().eval(), images()
    with pytest.raises(ValueError, match=r"layer 'act' runs more than once.*'act:1' to 'act:3'"):
        GradCAM(model, "act").attribute(x)
    maps = [GradCAM(model, f"act:{i}", relu=False).attribute(x, 1) for i in (1, 2, 3)]
    assert not torch.equal(maps[0], maps[2])
    a = x
    for conv in model.convolutions:
        a = model.act(conv(a))
    expected = torch.einsum("k,nkhw->nhw", model.fc.weight[1], a)[:, None] / 256
    torch.testing.assert_close(maps[2], expected.detach())
    with pytest.raises(ValueError, match="layer 'act:4' runs 3 times"):
        GradCAM(model, "act:4").attribute(x)


def test_several_layers_are_averaged_as_pytorch_grad_cam_does():
    model, x = TinyGAP().eval(), images().float()
    layers = [model.features[0], model.features[4]]
    mine = GradCAM(model, ["features.0", layers[1]], normalise="minmax").attribute(x, 1)
    with TheirGradCAM(model=model, target_layers=layers) as theirs:
        expected = theirs(x, [ClassifierOutputTarget(1)] * len(x))
    torch.testing.assert_close(
        mine[:, 0], torch.as_tensor(expected), atol=0.02, rtol=0
    )  # OpenCV rounds to 1/64


@pytest.mark.parametrize(
    ("build", "layer", "reshape", "side"),
    [
        (vit_b_16, "encoder.layers.encoder_layer_11.ln_1", "vit", 14),
        (swin_t, "norm", "channels_last", 7),
    ],
)
def test_transformers_by_reshape(build, layer, reshape, side):
    torch.manual_seed(0)
    model, x = build(weights=None).eval(), torch.rand(1, 3, 224, 224)
    for parameter in (p for name, p in model.named_parameters() if name.startswith("head")):
        nn.init.normal_(parameter)  # torchvision begins with a head of zeros
    cam = DiffGradCAM(model, layer, reshape=reshape, size="native", relu=False)
    found = cam.attribute(x, 7)
    assert found.shape == (1, 1, side, side) and found.abs().max() > 0
    with pytest.raises(ValueError, match="reshape="):
        DiffGradCAM(model, layer).attribute(x, 7)
    turn = (
        (lambda t: t[:, 1:].transpose(1, 2).reshape(1, 768, 14, 14))
        if side == 14
        else lambda t: t.permute(0, 3, 1, 2)
    )
    with TheirGradCAM(
        model=model, target_layers=[model.get_submodule(layer)], reshape_transform=turn
    ) as theirs:
        expected = torch.as_tensor(theirs(x, [ClassifierOutputTarget(7)]))
    mine = GradCAM(model, layer, reshape=reshape, normalise="minmax").attribute(x, 7)
    assert float(pearson(mine, expected[:, None])) > 0.998, "equal but for OpenCV's resizing, which is coarse"


def test_tokens_that_fill_no_grid():
    with pytest.raises(ValueError, match="the other 195 are no square"):
        tokens(2)(torch.zeros(1, 197, 8))
    assert tokens(1, (4, 8))(torch.zeros(1, 33, 8)).shape == (1, 8, 4, 8)
