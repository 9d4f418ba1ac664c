"""The attacks: acceptance tests 7, 8 and 15 of the specification, batches, routes, bad input."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from toys import Classifier, filtered, images

from robustxai.ace import CW, GD, PGD, Chunks, class_gradient, class_loss, passes
from robustxai.metrics.predictions import predicted

STEP = 1 / 255


class Path(list):
    """A watcher that keeps the iterates."""

    def __call__(self, index, k, image):
        self.append(image)


@pytest.mark.parametrize("tau", [None, 2])
def test_pgd_moves_by_whole_steps_inside_its_bounds(tau):
    x, path = images(), Path()
    f = None if tau is None else filtered(tau)
    out = PGD(steps=6, lam=0.01).perturb(Classifier(), x, filter=f, watch=path)
    assert len(path) == 7 and torch.equal(path[0], x) and torch.equal(path[-1], out)
    for k, moved in enumerate(path):
        assert float((moved - x).abs().max()) <= k * STEP + 1e-6 and 0 <= moved.min() <= moved.max() <= 1
    for a, b in pairwise(path):
        update = (b - a).abs()
        inside = (b > 0) & (b < 1)
        assert bool((((update - STEP).abs() < 1e-6) | (update < 1e-6))[inside].all())
    assert float((out - x).abs().max()) > STEP


def test_ball_and_no_steps():
    x = images()
    out = PGD(steps=9, eps=3 / 255, lam=0).perturb(Classifier(), x, filter=filtered())
    assert abs(float((out - x).abs().max()) - 3 / 255) < 1e-6
    for attack in (PGD(steps=0), GD(steps=0), CW(steps=0)):
        assert torch.equal(attack.perturb(Classifier(), x, filter=filtered()), x)


def test_a_constant_factor_of_the_gradient_changes_nothing(monkeypatch):
    from robustxai.ace import attacks

    x, f = images(), filtered()
    plain = PGD(steps=4, lam=0.01).perturb(Classifier(), x, filter=f)

    def scaled(*args, **options):
        gradient, logits = class_gradient(*args, **options)
        return 1024 * gradient, logits

    monkeypatch.setattr(attacks, "class_gradient", scaled)
    assert torch.equal(PGD(steps=4, lam=1024 * 0.01).perturb(Classifier(), x, filter=f), plain)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_a_huge_lambda_keeps_the_image_and_none_runs(distance):
    x = images()
    held = PGD(steps=8, lam=1e6, distance=distance).perturb(Classifier(), x, filter=filtered())
    assert float((held - x).abs().mean()) <= STEP
    free = PGD(steps=8, lam=0, distance=distance).perturb(Classifier(), x, filter=filtered())
    none = PGD(steps=8, distance="none").perturb(Classifier(), x, filter=filtered())
    assert torch.equal(free, none) and float((free - x).abs().mean()) > 2 * STEP


@pytest.mark.parametrize("attack", [PGD(steps=12), GD(steps=12, step=0.5), CW(steps=12, step=1.0)])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_every_attack_lowers_its_loss(attack, classes):
    x, net = images(6), Classifier(classes)
    with torch.no_grad():
        before = net(x)
        target = (1 - predicted(before)) if classes < 3 else (predicted(before) + 1) % 3
        after = net(attack.perturb(net, x, target))
        loss = [class_loss(z, target, attack.loss) for z in (before, after)]
    assert bool((loss[1] < loss[0]).all()) and float(loss[1].mean()) < 0.7 * float(loss[0].mean())


def test_cw_stays_in_its_range_even_from_black_and_white():
    x = (images() > 0.5).float()
    out = CW(steps=3, step=1.0).perturb(Classifier(), x, filter=filtered())
    assert out.isfinite().all() and 0.0024 < out.min() and out.max() < 0.9976


def test_default_target_is_the_runner_up():
    x, net = images(5), Classifier(4)
    with torch.no_grad():
        second = net(x).topk(2, 1).indices[:, 1]
    attack = PGD(steps=2)
    assert torch.equal(attack.perturb(net, x), attack.perturb(net, x, second))


@pytest.mark.parametrize("attack", [PGD(steps=5, lam=0.01), GD(steps=5, step=0.5), CW(steps=5, step=0.5)])
def test_an_image_is_independent_of_its_batch(attack):
    x, net, f = images(5, dtype=torch.float64), Classifier().double(), filtered(double=True)
    whole = attack.perturb(net, x, filter=f)
    for j in (0, 3):
        alone = attack.perturb(net, x[j : j + 1], filter=f)
        torch.testing.assert_close(alone[0], whole[j], rtol=0, atol=1e-9)
    in_twos = attack.perturb(net, x, filter=f, chunks=Chunks(2))
    torch.testing.assert_close(in_twos, whole, rtol=0, atol=1e-9)


def test_networks_are_left_as_they_were():
    net, f, x = Classifier(), filtered(), images().requires_grad_()
    before = {k: v.clone() for m in (net, f.unet) for k, v in m.state_dict().items()}
    with torch.no_grad():  # a caller's mode does not matter
        out = PGD(steps=3).perturb(net, x, filter=f)
    assert not out.requires_grad and x.grad is None
    assert all(torch.equal(v, before[k]) for m in (net, f.unet) for k, v in m.state_dict().items())
    assert all(p.grad is None and p.requires_grad for m in (net, f.unet) for p in m.parameters())
    assert not net.training and not any(m._forward_hooks for m in net.modules())


def test_inference_mode_does_not_break_the_gradient():
    net, f, x = Classifier(), filtered(), images()
    with torch.inference_mode():
        out = PGD(steps=2).perturb(net, x, filter=f)
    assert torch.equal(out, PGD(steps=2).perturb(net, x, filter=f))


def test_routes_by_definition():
    net, f, x = Classifier(), filtered(3), images()
    t, noise = torch.tensor([0, 1, 0, 1]), f.noise(x, 0)
    full, _ = class_gradient(net, f, x, t, noise)
    v = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(class_loss(net(f(v, noise=noise)), t).sum(), v)
    torch.testing.assert_close(full, expected)
    one, _ = class_gradient(net, f, x, t, noise, route="one-step")
    v = x.clone().requires_grad_()
    single = class_loss(net(f.fewer(1)(v, noise=noise[:, :1])), t).sum()
    torch.testing.assert_close(one, torch.autograd.grad(single, v)[0])
    short, logits = class_gradient(net, f, x, t, noise, route="shortcut")
    v = f(x, noise=noise).requires_grad_()
    (at,) = torch.autograd.grad(class_loss(net(v), t).sum(), v)
    torch.testing.assert_close(short, at / f.schedule.alpha_bar[-1].sqrt().float())
    torch.testing.assert_close(logits, net(v).detach())


@pytest.mark.parametrize("route", ["full", "one-step", "shortcut"])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_passes_are_what_the_network_is_asked(route, checkpoint):
    f, x = filtered(3, checkpoint=checkpoint), images()
    class_gradient(Classifier(), f, x, torch.zeros(4, dtype=torch.long), f.noise(x), route=route)
    assert passes(f, route) == (f.calls.forward_calls, f.calls.backward_calls)


def test_more_draws_average_the_gradient():
    x, f, net = images(), filtered(2), Classifier()
    g = [torch.Generator().manual_seed(i) for i in range(4)]
    once = GD(steps=1, step=1e-3, draws=2, distance="none").perturb(net, x, filter=f, generators=g)
    g = [torch.Generator().manual_seed(i) for i in range(4)]
    t = 1 - predicted(net(x))
    mean = sum(class_gradient(net, f, x, t, f.noise(x, g))[0] for _ in range(2)) / 2
    torch.testing.assert_close(once, (x - 1e-3 * mean).clamp(0, 1))


class Broken(nn.Module):
    def forward(self, x):
        h = x.mean((1, 2, 3)).clamp_min(-1)
        return torch.stack((h, 0 * (h - h.detach()).sqrt()), 1)


def test_bad_input(as_shipped):
    net, x = Classifier(), images()
    now = predicted(net(x))
    run = PGD(steps=2).perturb
    with pytest.raises(
        ValueError, match="target must not be the predicted class, got the predicted class of 4 of 4 images"
    ):
        run(net, x, now)
    with pytest.raises(ValueError, match=r"target must be classes in \[0, 1\], got class 5"):
        run(net, x, 5)
    with pytest.raises(ValueError, match=r"target must be an int, .* got shape \(3,\)"):
        run(net, x, torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match=r"x must be images in \[0, 1\], got pixels"):
        run(net, 2 * x)
    with pytest.raises(ValueError, match=r"classifier does not run on x of shape \(4, 3, 8, 8\).*channels"):
        run(Classifier(channels=1), x, filter=filtered())
    with pytest.raises(ValueError, match=r"classifier must be in eval mode, got training mode \(norm\)"):
        run(Classifier().train(), x)
    with pytest.raises(ValueError, match="gradients that are not finite for 4 of 4 images"):
        run(Broken(), x, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(steps=-1), "steps must be an integer >= 0, got -1"),
        (dict(step=0), "step must be a finite number > 0, got 0"),
        (dict(eps=-1), "eps must be a finite number >= 0, got -1"),
        (dict(lam=float("nan")), "lam must be a finite number >= 0, got nan"),
        (dict(distance="l3"), "distance must be one of l1, l2, none, got 'l3'"),
        (dict(schedule="no"), "schedule must be one of constant, step, linear, got 'no'"),
        (dict(route="best"), "route must be one of full, one-step, shortcut, got 'best'"),
        (dict(draws=0), "draws must be an integer >= 1, got 0"),
    ],
)
def test_bad_options(options, message, as_shipped):
    with pytest.raises(ValueError, match=message):
        PGD(**options)
