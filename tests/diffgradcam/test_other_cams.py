"""Neighbouring CAMs: each against a hand-made answer, a slow reference or another library."""

import numpy as np
import pytest
import torch
from problems import TinyConvHead, TinyFlat, TinyGAP, TinyMLP, images
from torch import nn
from torch.nn.functional import interpolate

from robustxai.diffgradcam import (
    CASE,
    AblationCAM,
    CentredGradCAM,
    DiffGradCAM,
    EigenCAM,
    FinerCAM,
    GradCAM,
    ReST,
    ScoreCAM,
    SigmoidBranch,
    SoftmaxGradCAM,
    shift_head,
)
from robustxai.metrics import minmax

NATIVE = {"relu": False, "size": "native"}


class Raw(nn.Module):
    """GAP + linear on the input itself: with one lit pixel per channel, a map shows its channel weights."""

    def __init__(self, weight):
        super().__init__()
        self.features, self.head = nn.Identity(), nn.Linear(*weight.shape[::-1], bias=False)
        self.head.weight = nn.Parameter(weight)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


@pytest.fixture
def channel_weights():
    """A model with 6 classes and 9 channels, and one image whose channel k lights pixel k of a 3 x 3 map."""
    weight = torch.randn(6, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return Raw(weight).eval(), torch.eye(9, dtype=torch.float64).view(1, 9, 3, 3), weight


def shifted(model):
    return shift_head(model, torch.linspace(-100, 150, 6, dtype=model.head.weight.dtype))


def test_gradcam_of_the_probability_is_diffgradcam_up_to_scale():
    model, x = TinyGAP().double().eval(), images(4, dtype=torch.float64)
    for target in (0, 3):
        ours = DiffGradCAM(model, normalise="minmax", **NATIVE).attribute(x, target)
        theirs = SoftmaxGradCAM(model, normalise="minmax", **NATIVE).attribute(x, target)
        torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-9)
        assert ours.max() == 1.0


@pytest.mark.parametrize("head", [TinyGAP, TinyFlat])
def test_finer_cam_agrees_with_pytorch_grad_cam(head):
    theirs = pytest.importorskip("pytorch_grad_cam").FinerCAM
    model, x = head().eval(), images(4)
    mine = FinerCAM(model, normalise="minmax").attribute(x)
    with theirs(model=model, target_layers=[model.features[-1]]) as cam:
        other = torch.from_numpy(cam(x))
    torch.testing.assert_close(minmax(mine[:, 0]), other, rtol=1e-3, atol=1e-3)  # they scale once more


def test_case_removes_the_direction_of_the_rivals(channel_weights):
    model, x, weight = channel_weights
    y = model(x)[0]
    got = CASE(model, "features", k=3, **NATIVE).attribute(x, 2).flatten()
    rivals = [j for j in y.argsort(descending=True).tolist() if j != 2][:3]
    confused = weight[rivals].mean(0)
    assert abs(float(got @ confused)) < 1e-12, "orthogonal to the mean weights of the rivals"
    torch.testing.assert_close(9 * got, weight[2] - (weight[2] @ confused) / (confused @ confused) * confused)


def test_case_with_more_rivals_than_classes_takes_all_others(channel_weights):
    model, x, _ = channel_weights
    few, many = (CASE(model, "features", k=k, **NATIVE).attribute(x, 2) for k in (5, 50))
    assert torch.equal(few, many)
    with pytest.raises(ValueError, match="k must be an integer >= 1, got 0"):
        CASE(model, "features", k=0)


