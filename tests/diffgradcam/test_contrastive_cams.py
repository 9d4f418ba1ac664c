"""Maps of tiny networks: invariances, closed forms, and agreement with captum and pytorch-grad-cam."""

import pytest
import torch
from problems import HEADS, TinyConvHead, TinyFlat, TinyGAP, TinyMLP, images
from torch import nn

from robustxai.diffgradcam import (
    CAM,
    ContrastiveCAM,
    DiffGradCAM,
    DiffGradCAMPlusPlus,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
    centre_head,
)
from robustxai.diffgradcam.capture import cut
from robustxai.diffgradcam.raw_maps import all_maps, raw_maps, score_gradient
from robustxai.diffgradcam.weightings import WEIGHTINGS, gradcam, gradcampp
from robustxai.scores.explained import score_coefficients

CONTRASTS = ["lse", "pw", "pw-live", "lse-tau", "max", "mean", "topm-pw"]


def without_closed_form(c):
    return c._replace(weight=None)


@pytest.mark.parametrize("weighting", sorted(set(WEIGHTINGS) - {"cam"}))
@pytest.mark.parametrize("contrast", ["logit", *CONTRASTS])
def test_closed_form_equals_the_vjp_for_one_and_for_all_classes(contrast, weighting):
    model = TinyGAP().eval()
    c = cut(model, model.features, images(3))
    assert c.weight is not None
    fn = WEIGHTINGS[weighting]
    t = torch.tensor([0, 3, 4])
    scale = lambda m: m.abs().max()  # noqa: E731
    fast, slow = raw_maps(c, t, fn, contrast), raw_maps(without_closed_form(c), t, fn, contrast)
    assert (fast - slow).abs().max() < 1e-5 * scale(slow)
    every = all_maps(c, fn, contrast, batch_size=2).detach()
    batched = all_maps(without_closed_form(c), fn, contrast, batch_size=2).detach()
    assert every.shape == (3, 5, 8, 8)
    assert (every - batched).abs().max() < 2e-5 * scale(batched)
    picked = every[torch.arange(3), t]
    assert (picked - slow).abs().max() < 2e-5 * scale(slow)


def test_all_classes_of_a_confident_network_do_not_cancel():
    model = TinyGAP().eval()
    with torch.no_grad():
        model.head.weight.mul_(200)
        model.head.bias[1] += 12
    c = cut(model, model.features, images(4))
    assert (c.logits.softmax(-1).max() > 1 - 1e-4).item(), "the test needs a confident network"
    fast, slow = all_maps(c, gradcam, "lse"), all_maps(without_closed_form(c), gradcam, "lse")
    assert (fast - slow).abs().max() < 1e-5 * slow.abs().max()


