"""What is not finite never becomes a number, bad values are one sentence, unequal sets are drawn from and reported."""

import math

import numpy as np
import pytest
import torch
from tiny import bars, gen, images, net, sets
from torch import nn

from robustxai.concepts import (
    CAV,
    TCAV,
    ClassGradientPush,
    FacetedVisualization,
    MultiLayerPushing,
    Negatives,
    TokenPushing,
    concept_sets,
    controls,
    corrected,
    facet_probe,
    facet_score,
    permutation_test,
    random_sets,
    scored_images,
    sign_noise,
    state,
    t_test,
)
from robustxai.concepts.gram_probes import ESTIMATORS
from robustxai.concepts.random_cavs import left_out
from robustxai.concepts.significance import set_means, set_test
from robustxai.concepts.study.adversarial_training import attacked_accuracy
from robustxai.concepts.study.measures import area, label_changes, smallest_flip

nan, inf = math.nan, math.inf
MODEL, X, RANDOM = net(), images(10, seed=7), sets(4)
GOOD = torch.tensor([0.9, 0.8, 1.0])
ODD = [torch.tensor([0.9, v, 1.0]) for v in (nan, inf, -inf)] + [torch.empty(0)]


@pytest.mark.parametrize("odd", ODD, ids=["nan", "inf", "-inf", "empty"])
def test_no_p_value_comes_of_what_is_no_sample(odd):
    for test in (t_test, permutation_test):
        assert math.isnan(test(odd, GOOD)) and math.isnan(test(GOOD, odd))
    assert math.isnan(set_test(0.5, odd))
    if len(odd):
        assert not math.isfinite(float(set_means(odd).sum()))
        assert math.isnan(set_test(float(odd[1]), torch.tensor([0.1, 0.2, 0.4])))


