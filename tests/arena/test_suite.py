"""The suite's parts: noise of the size that an attack had, halves, restarts, the states of a cell."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from arena_toys import EPS, convolved, images

from robustxai.arena.cells import Evidence, judged_state, nothing
from robustxai.arena.realised_noise import NoiseDraws, RealisedNoise
from robustxai.arena.suite import SUITES, Suite, Threat, craft, searched
from robustxai.attacks.budget import Budget
from robustxai.attacks.ghorbani import TopKAttack
from robustxai.diffgradcam import GradCAM
from robustxai.explainers.gradient import Saliency
from robustxai.nets.softplus import softplus_copy

N = 10


def threat(norm: str = "linf", eps: float = EPS, suite: Suite = SUITES["quick"]) -> Threat:
    net, x = convolved(), images(N)
    return Threat(
        model=net, twin=softplus_copy(net, 20), x=x, target=net(x).argmax(1), eps=eps, norm=norm, suite=suite
    )


@pytest.mark.parametrize(("norm", "eps"), [("linf", EPS), ("l2", 0.3)])
def test_noise_has_the_size_that_the_attack_realised(norm, eps):
    t = threat(norm, eps)
    found = searched(t, GradCAM(t.model, "features"), 13, "topk", "topk")
    half = t.x + 0.5 * (found.x - t.x)
    half[0] = t.x[0]
    for one in NoiseDraws(t, 0).images(half):
        change, wanted = ((v - t.x).flatten(1) for v in (one.x, half))
        sizes = [v.norm(dim=1) if norm == "l2" else v.abs().amax(1) for v in (change, wanted)]
        torch.testing.assert_close(sizes[0][1:], sizes[1][1:], atol=1e-6, rtol=1e-4)
        assert float(sizes[0][0]) == pytest.approx(eps, rel=1e-4)  # where nothing moved
        assert one.kept.all() and torch.equal(t.model(one.x).argmax(1), t.target)
        if norm == "linf":
            assert torch.allclose(change[1:].abs(), sizes[1][1:, None].expand_as(change[1:]), atol=1e-6)


def test_noise_is_drawn_once_for_a_size_and_differs_between_draws():
    t = threat()
    draws = NoiseDraws(t, 0)
    a, b, other = draws.images(t.x + EPS), draws.images(t.x - EPS), draws.images(t.x + EPS / 2)
    assert a is b and a is not other
    assert not torch.equal(a[0].x, a[1].x)
    again = NoiseDraws(t, 0).images(t.x + EPS)
    assert all(torch.equal(p.x, q.x) for p, q in zip(a, again, strict=True))
    assert RealisedNoise(t.x + EPS, t.x, EPS, "linf").size.tolist() == pytest.approx([EPS] * N)


@pytest.mark.usefixtures("as_shipped")
def test_a_search_begins_where_it_is_told_inside_the_budget_and_keeps_the_best():
    t = threat()
    explain = GradCAM(t.model, "features")
    attack = TopKAttack(13, EPS, steps=4, clip=(0, 1))
    once = attack.perturb(t.model, t.x, explain=explain)
    again = attack.perturb(t.model, t.x, explain=explain, first=once.x)
    far = attack.perturb(t.model, t.x, explain=explain, first=t.x + 1)
    better = again.followed
    assert (again.loss <= once.loss + 1e-6)[better].all() and float(
        (again.loss - once.loss)[better].mean()
    ) < 0
    assert better.sum() >= 6 and torch.equal(
        again.x[~better], t.x[~better]
    )  # nothing to follow where the loss is 0
    assert Budget(EPS).contains(far.x, t.x).all() and torch.equal(once.clean_loss, again.clean_loss)
    with pytest.raises(ValueError, match="first must have the shape of x"):
        attack.perturb(t.model, t.x, explain=explain, first=t.x[:2])


def test_an_attack_with_nothing_to_follow_ends_and_is_reported_as_before():
    t, calls = threat(), []

    def explain(x, target):
        calls.append(len(x))
        return Saliency(t.model, score="logit")(x, target)

    found = TopKAttack(13, EPS, steps=9, clip=(0, 1)).perturb(t.model, t.x, explain=explain)
    assert not found.followed.any() and torch.equal(found.x, t.x) and found.trace.shape == (N, 10)
    assert len(calls) == 2  # the clean map and one step


def test_two_halves_search_at_least_as_far_and_the_suite_has_its_attacks():
    t = threat(suite=SUITES["real"])
    explain = GradCAM(t.model, "features")
    found = {one.name: one for one in craft(t, explain, 13, lambda x: torch.zeros(len(x)))}
    assert set(found) == {"topk", "topk-twin", "centre", "region"}
    loss = TopKAttack(13, EPS).objective(explain(t.x, t.target))
    first = searched(replace(t, suite=replace(SUITES["quick"], steps=10)), explain, 13, "topk", "topk")
    assert (
        float(loss(explain(found["topk"].x, t.target)).mean())
        <= float(loss(explain(first.x, t.target)).mean()) + 0.01
    )
    for one in found.values():
        assert Budget(EPS).contains(one.x, t.x).all() and one.kept.all()
        assert one.followed.all() or one.name == "region"
        moved = (one.x != t.x).flatten(1).any(1)
        assert moved[one.followed].all()  # also where the second half had nothing left to follow
    dear = craft(t, explain, 13, lambda x: torch.zeros(len(x)), cost=1000)
    assert {one.name for one in dear} == {"topk", "topk-twin"}
    smooth = craft(t, GradCAM(softplus_copy(t.model, 2), "features"), 13, lambda x: torch.zeros(len(x)))
    assert "topk-twin" not in {one.name for one in smooth}


def evidence(**changed) -> Evidence:
    p, followed = torch.full((N,), 0.5), torch.ones(N, dtype=torch.bool)
    usual: dict[str, Any] = dict(
        own=p, transfer=p + 0.2, noise=p + 0.4, restarted=nothing(N), followed=followed
    )
    return Evidence(**usual | changed)


def test_states():
    p, none = torch.full((N,), 0.5), torch.zeros(N, dtype=torch.bool)
    most = torch.arange(N) < 8
    assert judged_state(evidence()) == ("attacked", "")
    assert judged_state(evidence(followed=torch.arange(N) < 9))[0] == "attacked"
    assert judged_state(evidence(followed=most, transfer=p + 0.4))[0] == "not attacked"
    assert judged_state(evidence(followed=most))[0] == "weak"  # images crafted elsewhere do move it
    assert judged_state(evidence(followed=none, transfer=nothing(N)))[0] == "not attacked"
    assert judged_state(evidence(noise=p + 0.01))[0] == "weak"
    assert judged_state(evidence(noise=p + 0.021))[0] == "attacked"
    assert judged_state(evidence(transfer=p - 0.1))[0] == "weak"
    assert judged_state(evidence(transfer=p - 0.04))[0] == "attacked"
    assert judged_state(evidence(transfer=p - 0.1, restarted=p - 0.2))[0] == "attacked"
    assert judged_state(evidence(transfer=p - 0.1, restarted=p - 0.05))[0] == "weak"
    assert judged_state(evidence(followed=none, proof="It is constant.")) == ("proof", "It is constant.")
    assert (
        judged_state(evidence(proof="It is constant."))[0] == "attacked"
    )  # no proof stands against a found gradient
