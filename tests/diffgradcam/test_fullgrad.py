"""FullGrad: its shares add up to the score, and its map knows where the object is."""

import pytest
import torch
from problems import TinyConvHead, TinyFlat, TinyGAP, TinyMLP, images, squares

from robustxai.diffgradcam import FullGrad
from robustxai.nets import CompactResNet, TorchvisionClassifier
from robustxai.scores.explained import score_coefficients


def networks():
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # other weights may leave no ReLU of the last layer alive
        tiny = [net().double().eval() for net in (TinyGAP, TinyMLP, TinyFlat, TinyConvHead)]
    yield from tiny
    yield CompactResNet(5, generator=generator).double().eval()
    yield TorchvisionClassifier("resnet18", classes=5, generator=generator).double().eval()


@pytest.mark.parametrize("contrast", ["logit", "lse", "mean"])
def test_shares_sum_to_the_score(contrast):
    for model in networks():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, generator=torch.Generator().manual_seed(1))
                torch.nn.init.normal_(module.bias, generator=torch.Generator().manual_seed(2))
        size = 64 if isinstance(model, TorchvisionClassifier) else 16
        x = images(3, dtype=torch.float64)[..., :size, :size]
        x = torch.nn.functional.interpolate(x, (size, size))
        target = torch.tensor([0, 2, 4])
        score, shares = FullGrad(model, contrast=contrast).shares(x, target)
        logits = model(x).detach()
        expected = (score_coefficients(logits, target, contrast) * logits).sum(1)
        torch.testing.assert_close(score, expected)
        torch.testing.assert_close(sum(s.flatten(1).sum(1) for s in shares), expected, rtol=1e-8, atol=1e-8)
        assert len(shares) > 1 and float(shares[-1].abs().sum()) > 0


def test_map_of_a_batch_is_the_map_of_each_image_and_marks_the_object(trained):
    model, x, _ = trained
    maps = FullGrad(model).attribute(x[:8])
    assert maps.shape == (8, 1, *x.shape[2:]) and bool((maps >= 0).all())
    one = torch.cat([FullGrad(model).attribute(x[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(maps, one, rtol=1e-4, atol=1e-5)
    _, _, quadrant = squares(256)
    halves = maps[:, 0].unfold(1, 14, 14).unfold(2, 14, 14).sum((3, 4))
    inside = halves[torch.arange(8), quadrant[:8] // 2, quadrant[:8] % 2] / maps[:, 0].sum((1, 2))
    assert float(inside.mean()) > 0.4, "chance is a quarter"


def test_leaves_the_model_as_it_was():
    model = TinyGAP().eval()
    FullGrad(model).attribute(images(2))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(ValueError, match=r"contrast|kind"):
        FullGrad(model, contrast="nonsense")
