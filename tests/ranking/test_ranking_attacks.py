"""The attacks: budgets, predictions, state, batches, and that they beat a random change."""

import pytest
import torch
from tables import cnn, images, mlp, rows, same_state, seeded, state
from torch import nn

from robustxai.attacks.budget import Budget
from robustxai.metrics import mean_ignoring_nan
from robustxai.metrics.perturbation import unit
from robustxai.ranking import (
    KEEP,
    ERAttack,
    GradientTimesInput,
    IntegratedGradients,
    MSEAttack,
    RandomDirections,
    RankingAttack,
    Saliency,
    SmoothGrad,
    attacked_precision,
    gradient,
    pair_sum,
    precision_at_k,
    random_control,
    ranked,
)

K, EPS = 4, 0.5
ATTACKS = {
    "er": lambda **o: RankingAttack(K, EPS, **o),
    "near": lambda **o: RankingAttack(K, EPS, pairs="near", **o),
    "mm": lambda **o: RankingAttack(K, EPS, pairs="mm", n_pairs=2, **o),
    "mse": lambda **o: MSEAttack(EPS, **o),
    "signed": lambda **o: MSEAttack(EPS, signed=True, **o),
}
NORM = {"l2": lambda d: d.flatten(1).norm(dim=1), "linf": lambda d: d.flatten(1).abs().amax(1)}
NORM["linf-box"] = NORM["linf"]


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("norm", NORM)
@pytest.mark.parametrize("name", ATTACKS)
def test_budget_prediction_and_network_are_respected(name, norm, keep):
    """A7: the budget holds, the prediction holds for every point, the network is left as found."""
    model, x = mlp(classes=3), rows(40)
    before = state(model)
    a = ATTACKS[name](norm=norm, steps=8, keep=keep).perturb(model, x)
    assert (NORM[norm](a.x - x) <= EPS * (1 + 1e-5)).all()
    assert torch.equal(model(a.x).argmax(1), model(x).argmax(1)) and a.kept.all()
    assert same_state(before, state(model)) and a.x.dtype == x.dtype and not a.x.requires_grad
    assert (a.loss <= a.clean_loss).all() and torch.equal(a.moved, (a.x != x).any(1))
    assert torch.equal(a.target, model(x).argmax(1)) and a.trace.shape == (40, 9)
    assert a.moved.double().mean() > 0.6, "few steps overshoot on some points; those keep the clean input"
    p = precision_at_k(Saliency(model)(x, a.target), Saliency(model)(a.x, a.target), K)
    assert ((p >= 0) & (p <= 1)).all()


def test_the_reported_loss_is_the_loss_of_the_result():
    model, x = mlp(classes=3), rows(30)
    t = model(x).argmax(1)
    clean = Saliency(model)(x, t)
    a = RankingAttack(K, EPS, steps=6).perturb(model, x)
    torch.testing.assert_close(a.loss, pair_sum(Saliency(model)(a.x, t), clean, k=K))
    torch.testing.assert_close(a.clean_loss, pair_sum(clean, clean, k=K))
    torch.testing.assert_close(a.loss, a.trace.amin(1))
    m = MSEAttack(EPS, steps=6).perturb(model, x)
    torch.testing.assert_close(m.loss, -(Saliency(model)(m.x, t) - clean).square().sum(1))


def test_one_step_is_the_gradient_step_solved_by_hand():
    model, x = mlp(activation=nn.Tanh), rows(6)
    t = model(x).argmax(1)
    v = x.clone().requires_grad_()
    scores = ranked(gradient(model, v, t, create_graph=True))
    (g,) = torch.autograd.grad(pair_sum(scores, scores, k=K).sum(), v)
    a = RankingAttack(K, EPS, steps=1, step=0.01).perturb(model, x)
    expected = x - 0.01 * g / g.norm(dim=1, keepdim=True)
    torch.testing.assert_close(a.x[a.moved], expected[a.moved])
    assert a.moved.any()
    box = RankingAttack(K, EPS, norm="linf", steps=1, step=0.01).perturb(model, x)
    torch.testing.assert_close(box.x[box.moved], (x - 0.01 * g.sign())[box.moved])


