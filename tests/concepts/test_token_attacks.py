"""Attacks on exemplars: the budget after rounding, eps 0, sweeps, better than noise, nothing else changed."""

import math

import pytest
import torch
from tiny import bars, fingerprint, gen, images, net, sets, unchanged

from robustxai.concepts import CAV, TCAV
from robustxai.concepts.attacks import (
    ClassGradientPush,
    MultiLayerPushing,
    TokenPushing,
    UniversalPushing,
    base,
    controls,
    negated,
    permuted,
    shuffled,
    sign_noise,
)
from robustxai.concepts.attacks.base import in_bytes, on_grid, pgd
from robustxai.concepts.study.measures import (
    area,
    change,
    label_changes,
    remaining_distance,
    smallest_flip,
    turned_by,
)

MODEL = net()
TOKENS, TOWARDS, CLASS = images(12, seed=3), bars(12, seed=4), images(16, seed=6)
EPS = 8 / 255
BYTES = in_bytes(EPS)
ATTACKS = {
    "full": lambda **o: TokenPushing("b3", **o).perturb(MODEL, TOKENS, TOWARDS),
    "cosine": lambda **o: TokenPushing("b3", variant="cosine", **o).perturb(MODEL, TOKENS, TOWARDS),
    "pooled": lambda **o: TokenPushing("b3", variant="pooled", **o).perturb(MODEL, TOKENS, TOWARDS),
    "away": lambda **o: TokenPushing("b3", away=True, **o).perturb(MODEL, TOKENS),
    "induce": lambda **o: ClassGradientPush("b3", **o).perturb(MODEL, TOKENS, CLASS, 1),
    "remove": lambda **o: ClassGradientPush("b3", sign=-1, **o).perturb(MODEL, TOKENS, CLASS, 1),
    "pooled class": lambda **o: ClassGradientPush("b3", pool=True, **o).perturb(MODEL, TOKENS, CLASS, 1),
    "layers": lambda **o: MultiLayerPushing(["b2", "b4"], **o).perturb(MODEL, TOKENS, TOWARDS),
    "ensemble": lambda **o: MultiLayerPushing(["b3"], **o).perturb([MODEL, net(9)], TOKENS, TOWARDS),
    "facet": lambda **o: MultiLayerPushing(["b2", "b3"], steps=40, **o).perturb(MODEL, TOKENS, TOWARDS),
    "universal": lambda **o: UniversalPushing("b3", **o).perturb(MODEL, TOKENS, TOWARDS),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_budget_holds_on_the_uint8_grid_and_the_objective_falls(name):
    p = ATTACKS[name]()
    levels, before = (p.x * 255).round(), (TOKENS * 255).round()
    assert on_grid(p.x) and (levels - before).abs().max() <= 8 and p.linf == pytest.approx(8, abs=1e-3)
    assert p.x.shape == TOKENS.shape and p.loss.shape == p.clean_loss.shape == (12,)
    assert p.loss.mean() < p.clean_loss.mean()


@pytest.mark.parametrize("name", [n for n in ATTACKS if n != "universal"])
def test_attacks_beat_noise_of_the_same_size(name):
    p = ATTACKS[name]()
    noise = sign_noise(TOKENS, EPS, generator=gen(1))
    seen, common_pgd = {}, base.pgd

    def spy(x, objective, **options):
        seen["noise"] = objective(noise, torch.arange(12)).detach()
        return common_pgd(x, objective, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "pgd", spy)
        again = ATTACKS[name]()
    assert torch.equal(again.x, p.x)
    assert (p.clean_loss - p.loss).mean() > 2 * (p.clean_loss - seen["noise"]).abs().mean()


@pytest.mark.parametrize("name", ATTACKS)
def test_eps_0_changes_no_bit(name):
    p = ATTACKS[name](eps=0.0)
    assert torch.equal(p.x, TOKENS)
    torch.testing.assert_close(p.loss, p.clean_loss)
    tcav = TCAV(MODEL, ["b3"], cav=CAV())
    random = sets()
    clean = tcav.score(CLASS, 1, {"c": TOKENS}, random)["c", "b3"]
    attacked = tcav.score(CLASS, 1, {"c": p.x}, random)["c", "b3"]
    assert torch.equal(clean.scores, attacked.scores) and torch.equal(
        clean.cavs.vectors, attacked.cavs.vectors
    )


def test_eps_0_asks_for_no_gradient():
    def objective(x, rows):
        assert not x.requires_grad
        return x.flatten(1).sum(1)

    assert torch.equal(pgd(TOKENS, objective, eps=0.0).x, TOKENS)


@pytest.mark.parametrize("name", ATTACKS)
def test_model_and_other_images_are_left_as_found(name):
    before = fingerprint(MODEL)
    others = [t.clone() for t in (TOKENS, TOWARDS, CLASS)]
    ATTACKS[name]()
    unchanged(MODEL, before)
    assert all(torch.equal(a, b) for a, b in zip(others, (TOKENS, TOWARDS, CLASS), strict=True))


def test_a_sweep_is_its_parts():
    eps = [2 / 255, 8 / 255]
    for attack in (TokenPushing("b3", batch_size=5), UniversalPushing("b3", steps=10)):
        sweep = attack.perturb(MODEL, TOKENS, TOWARDS, eps=eps)
        assert sweep.x.shape == (2, *TOKENS.shape) and sweep.eps == tuple(eps)
        for i, e in enumerate(eps):
            one = attack.perturb(MODEL, TOKENS, TOWARDS, eps=e)
            assert (sweep.x[i] != one.x).float().mean() < 0.02  # a sign of a gradient near zero may turn
            assert ((sweep.x[i] - TOKENS).abs() * 255).max() <= 255 * e + 1e-3


def test_the_uniform_start_is_its_generators():
    attack = TokenPushing("b3", start="uniform", steps=3)
    a, b, c = (attack.perturb(MODEL, TOKENS, TOWARDS, generator=gen(s)).x for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_rounding_stays_inside_the_budget():
    x = torch.tensor([[[[0.0, 100 / 255, 1.0]]]])
    moved = x + 8.49 / 255
    assert torch.equal((BYTES.project(moved, x) * 255).round(), torch.tensor([[[[8.0, 108.0, 255.0]]]]))
    assert torch.equal(BYTES.project(x + 0.4 / 255, x), x)


def test_pushing_turns_the_cav_towards_the_goal():
    random = sets()
    tcav = TCAV(MODEL, ["b3"], cav=CAV("mean", test_share=0))
    p = TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS)
    r = tcav.score(CLASS, 1, {"clean": TOKENS, "attacked": p.x, "goal": TOWARDS}, random)
    clean, attacked, goal = (r[k, "b3"].cavs for k in ("clean", "attacked", "goal"))
    assert turned_by(attacked, goal) > turned_by(clean, goal) + 0.05
    assert remaining_distance(MODEL, "b3", TOKENS, p.x, TOWARDS) < 0.95


def test_the_class_gradient_push_moves_the_magnitude_its_way():
    random = sets()
    tcav = TCAV(MODEL, ["b3"], cav=CAV("mean", test_share=0))
    up, down = (ClassGradientPush("b3", sign=s).perturb(MODEL, TOKENS, CLASS, 1).x for s in (1, -1))
    r = tcav.score(images(16, seed=60), 1, {"clean": TOKENS, "up": up, "down": down}, random)
    size = {k: float(r[k, "b3"].magnitude.mean()) for k in ("down", "clean", "up")}
    assert size["down"] < size["clean"] < size["up"]


def test_a_universal_perturbation_is_one_and_works_on_others():
    p = UniversalPushing("b3").perturb(MODEL, TOKENS[:6], TOWARDS)
    others = TOKENS[6:]
    applied = p.apply(others)
    assert on_grid(applied) and ((applied - others).abs() * 255).max() <= 8.001
    inside = (others > 0.05) & (others < 0.95)
    wrong = ((applied - others) - p.shared).abs()  # rounding only
    assert float(wrong[inside].max()) < 0.51 / 255
    assert remaining_distance(MODEL, "b3", others, applied, TOWARDS) < 1
    sweep = UniversalPushing("b3", steps=5).perturb(MODEL, TOKENS[:6], TOWARDS, eps=[0.0, EPS])
    assert torch.equal(sweep.apply(others)[0], others)


def test_controls_keep_the_size_and_lose_the_aim():
    p = TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS)
    found = controls(p, seed=2)
    assert list(found) == ["sign noise 1", "sign noise 2", "sign noise 3", "permuted", "shuffled", "negated"]
    for x in found.values():
        assert on_grid(x) and ((x - TOKENS).abs() * 255).max() <= 8.001 and not torch.equal(x, p.x)
    aim = remaining_distance(MODEL, "b3", TOKENS, p.x, TOWARDS)
    assert all(remaining_distance(MODEL, "b3", TOKENS, x, TOWARDS) > aim for x in found.values())
    assert torch.equal(negated(p), BYTES.project(2 * TOKENS - p.x, TOKENS))
    d, s = (p.x - TOKENS), (shuffled(p, generator=gen(1)) - TOKENS)
    inside = ((TOKENS > 0.04) & (TOKENS < 0.96)).flatten(1).all(1)
    assert torch.allclose(d[inside].flatten(1).sum(1), s[inside].flatten(1).sum(1), atol=1e-3)
    one = permuted(p, generator=gen(3))
    assert not any(torch.equal(a, b) for a, b in zip(one, p.x, strict=True))


