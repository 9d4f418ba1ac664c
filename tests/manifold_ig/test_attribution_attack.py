"""The targeted attack: its goal, its budget, the prediction, its controls, derivatives for every explainer."""

import pytest
import torch
from curved import Classifier, generator, module
from torch import nn

from robustxai.manifold_ig import (
    BPDA,
    AttributionAttack,
    BlurIG,
    GuidedIG,
    IntegratedGradients,
    LatentPathIG,
    ManifoldIG,
    SaliencyOf,
    ShuffledChange,
    bpda_guide,
    frozen,
    saliency,
    shares,
)
from robustxai.manifold_ig.attribution_attack import RELEASED_WEIGHT
from robustxai.metrics import pearson
from robustxai.ranking import Saliency, TargetMapAttack, TopKAttack

EPS = 0.06
OPTIONS = dict(eps=EPS, steps=20, lr=0.01)


def images(n=4, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


def explainers(model, encoder, decoder):
    options = dict(n_steps=6)
    mig = ManifoldIG(model, encoder, decoder, evaluations=4, **options)
    released = ManifoldIG.released(model, encoder, decoder, solver=dict(step=1e-3, epsilon=0.0))
    guided = GuidedIG(model, n_steps=6, max_dist=0.3)
    ig = IntegratedGradients(model, **options)
    return {
        "IG": (ig, None),
        "IG-recon": (IntegratedGradients(model, encoder, decoder, **options), None),
        "EIG": (LatentPathIG(model, encoder, decoder, **options), None),
        "Blur": (BlurIG(model, **options), None),
        "MIG": (mig, frozen(mig)),
        "MIG-released": (released, frozen(released)),
        "Guided": (BPDA(guided, ig), None),
    }


def everything(*modules):
    return [{k: v.clone() for k, v in m.state_dict().items()} for m in modules]


@pytest.mark.parametrize("name", ["IG", "IG-recon", "EIG", "Blur", "MIG", "MIG-released", "Guided"])
def test_maps_move_to_the_goal_more_than_by_noise_and_nothing_else_changes(
    name, classifier, encoder, decoder
):
    explain, guide = explainers(classifier, encoder, decoder)[name]
    x, wanted = images(), images(seed=9)
    before = everything(classifier, encoder, decoder)
    state = torch.random.get_rng_state()
    attack = AttributionAttack(wanted, **OPTIONS, refresh=5)
    found = attack.perturb(classifier, x, explain=explain, guide=guide)
    assert (found.x - x).abs().max() <= EPS + 1e-6 and 0 <= found.x.min() and found.x.max() <= 1
    assert torch.equal(classifier(found.x).argmax(1), classifier(x).argmax(1)) and found.kept.all()
    seen = classifier(wanted).argmax(1)  # classes are resolved by the network, never by the explainer
    goal = shares(explain(wanted, seen))
    for v, loss in ((x, found.clean_loss), (found.x, found.loss)):
        expected = 64 * (shares(explain(v, found.target)) - goal).square().sum(1)
        torch.testing.assert_close(loss, expected, rtol=2e-3, atol=1e-4)
    noise = ShuffledChange(found.x).perturb(classifier, x)
    near = lambda v: pearson(shares(explain(v, found.target)), goal).mean()  # noqa: E731
    assert found.moved.sum() >= 3 and not found.stuck.any() and not found.x.requires_grad
    assert near(found.x) - near(x) > 0.02 + near(noise.x) - near(x)
    assert (found.loss <= found.clean_loss).all()
    assert found.trace.shape == (4, 21 if guide is None else 5)
    assert torch.equal(state, torch.random.get_rng_state())
    for old, new in zip(before, everything(classifier, encoder, decoder), strict=True):
        assert all(torch.equal(old[k], new[k]) for k in old)
    assert all(p.grad is None for m in (classifier, encoder, decoder) for p in m.parameters())


@pytest.mark.parametrize("name", ["IG", "MIG"])
def test_a_sample_does_not_depend_on_its_batch(name, classifier, encoder, decoder):
    explain, guide = explainers(classifier, encoder, decoder)[name]
    x, wanted, options = images(), images(seed=9), dict(OPTIONS, steps=4, refresh=2)
    whole = AttributionAttack(wanted, **options).perturb(classifier, x, explain=explain, guide=guide)
    parts = AttributionAttack(wanted, **options, batch_size=1).perturb(
        classifier, x, explain=explain, guide=guide
    )
    torch.testing.assert_close(whole.x, parts.x, rtol=0, atol=2e-3)
    torch.testing.assert_close(whole.trace, parts.trace, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["IG", "MIG"])
def test_all_explainers_can_be_looked_at_as_often(name, classifier, encoder, decoder):
    explain, guide = explainers(classifier, encoder, decoder)[name]
    attack = AttributionAttack(images(2, seed=9), eps=EPS, steps=7, lr=0.01, refresh=2, look=3)
    found = attack.perturb(classifier, images(2), explain=explain, guide=guide)
    assert found.trace.shape == (2, 4)  # steps 0, 3, 6 and the last
    assert found.kept.all()
    torch.testing.assert_close(found.loss, found.trace.amin(1), rtol=1e-5, atol=0)


def test_the_loss_is_the_released_one_up_to_a_factor():
    """Spec 4.2: 1e17 MSE(m) + 1e6 MSE(p) at 192 pixels is 1e17 / d^2 times ours, d = 192^2."""
    assert RELEASED_WEIGHT == pytest.approx(1 / 73.6, rel=1e-3)
    x = images(1)
    attack = AttributionAttack.released(x)
    assert attack.budget.eps is None and attack.keep == "stop" and attack.steps == 3000


def test_stopping_at_a_flip_and_weighing_both_keep_the_prediction():
    model = module(3, lambda: Classifier(60.0))  # steep: predictions flip easily
    x, wanted = images(12), images(12, seed=9)
    explain = IntegratedGradients(model, n_steps=6)
    results = {}
    for keep in ("weigh", "stop"):
        attack = AttributionAttack(wanted, **dict(OPTIONS, eps=0.3, lr=0.04), output_weight=0.0, keep=keep)
        results[keep] = found = attack.perturb(model, x, explain=explain)
        assert torch.equal(model(found.x).argmax(1), model(x).argmax(1)) and found.kept.all()
        assert found.flips.sum() > 0
    assert results["stop"].flips.max() == 1 < results["weigh"].flips.max()
    held = AttributionAttack(wanted, **dict(OPTIONS, eps=0.3, lr=0.04), output_weight=1e4)
    assert held.perturb(model, x, explain=explain).flips.sum() < results["weigh"].flips.sum()


def test_a_second_prediction_may_be_kept(encoder, decoder):
    """Without it an attack on reconstructions changes their class; with it none does, and maps still move."""
    model = module(3, lambda: Classifier(60.0))
    with torch.no_grad():
        x = decoder(torch.randn(10, 6, generator=generator(1)))
    explain = LatentPathIG(model, encoder, decoder, n_steps=6)
    rebuilt = lambda v: model(decoder(encoder(v)))  # noqa: E731
    attack = AttributionAttack(x.roll(1, 0), **dict(OPTIONS, eps=0.2, lr=0.03))
    free, held = (attack.perturb(model, x, explain=explain, also=also) for also in (None, rebuilt))
    same = [rebuilt(f.x).argmax(1) == rebuilt(x).argmax(1) for f in (free, held)]
    assert not same[0].all() and same[1].all() and held.kept.all()
    assert torch.equal(model(held.x).argmax(1), model(x).argmax(1))
    assert held.loss.mean() < 0.9 * held.clean_loss.mean()


def test_without_a_ball_only_the_range_holds():
    model, x = module(3, Classifier), images()
    found = AttributionAttack(images(1, seed=9), eps=None, lr=0.1, steps=6).perturb(model, x)
    assert 0 <= found.x.min() and found.x.max() <= 1 and (found.x - x).abs().max() > 0.1


def test_goal_maps_may_be_given():
    model, x = module(3, Classifier), images()
    explain = IntegratedGradients(model, n_steps=6)
    spot = torch.zeros(8, 8)
    spot[:3, :3] = 1
    found = AttributionAttack(maps=spot, **OPTIONS).perturb(model, x, explain=explain)
    share = lambda v: shares(explain(v, found.target)).unflatten(1, (8, 8))[:, :3, :3].sum((1, 2))  # noqa: E731
    assert share(found.x).mean() > share(x).mean() + 0.02
    many = AttributionAttack(maps=spot.expand(4, 1, 8, 8), **OPTIONS).perturb(model, x, explain=explain)
    torch.testing.assert_close(many.loss, found.loss)


def test_no_derivative_is_reported_and_bpda_has_one(classifier):
    x, wanted = images(), images(seed=9)
    guided = GuidedIG(classifier, n_steps=6, max_dist=0.3)
    with pytest.warns(UserWarning, match="explain has no gradient in x to follow") as said:
        blind = AttributionAttack(wanted, **dict(OPTIONS, steps=3)).perturb(classifier, x, explain=guided)
    assert len(said) == 1 and blind.stuck.all() and not blind.moved.any() and torch.equal(blind.x, x)
    assert not blind.followed.any() and blind.loss.isnan().all() and blind.trace.isnan().all()
    assert blind.clean_loss.isfinite().all() and blind.kept.all()
    ig = IntegratedGradients(classifier, n_steps=6)
    v = x.clone().requires_grad_()
    through = BPDA(guided, ig).attribute(v, 1)
    torch.testing.assert_close(through.detach(), guided.attribute(x, 1))
    u = torch.randn(x.shape, generator=generator(1))
    torch.testing.assert_close(
        torch.autograd.grad((u * through).sum(), v), torch.autograd.grad((u * ig.attribute(v, 1)).sum(), v)
    )
    assert not BPDA(guided, ig)(x, 1).requires_grad
    assert torch.equal(BPDA(guided, ig)(x, 1), guided(x, 1))


def test_a_gradient_that_is_rounding_is_not_followed():
    """The saliency of a two-class ReLU network changes by one factor only: its shares are constant, up to rounding."""
    model = module(3, lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), nn.Linear(12, 2)))
    attack = AttributionAttack(images(1, 9), **dict(OPTIONS, steps=4))
    found = attack.perturb(model, images(), explain=Saliency(model))
    assert found.stuck.all() and torch.equal(found.x, images()) and found.loss.isnan().all()
    curved = attack.perturb(model, images(), explain=IntegratedGradients(model, n_steps=4))
    assert curved.followed.all()