@pytest.mark.parametrize("score", ["prob", "ce"])
def test_attacks_beat_random_changes_of_the_same_length(score):
    model, x = mlp(classes=3, activation=nn.Softplus), rows(100)
    explain = Saliency(model, score=score)
    control = random_control(model, x, K, explain=explain, control=RandomDirections(EPS)).mean()
    p = {
        n: attacked_precision(explain, x, make().perturb(model, x, explain=explain), K)
        for n, make in ATTACKS.items()
    }
    for name, value in p.items():
        assert value.mean() < control - 0.02, name
    assert p["er"].mean() <= p["mse"].mean() + 0.01


@pytest.mark.parametrize(
    "make",
    [GradientTimesInput, lambda m: SmoothGrad(m, samples=3), lambda m: IntegratedGradients(m, n_steps=3)],
)
def test_every_explainer_can_be_attacked(make):
    model, x = mlp(activation=nn.Softplus), rows(30)
    a = RankingAttack(K, EPS, steps=10).perturb(model, x, explain=make(model))
    assert a.moved.double().mean() > 0.8 and (a.loss < a.clean_loss).double().mean() > 0.8


def test_images_and_clipping():
    model, x = cnn(), images(8)
    a = RankingAttack(6, 0.5, steps=5, clip=(0, 1)).perturb(model, x)
    assert a.x.shape == x.shape and 0 <= a.x.min() and a.x.max() <= 1 and a.moved.any()
    assert ((a.x - x).flatten(1).norm(dim=1) <= 0.5 * (1 + 1e-5)).all()


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("name", ["er", "mse"])
def test_a_sample_does_not_depend_on_its_batch(name, keep):
    model, x = mlp(classes=3, activation=nn.Softplus), rows(12)
    make = ATTACKS[name]
    whole = make(steps=5, keep=keep).perturb(model, x)
    one = torch.cat([make(steps=5, keep=keep).perturb(model, v).x for v in x.split(1)])
    torch.testing.assert_close(whole.x, one)
    torch.testing.assert_close(make(steps=5, keep=keep, batch_size=5).perturb(model, x).x, whole.x)


def test_the_same_generator_gives_the_same_result():
    model, x = mlp(), rows(10)
    g = lambda s: torch.Generator().manual_seed(s)  # noqa: E731
    for attack in (MSEAttack(EPS, steps=3, jitter=0.05), RandomDirections(EPS)):
        a, b, c = (attack.perturb(model, x, generator=g(s)).x for s in (1, 1, 2))
        assert torch.equal(a, b) and not torch.equal(a, c)
    global_state = torch.random.get_rng_state()
    MSEAttack(EPS, steps=2).perturb(model, x)
    assert torch.equal(global_state, torch.random.get_rng_state())


def test_more_steps_and_larger_budgets_do_not_hurt_the_attacker():
    model, x = mlp(classes=3, activation=nn.Softplus), rows(60)
    losses = [float(RankingAttack(K, e, steps=20).perturb(model, x).loss.mean()) for e in (0.1, 0.3, 0.9)]
    assert losses[0] > losses[1] > losses[2]


class Valley(nn.Module):
    """Two inputs; the gaps shrink towards the border of the class at x0 = 0."""

    def forward(self, x):
        z = x[:, 0] + x[:, 0] ** 2 / 2 + 0.1 * x[:, 1]
        return torch.stack((torch.zeros_like(z), z), 1)


def test_keeping_rules_at_a_border_of_the_class():
    """From (0.3, 0) the attack wants to cross x0 = 0; every rule must stay on this side, and count the refusals."""
    model, x = Valley(), torch.tensor([[0.3, 0.0]]).double()
    explain = Saliency(model, score="logit")
    results = {r: RankingAttack(1, 2.0, steps=20, keep=r).perturb(model, x, explain=explain) for r in KEEP}
    for rule, a in results.items():
        assert a.kept.all() and model(a.x)[0, 1] > 0 and a.moved.all(), rule
        assert a.flips_rejected[0] > 0, rule
    assert results["early_stop"].flips_rejected[0] == 1, "it stops at its first flip"
    assert results["reject"].loss[0] < results["early_stop"].loss[0] - 1e-3, "halved steps come closer"


