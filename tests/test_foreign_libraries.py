"""Other libraries beside ours: the page "Coming from ..." runs, and the adapters change no number and no class."""

import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from robustxai import metrics
from robustxai.diffgradcam import GradCAM, GuidedGradCAM
from robustxai.explainers.captum_explainer import from_captum
from robustxai.explainers.exports import to_captum, to_overlay, to_quantus
from robustxai.explainers.grad_cam_explainer import from_grad_cam
from robustxai.explainers.reduce import reduced
from robustxai.manifold_ig import AttributionAttack, IntegratedGradients
from robustxai.nets.softplus import softplus_copy
from robustxai.ranking import MSEAttack, RankingAttack, Saliency, TopKAttack

captum = pytest.importorskip("captum.attr")
grad_cam = pytest.importorskip("pytorch_grad_cam")
PAGE = Path(__file__).resolve().parents[1] / "book" / "coming_from.md"
NEEDS = {"Quantus": "quantus", "torchattacks": "torchattacks", "pytorch-grad-cam": "timm"}

# The page


def blocks(text: str) -> list[str]:
    """The Python blocks of a text in MyST."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def sections() -> dict[str, list[str]]:
    """The blocks of each section of the page by its title, "" for what stands before the first."""
    start, *rest = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": blocks(start)} | {part.partition("\n")[0]: blocks(part) for part in rest}


@pytest.mark.parametrize("title", [title for title, code in sections().items() if title and code])
def test_the_code_of_the_page_runs(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(NEEDS.get(title, "captum"), exc_type=ImportError)
    names: dict[str, object] = {}
    for block in sections()[""] + sections()[title]:
        exec(compile(block, f"{PAGE.name}: {title}", "exec"), names)


def test_the_page_has_its_sections() -> None:
    assert {title for title, code in sections().items() if len(code) > 3} >= {
        "Captum", "pytorch-grad-cam", "Quantus", "torchattacks",
    }  # fmt: skip
    unfenced = PAGE.read_text(encoding="utf-8").count("```python")
    assert unfenced == sum(map(len, sections().values()))


# Networks


def network(classes: int = 4, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), act(), nn.Conv2d(6, 8, 3, stride=2, padding=1), act(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
    ).eval()  # fmt: skip


class Returning(nn.Module):
    """A network whose logits are wrapped by a function."""

    def __init__(self, net: nn.Module, wrap) -> None:
        super().__init__()
        self.net, self.wrap = net, wrap

    def forward(self, x):
        return self.wrap(self.net(x))


NET, ONE = network(), network(1)
X = 0.1 + 0.8 * torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
T = torch.tensor([0, 2, 3])
SHAPES = {
    "flat": lambda z: z[:, 0],
    "dict": lambda z: {"out": z},
    "output": lambda z: SimpleNamespace(logits=z),
}
CAPTUM = {
    "Saliency": (lambda n: captum.Saliency(n), {}),
    "InputXGradient": (lambda n: captum.InputXGradient(n), {}),
    "IntegratedGradients": (lambda n: captum.IntegratedGradients(n), {"n_steps": 8}),
    "in parts": (lambda n: captum.IntegratedGradients(n), {"n_steps": 8, "internal_batch_size": 6}),
    "DeepLift": (lambda n: captum.DeepLift(n), {}),
    "GuidedBackprop": (lambda n: captum.GuidedBackprop(n), {}),
    "GuidedGradCam": (lambda n: captum.GuidedGradCam(n, n[2]), {}),
    "LayerGradCam": (lambda n: captum.LayerGradCam(n, n[2]), {"relu_attributions": True}),
    "LayerIntegratedGradients": (lambda n: captum.LayerIntegratedGradients(n, n[2]), {"n_steps": 4}),
    "Occlusion": (lambda n: captum.Occlusion(n), {"sliding_window_shapes": (3, 4, 4), "strides": (3, 4, 4)}),
    "GradientShap": (lambda n: captum.GradientShap(n), {"baselines": torch.zeros(2, 3, 16, 16)}),
    "NoiseTunnel": (lambda n: captum.NoiseTunnel(captum.Saliency(n)), {"nt_samples": 3, "stdevs": 0.1}),
}  # fmt: skip
FOLLOWED = ("Saliency", "InputXGradient", "IntegratedGradients")
quiet = pytest.mark.filterwarnings("ignore:(Setting (forward|backward)|Input Tensor)")


def made(name: str, net: nn.Module = NET):
    """The Captum object, and ours made of it."""
    make, options = CAPTUM[name]
    return make(net), from_captum(make(net), **options), options


def seeded(call):
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    return call()


# Captum's methods as ours


@quiet
@pytest.mark.parametrize("name", CAPTUM)
def test_captums_numbers_come_through(name: str) -> None:
    theirs, ours, options = made(name)
    expected = seeded(lambda: theirs.attribute(X.clone(), target=T, **options)).detach()
    found = seeded(lambda: ours.attribute(X, T))
    if expected.shape[2:] != X.shape[2:]:
        expected = nn.functional.interpolate(expected, X.shape[2:], mode="bilinear", align_corners=False)
    assert_close(found, expected, rtol=0, atol=0)
    assert_close(seeded(lambda: ours(X, T)), reduced(expected), rtol=0, atol=0)
    assert ours.model is NET


@quiet
@pytest.mark.parametrize("name", sorted(set(CAPTUM) - {"GradientShap", "NoiseTunnel"}))
def test_none_is_the_predicted_class_and_a_batch_changes_nothing(name: str) -> None:
    explain = made(name)[1]
    found = explain.attribute(X)
    assert_close(found, explain.attribute(X, NET(X).argmax(1)))
    alone = torch.cat([explain.attribute(X[i : i + 1]) for i in range(3)])
    assert_close(found, alone, rtol=1e-4, atol=1e-6)


@quiet
@pytest.mark.parametrize("name", CAPTUM)
def test_captum_leaves_nothing_behind(name: str) -> None:
    explain = made(name)[1]
    with torch.no_grad():
        found = explain(X, T)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        explain(X, T)
    assert not found.requires_grad and not X.requires_grad and X.grad is None
    assert all(p.grad is None and p.requires_grad for p in NET.parameters())
    for module in NET.modules():
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


@quiet
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["IntegratedGradients", "DeepLift", "Occlusion", "NoiseTunnel"])
def test_one_logit_of_any_kind_is_two_classes(name: str, shape: str) -> None:
    make, options = CAPTUM[name]
    expected = seeded(
        lambda: make(ONE).attribute(X.clone(), target=0, **options)
    ).detach()  # Captum's 0: our 1
    explain = from_captum(make(Returning(ONE, SHAPES[shape])), **options)
    positive, negative = (seeded(lambda c=c: explain.attribute(X, c)) for c in (1, 0))
    assert_close(positive, expected)
    assert_close(negative, expected if name == "NoiseTunnel" else -expected)  # that is absolute
    predicted = (ONE(X)[:, 0] > 0).long()
    assert_close(seeded(lambda: explain.attribute(X)), seeded(lambda: explain.attribute(X, predicted)))


@pytest.mark.parametrize("net", [NET, ONE], ids=["four", "one"])
@pytest.mark.parametrize("target", [0, 1])
def test_the_classes_of_captums_and_our_cam_are_the_same(net: nn.Sequential, target: int) -> None:
    ours = GradCAM(net, "2")(X, target)
    theirs = from_captum(captum.LayerGradCam(net, net[2]), relu_attributions=True)(X, target)
    assert_close(theirs, ours, rtol=1e-4, atol=1e-6)
    other = from_grad_cam(grad_cam.GradCAM(net, [net[2]]))(X, target)
    assert other.shape == ours.shape and other.max() <= 1
    assert (torch.nan_to_num(metrics.pearson(other, ours), 1) > 0.99).all()
    assert torch.equal(other.flatten(1).any(1), ours.flatten(1).any(1))


@quiet
@pytest.mark.parametrize("target", (0, 2))
def test_guided_grad_cam_is_captums(target: int) -> None:
    theirs = captum.GuidedGradCam(NET, NET[2]).attribute(X.clone(), target, interpolate_mode="bilinear")
    torch.testing.assert_close(GuidedGradCAM(NET, "2").attribute(X, target), theirs, atol=1e-7, rtol=1e-4)


@quiet
@pytest.mark.parametrize("name", CAPTUM)
def test_differentiable_is_honest(name: str) -> None:
    explain = made(name, network(act=nn.Softplus).double())[1]
    explain.options = {
        k: v.double() if isinstance(v, torch.Tensor) else v for k, v in explain.options.items()
    }
    assert explain.differentiable == (name in FOLLOWED)
    x = X.double().requires_grad_()
    found = explain(x, T)
    assert found.requires_grad == explain.differentiable
    with torch.no_grad():
        assert not explain(x, T).requires_grad
    if not explain.differentiable:
        return
    change = torch.randn(X.shape, generator=torch.Generator().manual_seed(2)).double()
    weight = torch.rand(found.shape, generator=torch.Generator().manual_seed(3)).double()
    (gradient,) = torch.autograd.grad((weight * found).sum(), x)
    far, near = ((weight * explain(X.double() + h * change, T)).sum() for h in (1e-6, -1e-6))
    assert_close((gradient * change).sum(), (far - near) / 2e-6, rtol=1e-4, atol=1e-8)
    assert all(p.grad is None for p in explain.model.parameters())


@quiet
@pytest.mark.parametrize("name", CAPTUM)
def test_on_another_network(name: str) -> None:
    explain, other = made(name)[1], softplus_copy(NET)
    moved = explain.on(other)
    assert moved.model is other and explain.model is NET
    expected = seeded(lambda: made(name, other)[1].attribute(X, T))
    assert_close(seeded(lambda: moved.attribute(X, T)), expected, rtol=0, atol=0)
    assert (explain.guide(X) is explain) != explain.differentiable


def test_a_layer_that_the_other_network_lacks() -> None:
    explain = from_captum(captum.LayerGradCam(NET, NET[2]))
    with pytest.raises(ValueError, match="model must have a layer '2'"):
        explain.on(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)))
    function = from_captum(captum.LayerGradCam(lambda x: NET(x), NET[2]))
    assert_close(function(X, T), explain(X, T))
    with pytest.raises(ValueError, match="function"):
        function.on(NET)


@pytest.mark.parametrize("attack", [RankingAttack, MSEAttack, TopKAttack])
@pytest.mark.parametrize("name", FOLLOWED)
def test_our_attacks_move_captums_explanations(attack, name: str) -> None:
    explain = made(name, network(act=nn.Softplus))[1]
    start = {} if attack is MSEAttack else {"k": 30}
    found = attack(**start, eps=0.5, norm="l2", steps=5, clip=(0, 1)).perturb(
        explain.model, X, T, explain=explain
    )
    assert (found.loss <= found.clean_loss).all() and (found.loss < found.clean_loss).any()
    assert ((found.x - X).flatten(1).norm(dim=1) <= 0.5 + 1e-5).all()


def test_the_guide_of_a_relu_network_can_be_followed() -> None:
    explain = made("Saliency")[1]
    attack = MSEAttack(eps=0.5, norm="l2", steps=5, surrogate_beta=10)
    found = attack.perturb(NET, X, T, explain=explain)
    assert (found.loss < found.clean_loss).any()


def test_the_targeted_attack_moves_captums_explanations() -> None:
    net = network(act=nn.Softplus)
    explain = from_captum(captum.IntegratedGradients(net), n_steps=5)
    found = AttributionAttack(X.flip(0), eps=0.1, steps=5).perturb(net, X, explain=explain)
    assert (found.loss < found.clean_loss).any() and (found.x - X).abs().max() <= 0.1 + 1e-6


@quiet
@pytest.mark.parametrize("name", ["LayerGradCam", "DeepLift", "in parts"])
def test_an_attack_does_not_pretend_to_move_what_has_no_derivative(name: str) -> None:
    explain = made(name)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so
        found = RankingAttack(30, eps=0.5, steps=3).perturb(NET, X, T, explain=explain)
    assert torch.equal(found.x, X)


def test_our_metrics_read_captums_explanations() -> None:
    explain = made("IntegratedGradients")[1]
    assert metrics.deletion(NET, X, explain(X, T), T).auc.isfinite().all()
    assert (metrics.max_sensitivity(explain, X, T, radius=0.02).value > 0).all()
    assert metrics.infidelity(NET, X, explain.attribute(X, T), T).raw.isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_captum(object()), "attribution must be a Captum Attribution.*got object"),
        (lambda: from_captum(Saliency(NET)), "got Saliency"),
        (lambda: from_captum(captum.LayerActivation(NET, NET[2])), "takes no target"),
        (lambda: from_captum(captum.Saliency(NET), target=1), "got target"),
        (
            lambda: from_captum(captum.DeepLift(NET), return_convergence_delta=True),
            "got return_convergence_delta",
        ),
        (lambda: from_captum(captum.Saliency(NET))(X, 4), r"target must be classes in \[0, 3\], got class 4"),
        (lambda: from_captum(captum.Saliency(NET))(X * torch.nan), "x must be finite .* got NaN"),
        (lambda: from_captum(captum.Saliency(NET))(X[:, :2]), "forward_func does not run on x"),
        (lambda: from_captum(captum.Saliency(network().train().append(nn.Dropout())))(X), "training mode"),
        (
            lambda: from_captum(SimpleNamespace(forward_func=NET, attribute=lambda x, target: (x, x)))(X),
            "got tuple",
        ),
        (lambda: from_grad_cam(lambda x: x), "cam must be a pytorch-grad-cam object"),
        (
            lambda: from_grad_cam(grad_cam.GradCAM(NET, [NET[2]])).on(network()),
            "model must be the network of cam",
        ),
        (
            lambda: from_grad_cam(grad_cam.GradCAM(NET, [NET[2]]))(X, -1),
            r"target must be classes in \[0, 3\], got class -1",
        ),
        (lambda: to_captum(3), "explain must be callable"),
        (lambda: to_captum(Saliency(NET))((X, X), 0), "got 2"),
        (lambda: to_captum(Saliency(ONE))(X, 1), "target must be 0"),
        (lambda: to_quantus(lambda x, t: x)(NET, X.numpy(), T.numpy()), r"explain must have `.on\(model\)`"),
        (lambda: to_overlay(3 * X[0], X[0]), r"image must be images in \[0, 1\], got pixels"),
        (lambda: to_overlay(X, X), "of one image"),
        (lambda: to_overlay(X[0], X[:2]), "of one image"),
        (lambda: to_overlay(X[0, :2], X[0, 0]), "of 1 or 3 channels"),
    ],
)
def test_bad_input_is_one_sentence(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


# Ours in Captum


def test_our_attribution_is_captums_in_its_own_convention() -> None:
    ours = to_captum(IntegratedGradients(ONE, n_steps=16))
    theirs = captum.IntegratedGradients(ONE)
    for target in (0, None, torch.zeros(3, dtype=torch.long)):
        expected = theirs.attribute(X, target=target, n_steps=16, method="riemann_middle")
        assert_close(ours.attribute(X, target=target), expected)
    (one,) = ours((X,), target=0)
    assert_close(one, ours(X, 0))
    many = to_captum(IntegratedGradients(NET, n_steps=16)).attribute(X, target=[0, 2, 3])
    assert_close(
        many, captum.IntegratedGradients(NET).attribute(X, target=T, n_steps=16, method="riemann_middle")
    )


def test_there_and_back() -> None:
    explain = Saliency(NET)
    assert from_captum(to_captum(explain)) is explain
    there = to_captum(from_captum(captum.Saliency(ONE)))
    assert_close(
        there.attribute(X, target=0), captum.Saliency(ONE).attribute(X.clone().requires_grad_(), target=0)
    )


def test_captums_metrics_take_our_explainers() -> None:
    from captum.metrics import sensitivity_max

    for explain in (GradCAM(NET, "2"), Saliency(NET), lambda x, target: (target + 1)[:, None] * x.flatten(1)):
        found = seeded(lambda e=explain: sensitivity_max(to_captum(e), (X,), target=T, n_perturb_samples=4))
        theirs = seeded(
            lambda e=explain: sensitivity_max(
                lambda x, target: (e(x[0], target),), X, target=T, n_perturb_samples=4
            )
        )
        assert found.shape == (3,) and (found > 0).any()
        assert_close(found, theirs)


def test_captums_infidelity_takes_our_attributions() -> None:
    from captum.metrics import infidelity

    net, x = network().double(), X.double()
    signed = to_captum(IntegratedGradients(net)).attribute((x,), target=T)
    u = 0.1 * torch.ones_like(x)
    found = infidelity(net, lambda v: (u, v - u), (x,), signed, target=T, n_perturb_samples=1)
    fall = (net(x) - net(x - u)).gather(1, T[:, None])[:, 0]
    assert_close(found, ((u * signed[0]).flatten(1).sum(1) - fall).square().detach())


@pytest.mark.parametrize("target", [0, 1])
def test_noise_tunnel_takes_our_explainers(target: int) -> None:
    cam = GradCAM(ONE, "2")
    tunnel = captum.NoiseTunnel(to_captum(cam))
    found = seeded(lambda: tunnel.attribute(X, nt_samples=5, stdevs=0.1, target=0))
    noisy = seeded(lambda: X.repeat_interleave(5, 0) + torch.normal(0, torch.full((15, *X.shape[1:]), 0.1)))
    assert_close(found, cam(noisy, 1).unflatten(0, (3, 5)).mean(1))
    back = from_captum(tunnel, nt_samples=5, stdevs=0.1)  # and as an explainer of ours again
    assert_close(seeded(lambda: back(X, target)), cam(noisy, target).unflatten(0, (3, 5)).mean(1))
    moved = back.on(softplus_copy(ONE))
    expected = GradCAM(moved.model, "2")(noisy, target).unflatten(0, (3, 5)).mean(1)
    assert_close(seeded(lambda: moved(X, target)), expected)


# pytorch-grad-cam


def test_grad_cams_maps_come_through_and_gradients_stay() -> None:
    cam = grad_cam.GradCAM(NET, [NET[2]])
    explain = from_grad_cam(cam, eigen_smooth=True)
    classes = [grad_cam.utils.model_targets.ClassifierOutputTarget(int(c)) for c in T]
    expected = cam(X, classes, eigen_smooth=True)
    NET.zero_grad()
    kept = {p: torch.full_like(p, 2.0) for p in NET.parameters()}
    for parameter, gradient in kept.items():
        parameter.grad = gradient
    try:
        x = X.clone().requires_grad_()
        with torch.no_grad():
            found = explain.attribute(x, T)
        assert all(p.grad is g and (g == 2).all() for p, g in kept.items())
        assert x.grad is None and found.dtype == X.dtype and not explain.differentiable
        assert_close(found[:, 0], torch.as_tensor(expected))
        assert not explain(x, T).requires_grad
    finally:
        NET.zero_grad()
        cam.activations_and_grads.release()


def test_grad_cam_says_what_it_cannot_take() -> None:
    net = Returning(NET, lambda z: {"logits": z})
    with pytest.raises(ValueError, match="model must return a tensor of logits for pytorch-grad-cam"):
        from_grad_cam(grad_cam.GradCAM(net, [NET[2]]))(X, 1)


@pytest.mark.parametrize("image", [X[0], X[:1], X[0, :1]], ids=["one", "batch", "grey"])
@pytest.mark.parametrize("heat", [X[1], X[1:2, :1], X[1, 0], X[1, :, ::2, ::2] - 0.5, torch.zeros(1, 16, 16)])
def test_the_overlay_is_made_of_our_maps(image: torch.Tensor, heat: torch.Tensor) -> None:
    from pytorch_grad_cam.utils.image import show_cam_on_image

    picture, mask = to_overlay(image, heat)
    assert picture.shape == (16, 16, 3) and mask.shape == (16, 16)
    assert picture.dtype == mask.dtype == np.float32
    assert mask.min() == 0 and mask.max() == (1 if heat.any() else 0)
    assert_close(torch.as_tensor(picture[:, :, 0]), X[0, 0])
    shown = show_cam_on_image(picture, mask, use_rgb=True)
    assert shown.shape == (16, 16, 3) and shown.dtype == np.uint8


# Quantus


def test_quantus_gets_arrays_of_the_network_it_names() -> None:
    explain, other = Saliency(NET), network(act=nn.Softplus)
    func = to_quantus(explain)
    found = func(model=NET, inputs=X.double().numpy(), targets=T.numpy(), device="cpu")
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    assert_close(torch.as_tensor(found), explain.attribute(X, T).detach())
    moved = func(other, X.numpy()[:, :, ::-1], T.numpy())
    assert_close(torch.as_tensor(moved), explain.on(other).attribute(X.flip(2), T).detach())
    plain = to_quantus(from_captum(captum.Saliency(ONE)))(ONE, X.numpy(), np.zeros(3, int))
    assert_close(torch.as_tensor(plain), captum.Saliency(ONE).attribute(X.clone().requires_grad_(), target=0))


@pytest.mark.parametrize(
    "explain", [Saliency(NET), from_captum(captum.Saliency(NET))], ids=["ours", "captum"]
)
def test_quantus_measures_our_explainers(explain) -> None:
    quantus = pytest.importorskip("quantus", exc_type=ImportError)
    batch = dict(model=NET, x_batch=X.numpy(), y_batch=T.numpy(), explain_func=to_quantus(explain))
    options = dict(disable_warnings=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        found = quantus.MaxSensitivity(nr_samples=3, **options)(a_batch=None, **batch)
        given = quantus.Sparseness(**options)(a_batch=explain(X, T).detach().numpy(), **batch)
        random = quantus.MPRT(**options)(a_batch=None, **batch)
    assert np.isfinite(found).all() and np.isfinite(given).all() and random