def test_eigen_cam_is_the_first_singular_direction_and_ignores_the_class():
    model, x = TinyGAP().eval(), images(3)
    mine = EigenCAM(model, **NATIVE).attribute(x, 0)
    assert torch.equal(mine, EigenCAM(model, **NATIVE).attribute(x, 4))
    a = model.features(x).detach().flatten(2).transpose(1, 2).numpy()
    for i in range(3):
        direction = np.linalg.svd(a[i], full_matrices=False)[2][0]  # the paper's O = U S V^T, not centred
        expected = a[i] @ direction
        expected = expected if expected.mean() > 0 else -expected
        np.testing.assert_allclose(mine[i].flatten().numpy(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("contrast", ["logit", "lse", "mean"])
def test_ablation_cam_equals_setting_channels_to_zero(contrast):
    model, x, t = TinyGAP().double().eval(), images(3, dtype=torch.float64), torch.tensor([0, 3, 1])
    with torch.no_grad():
        a = model.features(x)
        y = model.head(a.mean((2, 3)))
        rows = y.softmax(-1).clone()
        rows[range(3), t] = 0
        hot = nn.functional.one_hot(t, 5).double()
        against = {"logit": 0 * hot, "lse": rows / rows.sum(1, keepdim=True), "mean": (1 - hot) / 4}[contrast]
        score = ((hot - against) * y).sum(1)
        weights = []
        for k in range(6):
            without = a.clone()
            without[:, k] = 0
            left = ((hot - against) * model.head(without.mean((2, 3)))).sum(1)
            weights.append((score - left) / score.abs())
        expected = torch.einsum("kn,nkhw->nhw", torch.stack(weights), a)
    mine = AblationCAM(model, contrast=contrast, **NATIVE).attribute(x, t)
    torch.testing.assert_close(mine[:, 0], expected)


@pytest.mark.parametrize("head", [TinyMLP, TinyConvHead, TinyFlat])
def test_ablation_cam_of_any_head_equals_setting_channels_to_zero(head):
    model, x, t = head().double().eval(), images(3, dtype=torch.float64), torch.tensor([0, 3, 1])
    behind = {
        TinyMLP: lambda m: model.head(model.hidden(m.mean((2, 3))).relu()),
        TinyConvHead: lambda m: model.head(m.clone()).mean((2, 3)),
        TinyFlat: lambda m: model.head(m.flatten(1)),
    }[head]
    with torch.no_grad():
        a = model.features(x)
        score = behind(a).gather(1, t[:, None])[:, 0]
        weights = []
        for k in range(6):
            without = a.clone()
            without[:, k] = 0
            left = behind(without).gather(1, t[:, None])[:, 0]
            weights.append((score - left) / score.abs().clamp_min(1e-8))
        expected = torch.einsum("kn,nkhw->nhw", torch.stack(weights), a)
    for batch_size in (1, 7, 64):
        mine = AblationCAM(model, batch_size=batch_size, **NATIVE).attribute(x, t)
        torch.testing.assert_close(mine[:, 0], expected)


def test_eigen_cam_has_the_derivative_of_its_values():
    """By central differences, in double precision: the SVD's own backward pass is not used."""
    model, x = TinyGAP().double().eval(), images(1, dtype=torch.float64)
    cam = EigenCAM(model, **NATIVE)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    v = x.clone().requires_grad_()
    weight = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(4), dtype=x.dtype)
    (g,) = torch.autograd.grad((cam.attribute(v) * weight).sum(), v)
    with torch.no_grad():
        up, down = ((cam.attribute(x + h * direction) * weight).sum() for h in (1e-6, -1e-6))
    assert float((g * direction).sum()) == pytest.approx(float(up - down) / 2e-6, rel=1e-4)


def test_score_cam_equals_the_slow_loop():
    model, x, t = TinyGAP().eval(), images(2), torch.tensor([4, 1])
    with torch.no_grad():
        a = model.features(x)
        expected = torch.zeros(2, 8, 8)
        for i in range(2):
            black = model(torch.zeros_like(x[i : i + 1]))[0, t[i]]
            gains = []
            for channel in a[i]:
                mask = interpolate(channel[None, None], (16, 16), mode="bilinear")
                mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)  # dead channels: no mask
                gains.append(model(x[i : i + 1] * mask)[0, t[i]] - black)
            for weight, channel in zip(torch.stack(gains).softmax(0), a[i], strict=True):
                expected[i] += weight * channel
    torch.testing.assert_close(
        ScoreCAM(model, **NATIVE).attribute(x, t)[:, 0], expected, rtol=1e-4, atol=1e-6
    )


def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled features (120, 6) of three overlapping classes."""
    g = torch.Generator().manual_seed(5)
    labels = torch.arange(120) % 3
    centres = 2 * torch.randn(3, 6, generator=g, dtype=torch.float64)
    return centres[labels] + 2 * torch.randn(120, 6, generator=g, dtype=torch.float64), labels


def test_sigmoid_branch_is_one_vs_rest_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    features, labels = blobs()
    model, x, l2 = TinyGAP(classes=3).double().eval(), images(2, dtype=torch.float64), 1e-2
    branch = SigmoidBranch(model, features, labels, l2=l2, **NATIVE)
    for k in range(3):
        # the mean over samples and classes in our loss, a sum over samples in theirs
        reference = LogisticRegression(C=1 / (2 * l2 * features.numel() / 6 * 3), tol=1e-8, max_iter=1000)
        expected = torch.from_numpy(reference.fit(features.numpy(), (labels == k).numpy()).coef_[0])
        torch.testing.assert_close(branch.branch[k], expected, rtol=1e-3, atol=1e-4)
        map_k = torch.einsum("k,nkhw->nhw", branch.branch[k], model.features(x).detach())
        torch.testing.assert_close(branch.attribute(x, k)[:, 0], map_k)


CONTRASTIVE = {
    "CentredGradCAM": CentredGradCAM,
    "FinerCAM": FinerCAM,
    "SoftmaxGradCAM": SoftmaxGradCAM,
    "ScoreCAM lse": lambda m, **o: ScoreCAM(m, contrast="lse", **o),
    "EigenCAM": EigenCAM,
}
PER_LOGIT = {"GradCAM": GradCAM, "ReST": ReST, "CASE": CASE, "AblationCAM": AblationCAM, "ScoreCAM": ScoreCAM}


@pytest.mark.parametrize("name", [*CONTRASTIVE, *PER_LOGIT])
def test_who_survives_a_shift_of_the_head(name):
    model, x = TinyGAP().double().eval(), images(3, dtype=torch.float64)
    method = (CONTRASTIVE | PER_LOGIT)[name]
    honest, after = (method(m, normalise="max").attribute(x, 1) for m in (model, shifted(model)))
    moved = float((honest - after).abs().max())
    assert moved < 1e-6 if name in CONTRASTIVE else moved > 1e-2


def test_centring_changes_a_copy_only():
    model, x = TinyGAP().eval(), images(2)
    before = model.head.weight.detach().clone()
    CentredGradCAM(model).attribute(x, 0)
    assert torch.equal(model.head.weight, before)
