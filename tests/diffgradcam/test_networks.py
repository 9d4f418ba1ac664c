"""Real architectures: the closed form is taken where it holds, and the attack of the paper on a trained network."""

import pytest
import torch
from problems import squares

from robustxai.diffgradcam import (
    DiffGradCAM,
    DiffGradCAMPlusPlus,
    GradCAM,
    ShiftAttack,
    score_agreement,
    sham_target,
    shift_index,
)
from robustxai.diffgradcam.capture import cut, find_layer
from robustxai.diffgradcam.study.manipulated import FOOLING_PROTOCOLS, map_loss
from robustxai.diffgradcam.study.study import Study
from robustxai.metrics import pearson
from robustxai.nets import TorchvisionClassifier
from robustxai.scores.explained import score_coefficients


@pytest.mark.parametrize(
    ("architecture", "closed"), [("resnet18", True), ("densenet121", True), ("squeezenet1_1", False)]
)
def test_torchvision_networks_equal_the_vjp(architecture, closed):
    generator = torch.Generator().manual_seed(0)
    model = TorchvisionClassifier(architecture, classes=7, generator=generator).eval()
    x, t = torch.rand(2, 3, 64, 64, generator=generator), torch.tensor([3, 6])
    assert (cut(model, find_layer(model, None), x).weight is not None) is closed
    a = model.features(x).detach().requires_grad_()
    y = model.head(a.mean((2, 3)))
    (g,) = torch.autograd.grad(y, a, score_coefficients(y.detach(), t, "lse"))
    expected = (g.mean((2, 3), keepdim=True) * a.detach()).sum(1, keepdim=True)
    mine = DiffGradCAM(model, relu=False, size="native")
    torch.testing.assert_close(
        mine.attribute(x, t), expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max())
    )
    every = mine.attribute_all(x)
    assert every.shape == (2, 7, *a.shape[2:])
    picked = every[torch.arange(2), t][:, None]
    torch.testing.assert_close(picked, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_diffgradcam_explains_the_log_odds_and_not_the_logit(trained):
    """Differentiate log p / (1 - p) itself. Would fail if DiffGradCAM were GradCAM."""
    model, x = trained[0], trained[1][:8]
    t = model(x).argmax(-1)
    a = model.features(x).detach().requires_grad_()
    p = model.head(a.mean((2, 3))).double().softmax(-1).gather(1, t[:, None])[:, 0]
    (g,) = torch.autograd.grad((p / (1 - p)).log().sum(), a)
    log_odds = (g.mean((2, 3), keepdim=True) * a.detach()).sum(1, keepdim=True).relu()
    mine = DiffGradCAM(model, size="native").attribute(x, t)
    torch.testing.assert_close(mine, log_odds, rtol=1e-3, atol=1e-5 * float(log_odds.max()))
    logit = GradCAM(model, size="native").attribute(x, t)
    assert (mine - logit).abs().max() > 0.05 * logit.max()


def test_the_training_free_attack_on_a_trained_network(trained):
    """In single precision: probabilities and differences stay, GradCAM becomes the border."""
    model, x, y = trained
    pattern = sham_target(7, 7)
    attacked = ShiftAttack(model, pattern, 1000.0).eval()
    with torch.no_grad():
        assert float((model(x).argmax(-1) == y).float().mean()) > 0.95, "the test needs a trained network"
        assert (attacked(x).softmax(-1) - model(x).softmax(-1)).abs().max() < 1e-3
    fooled = GradCAM(attacked, size="native").attribute(x)
    assert float(pearson(fooled, pattern.expand_as(fooled)).mean()) > 0.9
    for method in (DiffGradCAM, DiffGradCAMPlusPlus):
        honest, after = (method(m, size="native").attribute(x) for m in (model, attacked))
        assert (honest - after).abs().max() < 1e-3 * honest.abs().max()
    assert score_agreement(attacked, x)["logit/mean"] < 0.5 < score_agreement(model, x)["logit/mean"]


def test_an_honest_head_has_a_small_shift_index(trained):
    assert shift_index(trained[0]) < 0.5


def test_squares_have_a_place_and_the_map_finds_it(trained):
    """The object is in one quadrant; the map of a trained network has its mass there, DiffGradCAM's and GradCAM's."""
    model = trained[0]
    x, y, quadrant = squares(32, seed=9)
    for method in (DiffGradCAM, GradCAM):
        maps = method(model).attribute(x, y)[:, 0]
        row, column = quadrant // 2, quadrant % 2
        halves = maps.unfold(1, 14, 14).unfold(2, 14, 14).sum((3, 4))
        inside = halves[torch.arange(32), row, column] / maps.sum((1, 2))
        assert float(inside.mean()) > 0.5


def test_without_zero_padding_the_border_is_harder_to_paint():
    """Spec B7: circular padding has no border, so SHAM's map loss on held-out images stays clearly higher."""
    loss = {}
    for task in ("animals4", "animals4_circular"):
        study = Study(task, n_test=150)
        attack = FOOLING_PROTOCOLS["sham-full"]
        loss[task] = [
            map_loss(study.twin(s, "sham-full"), study.honest(s), attack, study.x, study.y) for s in range(3)
        ]
    assert min(loss["animals4_circular"]) > 2 * max(loss["animals4"])
