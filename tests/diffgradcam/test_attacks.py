"""The attacks: SHAM target and loss, Heo's four, the training-free shift, its index and its repair."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from problems import HEADS, TinyConvHead, TinyGAP, TinyMLP, images
from torch import nn

from robustxai.diffgradcam import (
    DiffGradCAM,
    DiffGradCAMPlusPlus,
    GradCAM,
    HeoActive,
    HeoCentreMass,
    HeoLocation,
    HeoTopK,
    ShamLoss,
    ShiftAttack,
    border,
    centre_head,
    centre_shift,
    sham_target,
    shift_head,
    shift_index,
)
from robustxai.metrics import entropy, pearson


def test_the_papers_target_has_28_ones_and_entropy_ln_28():
    for wanted in (3.33, 3.35, math.log(28)):
        t = sham_target(7, 7, wanted)
        assert int(t.sum()) == 28
        assert abs(float(entropy(t[None])) - math.log(28)) < 1e-6
    ring = border(7, 7)
    assert int(ring.sum()) == 24 and bool((t >= ring).all()), "the outer ring is full"
    assert t[1, 1] == t[1, 5] == t[5, 1] == t[5, 5] == 1 and t[3, 3] == 0
    assert torch.equal(t, t.T) and torch.equal(t, t.flip(0)) and torch.equal(t, t.flip(1))


@settings(max_examples=60, deadline=None)
@given(
    h=st.integers(5, 14),
    w=st.integers(5, 14),
    share=st.floats(0.1, 0.9),
    layout=st.sampled_from(["ring", "rows", "columns"]),
)
def test_targets_of_any_size_match_the_wanted_entropy(h, w, share, layout):
    wanted = math.log(share * h * w)
    t = sham_target(h, w, wanted, layout=layout)
    assert t.shape == (h, w) and set(t.unique().tolist()) <= {0.0, 1.0}
    assert abs(math.log(t.sum()) - wanted) < max(0.05, 0.6 / float(t.sum()))


def test_ones_are_placed_from_the_outside_in():
    for n in (4, 10, 24, 28, 40):
        t = sham_target(7, 7, n=n)
        assert int(t.sum()) == n
    assert torch.equal(sham_target(7, 7, n=24), border(7, 7))
    assert sham_target(7, 7, n=28, layout="rows")[[0, 1, 5, 6]].sum() == 28


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sham_target(7, 7, 5.0), r"entropy must be in \[0, ln\(49\).* got 5.0"),
        (lambda: sham_target(7, 7, n=0), r"n must be an integer in \[1, 49\] .* got 0"),
        (lambda: sham_target(7, 7, layout="spiral"), "layout must be one of ring.*, got 'spiral'"),
        (lambda: border(5, 5), "at least 7 x 7"),
        (
            lambda: ShamLoss(sham_target(8, 8), alpha=1.5),
            r"alpha must be in \[0, 1\], from map only to cross-entropy only, got 1\.5",
        ),
        (lambda: ShamLoss(torch.zeros(3)), r"target must be a map \(h, w\), got shape \(3,\)"),
        (
            lambda: ShamLoss(sham_target(7, 7))(TinyGAP().eval(), images(2), torch.tensor([0, 1])),
            r"target must have the size of the map, \(8, 8\), got \(7, 7\)",
        ),
        (
            lambda: ShamLoss(sham_target(8, 8), classes="some"),
            "classes must be one of true, pred, all, got 'some'",
        ),
        (
            lambda: ShamLoss(sham_target(8, 8), scores="lse"),
            "scores must be a sequence of names .* got 'lse'",
        ),
        (lambda: HeoTopK(TinyGAP(), share=1.5), r"share must be a fraction of pixels in \(0, 1\), got 1\.5"),
        (lambda: HeoActive(TinyGAP(), images(2), 1, 1), "two different classes"),
        (
            lambda: ShiftAttack(TinyGAP(), sham_target(7, 7), 1.0).eval()(images(1)),
            r"pattern must have the size of the layer's maps, \(8, 8\), got \(7, 7\)",
        ),
        (
            lambda: ShiftAttack(TinyGAP(), sham_target(8, 8), math.inf),
            "strength must be a finite number, got inf",
        ),
        (lambda: shift_index(torch.zeros(3)), r"weight \(C, K\)"),
        (lambda: shift_index(nn.Sequential(nn.ReLU())), "has no linear layer"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, words, as_shipped):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("classes", "scores"), [("true", ("logit",)), ("pred", ("logit", "lse")), ("all", ("lse",))]
)
def test_sham_loss_goes_down_by_gradient_descent_on_any_head(head, classes, scores):
    torch.manual_seed(0)
    model, x, y = head().eval(), images(8) ** 3, torch.arange(8) % 5
    loss = ShamLoss(sham_target(8, 8), alpha=0.1, classes=classes, scores=scores)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    seen = []
    for _ in range(25):
        optimiser.zero_grad()
        keep, penalty = loss.terms(model, x, y)
        (0.1 * keep + 0.9 * penalty).backward()
        optimiser.step()
        seen.append(float(penalty.detach()))
    assert min(seen) < 0.98 * seen[0]


def test_the_sham_term_is_the_formula_of_the_spec():
    model, x, y = TinyGAP().eval(), images(4), torch.tensor([0, 1, 2, 3])
    t = sham_target(8, 8)
    a = model.features(x)
    cam = torch.einsum("nk,nkhw->nhw", model.head.weight[y], a)
    low = cam.amin((1, 2), keepdim=True)
    normal = (cam - low) / (cam - low).amax((1, 2), keepdim=True)
    expected = 0.3 * nn.functional.cross_entropy(model(x), y) + 0.7 * (normal - t).square().mean()
    torch.testing.assert_close(ShamLoss(t, alpha=0.3)(model, x, y), expected)
    torch.testing.assert_close(ShamLoss(t, alpha=1.0)(model, x, y), nn.functional.cross_entropy(model(x), y))


def test_attacking_all_classes_is_the_mean_over_classes():
    model, x, y = TinyGAP().eval(), images(4), torch.tensor([0, 1, 2, 3])
    t = sham_target(8, 8)
    every = [ShamLoss(t).terms(model, x, torch.full((4,), k))[1] for k in range(5)]
    torch.testing.assert_close(ShamLoss(t, classes="all").terms(model, x, y)[1], torch.stack(every).mean())
    closed = ShamLoss(t, classes="all", scores=("lse",)).terms(model, x, y)[1]
    each = [ShamLoss(t, scores=("lse",)).terms(model, x, torch.full((4,), k))[1] for k in range(5)]
    torch.testing.assert_close(closed, torch.stack(each).mean())


def test_adaptive_coefficients_carry_their_gradient():
    """The lse map depends on the logits through q, so its loss moves the bias; the logit map's cannot."""
    model, x, y = TinyGAP().eval(), images(4), torch.tensor([0, 1, 2, 3])
    for scores, moves in ((("logit",), False), (("lse",), True)):
        model.zero_grad()
        ShamLoss(sham_target(8, 8), scores=scores).terms(model, x, y)[1].backward()
        grad = model.head.bias.grad
        assert (grad is not None and float(grad.abs().max()) > 1e-8) is moves