@pytest.mark.parametrize("head", HEADS)
def test_a_batch_equals_its_images_one_by_one(head):
    model, x = head().eval(), images(4)
    for method in (DiffGradCAM(model), DiffGradCAMPlusPlus(model), GradCAM(model)):
        batch = method.attribute(x)
        single = torch.cat([method.attribute(x[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(batch, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_shape_dtype_and_the_model_stay_as_they_were(head):
    model, x = head().double().eval(), images(2, dtype=torch.float64)
    before = [p.detach().clone() for p in model.parameters()]
    maps = DiffGradCAM(model).attribute(x, target=1)
    assert maps.shape == (2, 1, 16, 16) and maps.dtype == torch.float64 and not maps.requires_grad
    x.requires_grad_()
    followed = DiffGradCAM(model).attribute(x, target=1)
    assert followed.requires_grad, "the graph is kept where the images ask for it"
    torch.testing.assert_close(followed, maps)
    assert x.grad is None and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(m._forward_hooks for m in model.modules()), "hooks released"
    assert torch.is_grad_enabled(), "the caller's grad mode is back"
    with torch.no_grad():
        torch.testing.assert_close(DiffGradCAM(model).attribute(x, target=1), maps)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("head", HEADS)
def test_maps_are_the_same_in_inference_mode(head):
    model, x = head().eval(), images(2)
    expected = DiffGradCAM(model).attribute(x, 1), DiffGradCAM(model).attribute_all(x)
    with torch.inference_mode():
        made_here = images(2)
        got = DiffGradCAM(model).attribute(made_here, 1), DiffGradCAM(model).attribute_all(made_here)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_the_backbone_keeps_no_graph_and_closed_forms_need_none():
    model, x = TinyGAP().eval(), images(2)
    c = cut(model, model.features, x)
    assert c.activations.is_leaf
    first = next(model.parameters())
    (g,) = torch.autograd.grad(c.logits.sum(), first, allow_unused=True)
    assert g is None, "no path from the logits to the backbone"
    for weighting in WEIGHTINGS.values():
        assert not raw_maps(c, torch.tensor([0, 1]), weighting).requires_grad


class Shifted(nn.Module):
    """`model` plus phi(A) on every logit, phi constant or depending on the input through A."""

    gap_layer = "model.features"

    def __init__(self, model, phi):
        super().__init__()
        self.model, self.phi = model, phi

    def forward(self, x):
        a = self.model.features(x)
        return self.model.head(a.mean((2, 3))) + self.phi(a)[:, None]


PHI = {
    "constant": lambda a: torch.full((len(a),), 10.0, dtype=a.dtype),
    "input-dependent": lambda a: 400 * a.square().mean((1, 2, 3)),
}


@pytest.mark.parametrize("method", [DiffGradCAM, DiffGradCAMPlusPlus])
@pytest.mark.parametrize("contrast", [*CONTRASTS, "logp"])
@pytest.mark.parametrize("phi", PHI)
def test_contrastive_maps_ignore_any_common_shift(phi, contrast, method):
    model, x = TinyGAP().eval(), images(4)
    shifted = Shifted(model, PHI[phi]).eval()
    torch.testing.assert_close(shifted(x).softmax(-1), model(x).softmax(-1), rtol=1e-4, atol=1e-6)
    target = model(x).argmax(-1)
    honest, fooled = (
        method(model, contrast=contrast).attribute(x, target),
        method(shifted, contrast=contrast).attribute(x, target),
    )
    assert (honest - fooled).abs().max() < 1e-5 * honest.abs().max() + 1e-7


def test_huge_shifts_in_double_precision():
    model, x = TinyGAP().double().eval(), images(4, dtype=torch.float64)
    shifted = Shifted(model, lambda a: 1e4 * a.square().mean((1, 2, 3))).eval()
    for method in (DiffGradCAM, DiffGradCAMPlusPlus):
        honest, fooled = method(model).attribute(x, 1), method(shifted).attribute(x, 1)
        assert (honest - fooled).abs().max() < 1e-7 * honest.abs().max()


def test_gradcam_does_not_survive_an_input_dependent_shift():
    model, x = TinyGAP().eval(), images(4)
    shifted = Shifted(model, PHI["input-dependent"]).eval()
    for method in (GradCAM, GradCAMPlusPlus):
        honest, fooled = method(model).attribute(x, 1), method(shifted).attribute(x, 1)
        assert (honest - fooled).abs().max() > 0.1 * honest.abs().max()


def test_binary_maps_are_negatives_of_each_other():
    model, x = TinyGAP(classes=2).eval(), images(4)
    maps = {
        k: [DiffGradCAM(model, contrast=k, relu=False).attribute(x, t) for t in (0, 1)]
        for k in ("lse", "max", "mean", "pw")
    }
    for first, second in maps.values():
        torch.testing.assert_close(first, -second, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(first, maps["mean"][0], rtol=1e-5, atol=1e-6)


def test_probability_log_probability_and_log_odds_give_one_map_in_double_precision():
    model, x = TinyGAP().double().eval(), images(4, dtype=torch.float64)
    maps = [DiffGradCAM(model, contrast=k, normalise="max").attribute(x, 2) for k in ("lse", "logp", "prob")]
    assert maps[0].max() > 0.5
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], rtol=1e-6, atol=1e-6)


def test_mean_contrast_is_gradcam_of_the_centred_head():
    model, x = TinyGAP().eval(), images(4)
    centred = GradCAM(centre_head(model)).attribute(x, 2)
    mean = DiffGradCAM(model, contrast="mean").attribute(x, 2)
    torch.testing.assert_close(mean, centred * 5 / 4, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(centre_head(model)(x).softmax(-1), model(x).softmax(-1), rtol=1e-5, atol=1e-6)


def test_permuting_the_other_classes_leaves_the_map():
    model, x = TinyGAP().eval(), images(4)
    maps = {k: DiffGradCAM(model, contrast=k).attribute(x, 0) for k in CONTRASTS}
    order = torch.tensor([0, 3, 1, 4, 2])
    with torch.no_grad():
        model.head.weight.copy_(model.head.weight[order])
        model.head.bias.copy_(model.head.bias[order])
    for k, before in maps.items():
        torch.testing.assert_close(
            DiffGradCAM(model, contrast=k).attribute(x, 0), before, rtol=1e-5, atol=1e-6
        )


def test_gradcampp_on_an_example_done_by_hand():
    a = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]])
    g = torch.tensor([[[[0.5, 0.0], [0.5, -1.0]], [[1.0, 1.0], [0.0, 0.0]]]])
    # channel 0, sum 6: alpha at g = .5 is .25 / (2 * .25 + 6 * .125) = .2; two pixels: w = 2 * .2 * .5 = .2
    # channel 1, sum 2: alpha at g = 1 is 1 / (2 + 2) = .25; two such pixels: w = .5
    expected = 0.2 * a[:, 0] + 0.5 * a[:, 1]
    torch.testing.assert_close(gradcampp(a, g), expected, rtol=1e-5, atol=1e-5)


def test_only_plusplus_depends_on_the_scale_of_the_score():
    model, x = TinyGAP().eval(), images(4)
    c = cut(model, model.features, x)
    coefficients = score_coefficients(c.logits.detach(), torch.tensor([0, 1, 2, 3]), "lse")
    once, tenfold = score_gradient(c, coefficients).detach(), score_gradient(c, 10 * coefficients).detach()
    top = lambda m: m / m.amax((1, 2), keepdim=True)  # noqa: E731
    a = c.activations.detach()
    torch.testing.assert_close(top(gradcam(a, once)), top(gradcam(a, tenfold)), rtol=1e-4, atol=1e-5)
    assert (top(gradcampp(a, once)) - top(gradcampp(a, tenfold))).abs().max() > 1e-2


def test_exact_hessian_weights_equal_autograd_derivatives():
    """alpha = Y'' / (2 Y'' + s Y''') with Y = exp(Delta) differentiated by autograd along one channel."""
    model, x = TinyGAP().double().eval(), images(2, dtype=torch.float64)
    got = DiffGradCAMPlusPlus(model, exact_hess=True, relu=False, size="native").attribute(
        x, torch.tensor([1, 2])
    )
    c = cut(model, model.features, x)
    a, w, z = c.activations.detach(), model.head.weight.detach(), 64
    for i, t in enumerate((1, 2)):
        weights = []
        for k in range(a.shape[1]):

            def odds(s, i=i, t=t, k=k):  # one pixel of channel k moved by s
                y = c.logits[i].detach() + w[:, k] * s / z
                return torch.exp(y[t] - torch.cat((y[:t], y[t + 1 :])).logsumexp(0))

            zero = torch.zeros((), dtype=torch.float64)
            d1 = torch.func.grad(odds)
            d2, d3 = torch.func.grad(d1), torch.func.grad(torch.func.grad(d1))
            y0 = odds(zero)
            second, third = d2(zero) / y0, d3(zero) / y0
            below = 2 * second + a[i, k].sum() * third + 1e-6  # the constant of GradCAM++
            alpha = second / below if second > 0 and below > 0 else torch.zeros(())
            weights.append(float(alpha * (d1(zero) / y0).relu() * z))
        expected = (torch.tensor(weights)[:, None, None] * a[i]).sum(0)
        torch.testing.assert_close(got[i, 0], expected, rtol=1e-3, atol=1e-6)


def test_exact_hessian_differs_from_the_closed_form_where_the_score_is_curved():
    model, x = TinyGAP().eval(), images(4)
    closed, exact = (
        DiffGradCAMPlusPlus(model, exact_hess=e, normalise="max").attribute(x) for e in (False, True)
    )
    assert (closed - exact).abs().max() > 1e-3
    with pytest.raises(ValueError, match="piecewise linear"):
        DiffGradCAMPlusPlus(model, contrast="max", exact_hess=True).attribute(x)
    with pytest.raises(ValueError, match="global average pooling"):
        DiffGradCAMPlusPlus(TinyMLP().eval(), exact_hess=True).attribute(x)


def test_single_sigmoid_maps_of_the_two_classes_are_negatives():
    model, x = TinyGAP(classes=1).eval(), images(4)
    raw = [DiffGradCAM(model, relu=False).attribute(x, t) for t in (0, 1)]
    torch.testing.assert_close(raw[0], -raw[1])
    assert DiffGradCAM(model, relu=False).attribute_all(x).shape == (4, 2, 16, 16)


@pytest.mark.parametrize("head", [TinyGAP, TinyFlat, TinyConvHead])
@pytest.mark.parametrize(
    "kind", ["GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "XGradCAM", "GradCAMElementWise"]
)
def test_agreement_with_pytorch_grad_cam(kind, head):
    """The same map before normalisation: their public output is min-max scaled, so the inner one is taken."""
    reference = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    ours = {
        "GradCAM": GradCAM,
        "GradCAMPlusPlus": GradCAMPlusPlus,
        "HiResCAM": HiResCAM,
        "LayerCAM": LayerCAM,
        "XGradCAM": XGradCAM,
        "GradCAMElementWise": lambda m, **o: ContrastiveCAM(m, None, "logit", weighting="elementwise", **o),
    }[kind]
    model, x, targets = head().eval(), images(3), [0, 3, 1]
    layer = model.features[-1] if head is not TinyConvHead else model.features
    with getattr(reference, kind)(model=model, target_layers=[layer]) as theirs:
        theirs(input_tensor=x, targets=[ClassifierOutputTarget(t) for t in targets])
        a, g = (
            theirs.activations_and_grads.activations[0].numpy(),
            theirs.activations_and_grads.gradients[0].numpy(),
        )
        raw = theirs.get_cam_image(
            x, layer, [ClassifierOutputTarget(t) for t in targets], a, g, eigen_smooth=False
        )
    mine = ours(model, size="native").attribute(x, torch.tensor(targets))[:, 0]
    torch.testing.assert_close(mine, torch.from_numpy(raw).float().relu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_agreement_with_captum(head):
    captum = pytest.importorskip("captum.attr")
    model, x, t = head().eval(), images(3), torch.tensor([0, 3, 1])
    theirs = captum.LayerGradCam(model, model.features).attribute(x, target=t)
    mine = GradCAM(model, relu=False, size="native").attribute(x, t)
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_cam_is_gradcam_times_the_number_of_pixels():
    model, x = TinyGAP().eval(), images(3)
    torch.testing.assert_close(
        CAM(model).attribute(x, 1), 64 * GradCAM(model).attribute(x, 1), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(ValueError, match="global average pooling"):
        CAM(TinyMLP().eval()).attribute(x, 1)
    with pytest.raises(ValueError, match="global average pooling"):
        CAM(TinyFlat().eval()).attribute(x, 1)


def test_zero_maps_stay_zero_under_every_normalisation():
    model, x = TinyGAP().eval(), images(2)
    with torch.no_grad():
        model.head.weight.copy_(-model.head.weight.abs())
    for normalise in ("none", "max", "minmax"):
        assert float(GradCAM(model, normalise=normalise).attribute(x, 0).abs().max()) == 0.0


def test_layer_may_be_a_module_or_a_name_and_the_size_native():
    model, x = TinyGAP().eval(), images(2)
    by_name = GradCAM(model, "features.4", size="native").attribute(x, 0)
    by_module = GradCAM(model, model.features[4], size="native").attribute(x, 0)
    assert by_name.shape == (2, 1, 8, 8) and torch.equal(by_name, by_module)
    assert torch.equal(GradCAM(model, "features.4", size="native")(x, 0), by_name)


class Twice(TinyGAP):
    def forward(self, x):
        a = self.features[2](self.features[1](self.features[0](x)))
        return self.head(self.features[2](self.features[4](self.features[3](a))).mean((2, 3)))


def bad(x=None, model=None, **options):
    model = model or TinyGAP().eval()
    return lambda: DiffGradCAM(model, **options).attribute(images(2) if x is None else x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (bad(images(2)[:, :2]), r"model does not run on x of shape \(2, 2, 16, 16\).*to have 3 channels"),
        (bad(images(2)[0]), r"x must be images \(n, C, H, W\), not empty, got shape \(3, 16, 16\) and dtype"),
        (bad(images(2) * torch.nan), "NaN or infinite"),
        (bad(images(2) / 0), "NaN or infinite"),
        (bad((images(2) * 255).byte()), "dtype"),
        (bad(layer="featuers.3"), "near names are features.3"),
        (bad(layer=nn.ReLU()), "layer must be a module of the model, got a ReLU that is not part of it"),
        (bad(layer="head"), "layer must give a convolutional map"),
        (bad(model=Twice().eval(), layer="features.2"), "more than once"),
        (bad(model=TinyGAP().train()), "training mode"),
        (bad(contrast="odds"), "contrast must be one of .* got 'odds'"),
        (bad(tau=2.0), "contrast 'lse' must be given without options, got 'tau'"),
        (bad(weighting="best"), "weighting must be one of .* got 'best'"),
        (bad(size="big"), "size must be one of input, native, got 'big'"),
        (bad(normalise="sum"), "normalise must be one of minmax, max, none, got 'sum'"),
        (
            lambda: DiffGradCAM(TinyGAP().eval()).attribute(images(2), 5),
            r"target must be classes in \[0, 4\], got class 5",
        ),
        (lambda: DiffGradCAM(nn.Sequential(nn.Conv2d(3, 2, 1)).eval()), "names no gap_layer"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, words, as_shipped):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_layer_that_does_not_run():
    model = TinyGAP()
    model.spare = nn.Conv2d(6, 6, 1)
    model.eval()
    with pytest.raises(ValueError, match="does not run"):
        DiffGradCAM(model, layer="spare").attribute(images(1))
