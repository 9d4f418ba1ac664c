"""CAVs against primal solutions and scikit-learn, their symmetries, accuracy, stability and bad input."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, SGDClassifier
from tiny import gen

from robustxai.concepts import CAV, Negatives
from robustxai.concepts.cav import drawn
from robustxai.concepts.gram_probes import ESTIMATORS, grams

D, N = 60, 15


def rows(seed=0, n=N, d=D, shift=0.0, dtype=torch.float64):
    x = torch.randn(n, d, generator=gen(seed), dtype=dtype)
    x[:, 0] += shift
    return x


P, NEGATIVES = rows(1, shift=2.0), [rows(2), rows(3), rows(4)]


def design(fitted, run):
    """The rows a run was fitted on, and their labels."""
    i = fitted.train[run]
    return torch.cat((P[i], NEGATIVES[run][i])), torch.cat((torch.ones(len(i)), -torch.ones(len(i)))).double()


def unit(w):
    return w / w.norm()


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_ridge_is_the_primal_ridge(strength):
    fitted = CAV("ridge", strength=strength).fit(P, NEGATIVES)
    for run in range(3):
        x, y = design(fitted, run)
        xc = x - x.mean(0)
        lam = strength * xc.square().sum(1).mean()
        w = torch.linalg.solve(xc.T @ xc + lam * torch.eye(D, dtype=x.dtype), xc.T @ y)
        torch.testing.assert_close(fitted.vectors[run], unit(w), rtol=0, atol=1e-8)
        b = -(x.mean(0) @ w) / w.norm()
        assert float(fitted.intercepts[run]) == pytest.approx(float(b), abs=1e-8)


def test_gram_scores_are_primal_scores_in_single_precision_too():
    g = rows(9, n=40, dtype=torch.float32)
    single = CAV("ridge").fit(P.float(), [n.float() for n in NEGATIVES])
    double = CAV("ridge").fit(P, NEGATIVES)
    torch.testing.assert_close(single.vectors.double(), double.vectors, rtol=0, atol=1e-5)
    assert torch.equal(single.directional(g) > 0, double.directional(g.double()) > 0)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_logistic_is_scikit_learns(c):
    fitted = CAV("logistic", strength=c).fit(P, NEGATIVES)
    for run in range(3):
        x, y = design(fitted, run)
        theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x.numpy(), y.numpy())
        w = torch.from_numpy(theirs.coef_[0])
        torch.testing.assert_close(fitted.vectors[run], unit(w), rtol=0, atol=1e-4)
        assert float(fitted.intercepts[run]) == pytest.approx(
            theirs.intercept_[0] / float(w.norm()), abs=1e-3
        )


@pytest.mark.parametrize("seed", [0, 3])
def test_sgd_is_scikit_learns_classifier_on_all_features(seed):
    fitted = CAV("sgd", strength=0.01, seed=seed).fit(P, NEGATIVES)
    for run in range(3):
        x, y = design(fitted, run)
        theirs = SGDClassifier(alpha=0.01, max_iter=1000, tol=1e-3, random_state=seed).fit(
            x.numpy(), y.numpy()
        )
        torch.testing.assert_close(
            fitted.vectors[run], unit(torch.from_numpy(theirs.coef_[0])), rtol=0, atol=1e-6
        )


def test_mean_difference_by_hand():
    up, down = torch.tensor([[3.0, 4.0]]).repeat(6, 1), torch.zeros(6, 2)
    fitted = CAV("mean").fit(up, [down])
    torch.testing.assert_close(fitted.vectors, torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(fitted.intercepts, torch.tensor([-2.5]))
    assert fitted.accuracy.item() == 1.0 and np.isnan(fitted.stability)


def test_the_median_ignores_a_few_odd_rows():
    clean = CAV("median", test_share=0).fit(P, NEGATIVES).vectors
    odd = P.clone()
    odd[:2] += 1000.0
    moved = {e: CAV(e, test_share=0).fit(odd, NEGATIVES).vectors for e in ("mean", "median")}
    close = {e: float((v * clean).sum(1).min()) for e, v in moved.items()}
    assert close["median"] > 0.8 > close["mean"]


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if e != "sgd"])
def test_swapping_the_two_sets_turns_the_vector_round(estimator):
    there = CAV(estimator).fit(P, [NEGATIVES[0]])
    back = CAV(estimator).fit(NEGATIVES[0], [P])
    torch.testing.assert_close(there.vectors, -back.vectors, rtol=0, atol=1e-8)
    torch.testing.assert_close(there.accuracy, back.accuracy)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_runs_do_not_depend_on_each_other(estimator):
    cav = CAV(estimator)
    together, alone = cav.fit(P, NEGATIVES), cav.fit(P, NEGATIVES[:1])
    torch.testing.assert_close(together.vectors[:1], alone.vectors, rtol=0, atol=1e-9)
    assert torch.equal(cav.fit(P, Negatives.of(NEGATIVES)).vectors, together.vectors)
    assert (together.vectors.norm(dim=1) - 1).abs().max() < 1e-9


def test_accuracy_and_stability_say_what_a_probe_is_worth():
    far = CAV().fit(rows(1, shift=50.0), NEGATIVES)
    assert (far.accuracy == 1).all() and far.stability > 0.95 and not far.at_chance
    same = CAV().fit(rows(1, n=60), [rows(i, n=60) for i in (2, 3, 4, 5)])
    assert same.at_chance and same.tested == 40
    v = same.vectors
    pairs = [float(v[i] @ v[j]) for i in range(4) for j in range(i)]
    assert same.stability == pytest.approx(np.mean(pairs))
    assert CAV(test_share=0).fit(P, NEGATIVES).accuracy.isnan().all()


def test_held_out_rows_are_a_third_and_not_fitted():
    far = rows(1, shift=50.0)
    fitted = CAV().fit(far, NEGATIVES)
    assert fitted.train.shape == (3, 10) and fitted.tested == 10
    moved = far.clone()
    held = [i for i in range(N) if i not in fitted.train[0].tolist()]
    moved[held] = -moved[held]
    again = CAV().fit(moved, NEGATIVES)
    torch.testing.assert_close(again.vectors[0], fitted.vectors[0])
    assert again.accuracy[0] < fitted.accuracy[0]


def test_sets_are_cut_to_the_smallest():
    many = rows(1, n=30)
    fitted, kept = CAV().fit(many, NEGATIVES), many[drawn(30, N)]
    assert torch.equal(fitted.vectors, CAV().fit(kept, NEGATIVES).vectors) and fitted.used == N
    assert not torch.equal(fitted.vectors, CAV().fit(many[:N], NEGATIVES).vectors)
    assert not torch.equal(fitted.vectors, CAV(seed=1).fit(many, NEGATIVES).vectors)
    fewer = CAV().fit(P[:10], NEGATIVES)  # of the negative sets, too
    cut = [s[drawn(N, 10)] for s in NEGATIVES]
    torch.testing.assert_close(fewer.vectors, CAV().fit(P[:10], cut).vectors)
    mixed = CAV().fit(P, [NEGATIVES[0], NEGATIVES[1][:9], NEGATIVES[2]])
    assert (
        mixed.used == 9
        and CAV().fit(P, NEGATIVES).used == N
        and CAV(test_share=0).fit(P, NEGATIVES).used == N
    )


def test_drawn_examples_are_some_of_all_in_their_order():
    i = drawn(40, 7, 3)
    assert len(set(i.tolist())) == 7 and torch.equal(i, i.sort().values) and int(i.max()) < 40
    assert torch.equal(i, drawn(40, 7, 3)) and not torch.equal(i, drawn(40, 7, 4))
    assert torch.equal(torch.arange(5)[drawn(5, 5, 9)], torch.arange(5))
    seen = torch.zeros(40)
    for seed in range(400):
        seen[drawn(40, 7, seed)] += 1
    assert (seen > 30).all() and (seen < 120).all()  # 70 is expected of each


def test_grams_are_inner_products():
    k = grams(P, torch.stack(NEGATIVES))
    for run in range(3):
        x = torch.cat((P, NEGATIVES[run]))
        torch.testing.assert_close(k[run], x @ x.T)


def test_bad_input(as_shipped):
    same = torch.eye(2).repeat_interleave(4, 0)
    for call, message in (
        (lambda: CAV("svm"), "estimator must be one of ridge, sgd, logistic, mean, median, got 'svm'"),
        (lambda: CAV(strength=0), "strength"),
        (lambda: CAV(test_share=1.0), "test_share"),
        (
            lambda: CAV().fit(P[:4], NEGATIVES),
            r"sets must have 5 examples or more each \(50 are usual\), got 4 in the smallest",
        ),
        (lambda: CAV().fit(P, []), r"negatives must hold 1 or more sets of rows \(n, d\), got 0"),
        (lambda: CAV().fit(P, [rows(2, d=D + 1)]), "rows of one length"),
        (
            lambda: CAV().fit(P, [P]),
            "positive and negative sets must be different examples, got positive equal to negative",
        ),
        (lambda: CAV().fit(torch.ones(9, 4), [torch.ones(9, 4)]), "same for all"),
        (lambda: CAV("mean", test_share=0).fit(same, [same.flip(0)]), "told apart"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
