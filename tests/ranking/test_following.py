"""What every attack of the chapter keeps: it follows a gradient or says so; one rule at the door; budgets; classes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tables import cnn, images, mlp, rows
from torch import nn

from robustxai.attacks.budget import Budget
from robustxai.explainers.base import Explainer
from robustxai.metrics import mean_ignoring_nan
from robustxai.ranking import (
    GradientTimesInput,
    IntegratedGradients,
    MassCentreAttack,
    MSEAttack,
    RandomDirections,
    RankingAttack,
    Saliency,
    SmoothGrad,
    TargetMapAttack,
    TargetRegionAttack,
    TopKAttack,
    attacked_precision,
    certified_radius,
    iterations_to_break,
    precision_at_k,
    pretrained_overlap,
    sensitivity,
    topk_thickness,
)

REGION = (torch.arange(36) < 6).double()
ATTACKS = {
    "er": lambda **o: RankingAttack(4, 0.3, **o),
    "mse": lambda **o: MSEAttack(0.3, **o),
    "topk": lambda **o: TopKAttack(4, 0.3, **o),
    "region": lambda **o: TargetRegionAttack(REGION, 0.3, **o),
    "centre": lambda **o: MassCentreAttack(0.3, **o),
    "map": lambda **o: TargetMapAttack(REGION, eps=0.3, lr=0.05, betas=None, **{"norm": "linf", **o}),
}


class Blind(Explainer):
    """A saliency whose graph is cut, as maps of other libraries are; its guide is the saliency itself."""

    differentiable = False

    def __init__(self, model: nn.Module):
        self.model, self.asked = model, 0

    def attribute(self, x, target=None):
        return Saliency(self.model).attribute(x.detach(), target).detach()

    def guide(self, x, *, beta=10.0):
        self.asked += 1
        return Saliency(self.model).guide(x, beta=beta)


@pytest.fixture(scope="module")
def net():
    return cnn()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_without_a_gradient_says_so_once_and_leaves_the_input(name, net):
    x = images(4)
    explain = Blind(net)
    with pytest.warns(UserWarning, match=r"^explain has no gradient in x to follow") as caught:
        a = ATTACKS[name](steps=3).perturb(net, x, explain=explain)
    assert len(caught) == 1
    assert not a.followed.any() and a.stuck.all() and not a.moved.any() and torch.equal(a.x, x)
    assert torch.equal(a.loss, a.clean_loss) and "4 gave the attack no gradient" in a.report()
    p = mean_ignoring_nan(attacked_precision(explain, x, a, 4))
    assert p.n == 0 and p.skipped == 4, "not attacked is never robust"


@pytest.mark.parametrize("name", ATTACKS)
def test_a_guide_gives_it_derivatives(name, net):
    x = images(4)
    explain = Blind(net)
    a = ATTACKS[name](steps=4).perturb(net, x, explain=explain, guide=explain.guide)
    assert a.followed.all() and a.moved.any() and explain.asked == 1, "asked anew every 25 steps"
    assert ((a.loss <= a.clean_loss).all() and (a.linf <= 0.3 * (1 + 1e-5)).all()) or name in ("er", "mse")
    own = ATTACKS[name](steps=4, refresh=1).perturb(net, x, explain=explain, guide=explain.guide)
    torch.testing.assert_close(own.x, a.x)


def test_surrogate_beta_takes_the_guide_of_an_explainer_without_on(net):
    x = images(4)

    class Lean:
        def __init__(self):
            self.betas = []

        def __call__(self, v, target):
            return Saliency(net)(v.detach(), target)

        def guide(self, v, *, beta=1.0):
            self.betas.append(beta)
            return Saliency(net).guide(v, beta=beta)

    explain = Lean()
    a = RankingAttack(4, 0.3, steps=3, surrogate_beta=7).perturb(net, x, explain=explain)
    same = RankingAttack(4, 0.3, steps=3, surrogate_beta=7).perturb(net, x, explain=Saliency(net))
    assert explain.betas == [7] and torch.equal(a.x, same.x)
    b = TargetMapAttack(REGION, steps=3, lr=0.05).perturb(net, x, explain=explain)
    assert b.followed.all()


def test_followed_is_recorded_while_searching_not_read_off_what_moved():
    """A jittered start lowers the loss by itself; without a gradient it is not a result."""
    model, x = mlp(), rows(10)
    for attack in (MSEAttack(0.5, steps=3, jitter=0.1), MSEAttack(0.5, steps=3, jitter=0.1, keep="hedge")):
        a = attack.perturb(model, x, explain=Saliency(model, score="logit"))
        assert not a.followed.any() and torch.equal(a.x, x) and torch.equal(a.loss, a.clean_loss)
        p = attacked_precision(Saliency(model, score="logit"), x, a, 4)
        assert p.isnan().all()
    a = RandomDirections(0.5).perturb(model, x)
    assert a.followed.all() and not a.stuck.any(), "a control searches nothing"


def test_one_part_of_a_batch_can_be_followed_and_another_not():
    """Scores bend where x0 > 0 only."""
    model = mlp()
    x = rows(12)
    explain = lambda v, t: (v.square() + 1) * (v[:, :1] > 0) + torch.arange(12).to(v) * (v[:, :1] <= 0)  # noqa: E731
    a = RankingAttack(4, 0.1, steps=3, batch_size=5).perturb(model, x, explain=explain)
    assert torch.equal(a.followed, x[:, 0] > 0) and torch.equal(a.stuck, ~a.followed)
    p = attacked_precision(explain, x, a, 4)
    assert torch.equal(p.isnan(), a.stuck)


@pytest.mark.parametrize("shape", ["signed", "channels", "one"])
def test_every_attack_reads_the_reduced_map(shape, net):
    x = images(3)
    kinds = {
        "signed": lambda v, t: -Saliency(net)(v, t),
        "channels": lambda v, t: Saliency(net).signed(v, t),
        "one": Saliency(net),
    }
    explain = kinds[shape]
    for name, make in ATTACKS.items():
        a = make(steps=3).perturb(net, x, explain=explain)
        b = make(steps=3).perturb(net, x, explain=Saliency(net))
        torch.testing.assert_close(a.x, b.x), name
        torch.testing.assert_close(a.loss, b.loss)


def test_every_measure_reads_the_reduced_map(net):
    x, plain = images(4), Saliency(net)
    signed = lambda v, t: plain.signed(v, t)  # noqa: E731
    t = net(x).argmax(1)
    a = RankingAttack(4, 0.3, steps=3).perturb(net, x)
    for measure in (
        lambda e: attacked_precision(e, x, a, 4),
        lambda e: pretrained_overlap(e, e, x, 4, target=t),
        lambda e: sensitivity(net, e, x, t, eps=0.2, draws=3, steps=2).optimised,
        lambda e: topk_thickness(e, x, t, k=4, eps=0.2, draws=2, points=2),
        lambda e: certified_radius(e, x, t, k=4, within=0.1, draws=2),
        lambda e: iterations_to_break(net, x, t, k=4, step=0.05, max_steps=5, explain=e).iterations,
    ):
        torch.testing.assert_close(measure(signed), measure(plain))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("norm", ["linf", "l2", "linf-box"])
def test_the_budget_holds_at_every_iterate(name, norm, net):
    x, seen = images(3), []

    def explain(v, t):
        seen.append(v.detach().clone())
        return Saliency(net)(v, t)

    attack = ATTACKS[name](steps=4, clip=(0, 1), norm=norm)
    if name == "centre":
        attack.jitter = 5.0
    found = attack.perturb(net, x, explain=explain)
    assert len(seen) > 4 and found.budget == attack.budget == Budget(0.3, norm)
    for v in (*seen, found.x):
        change = (v - x).flatten(1)
        size = change.norm(dim=1) if norm == "l2" else change.abs().amax(1)
        assert (size <= 0.3 * (1 + 1e-9)).all() and 0 <= v.min() and v.max() <= 1


@pytest.mark.parametrize("name", ATTACKS)
def test_explainers_are_always_given_classes(name, net):
    x, given = images(3), []

    def explain(v, target):
        given.append(target)
        return Saliency(net)(v, target)

    for target in (None, 1, [0, 2, 1], np.int64(2), np.array([0, 1, 2]), torch.tensor([2, 1, 0])):
        a = ATTACKS[name](steps=np.int64(2)).perturb(net, x, target, explain=explain)
        expected = net(x).argmax(1) if target is None else torch.as_tensor(target).expand(3)
        assert torch.equal(a.target, expected)
    assert all(isinstance(t, torch.Tensor) and t.shape == (3,) and t.dtype == torch.int64 for t in given)


class Out:
    """An object with .logits, as Hugging Face returns it."""

    def __init__(self, logits):
        self.logits = logits


WRAPS = {
    "dict": lambda z: {"logits": z},
    "out": lambda z: {"out": z},
    "tuple": lambda z: (z, None),
    "object": Out,
}


class Wrapped(nn.Module):
    def __init__(self, net, wrap):
        super().__init__()
        self.net, self.wrap = net, wrap

    def forward(self, x):
        return self.wrap(self.net(x))


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("make", [Saliency, GradientTimesInput, SmoothGrad, IntegratedGradients])
def test_networks_may_return_what_they_like(make, wrap):
    plain, x = mlp(classes=3), rows(4)
    other = Wrapped(plain, WRAPS[wrap])
    torch.testing.assert_close(make(other)(x), make(plain)(x), rtol=0, atol=0)
    a, b = (RankingAttack(4, 0.3, steps=3).perturb(m, x) for m in (other, plain))
    assert torch.equal(a.x, b.x)


@pytest.mark.parametrize("make", [Saliency, GradientTimesInput, SmoothGrad, IntegratedGradients])
def test_a_single_logit_is_two_classes_whatever_its_shape(make):
    column, x = mlp(classes=1), rows(5)
    flat = Wrapped(column, lambda z: z[:, 0])
    squeezed = Wrapped(column, lambda z: z.squeeze())
    for t in (None, 0, 1):
        torch.testing.assert_close(make(flat)(x, t), make(column)(x, t), rtol=0, atol=0)
        one = torch.cat([make(squeezed)(v, t) for v in x.split(1)])
        torch.testing.assert_close(one, make(column)(x, t))
    raw = lambda e: getattr(e, "signed", e.attribute)  # noqa: E731
    signed = [raw(make(column, score="logit"))(x, t) for t in (0, 1)]
    torch.testing.assert_close(signed[0], -signed[1], rtol=0, atol=0)
    assert RankingAttack(4, 0.3, steps=3).perturb(flat, x).kept.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_another_dtype_than_the_networks_is_one_sentence(dtype, as_shipped):
    model, x = mlp(), rows(3).to(dtype)
    for call in (
        lambda: Saliency(model)(x),
        lambda: IntegratedGradients(model)(x, 0),
        lambda: RankingAttack(2, 0.1).perturb(model, x),
        lambda: RandomDirections(0.1).perturb(model, x),
    ):
        with pytest.raises(ValueError, match=r"^model does not run on x of shape \([13], 12\), torch.float"):
            call()


def test_logits_without_a_graph_are_a_true_sentence(as_shipped):
    class Frozen(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.body, self.head = mlp(), head

        def forward(self, x):
            with torch.no_grad():
                h = self.body(x)
            return self.head(h)

    for head in (nn.Identity(), nn.Linear(2, 2).double()):
        for make in (Saliency, IntegratedGradients):
            with pytest.raises(
                ValueError,
                match=r"^model must have logits with a gradient in x, got none",
            ):
                make(Frozen(head))(rows(3), 0)


@pytest.mark.parametrize("make", [Saliency, lambda m: IntegratedGradients(m, n_steps=4)])
def test_eight_threads_give_the_bits_of_one(make):
    model, batches = cnn(), [images(2, seed=i) for i in range(40)]
    explain = make(model)
    alone = [explain(x, 1) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: explain(x, 1), batches * 3))
    assert all(torch.equal(a, b) for a, b in zip(found, alone * 3, strict=True))


def test_the_call_reduces_what_attribute_gives():
    model, x = cnn(), images(3)
    for make in (Saliency, GradientTimesInput, lambda m: SmoothGrad(m, samples=3)):
        explain = make(model)
        assert torch.equal(explain(x, 1), explain.attribute(x, 1))

    class Negative(Saliency):
        def attribute(self, x, target=None):
            return -super().attribute(x, target)

    assert torch.equal(Negative(model)(x, 1), Saliency(model)(x, 1)), "of this class, not of a base class"
    guide = Saliency(model).guide(x)
    assert guide.model is not model and guide.guide(x) is guide, "a smooth network needs no stand-in"


def adam_stays_on_its_device() -> bool:
    """Older versions of torch count Adam's steps on the default device, wherever the parameter is."""
    point = torch.nn.Parameter(torch.zeros(1))
    point.grad = torch.ones(1)
    with torch.device("meta"):
        adam = torch.optim.Adam([point])
        try:
            adam.step()
        except RuntimeError:
            return False
    return True


