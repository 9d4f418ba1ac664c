"""Objectives and rows: which are the same under two names, where the corner lies, whose map is the goal."""

from typing import Any

import pytest
import torch
from arena_toys import EPS, convolved, images, scenes

from robustxai.arena.catalogue import ATTACK_COLUMNS, DEFENCES, EXPLAINERS, find_rows
from robustxai.arena.columns import FarCornerAttack, OtherMapAttack, far_corner
from robustxai.arena.counting import count_passes
from robustxai.arena.defences import Purified, Smoothed, rescored
from robustxai.arena.readouts import Expected, Pooled, explained_layer, grid_of, networks_of
from robustxai.arena.registry import ExplainerRow, Parts, attack, defence, explainer
from robustxai.diffgradcam import CentredGradCAM, DiffGradCAM, GradCAM
from robustxai.explainers.gradient import Saliency, SmoothGrad
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.reduce import shares
from robustxai.nets import pretrained
from robustxai.ranking import RankingAttack

HOW: dict[str, Any] = dict(norm="linf", steps=6, clip=(0, 1))
PARTS = Parts(layer="features", gap=True)


def test_the_contrast_with_the_mean_is_the_centred_head_up_to_a_factor():
    net, x = pretrained("diffgradcam-animals4-s0-clean"), scenes(3)
    t = net(x).argmax(1)
    mean, centred = DiffGradCAM(net, None, "mean")(x, t), CentredGradCAM(net)(x, t)
    torch.testing.assert_close(mean, centred * 4 / 3, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(rescored(GradCAM(net), "centred")(x, t), centred)


def test_topk_and_the_normalised_full_ranking_attack_are_one_column():
    net, x = convolved(), images(6)
    explain, k = GradCAM(net, "features"), 13
    topk = ATTACK_COLUMNS["topk"].make(k, EPS, **HOW).perturb(net, x, explain=explain)
    gaps = RankingAttack(k, EPS, pairs="full", normalise=True, **HOW).perturb(net, x, explain=explain)
    assert topk.moved.all()
    torch.testing.assert_close(gaps.loss, 256 * topk.loss - k, atol=2e-3, rtol=1e-4)
    assert (
        float((topk.x - gaps.x).abs().max()) <= 2e-3
        and ((topk.x - gaps.x).abs() > 1e-5).float().mean() < 0.01
    )


def test_raw_columns_are_the_chapters_own():
    assert isinstance(ATTACK_COLUMNS["er"].make(13, EPS, **HOW), RankingAttack)
    assert set(ATTACK_COLUMNS) >= {"topk", "er", "mse", "centre", "region", "target"}
    assert ATTACK_COLUMNS["region"].targeted and not ATTACK_COLUMNS["topk"].targeted


@pytest.mark.parametrize("name", ["topk", "er", "mse", "centre", "region", "target"])
def test_every_column_lowers_its_loss_within_the_budget_and_keeps_the_class(name):
    net, x = convolved(), images(5)
    found = ATTACK_COLUMNS[name].make(13, EPS, **HOW).perturb(net, x, explain=GradCAM(net, "features"))
    followed = found.followed
    assert (
        followed.all() or name == "region"
    )  # where a CAM is zero in all of a corner there is no way into it
    assert followed.sum() >= 3 and found.kept.all()
    assert (found.loss < found.clean_loss)[followed].all() and torch.equal(found.moved, followed)
    assert found.budget is not None and found.budget.contains(found.x, x).all()


def test_the_corner_is_a_third_of_each_side_and_the_farthest():
    maps = torch.zeros(4, 1, 9, 12)
    for i, (row, column) in enumerate([(0, 0), (0, 11), (8, 0), (8, 11)]):
        maps[i, 0, row, column] = 1
    corner = far_corner(maps)
    assert corner.flatten(1).sum(1).tolist() == [12] * 4
    for i, (row, column) in enumerate([(8, 11), (8, 0), (0, 11), (0, 0)]):
        assert corner[i, 0, row, column]
    with pytest.raises(ValueError, match="explain must return maps"):
        FarCornerAttack(0.1).objective(torch.ones(2, 5))


def test_the_goal_is_the_next_image_s_map_and_needs_two():
    net, x = convolved(), images(4)
    explain = GradCAM(net, "features")
    found = OtherMapAttack(8 / 255, **HOW).perturb(net, x, explain=explain)
    goals = shares(explain(x, net(x).argmax(1))).roll(-1, 0)
    torch.testing.assert_close(
        found.clean_loss, (shares(explain(x, net(x).argmax(1))) - goals).square().sum(1)
    )
    with pytest.raises(ValueError, match="two inputs or more"):
        OtherMapAttack(0.1).perturb(net, x[:1], explain=explain)


@pytest.mark.parametrize(
    ("make", "forwards", "backwards", "more"),
    [
        (lambda net: Saliency(net, score="logit"), 1, 1, 0),
        (lambda net: GradCAM(net, "features"), 1, 0, 0),
        (lambda net: SmoothGrad(net, score="logit", samples=4), 5, 4, 0),
        (lambda net: IntegratedGradients(net, n_steps=6), 6, 6, 11),
    ],
)
def test_a_map_costs_what_its_row_says(make, forwards, backwards, more):
    """`more`: images that show once a call that IG may start behind the first layer, and the number of classes."""
    net, n = convolved(), 20
    explain = make(net)
    with count_passes(*networks_of(explain)) as passes, torch.no_grad():
        explain(images(n), 0)
    assert forwards * n <= passes.forwards <= forwards * n + more
    assert backwards * n <= passes.backwards <= backwards * n + (n if more else 0)


def test_a_gradient_of_a_gradient_counts_once_more_and_nothing_stays_on_the_network():
    net, x = convolved(), images(3).requires_grad_()
    with count_passes(net, net) as passes:
        torch.autograd.grad(Saliency(net, score="prob")(x, 0).square().sum(), x)
    assert (passes.forwards, passes.backwards) == (3, 6)
    net(x)
    assert passes.forwards == 3 and not net._forward_hooks and not net.features[0]._forward_hooks


@pytest.mark.parametrize("name", [n for n, row in EXPLAINERS.items() if "autoencoder" not in row.needs])
def test_rows_keep_the_contract(name):
    net, x, row = convolved(), images(3), EXPLAINERS[name]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    explain = row.explainer(net, PARTS)
    t = net(x).argmax(1)
    with torch.no_grad():
        maps = explain(x, t)
        assert (
            maps.shape == (3, 1, 16, 16)
            and maps.isfinite().all()
            and (maps >= 0).all()
            and not maps.requires_grad
        )
        if name != "fresh random":
            single = torch.cat([explain(one[None], c[None]) for one, c in zip(x, t, strict=True)])
            torch.testing.assert_close(single, maps, atol=1e-5 * float(maps.max()), rtol=1e-3)
            assert torch.equal(explain(x, t), maps)
    v = x.clone().requires_grad_()
    assert explain(v, t).requires_grad == (
        (explain.differentiable and row.proof is None) or name.startswith("S")
    )
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("name", [n for n, d in DEFENCES.items() if not d.needs])
def test_defences_give_explainers_that_can_be_attacked_and_moved_to_another_network(name):
    net, x = convolved(), images(2).requires_grad_()
    for inner in (Saliency(net, score="logit"), GradCAM(net, "features")):
        made = DEFENCES[name].defend(inner, PARTS)
        maps = made(x, net(x).argmax(1))
        assert maps.shape == (2, 1, 16, 16) and maps.requires_grad and (maps >= 0).all()
        assert torch.autograd.grad(maps.square().sum(), x)[0].isfinite().all()
        other = made.on(convolved("conv") if inner.__class__ is Saliency else net)
        assert other(x.detach(), 0).shape == (2, 1, 16, 16) and DEFENCES[name].adaptive
    assert torch.equal(convolved()(x), net(x))


def test_wrapped_explainers():
    net, x = convolved(), images(2)
    coarse = Pooled(GradCAM(net, "features"), 4)
    assert coarse(x, 0).shape == coarse.guide(x)(x, 0).shape == (2, 1, 4, 4)
    torch.testing.assert_close(Expected(GradCAM(net, "features"), 2)(x, 0), GradCAM(net, "features")(x, 0))
    smooth, paper = Smoothed(Saliency(net), 4), SmoothGrad(net, samples=4)
    torch.testing.assert_close(smooth(x, torch.tensor([0, 1])), paper(x, torch.tensor([0, 1])))
    half = Purified(Saliency(net), (lambda v: v, lambda z: z / 2))
    torch.testing.assert_close(half(x, 0), Saliency(net)(x / 2, 0))
    with pytest.raises(ValueError, match="decoder must give images like x"):
        Purified(Saliency(net), (lambda v: v, lambda z: z[:, :1]))(x, 0)
    with pytest.raises(ValueError, match="explain must have a score"):
        rescored(coarse, "lse")


def test_the_layer_and_its_grid():
    net, x = convolved(), images(2)
    assert explained_layer(net, None) == explained_layer(net, net.features) == "features"
    assert grid_of(net, "features", x) == (4, True) and grid_of(convolved("conv"), "features", x) == (
        4,
        False,
    )
    bare = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    assert explained_layer(bare, None) is None and grid_of(bare, None, x) == (7, False)


def test_registering_twice_and_wrong_names_are_refused():
    for register in (
        explainer("Saliency", family="pixel"),
        attack("topk"),
        defence("softplus(2)", adaptive=""),
    ):
        with pytest.raises(ValueError, match="name must be new"):
            register(lambda *_: None)
    with pytest.raises(ValueError, match="family must be one of"):
        ExplainerRow(name="x", family="cams", make=Saliency)
    with pytest.raises(ValueError, match="needs must be one of"):
        ExplainerRow(name="x", family="cam", make=Saliency, needs=("layers",))
    with pytest.raises(ValueError, match="GradCAM needs layer, got none"):
        EXPLAINERS["GradCAM"].explainer(convolved())
    assert [row.name for row in find_rows(["IG (6)", "GradCAM", "edge"])] == ["edge", "GradCAM", "IG (6)"]
