"""Class activation maps of timm's and Hugging Face's transformers: the ready-made reshapes, maps and their graph."""

import pytest
import torch
from torch import nn

from robustxai.diffgradcam import DiffGradCAM
from robustxai.explainers.reshape import tokens

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

SMALL = dict(pretrained=False, img_size=64, num_classes=5)
SWIN = dict(
    image_size=64, patch_size=4, embed_dim=16, depths=(1, 1), num_heads=(2, 2), window_size=4, num_labels=5
)
VIT = dict(
    image_size=64, patch_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    num_labels=5,
)  # fmt: skip


def timm_vit(name: str) -> tuple[nn.Module, str, object]:
    net = timm.create_model(name, depth=2, **SMALL)
    return net, "blocks.1.norm1", tokens(net.num_prefix_tokens)


def timm_swin() -> tuple[nn.Module, str, object]:
    net = timm.create_model("swin_tiny_patch4_window7_224", window_size=2, depths=(1, 1, 1, 1), **SMALL)
    return net, "norm", "channels_last"


def face_vit() -> tuple[nn.Module, str, object]:
    net = transformers.ViTForImageClassification(transformers.ViTConfig(**VIT))
    return net, [n for n, _ in net.named_modules() if n.endswith("layernorm_before")][-1], "vit"


def face_swin() -> tuple[nn.Module, str, object]:
    return (
        transformers.SwinForImageClassification(transformers.SwinConfig(**SWIN)),
        "swin.layernorm",
        "tokens",
    )


@pytest.mark.parametrize(
    ("build", "side"),
    [
        (lambda: timm_vit("vit_tiny_patch16_224"), 4),
        (lambda: timm_vit("deit_tiny_distilled_patch16_224"), 4),
        (timm_swin, 2),
        (face_vit, 4),
        (face_swin, 8),
    ],
    ids=["timm ViT", "timm DeiT", "timm Swin", "Hugging Face ViT", "Hugging Face Swin"],
)
def test_maps_of_transformers_and_their_graph(build, side):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, layer, reshape = build()
        for p in net.parameters():
            if p.ndim == 2 and not p.detach().any():
                nn.init.normal_(p)  # heads that begin with zeros
    net.eval()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    cam = DiffGradCAM(net, layer, reshape=reshape, size="native", relu=False)
    maps = cam.attribute(x, 1)
    assert maps.shape == (2, 1, side, side) and maps.flatten(1).std(1).min() > 0
    torch.testing.assert_close(cam.attribute(x[:1], 1), maps[:1], rtol=1e-3, atol=1e-6)
    v = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(cam.attribute(v, 1).square().sum(), v)
    assert g.isfinite().all() and g.any()
    with pytest.raises(ValueError, match="reshape"):
        DiffGradCAM(net, layer).attribute(x, 1)