ADAM = pytest.mark.skipif(not adam_stays_on_its_device(), reason="torch's Adam is on the default device here")


@pytest.mark.parametrize("what", ["explainers", pytest.param("attacks", marks=ADAM), "measures", "tables"])
def test_another_default_device_changes_nothing(what):
    """G10: what is made inside is made where its tensors are; 'meta' stands for a device that is not here."""
    from robustxai.ranking import adult_like, dffot, load_table, prepare, random_control

    def run():
        model, x = cnn(), images(3)
        if what == "explainers":
            return [m(model)(x) for m in (Saliency, SmoothGrad, IntegratedGradients)]
        if what == "attacks":
            made = [make(steps=2).perturb(model, x).x for make in ATTACKS.values()]
            return [*made, RandomDirections(0.2).perturb(model, x).x]
        if what == "measures":
            e = Saliency(model)
            return [
                topk_thickness(e, x, 0, k=4, eps=0.2, draws=2, points=2),
                certified_radius(e, x, k=4, within=0.1, draws=2),
                random_control(model, x, 4, explain=e, control=RandomDirections(0.2), draws=2),
                dffot(model, x, e(x).detach(), levels=3).fraction,
                iterations_to_break(model, x, k=4, step=0.05, max_steps=3).length,
            ]
        return [
            adult_like(60).x,
            prepare(adult_like(60)).train[0],
            load_table("synth", limit=60).test[0],
            prepare((np.arange(80.0).reshape(40, 2), [i % 2 for i in range(40)])).train[0],
        ]

    expected = run()
    real = cnn(), images(3)
    globals_ = {"cnn": lambda: real[0], "images": lambda n: real[1]}
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        for name, value in globals_.items():
            patch.setitem(run.__globals__, name, value)
        found = run()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_numbers_of_numpy_are_numbers():
    model, x = mlp(), rows(4)
    a = RankingAttack(
        np.int64(4), np.float32(0.25), steps=np.int32(3), n_pairs=np.int64(2), pairs="mm"
    ).perturb(model, x)
    b = RankingAttack(4, 0.25, steps=3, n_pairs=2, pairs="mm").perturb(model, x)
    assert torch.equal(a.x, b.x)
    assert torch.equal(SmoothGrad(model, samples=np.int64(3))(x), SmoothGrad(model, samples=3)(x))
    assert torch.equal(precision_at_k(x, -x, np.int64(3)), precision_at_k(x, -x, 3))


def test_a_gradient_whose_square_underflows_is_followed():
    """Saturated float32 samples: scores near 1e-14, gradients of their squared distance near 1e-29."""
    model, x = mlp(double=False), rows(5, dtype=torch.float32)
    tiny = lambda v, t: Saliency(model)(v, t) * 1e-14  # noqa: E731
    a = MSEAttack(0.5, steps=5).perturb(model, x, explain=tiny)
    assert a.followed.all() and a.moved.all()
    assert (a.l2 > 0.02).all(), "more than its jittered start, whose length is about 0.003"