def test_one_cross_entropy_step_leaves_the_mean_row_and_one_sham_step_moves_it():
    x, y = images(16), torch.arange(16) % 5
    for loss, moves in (
        (lambda m: nn.functional.cross_entropy(m(x), y), False),
        (lambda m: ShamLoss(sham_target(8, 8))(m, x, y), True),
    ):
        model = TinyGAP()
        before = model.head.weight.detach().mean(0).clone()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
        loss(model).backward()
        optimiser.step()
        moved = float((model.head.weight.detach().mean(0) - before).abs().max())
        assert moved > 1e-5 if moves else moved < 1e-7


def test_output_matching_and_entropy_terms():
    honest, model, x, y = (
        TinyGAP(seed=0).eval(),
        TinyGAP(seed=1).eval(),
        images(4),
        torch.tensor([0, 1, 2, 3]),
    )
    t = sham_target(8, 8)
    assert float(ShamLoss(t, keep=honest).terms(honest, x, y)[0].detach().abs()) < 1e-6
    assert float(ShamLoss(t, keep=honest).terms(model, x, y)[0].detach()) > 1e-4
    plain, with_entropy = (
        ShamLoss(t, entropy_weight=w, entropy=3.33).terms(model, x, y)[1].detach() for w in (0.0, 1.0)
    )
    assert float(with_entropy) > float(plain)