def test_a_verdict_needs_a_score_and_a_p_value(as_shipped):
    assert state(0.9, nan) == "not significant" == state(0.1, nan)
    assert state(np.float64(0.1), np.float32(0.01)) == "anti-important"
    for call, message in (
        (lambda: state(nan, 0.01), "mean must be a number in .0, 1., got nan"),
        (lambda: state(1.5, 0.01), "mean must be"),
        (lambda: state(0.9, -1), r"p must be a finite number in \[0, 1\], got -1"),
        (lambda: state(0.9, 1.1), r"p must be a finite number in \[0, 1\], got 1\.1"),
        (lambda: state(0.9, inf), r"p must be a finite number in \[0, 1\], got inf"),
        (lambda: state(0.9, 0.01, level=True), r"level must be a number in \(0, 1\), got True"),
        (lambda: corrected([0.1, 2.0]), r"p must be a finite number in \[0, 1\], got 2\.0"),
        (lambda: corrected([-0.1]), r"p must be a finite number in \[0, 1\], got -0\.1"),
        (lambda: corrected([0.1], "fdr"), "correction must be one of holm, bonferroni, none, got 'fdr'"),
        (lambda: permutation_test(GOOD, GOOD, resamples=0), "resamples must be an integer >= 1, got 0"),
        (lambda: permutation_test(GOOD, GOOD, resamples=2.5), r"resamples must be an integer >= 1, got 2\.5"),
        (lambda: permutation_test(GOOD, GOOD, seed=-1), "seed must be an integer >= 0, got -1"),
        (
            lambda: permutation_test(GOOD[None], GOOD),
            r"a must be real numbers of one axis, got shape \(1, 3\) and dtype",
        ),
        (
            lambda: t_test(GOOD, torch.tensor(0.5)),
            r"b must be real numbers of one axis, got shape \(\) and dtype torch\.float32",
        ),
        (
            lambda: set_means(torch.rand(4)),
            r"scores must have one value for each pair of sets, 1, 3, 6, 10, \.\.\., got 4",
        ),
        (
            lambda: set_test(0.1, torch.rand(2, 2)),
            r"null must be real numbers of one axis, got shape \(2, 2\) and dtype",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert permutation_test(GOOD, 1 - GOOD, resamples=np.int64(99), seed=np.int32(3)) == permutation_test(
        GOOD, 1 - GOOD, resamples=99, seed=3
    )


class Broken(nn.Module):
    """Activations or gradients that are not finite."""

    def __init__(self, forward, backward):
        super().__init__()
        self.a, self.head = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)
        self.f, self.b = forward, backward

    def forward(self, x):
        a = self.a(x * self.f)
        z = self.head(a.mean((2, 3)))
        return z * self.b


@pytest.mark.parametrize(
    "which, message",
    [((nan, 1.0), "NaN or infinite"), ((1.0, nan), "NaN or infinite"), ((1.0, inf), "NaN or infinite")],
)
def test_a_score_never_comes_of_nan(which, message):
    with pytest.raises(ValueError, match=message):
        TCAV(Broken(*which).eval(), ["a"]).score(X, 1, {"c": bars(12)}, RANDOM)
    assert math.isnan(label_changes(Broken(1.0, nan).eval(), X, X))


def test_an_attack_that_had_nothing_to_follow_reports_no_accuracy():
    class Flat(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 2) + torch.tensor([1.0, 0.0])

    y = torch.zeros(10, dtype=torch.long)
    with pytest.warns(UserWarning, match="nothing was attacked"):
        assert math.isnan(attacked_accuracy(Flat(), X, y, steps=2))


class Saturated(nn.Module):
    """All but constant: what differs is the last bit of a sigmoid near 1."""

    def __init__(self, bias):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.c, self.s, self.f = nn.Conv2d(3, 4, 1), nn.Sigmoid(), nn.Linear(4, 3)
        nn.init.constant_(self.c.bias, bias)

    def forward(self, x):
        return self.f(self.s(self.c(x)).mean((2, 3)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("bias", [15.0, 16.0, 17.0, 40.0])
def test_activations_that_hardly_differ_are_one_sentence(estimator, bias):
    with pytest.raises(ValueError, match=r"same (activations )?for all (images|examples)"):
        TCAV(Saturated(bias).eval(), ["s"], cav=CAV(estimator)).score(X, 0, {"c": bars(12)}, RANDOM)
    with pytest.raises(ValueError, match=r"same (activations )?for all (images|examples)"):
        facet_probe(Saturated(bias).eval(), ["s"], bars(12), [images(12)], cav=CAV(estimator))


def test_a_strength_that_leaves_nothing_to_invert_is_one_sentence():
    p, n = torch.randn(9, 3, generator=gen(1)), torch.randn(9, 3, generator=gen(2))
    with pytest.raises(ValueError, match=r"strength must be larger for these activations, .* got 1e-30"):
        CAV("ridge", strength=1e-30).fit(p.repeat(3, 1), [n.repeat(3, 1)])


def ordered(n=200):
    """Exemplars sorted: the first are dark, the others light."""
    x = images(n, seed=11)
    x[: n // 20] *= 0.1
    return x


def test_of_many_exemplars_some_are_drawn_and_the_cell_says_so():
    many, few = ordered(), bars(6)
    cells = [
        TCAV(MODEL, ["b3"], cav=CAV(seed=s)).score(X, 1, {"c": many}, RANDOM).cells[0] for s in (0, 0, 1)
    ]
    assert all(c.used == 12 for c in cells)
    assert cells[0].warning.endswith("only 12 of 200 exemplars were used, as the smallest set has 12; "
                                     "which ones is drawn by the seed of cav")  # fmt: skip
    assert torch.equal(cells[0].cavs.vectors, cells[1].cavs.vectors)
    assert not torch.equal(cells[0].cavs.vectors, cells[2].cavs.vectors)
    first = TCAV(MODEL, ["b3"]).score(X, 1, {"c": many[:12]}, RANDOM).cells[0]
    assert not torch.equal(cells[0].cavs.vectors, first.cavs.vectors) and "only" not in first.warning
    short = TCAV(MODEL, ["b3"]).score(X, 1, {"c": few}, RANDOM).cells[0]
    assert short.used == 6 and "only 6 images of each random set, which have up to 12" in short.warning
    mixed = TCAV(MODEL, ["b3"]).score(X, 1, {"c": many}, [*RANDOM[:3], RANDOM[3][:8]]).cells[0]
    assert mixed.used == 8 and "only 8 of 200 exemplars were used and only 8 images of each" in mixed.warning
    assert not left_out(12, 12, [12, 12])


def test_the_order_of_equal_sets_is_kept():
    """Nothing is drawn where all sets have one size: the seed of a ridge without held-out rows changes nothing."""
    a, b = (
        TCAV(MODEL, ["b3"], cav=CAV(test_share=0, seed=s)).score(X, 1, {"c": bars(12)}, RANDOM).cells[0]
        for s in (0, 5)
    )
    torch.testing.assert_close(a.cavs.vectors, b.cavs.vectors)
    assert torch.equal(a.cavs.train[0].sort().values, torch.arange(12))


def test_a_facet_probe_of_unequal_sets_warns():
    with pytest.warns(UserWarning, match="from 6 to 12 images: 6 of each are used"):
        facet_probe(MODEL, ["b2"], bars(12), [images(12), images(6)])


def test_numpy_integers_are_integers(as_shipped):
    one, two = np.int64(1), np.int32(2)
    a, b = (
        TCAV(MODEL, ["b3"], cav=CAV(seed=s), batch_size=c)
        .score(X, t, {"c": bars(12)}, RANDOM, permutations=p)
        .cells[0]
        for s, c, t, p in ((one, two, one, np.int64(99)), (1, 2, 1, 99))
    )
    assert torch.equal(a.scores, b.scores) and a.p == b.p and type(a.target) is int
    attack = TokenPushing("b3", steps=two, batch_size=np.int64(4)).perturb(
        MODEL, X, bars(6), eps=np.float64(8 / 255)
    )
    assert torch.equal(attack.x, TokenPushing("b3", steps=2).perturb(MODEL, X, bars(6)).x)
    sweep = TokenPushing("b3", steps=1).perturb(MODEL, X, bars(6), eps=np.array([0.0, 0.01]))
    assert sweep.x.shape == (2, *X.shape) and sweep.eps == (0.0, 0.01)
    drawn = FacetedVisualization(MODEL, one, size=np.int64(16), steps=two, jitter=np.int64(1)).render(
        n=one, seed=two
    )
    assert drawn.images.shape == (1, 3, 16, 16)
    assert torch.equal(concept_sets(["striped"], n=two, size=np.int64(8), seed=two)["striped"],
                       concept_sets(["striped"], n=2, size=8, seed=2)["striped"])  # fmt: skip
    assert len(random_sets(two, n=np.int64(8), size=8)) == 2 and len(scored_images("zebra", two, size=8)) == 2


def test_values_out_of_range_are_one_sentence(as_shipped):
    clean = TokenPushing("b3", steps=1).perturb(MODEL, X, bars(6))
    rows = torch.rand(8, 3)
    tool = TCAV(MODEL, ["b3"])
    for call, message in (
        (
            lambda: concept_sets(["striped"], n=2, split="bogus"),
            "split must be one of shown, goal, third, got 'bogus'",
        ),
        (lambda: concept_sets(["striped"], n=0), "n must be an integer >= 1, got 0"),
        (lambda: concept_sets(["striped"], n=2.5), r"n must be an integer >= 1, got 2\.5"),
        (lambda: concept_sets("striped", n=2), "names must be a sequence of concepts, got 'striped'"),
        (lambda: concept_sets(["striped"], n=2, seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda: scored_images("zebra", 2, split="shown"), "split must be one of score, attack, got 'shown'"),
        (lambda: scored_images("zebra", -2), "n must be an integer >= 1, got -2"),
        (
            lambda: random_sets(2, n=4, without=["unicorn"]),
            r"without must be one of horse, zebra, appaloosa, corgi, .*, got 'unicorn'",
        ),
        (lambda: random_sets(nan), "sets must be an integer >= 1, got nan"),
        (lambda: CAV(strength=nan), r"strength must be a finite number .*, got nan"),
        (lambda: CAV(strength=inf), "strength must be a finite number > 0, got inf"),
        (lambda: CAV(test_share=nan), r"test_share must be a finite number, got nan"),
        (lambda: CAV(seed=-1), "seed must be an integer >= 0, got -1"),
        (
            lambda: CAV(test_share=0.95).fit(rows, [rows + 1]),
            r"test_share must leave one of 8 examples or more to fit, got 0\.95",
        ),
        (lambda: CAV().fit(rows * nan, [rows]), "positive must be finite rows, got NaN or infinite numbers"),
        (
            lambda: CAV().fit(rows, [rows * inf]),
            "negative set 0 must be finite rows, got NaN or infinite numbers",
        ),
        (lambda: CAV().fit(rows.double(), [rows]), "rows of one length and kind"),
        (
            lambda: CAV().fit(rows[0], [rows]),
            r"positive must be rows \(n, d\), one or more, got shape \(3,\) and dtype",
        ),
        (
            lambda: CAV().fit(rows, [rows.long()]),
            r"negative set 0 must be floating-point rows, got dtype torch\.int64",
        ),
        (lambda: Negatives.of([]), r"negatives must hold 1 or more sets of rows \(n, d\), got 0"),
        (
            lambda: Negatives.of([rows, rows[:, :2]]),
            r"negative set 0 and negative set 1 must be rows of one .*, got shape \(8, 3\), torch\.float32",
        ),
        (lambda: Negatives.of([rows]).cut(9), r"n must be an integer in \[1, 8\], .* got 9"),
        (lambda: Negatives.of([rows]).cut(0), "n must be an integer >= 1, got 0"),
        (lambda: tool.score(X, -1, {"c": bars(12)}, RANDOM), "target must be an integer >= 0, got -1"),
        (lambda: tool.score(X, 1.0, {"c": bars(12)}, RANDOM), r"target must be an integer >= 0, got 1\.0"),
        (lambda: tool.score(X, True, {"c": bars(12)}, RANDOM), "target must be an integer >= 0, got True"),
        (lambda: tool.score(X, None, {"c": bars(12)}, RANDOM), "target must be an integer >= 0, got None"),
        (lambda: tool.score(X, 1, {}, RANDOM), "concepts must be one name with exemplars or more, got none"),
        (
            lambda: tool.score(X, 1, {"c": bars(12)}, RANDOM, permutations=1.5),
            r"permutations must be an integer >= 1, got 1\.5",
        ),
        (lambda: TCAV(MODEL, ["b3"], baseline="all"), "baseline must be one of ring, pairs, got 'all'"),
        (
            lambda: sign_noise(X, nan, generator=gen()),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got nan",
        ),
        (
            lambda: sign_noise(X, 8, generator=gen()),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got 8",
        ),
        (
            lambda: sign_noise(X, [0.1], generator=gen()),
            r"eps must be one number in \[0, 1\] \(8/255 is usual\), got \[0\.1\]",
        ),
        (lambda: controls(clean, noise=-1), "noise must be an integer >= 0, got -1"),
        (lambda: controls(clean, seed=1.5), r"seed must be an integer >= 0, got 1\.5"),
        (
            lambda: TokenPushing("b3", eps="0.1"),
            r"eps must be a number in \[0, 1\] \(8/255 is usual\), or a .*, got '0\.1'",
        ),
        (lambda: TokenPushing("b3", steps=2.5), r"steps must be an integer >= 1, got 2\.5"),
        (lambda: MultiLayerPushing([]), "layers must hold 1 or more module names, got 0"),
        (
            lambda: ClassGradientPush("b3").perturb(MODEL, X, X, 9),
            r"target must be a class in \[0, 3\], got 9",
        ),
        (lambda: FacetedVisualization(MODEL, -1), "target must be an integer >= 0, got -1"),
        (
            lambda: FacetedVisualization(MODEL, 1, strength=nan),
            r"strength must be a finite number .*, got nan",
        ),
        (lambda: FacetedVisualization(MODEL, 1, lr=0), "lr must be a finite number > 0, got 0"),
        (
            lambda: FacetedVisualization(MODEL, 1, penalty=inf),
            "penalty must be a finite number >= 0, got inf",
        ),
        (
            lambda: FacetedVisualization(MODEL, 1, scale=1.5),
            r"scale must be a finite number in \[0, 0\.99\], got 1\.5",
        ),
        (lambda: FacetedVisualization(MODEL, 1, jitter=-1), "jitter must be an integer >= 0, got -1"),
        (lambda: FacetedVisualization(MODEL, 1, rotate=nan), "rotate must be a finite number >= 0, got nan"),
        (
            lambda: FacetedVisualization(MODEL, 1, size=16).render(n=1, seed=-1),
            "seed must be an integer >= 0, got -1",
        ),
        (
            lambda: facet_score(MODEL, X * nan, {"b2": torch.ones(6, 4, 4)}),
            r"x must be finite images in \[0, 1\], got NaN or infinite numbers",
        ),
        (lambda: facet_score(net().train(), X, {"b2": torch.ones(6, 4, 4)}), "training mode"),
        (lambda: area([0.0, 1.0], [0.5]), "scores must have one entry for each of the 2 of eps"),
        (
            lambda: area([1.0, 1.0], [0.5, 0.5]),
            r"eps must be two numbers or more, each larger than the one .*, got \[1\.0, 1\.0\]",
        ),
        (lambda: smallest_flip([1.0], ["a", "b"], "a"), "states must have one entry"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_layer_of_zeros_holds_no_theme():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2)).eval()
    nn.init.constant_(model[0].bias, -100.0)
    assert facet_score(model, X, {"1": torch.ones(2, 16, 16)}).isnan().all()