def test_a_borrowed_derivative_moves_from_the_right_value(classifier):
    x, target = images(), torch.tensor([0, 3, 2, 1])
    guided, behind = GuidedIG(classifier, n_steps=8), IntegratedGradients(classifier, n_steps=8)
    shifted = bpda_guide(guided, behind)(x)
    v = x.clone().requires_grad_()
    value = shifted(v, target)
    torch.testing.assert_close(value.detach(), guided.attribute(x, target))
    slope = torch.autograd.grad(value.square().sum(), v)[0]
    w = x.clone().requires_grad_()
    other = torch.autograd.grad((BPDA(guided, behind).attribute(w, target)).square().sum(), w)[0]
    torch.testing.assert_close(slope, other)
    near = 0.99 * x
    torch.testing.assert_close(
        shifted(near, target) - value.detach(), behind.attribute(near, target) - behind.attribute(x, target)
    )
    wanted = images(seed=5)
    goal = shares(guided(wanted, target))
    attack = AttributionAttack(maps=goal, eps=0.1, steps=10, lr=0.02, refresh=2)
    found = attack.perturb(classifier, x, target, explain=guided, guide=bpda_guide(guided, behind))
    assert (found.loss <= found.clean_loss).all() and found.moved.any() and found.kept.all()


def test_the_shuffled_change_has_the_norms_of_the_attack(classifier):
    x = images()
    changed = (x + 0.1 * torch.randn(x.shape, generator=generator(2))).clamp(0, 1)
    changed[3] = x[3]
    noise = ShuffledChange(changed).perturb(classifier, x, generator=generator(3))
    assert 0 <= noise.x.min() and noise.x.max() <= 1
    assert torch.equal(classifier(noise.x).argmax(1), classifier(x).argmax(1))
    for p in (1, 2, torch.inf):
        ours, theirs = ((v - x).flatten(1).norm(p, dim=1) for v in (noise.x, changed))
        torch.testing.assert_close(ours[noise.moved], theirs[noise.moved], rtol=1e-4, atol=1e-6)
    assert noise.moved.tolist()[3] is False and noise.moved.sum() >= 2
    assert torch.equal(noise.x, ShuffledChange(changed).perturb(classifier, x, generator=generator(3)).x)
    alone = ShuffledChange(changed[1:2]).perturb(classifier, x[1:2], generator=generator(3))
    torch.testing.assert_close(alone.x[0], noise.x[1])