@pytest.mark.parametrize("name", ["location", "topk", "centermass", "active"])
def test_heo_losses_go_down_by_gradient_descent(name):
    torch.manual_seed(0)
    honest, model, x, y = TinyGAP().eval(), TinyGAP().eval(), images(8), torch.arange(8) % 5
    loss = {
        "location": HeoLocation(lam=10.0),
        "topk": HeoTopK(honest, lam=10.0),
        "centermass": HeoCentreMass(honest, lam=10.0),
        "active": HeoActive(
            honest, x, 0, 1, lam=10.0, batch_size=8, generator=torch.Generator().manual_seed(0)
        ),
    }[name]
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    first = float(loss.terms(model, x, y)[1].detach())
    for _ in range(15):
        optimiser.zero_grad()
        loss(model, x, y).backward()
        optimiser.step()
    last = float(loss.terms(model, x, y)[1].detach())
    assert last < first - 0.05 * abs(first) - 1e-4
    if name == "centermass":
        target = model(x).argmax(-1)
        maps = [GradCAM(m, relu=False, size="native").attribute(x, target)[:, 0] for m in (model, honest)]
        assert float(centre_shift(*maps).mean()) > 0


def test_location_loss_is_the_formula_of_the_spec():
    model, x, y = TinyGAP().eval(), images(4), torch.tensor([0, 1, 2, 3])
    h = GradCAM(model, size="native").attribute(x, y)[:, 0]
    h = h / (h.amax((1, 2), keepdim=True) + 1e-8)
    torch.testing.assert_close(
        HeoLocation().terms(model, x, y)[1].detach(), (h - border(8, 8)).square().mean(), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("head", [TinyGAP, TinyMLP, TinyConvHead])
def test_the_training_free_attack_fools_every_logit_and_no_difference(head):
    """Probabilities stay, GradCAM becomes the pattern, DiffGradCAM and ++ do not move."""
    model, x, pattern = head().eval(), images(6), sham_target(8, 8)
    attacked = ShiftAttack(model, pattern, 1e4).eval()
    assert (attacked(x).softmax(-1) - model(x).softmax(-1)).abs().max() < 1e-3
    attacked = ShiftAttack(model.double(), pattern.double(), 1e4).eval()
    x = x.double()
    assert (attacked(x).softmax(-1) - model(x).softmax(-1)).abs().max() < 1e-9
    for target in range(5):
        fooled = GradCAM(attacked, size="native").attribute(x, target)
        assert float(pearson(fooled, pattern.double().expand_as(fooled)).min()) > 0.99
    for method in (DiffGradCAM, DiffGradCAMPlusPlus):
        honest, after = (
            method(model, size="native").attribute(x),
            method(attacked, size="native").attribute(x),
        )
        assert (honest - after).abs().max() < 1e-7 * honest.abs().max()
    nothing = ShiftAttack(model, pattern.double(), 0.0).eval()
    torch.testing.assert_close(
        GradCAM(nothing, size="native").attribute(x), GradCAM(model, size="native").attribute(x)
    )


def test_the_attack_of_the_spec_in_single_precision():
    model, x, pattern = TinyGAP().eval(), images(6), sham_target(8, 8)
    with torch.no_grad():
        model.head.weight.mul_(500)  # maps of the size that trained networks have
    attacked = ShiftAttack(model, pattern, 100.0).eval()
    assert (attacked(x).softmax(-1) - model(x).softmax(-1)).abs().max() < 1e-5
    honest, after = DiffGradCAM(model).attribute(x), DiffGradCAM(attacked).attribute(x)
    assert (honest - after).abs().max() < 1e-5 * honest.abs().max()
    fooled = GradCAM(attacked, size="native").attribute(x)
    assert float(pearson(fooled, pattern.expand_as(fooled)).mean()) > 0.9


def test_shifting_and_centring_the_head_are_exact():
    model, x = TinyGAP().eval(), images(4)
    v = torch.linspace(-3, 3, 6)
    shifted = shift_head(model, v)
    torch.testing.assert_close(shifted(x).softmax(-1), model(x).softmax(-1), rtol=1e-4, atol=1e-6)
    assert shift_index(shifted) > 2 * shift_index(model)
    assert shift_index(centre_head(shifted)) < 1e-5
    torch.testing.assert_close(
        DiffGradCAM(shifted).attribute(x), DiffGradCAM(model).attribute(x), rtol=1e-4, atol=1e-5
    )
    repaired, honest = (GradCAM(centre_head(m)).attribute(x, 1) for m in (shifted, model))
    torch.testing.assert_close(repaired, honest, rtol=1e-4, atol=1e-5)


def test_shift_index_of_known_heads():
    assert shift_index(torch.ones(4, 3)) == pytest.approx(1.0)
    assert shift_index(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == 0.0
    assert shift_index(nn.Linear(3, 4)) > 0