def test_a_network_without_curvature_is_reported_not_scored_as_robust():
    """A6: ReLU network and logit: the attack has no gradient, says so, and P@k is nan, not 1."""
    model, x = mlp(), rows(30)
    explain = Saliency(model, score="logit")
    for attack in (RankingAttack(K, EPS, steps=5), RankingAttack(K, EPS, steps=5, norm="linf")):
        a = attack.perturb(model, x, explain=explain)
        assert a.stuck.all() and not a.moved.any() and torch.equal(a.x, x)
        assert "30 gave the attack no gradient" in a.report() and "0 of 30 inputs moved" in a.report()
        p = mean_ignoring_nan(attacked_precision(explain, x, a, K))
        assert p.n == 0 and p.skipped == 30
    through = RankingAttack(K, EPS, steps=20, surrogate_beta=10).perturb(model, x, explain=explain)
    assert through.moved.double().mean() > 0.5 and not through.stuck.any()
    assert attacked_precision(explain, x, through, K).mean() < 0.95
    assert "gave the attack" not in through.report()


def test_frozen_linear_networks_are_stuck_too():
    """A9: no curvature at all, not even a graph; P@k is 1 wherever the input goes."""
    model, x = seeded(lambda: nn.Linear(12, 3).double().requires_grad_(False)), rows(20)
    explain = Saliency(model, score="logit")
    with pytest.warns(UserWarning, match=r"^explain has no gradient in x to follow"):
        a = RankingAttack(K, EPS).perturb(model, x, explain=explain)
    assert a.stuck.all() and not a.moved.any()
    far = RandomDirections(100.0).perturb(model, x)
    assert (precision_at_k(explain(x, far.target), explain(far.x, far.target), K) == 1).all()


def test_surrogates_find_what_the_network_itself_hides():
    """P2: with ReLU, derivatives of a softplus copy are stronger; the loss that decides is the real one."""
    model, x = mlp(), rows(150)
    t, explain = model(x).argmax(1), Saliency(model)
    direct = RankingAttack(K, EPS).perturb(model, x)
    through = RankingAttack(K, EPS, surrogate_beta=10).perturb(model, x)
    torch.testing.assert_close(through.loss, pair_sum(explain(through.x, t), explain(x, t), k=K))
    assert through.loss.mean() < direct.loss.mean()


@pytest.mark.parametrize("norm", NORM)
def test_random_directions_have_the_full_length(norm):
    model, x = mlp(), rows(50)
    a = RandomDirections(EPS, norm=norm).perturb(model, x)
    torch.testing.assert_close(NORM[norm](a.x - x), torch.full((50,), EPS).double())
    assert torch.equal(model(a.x).argmax(1), model(x).argmax(1)) and a.moved.all()
    assert (unit(a.x - x) @ unit(a.x - x).T).fill_diagonal_(0).abs().max() < 0.999 or norm != "l2"


def test_random_directions_that_only_flip_leave_the_input():
    class Needle(nn.Module):
        def forward(self, x):
            z = 0.01 - x.square().sum(1)
            return torch.stack((torch.zeros_like(z), z), 1)

    x = torch.zeros(3, 4)
    a = RandomDirections(1.0, tries=4).perturb(Needle(), x)
    assert not a.moved.any() and torch.equal(a.x, x) and (a.flips_rejected == 4).all()