def test_measures():
    p = TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS)
    big, none = change(TOKENS, p.x), change(TOKENS, TOKENS)
    assert big.linf == pytest.approx(8, abs=1e-3) and 25 < big.psnr < 45 and 0 < big.ssim < 1
    delta = (p.x - TOKENS).flatten(1)
    assert big.l2 == pytest.approx(float(delta.square().sum(1).sqrt().mean()), rel=1e-5)
    assert none.linf == none.l2 == 0 and none.psnr == float("inf") and none.ssim == pytest.approx(1)
    assert label_changes(MODEL, TOKENS, TOKENS) == 0
    assert smallest_flip([4.0, 1.0, 2.0], ["b", "a", "b"], "a") == 2.0
    assert area([0.0, 2.0, 4.0], [0.0, 1.0, 1.0]) == 0.75


def test_bad_input(as_shipped):
    off, big = TOKENS + 0.3 / 255, images(6, size=32)
    shared = UniversalPushing("b3", steps=1).perturb(MODEL, TOKENS, TOWARDS)
    for call, message in (
        (lambda: TokenPushing("b3", variant="l1"), "variant must be one of full, cosine, pooled, got 'l1'"),
        (
            lambda: TokenPushing("b9").perturb(MODEL, TOKENS, TOWARDS),
            "layer must be a module of the model, got 'b9'; near names are b5, b4,",
        ),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS),
            "towards must be images, or None for away=True, got None for away=False",
        ),
        (
            lambda: TokenPushing("b3", away=True).perturb(MODEL, TOKENS, TOWARDS),
            r"towards must be images, or None for away=True, got shape \(12, 3, 16, 16\) and",
        ),
        (lambda: TokenPushing("b3").perturb(MODEL, off.clamp(0, 1), TOWARDS), "uint8 grid"),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS, eps=-1.0),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got -1\.0",
        ),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS, eps=[]),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got \[\]",
        ),
        (lambda: TokenPushing("b3", steps=0), "steps must be an integer >= 1, got 0"),
        (
            lambda: MultiLayerPushing(["b3"], start="middle"),
            "start must be one of zero, uniform, got 'middle'",
        ),
        (
            lambda: TokenPushing("b3", eps=math.nan),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got nan",
        ),
        (lambda: TokenPushing("b3", step=math.nan), "step must be a finite number > 0, got nan"),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS, eps=[EPS, math.nan]),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got \[0\.03137254901960784, nan\]",
        ),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS * 255, TOWARDS),
            r"x must be images in \[0, 1\], got pixels from 1 to 255",
        ),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS * 255),
            r"towards must be images in \[0, 1\], got pixels from 2 to 255",
        ),
        (
            lambda: TokenPushing("b3").perturb(MODEL, TOKENS, big),
            r"towards and x must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (
            lambda: MultiLayerPushing(["b3"]).perturb(MODEL, TOKENS, big),
            r"towards and x must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (
            lambda: UniversalPushing("b3").perturb(MODEL, TOKENS, big),
            r"towards and x must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (
            lambda: ClassGradientPush("b3").perturb(MODEL, TOKENS, big, 1),
            r"class_images and x must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (
            lambda: shared.apply(big),
            r"x and the perturbation must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (lambda: UniversalPushing("b3", batch_size=0), "batch_size must be an integer >= 1, got 0"),
        (lambda: ClassGradientPush("b3", step=-0.1), r"step must be a finite number > 0, got -0\.1"),
        (
            lambda: MultiLayerPushing(["b3"], eps=2),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got 2",
        ),
        (
            lambda: pgd(TOKENS, lambda x, rows: x.flatten(1).sum(1), eps=EPS, steps=0),
            "steps must be an integer >= 1, got 0",
        ),
        (lambda: TokenPushing("b3").perturb(net().train(), TOKENS, TOWARDS), "training mode"),
        (lambda: ClassGradientPush("b3", sign=2), r"sign must be 1 \(induce\) or -1 \(remove\), got 2"),
        (lambda: MultiLayerPushing(["b3"]).perturb([], TOKENS, TOWARDS), "empty"),
        (lambda: controls(TokenPushing("b3").perturb(MODEL, TOKENS, TOWARDS, eps=[EPS])), "sweep"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