def test_ghorbanis_and_dombrowskis_attacks_take_these_explainers(classifier, encoder, decoder):
    """The attacks of the ranking chapter on maps of this one: each lowers its own loss."""
    x = images()
    explain = SaliencyOf(LatentPathIG(classifier, encoder, decoder, n_steps=6))
    assert explain(x, 1).shape == (4, 1, 8, 8)
    top = TopKAttack(6, EPS, steps=6, clip=(0, 1)).perturb(classifier, x, explain=explain)
    goal = explain(images(seed=9), 0)
    drawn = TargetMapAttack(
        goal, steps=6, lr=0.02, betas=None, map_weight=64**2, output_weight=10.0, clip=(0, 1)
    ).perturb(classifier, x, explain=explain)
    for found in (top, drawn):
        assert (found.loss <= found.clean_loss).all() and found.loss.mean() < 0.97 * found.clean_loss.mean()
        assert torch.equal(classifier(found.x).argmax(1), classifier(x).argmax(1))


def test_maps():
    a = torch.tensor([[[[1.0, -1.0]], [[0.0, 2.0]]]])
    assert saliency(a).tolist() == [[[[1.0, 3.0]]]] and shares(a).tolist() == [[0.25, 0.75]]
    assert shares(0 * a).tolist() == [[0.0, 0.0]] and shares(torch.tensor([[1.0, -3.0]])).tolist() == [
        [0.25, 0.75]
    ]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m, x: AttributionAttack(),
            "images and maps must be given one without the other, got neither",
        ),
        (lambda m, x: AttributionAttack(x, eps=0), "eps must be a finite number > 0, got 0"),
        (lambda m, x: AttributionAttack(x, steps=0), "steps must be an integer >= 1, got 0"),
        (lambda m, x: AttributionAttack(x, look=0), "look must be an integer >= 1, got 0"),
        (lambda m, x: AttributionAttack(x, keep="hope"), "keep must be one of weigh, stop, got 'hope'"),
        (
            lambda m, x: AttributionAttack(x[:2]).perturb(m, x),
            r"images must be one image or one for each of \(4, 3, 8, 8\), got shape \(2, 3, 8, 8\)",
        ),
        (
            lambda m, x: AttributionAttack(maps=x[0, 0, :2]).perturb(m, x),
            "maps must be 64 numbers >= 0, or as many an input, got 16, 0 of them negative",
        ),
        (
            lambda m, x: AttributionAttack(maps=-x[0, 0]).perturb(m, x),
            "maps must be 64 numbers >= 0, or as many an input, got 64, 64 of them negative",
        ),
        (
            lambda m, x: AttributionAttack(x).perturb(m, x + 1),
            r"x must lie in clip=\(0.0, 1.0\), got numbers from",
        ),
        (
            lambda m, x: AttributionAttack(x).perturb(m, x / 0),
            "x must be finite inputs, got NaN or infinite numbers",
        ),
        (
            lambda m, x: AttributionAttack(x).perturb(lambda v: m(v), x),
            "explain must be given where model is not a module, got None",
        ),
        (
            lambda m, x: AttributionAttack(x).perturb(nn.Sequential(m).train(), x),
            "model must be in eval mode, got training mode",
        ),
        (lambda m, x: ShuffledChange(x, tries=0), "tries must be an integer >= 1, got 0"),
        (
            lambda m, x: ShuffledChange(x[:1]).perturb(m, x),
            r"changed must have the shape of x, \(4, 3, 8, 8\), got shape \(1, 3, 8, 8\)",
        ),
    ],
)
def test_bad_input(call, words, as_shipped):
    with pytest.raises(ValueError, match=words):
        call(module(3, Classifier), images())
