"""DiffGradCAM against the GradCAM of pytorch-grad-cam and captum, and all classes at once against a loop.

The reference of every ratio is our call, so a ratio above 1 says how many times longer the alternative takes.
"""

import pytest
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM as TheirGradCAM
from torch import nn

from robustxai.diffgradcam import DiffGradCAM, GradCAM
from robustxai.diffgradcam.capture import Cut, cut
from robustxai.diffgradcam.raw_maps import all_maps, raw_maps
from robustxai.diffgradcam.weightings import gradcam
from robustxai.nets import CompactResNet, TorchvisionClassifier

CHAPTER = "diffgradcam"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # captum warns about its own hooks


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def resnet18() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """ResNet-18 with random weights, 32 images of 224 px and the predicted classes."""
    model = TorchvisionClassifier("resnet18", generator=generator()).eval()
    x = torch.rand(32, 3, 224, 224, generator=generator())
    with torch.no_grad():
        return model, x, model(x).argmax(-1)


@pytest.mark.benchmark(group="one map per image, ResNet-18, 224 px, batch 32")
def test_diffgradcam_itself(resnet18, against):
    """GradCAM by the same code: the contrast costs nothing."""
    model, x, target = resnet18
    ours, plain = (method(model, normalise="minmax") for method in (DiffGradCAM, GradCAM))
    against(lambda: ours.attribute(x, target), lambda: plain.attribute(x, target), rounds=5,
            name="DiffGradCAM / our GradCAM", target="about 1")  # fmt: skip


@pytest.mark.benchmark(group="one map per image, ResNet-18, 224 px, batch 32")
def test_pytorch_grad_cam(resnet18, against):
    """Both give maps of the input's size, scaled to [0, 1]."""
    model, x, target = resnet18
    ours = DiffGradCAM(model, normalise="minmax")
    with TheirGradCAM(model=model, target_layers=[model.body]) as theirs:
        against(lambda: theirs(x, None), lambda: ours.attribute(x, target), rounds=5,
                name="pytorch-grad-cam GradCAM / DiffGradCAM", target="2 or more")  # fmt: skip
    model.zero_grad(set_to_none=True)


@pytest.mark.benchmark(group="one map per image, ResNet-18, 224 px, batch 32")
def test_captum(resnet18, against):
    """Both give maps of the layer's size."""
    model, x, target = resnet18
    ours, theirs = DiffGradCAM(model, size="native"), LayerGradCam(model, model.body)
    against(lambda: theirs.attribute(x, target), lambda: ours.attribute(x, target), rounds=5,
            name="captum LayerGradCam / DiffGradCAM")  # fmt: skip


@pytest.mark.parametrize("way", ["loop", "batched"])
@pytest.mark.parametrize(("classes", "batch"), [(100, 64), (1000, 16)])
@pytest.mark.benchmark(group="a DiffGradCAM map for every class, CompactResNet, 56 px")
def test_maps_of_all_classes(classes, batch, way, against):
    """From one forward pass: the closed form against a VJP per class, and against `is_grads_batched`."""
    model, x = many_classes(classes, batch)
    c = cut(model, model.body, x)
    contender, words = WAYS[way]
    torch.testing.assert_close(contender(c), all_maps(c, gradcam), rtol=1e-3, atol=1e-6)
    against(lambda: contender(c), lambda: all_maps(c, gradcam), rounds=5,
            name=f"{words} / closed form, {classes} classes, batch {batch}",
            target="10 or more" if way == "loop" else None)  # fmt: skip


@pytest.mark.parametrize(("classes", "batch"), [(100, 64), (1000, 16)])
@pytest.mark.benchmark(group="a DiffGradCAM map for every class, CompactResNet, 56 px")
def test_attribute_all(classes, batch, against):
    """The same with the forward pass, which both need: the loop against `attribute_all`."""
    model, x = many_classes(classes, batch)
    ours = DiffGradCAM(model, size="native", relu=False)
    against(lambda: loop(cut(model, model.body, x)), lambda: ours.attribute_all(x), rounds=5,
            name=f"forward + loop of VJPs / attribute_all, {classes} classes, batch {batch}")  # fmt: skip


def many_classes(classes: int, batch: int) -> tuple[CompactResNet, torch.Tensor]:
    model = CompactResNet(classes, widths=(24, 48, 96, 96), generator=generator()).eval()
    return model, torch.rand(batch, 3, 56, 56, generator=generator())


def loop(c: Cut) -> torch.Tensor:
    head = c._replace(weight=None)  # a black box
    n, classes = c.logits.shape
    return torch.stack([raw_maps(head, torch.full((n,), k), gradcam) for k in range(classes)], 1)


def batched(c: Cut) -> torch.Tensor:
    return all_maps(c._replace(weight=None), gradcam)


WAYS = {"loop": (loop, "Python loop of VJPs"), "batched": (batched, "is_grads_batched VJP")}