def test_unit_and_project():
    tiny = torch.tensor([[3e-30, 4e-30], [0.0, 0.0]])
    torch.testing.assert_close(unit(tiny), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    x = torch.tensor([[2.0, 0.5]])
    assert Budget(1.0, clip=None).project(x, torch.zeros(1, 2)).tolist() == [[1.0, 0.5]]
    assert Budget(1.0, "l2", clip=None).project(x / 10, torch.zeros(1, 2)).tolist() == (x / 10).tolist()
    assert ERAttack is RankingAttack


def test_bad_input(as_shipped):
    model, x = mlp(), rows(5)
    for make, words in (
        (lambda: RankingAttack(0, 0.5), "k must be an integer >= 1, got 0"),
        (lambda: RankingAttack(2, 0), "eps must be a finite number > 0, got 0"),
        (lambda: RankingAttack(2, -1.0), r"eps must be a finite number > 0, got -1\.0"),
        (lambda: MSEAttack(float("nan")), "eps must be a finite number > 0, got nan"),
        (lambda: RandomDirections(0.0), r"eps must be a finite number > 0, got 0\.0"),
        (lambda: RankingAttack(2, 1, norm="l1"), "norm must be one of l2, linf-box, linf, got 'l1'"),
        (
            lambda: RankingAttack(2, 1, keep="no"),
            "keep must be one of reject, early_stop, gda, hedge, got 'no'",
        ),
        (lambda: RankingAttack(2, 1, steps=0), "steps must be an integer >= 1, got 0"),
        (lambda: RankingAttack(2, 1, pairs="some"), "pairs must be one of full, near, mm, got 'some'"),
        (
            lambda: RankingAttack(2, 1, clip=(1, 0)),
            r"clip must be None or a pair \(low, high\) with low < high, got \(1, 0\)",
        ),
        (
            lambda: RankingAttack(12, 1).perturb(model, x),
            r"k must be an integer in \[1, 11\] for 12 features, got 12",
        ),
        (
            lambda: RankingAttack(2, 1).perturb(model, x.index_fill(0, torch.tensor([0]), torch.nan)),
            "x must be finite inputs, got NaN or infinite numbers",
        ),
        (
            lambda: RankingAttack(2, 1, clip=(0, 1)).perturb(model, x),
            r"x must lie in clip=\(0\.0, 1\.0\), got numbers from -3\.48 to 2\.02",
        ),
        (
            lambda: RankingAttack(2, 1).perturb(cnn().train(), images()),
            r"model must be in eval mode, got training mode \(1\), where a",
        ),
        (
            lambda: RankingAttack(2, 1).perturb(model, x, 2),
            r"target must be classes in \[0, 1\], got class 2",
        ),
        (
            lambda: RankingAttack(2, 1, surrogate_beta=5).perturb(model, x, explain=lambda v, t: v.abs()),
            r"surrogate_beta must be None for an explainer without .*, got 5\.0 for function",
        ),
        (
            lambda: MSEAttack(1, signed=True).perturb(model, x, explain=lambda v, t: v.abs()),
            r"signed must be False for an explainer without `\.signed`, got True for <function",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            make()


def test_shares_of_a_two_class_relu_network_bend_nowhere():
    """Its saliency changes by one factor only, so that normalised gaps give rounding, which is reported as stuck."""
    for double in (True, False):
        model, x = mlp(double=double), rows(40, dtype=torch.float64 if double else torch.float32)
        a = RankingAttack(K, EPS, normalise=True, steps=5).perturb(model, x)
        assert a.stuck.double().mean() > 0.9 and a.moved.double().mean() < 0.1


def test_normalised_gaps_through_a_surrogate_beat_the_raw_attack():
    """Raw gaps fall when the whole map shrinks, which changes no rank; shares cannot be lowered so."""
    model, x = mlp(), rows(150)
    t, explain = model(x).argmax(1), Saliency(model)
    p = {}
    for name, options in (("raw", {}), ("surrogate", {"surrogate_beta": 10}),
                          ("both", {"surrogate_beta": 10, "normalise": True})):  # fmt: skip
        a = RankingAttack(K, EPS, **options).perturb(model, x)
        p[name] = float(precision_at_k(explain(x, t), explain(a.x, t), K).mean())
    assert p["both"] < p["raw"] - 0.1 and p["both"] < p["surrogate"] + 0.05
    shares = explain(a.x, t) / explain(a.x, t).sum(1, keepdim=True)
    torch.testing.assert_close(a.loss, pair_sum(shares, explain(x, t), k=K))
