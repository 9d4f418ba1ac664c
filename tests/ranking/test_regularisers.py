"""Each term of the loss against a slow twin written from the definition, and how terms are weighted and add up."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap

from robustxai.nets import MLP, SmallConvNet
from robustxai.ranking import (
    R2ET,
    SSR,
    CachedBatch,
    ExactHessian,
    FDHessian,
    Gap,
    RegularisedLoss,
    explained,
    gradient,
)
from robustxai.ranking.regularisers import AdversarialTraining, weigh
from robustxai.ranking.regularisers.hessian import DIRECTIONS, direction
from robustxai.ranking.regularisers.ssr import largest_hessian_eigenvalue, root

G = torch.Generator


def mlp(classes: int = 3, *, softplus: float | None = None, seed: int = 1, scale: int = 3) -> nn.Module:
    net = MLP(9, classes, widths=(12, 8), softplus=softplus, generator=G().manual_seed(seed))
    for p in net.parameters():
        p.data *= scale  # 3: probabilities away from uniform, curvature away from zero
    return net.double()


def batch(n: int = 6, d: int = 9, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(n, d, generator=G().manual_seed(2), dtype=torch.float64)
    return x, torch.arange(n) % classes


def scalar(net: nn.Module, score: str):
    """f(x of one sample, its one-hot class): written for one sample, for torch.func."""

    def f(x, one_hot):
        z = functional_call(net, dict(net.named_parameters()), (x[None],))[0]
        p = z.softmax(0)
        return {
            "prob": (p * one_hot).sum(),
            "logit": (z * one_hot).sum(),
            "ce": -((p * one_hot).sum().log()),
        }[score]

    return f


def grads(net: nn.Module, value: torch.Tensor) -> torch.Tensor:
    weights = list(net.parameters())
    found = torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


# --- the cache


@pytest.mark.parametrize("score", ["prob", "logit", "ce"])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_the_cache_gives_the_chapters_gradient_and_cross_entropy(score, classes):
    net, (x, y) = mlp(classes, softplus=2.0), batch(classes=max(classes, 2))
    cache = CachedBatch(net, x, y)
    torch.testing.assert_close(cache.gradient(score), gradient(net, x, y, score=score))
    torch.testing.assert_close(cache.gradient(score, "predicted"), gradient(net, x, score=score))
    torch.testing.assert_close(cache.gradient_at(x + 0.1, score), gradient(net, x + 0.1, y, score=score))
    torch.testing.assert_close(cache.ce, explained(net(x), y, "ce").mean())
    assert cache.gradient(score) is cache.gradient(score) and not x.requires_grad


def test_one_forward_pass_serves_all_terms():
    net, (x, y) = mlp(softplus=2.0), batch()
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    RegularisedLoss([Gap(3), ExactHessian(0.1), SSR()])(net, x, y)
    assert len(calls) == 1
    RegularisedLoss([R2ET(3)])(net, x, y)
    assert len(calls) == 3  # the shifted inputs of the finite difference need one of their own


# --- gap


def gap_reference(
    scores: torch.Tensor, order: torch.Tensor, k: int, pairs: str, n: int | None
) -> torch.Tensor:
    """-mean over samples of the mean gap, by listing pairs of ranks."""
    d, total = scores.shape[1], []
    lists = {
        "full": [(i, j) for i in range(k) for j in range(k, d)],
        "near": [(i, k - 1) for i in range(k - 1)] + [(k - 1, j) for j in range(k, min(2 * k, d))],
        "mm": [(i, j) for i in range(k - (n or 0), k) for j in range(k, k + (n or 0))],
    }[pairs]
    for row, ranks in zip(scores, order, strict=True):
        total.append(torch.stack([row[ranks[i]] - row[ranks[j]] for i, j in lists]).mean())
    return -torch.stack(total).mean()


@pytest.mark.parametrize(("pairs", "n"), [("full", None), ("near", None), ("mm", 2)])
@pytest.mark.parametrize("anchored", [False, True])
def test_gap_equals_its_reference_in_value_and_weight_gradient(pairs, n, anchored):
    net, (x, y) = mlp(), batch()
    anchor = mlp(seed=5) if anchored else None
    ours = Gap(3, pairs=pairs, n_pairs=n, anchor=anchor)(net, x, y)
    scores = gradient(net, x, y, create_graph=True).abs()
    order = (scores if anchor is None else gradient(anchor, x, y).abs()).detach().argsort(1, descending=True)
    reference = gap_reference(scores, order, 3, pairs, n)
    torch.testing.assert_close(ours, reference)
    torch.testing.assert_close(grads(net, ours), grads(net, reference))


def test_gap_of_images_sums_channels_first():
    net = SmallConvNet(3, in_channels=2, size=4, generator=G().manual_seed(0)).double()
    x, y = torch.rand(5, 2, 4, 4, generator=G().manual_seed(1), dtype=torch.float64), torch.arange(5) % 3
    scores = gradient(net, x, y, create_graph=True).abs().sum(1).flatten(1)
    reference = gap_reference(scores, scores.detach().argsort(1, descending=True), 4, "full", None)
    ours = Gap(4)(net, x, y)
    torch.testing.assert_close(ours, reference)
    torch.testing.assert_close(grads(net, ours), grads(net, reference))


def test_a_step_against_the_gap_term_widens_the_gap():
    net, (x, y) = mlp(2), batch(classes=2)
    gap = Gap(3)
    before = gap(net, x, y)
    step = 1e-3 * grads(net, before)
    weights = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(weights - step, net.parameters())
    assert gap(net, x, y) < before


# --- Hessian: A5


@pytest.mark.parametrize("score", ["prob", "ce"])
def test_the_exact_hessian_is_the_hessian(score):
    net, (x, y) = mlp(softplus=1.5), batch()
    one_hot = nn.functional.one_hot(y, 3).double()
    reference = vmap(jacrev(grad(scalar(net, score))))(x, one_hot).flatten(1).norm(dim=1).mean()
    ours = ExactHessian(1.0, score=score)(net, x, y)
    torch.testing.assert_close(ours, reference)
    torch.testing.assert_close(grads(net, ours), grads(net, reference))


@pytest.mark.parametrize("along", ["sign", "gapdir"])
def test_the_finite_difference_is_the_hessian_vector_product_to_one_percent(along):
    net, (x, y) = mlp(softplus=1.0, scale=1).float(), batch(200)
    x = x.float()
    g = gradient(net, x, y)
    v = direction(g, along, 3)
    cache = CachedBatch(net, x, y)
    (exact,) = torch.autograd.grad(cache.gradient(), cache.x, v)
    exact = exact.norm(dim=1).mean().item()
    at = {
        h: abs(FDHessian(1.0, along=along, k=3, h=h)(net, x, y).item() / exact - 1) for h in (1e-3, 0.1, 1.0)
    }
    assert at[0.1] < 0.01 and at[0.1] < at[1.0]


def test_float32_cannot_resolve_the_released_step():
    net, (x, y) = mlp(softplus=1.0, scale=1), batch(200)
    exact = FDHessian(1.0, h=1e-4)(net, x, y).item()
    net = net.float()
    errors = {h: abs(FDHessian(1.0, h=h)(net, x.float(), y).item() / exact - 1) for h in (3e-7, 0.1)}
    assert errors[3e-7] > 0.05 > errors[0.1]


@pytest.mark.parametrize("along", DIRECTIONS)
def test_directions_have_length_one(along):
    g = torch.randn(7, 2, 4, 4, generator=G().manual_seed(0))
    v = direction(g, along, 5)
    torch.testing.assert_close(v.flatten(1).norm(dim=1), torch.ones(7))
    if along == "sign":
        assert torch.equal(v.sign(), g.sign()) and v.abs().std() < 1e-6


def test_the_gap_direction_gives_the_exact_second_order_term_of_all_pairs():
    net, (x, y), k = mlp(softplus=1.0), batch(), 3
    d, g = x.shape[1], gradient(net, x, y)
    h = vmap(jacrev(grad(scalar(net, "prob"))))(x, nn.functional.one_hot(y, 3).double())
    s, order = g.sign(), g.abs().argsort(1, descending=True)
    for i in range(len(x)):
        rows = s[i][:, None] * h[i]
        total = sum(rows[a] - rows[b] for a in order[i, :k] for b in order[i, k:])
        v = torch.where(torch.isin(torch.arange(d), order[i, :k]), d - k, -k) * s[i]
        torch.testing.assert_close(h[i] @ v, total)
        torch.testing.assert_close(direction(g, "gapdir", k)[i], v / v.norm())


# --- SSR: A5


@pytest.mark.parametrize("classes", [2, 4])
def test_ssr_is_the_dense_largest_eigenvalue_and_the_hessian_of_a_relu_network(classes):
    net, (x, y) = mlp(classes), batch(classes=classes)
    one_hot, p = nn.functional.one_hot(y, classes).double(), net(x).softmax(1)
    w = vmap(jacrev(lambda v: net(v[None])[0]))(x).mT
    dense = w @ (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) @ w.mT
    torch.testing.assert_close(dense, vmap(jacrev(grad(scalar(net, "ce"))))(x, one_hot), atol=1e-10, rtol=0)
    torch.testing.assert_close(root(p) @ root(p).mT, torch.diag_embed(p) - p[:, :, None] * p[:, None, :])
    ours = largest_hessian_eigenvalue(CachedBatch(net, x, y))
    reference = torch.linalg.eigvalsh(dense)[:, -1]
    torch.testing.assert_close(ours, reference, atol=1e-10, rtol=0)
    torch.testing.assert_close(grads(net, ours.mean()), grads(net, reference.mean()), atol=1e-10, rtol=1e-8)


def test_ssr_takes_its_share_from_the_cross_entropy():
    net, (x, y) = mlp(), batch()
    cache = CachedBatch(net, x, y)
    loss = RegularisedLoss([SSR(0.3, 2.0)])(net, x, y)
    torch.testing.assert_close(loss, 0.7 * cache.ce + 0.6 * largest_hessian_eigenvalue(cache).mean())


# --- AT


@pytest.mark.parametrize("steps", [1, 3])
def test_adversarial_training_moves_inputs_within_the_ball_against_the_gap(steps):
    net, (x, y) = mlp(2, softplus=2.0), batch(40, classes=2)
    term, cache = AdversarialTraining(3, 0.4, steps=steps), CachedBatch(net, x, y)
    moved = term.moved(cache)
    length = (moved - x).norm(dim=1)
    assert (length <= 0.4 * (1 + 1e-5)).all() and (length > 0.1).all()
    g = gradient(net, x, y).abs()
    weights = term.gap.weights(g, g)
    after = (weights * gradient(net, moved, y).abs()).sum(1)
    assert (after < (weights * g).sum(1)).float().mean() > 0.9
    torch.testing.assert_close(RegularisedLoss([term])(net, x, y), CachedBatch(net, moved, y).ce)


# --- weights and sums


def test_adaptive_weighting_is_the_gradient_of_the_log():
    net, (x, y) = mlp(), batch()
    cache = CachedBatch(net, x, y)
    term = Gap(3, 0.5, weighting="adaptive")(net, x, y, cache)
    torch.testing.assert_close(term.detach(), -0.5 * (cache.ce.detach() + 1))
    r = Gap(3).term(CachedBatch(net, x, y))
    expected = 0.5 * (cache.ce.detach() + 1) * grads(net, r.abs().log())
    torch.testing.assert_close(grads(net, term), -expected)
    assert weigh(torch.tensor(0.0), torch.tensor(1.0), 1.0, "adaptive") == 0


def test_r2et_is_the_sum_of_its_terms():
    net, (x, y) = mlp(softplus=1.0), batch()
    both = R2ET(3, 2.0, hessian=0.3, pairs="mm", n_pairs=2)
    parts = Gap(3, 2.0, pairs="mm", n_pairs=2)(net, x, y) + FDHessian(0.3)(net, x, y)
    torch.testing.assert_close(both(net, x, y), parts)
    torch.testing.assert_close(RegularisedLoss([both])(net, x, y), parts + CachedBatch(net, x, y).ce)
    assert [type(p) for p in R2ET(3, hessian=0).parts] == [Gap]
    assert not R2ET(3, 0, hessian=0).active


def test_a_batch_does_not_change_a_samples_gradient():
    net, (x, y) = mlp(), batch()
    whole = CachedBatch(net, x, y).gradient()
    single = torch.cat([CachedBatch(net, a[None], b[None]).gradient() for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(whole, single)


# --- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gap(0), r"^k must be an integer >= 1, got 0$"),
        (lambda: Gap(3, -1.0), r"^weight must be a finite number > 0, got -1.0$"),
        (lambda: Gap(3, pairs="all"), r"^pairs must be one of full, near, mm, got 'all'$"),
        (
            lambda: Gap(3, pairs="mm", n_pairs=4),
            r"^n_pairs must be an integer in \[1, \d\] for pairs='mm', k=3, .* got 4$",
        ),
        (lambda: Gap(3, score="odds"), r"^score must be one of logit, .*, got 'odds'$"),
        (lambda: Gap(3, target="mine"), r"^target must be one of label, predicted, got 'mine'$"),
        (lambda: Gap(3, weighting="auto"), r"^weighting must be one of fixed, adaptive, got 'auto'$"),
        (lambda: FDHessian(along="up"), r"^along must be one of sign, random, gapdir, got 'up'$"),
        (lambda: FDHessian(along="gapdir"), r"^k must be an integer >= 1, got 0$"),
        (lambda: FDHessian(h=0), r"^h must be a finite number > 0, got 0$"),
        (lambda: SSR(1.0), r"^a must be a share in \[0, 1\), got 1.0$"),
        (lambda: AdversarialTraining(3, 0), r"^eps must be a finite number > 0, got 0$"),
        (lambda: AdversarialTraining(3, 1, steps=0), r"^steps must be an integer >= 1, got 0$"),
    ],
)
def test_bad_arguments_are_one_sentence(as_shipped, make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Gap(9), r"^k must be an integer in \[1, 8\] for 9 features, got 9"),
        (AdversarialTraining(20, 0.1), r"^k must be an integer in \[1, 8\] for 9 features, got 20"),
        (FDHessian(along="gapdir", k=9), r"^k must be an integer in \[1, 8\] for 9 features, got 9"),
        (
            Gap(7, pairs="mm", n_pairs=3),
            r"^n_pairs must be an integer in \[1, 2\] for pairs='mm', k=7, d=9, got 3$",
        ),
        (
            FDHessian(score="logit"),
            r"^model must have an input Hessian other than zero, got zero for score='logit'.*softplus",
        ),
        (
            R2ET(3, score="logit"),
            "^model must have an input Hessian other than zero, got zero for score='logit', so",
        ),
    ],
)
def test_terms_that_do_not_fit_are_refused(term, message):
    with pytest.raises(ValueError, match=message):
        term.check(mlp(), *batch())


def test_a_network_without_curvature_or_with_too_many_inputs_is_refused():
    with pytest.raises(
        ValueError, match=r"^model must have an input Hessian other than zero, got zero for score='logit'"
    ):
        FDHessian(score="logit").check(nn.Linear(9, 3).double(), *batch())
    big = torch.randn(2, 257, dtype=torch.float64)
    with pytest.raises(
        ValueError, match=r"^x must have at most 256 values a sample for the exact Hessian, got 257"
    ):
        ExactHessian().check(MLP(257, softplus=1).double(), big, torch.tensor([0, 1]))
