"""TCAV against known derivatives, its exact invariants, the tests behind a verdict, captum, and bad input."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import Linear, bars, fingerprint, gen, images, net, sets, unchanged

from robustxai.concepts import CAV, TCAV, corrected, permutation_test, state, t_test
from robustxai.concepts.activation_cache import ActivationCache
from robustxai.concepts.activations import activations, class_gradients
from robustxai.concepts.significance import set_means, set_test

LAYERS = ["b2", "b3"]
MODEL, X, RANDOM = net(), images(20, seed=7), sets()
CONCEPTS = {"bars": bars(12, seed=5), "more": images(12, seed=900)}


def test_activations_stop_early_and_equal_the_full_pass():
    ran = []
    handle = MODEL.head.register_forward_hook(lambda *_: ran.append(1))
    maps = activations(MODEL, X, LAYERS, batch_size=7)
    handle.remove()
    whole = MODEL.b2(MODEL.b1(MODEL.normalize(X)))
    torch.testing.assert_close(maps["b2"], whole)
    torch.testing.assert_close(maps["b3"], MODEL.b3(whole))
    assert not ran and not maps["b2"].requires_grad


@pytest.mark.parametrize("score", ["logit", "logp"])
def test_class_gradients_match_finite_differences(score):
    model = net().double()
    x = X[:3].double()
    found = class_gradients(model, x, 1, LAYERS, score=score)
    for name, rest in (("b2", ("b3", "b4", "b5")), ("b3", ("b4", "b5"))):
        a = activations(model, x, [name])[name]
        u = torch.randn(a.shape, generator=gen(1), dtype=a.dtype)

        def value(a, rest=rest):
            for block in rest:
                a = model.get_submodule(block)(a)
            out = model.head(a.mean((2, 3)))
            return (out if score == "logit" else out.log_softmax(1))[:, 1]

        with torch.no_grad():
            numeric = (value(a + 1e-6 * u) - value(a - 1e-6 * u)) / 2e-6
        torch.testing.assert_close((found[name] * u).flatten(1).sum(1), numeric, rtol=1e-4, atol=1e-7)


def test_known_derivatives():
    """logit 1 = sum of the first pixel row: only a concept that brightens this row is important."""
    weight = torch.zeros(2, 3 * 8 * 8)
    weight[1].view(3, 8, 8)[:, 0] = 1.0
    model = Linear(weight).eval()
    bright, dark = images(12, 3, size=8), images(12, 4, size=8)
    bright[:, :, 0], dark[:, :, 0] = 1.0, 0.0
    random = [images(12, 20 + i, size=8) for i in range(6)]
    result = TCAV(model, ["a"], cav=CAV("mean")).score(
        images(9, 1, size=8), 1, {"bright": bright, "dark": dark}, random
    )
    assert result["bright", "a"].mean == 1.0 and result["dark", "a"].mean == 0.0
    derivative = result["bright", "a"].cavs.directional(weight[1:].expand(9, -1))
    assert (derivative > 0).all()
    torch.testing.assert_close(
        result["bright", "a"].magnitude, (derivative / weight[1].norm()).mean(1), rtol=1e-5, atol=1e-6
    )


def test_a_layer_before_a_linear_head_scores_0_or_1():
    cell = TCAV(MODEL, ["b5"]).score(X, 0, CONCEPTS, RANDOM)["bars", "b5"]
    assert set(cell.scores.tolist()) | set(cell.random.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("estimator", ["ridge", "mean", "logistic", "median"])
def test_swapping_concept_and_negatives_mirrors_the_score(estimator):
    tcav = TCAV(MODEL, LAYERS, cav=CAV(estimator))
    there = tcav.score(X, 2, {"c": CONCEPTS["bars"]}, [RANDOM[0], RANDOM[1]])
    back = tcav.score(X, 2, {"c": RANDOM[0]}, [CONCEPTS["bars"], RANDOM[1]])
    for layer in LAYERS:
        torch.testing.assert_close(there["c", layer].scores[0], 1 - back["c", layer].scores[0])


@pytest.mark.parametrize("pool", [False, True])
def test_batches_and_calls_do_not_depend_on_each_other(pool):
    one = TCAV(MODEL, LAYERS, cav=CAV(pool=pool)).score(X, 1, CONCEPTS, RANDOM)
    two = TCAV(MODEL, LAYERS, cav=CAV(pool=pool), batch_size=5)
    two.score(X, 0, CONCEPTS, RANDOM)
    again = two.score(X, 1, {"bars": CONCEPTS["bars"]}, RANDOM)
    for layer in LAYERS:
        a, b = one["bars", layer], again["bars", layer]
        assert torch.equal(a.scores, b.scores) and torch.equal(a.random, b.random)
        torch.testing.assert_close(a.cavs.vectors, b.cavs.vectors, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_scores_do_not_change_when_cavs_are_multiplied_by_a_positive_constant(factor, monkeypatch):
    plain = TCAV(MODEL, LAYERS, sets=True).score(X, 1, CONCEPTS, RANDOM)
    fit = CAV.fit

    def scaled(self, *sets):
        fitted = fit(self, *sets)
        return replace(fitted, vectors=factor * fitted.vectors)

    monkeypatch.setattr(CAV, "fit", scaled)
    other = TCAV(MODEL, LAYERS, sets=True).score(X, 1, CONCEPTS, RANDOM)
    for a, b in zip(plain.cells, other.cells, strict=True):
        assert torch.equal(a.scores, b.scores) and torch.equal(a.random, b.random) and a.state == b.state
        torch.testing.assert_close(b.magnitude, factor * a.magnitude)
        assert b.p_sets == pytest.approx(a.p_sets, rel=1e-3)


def test_pooled_scores_are_derivatives_for_moving_all_positions_alike():
    cell = TCAV(MODEL, ["b2"], cav=CAV(pool=True)).score(X, 1, CONCEPTS, RANDOM)["bars", "b2"]
    g = class_gradients(MODEL, X, 1, ["b2"])["b2"]
    spread = cell.cavs.vectors[:, :, None, None].expand(-1, -1, *g.shape[2:]).flatten(1)
    torch.testing.assert_close(((spread @ g.flatten(1).T) > 0).float().mean(1), cell.scores)


def test_the_cache_notices_changed_images_and_weights():
    model, exemplars, random = net(3), bars(12, seed=5), sets()
    tcav = TCAV(model, ["b3"])
    first = tcav.score(X, 1, {"c": exemplars}, random)["c", "b3"]
    random[0].mul_(0.5)
    fresh = TCAV(model, ["b3"]).score(X, 1, {"c": exemplars}, random)["c", "b3"]
    assert not torch.equal(fresh.cavs.vectors, first.cavs.vectors)
    assert torch.equal(tcav.score(X, 1, {"c": exemplars}, random)["c", "b3"].cavs.vectors, fresh.cavs.vectors)
    with torch.no_grad():
        model.b2[0].weight.add_(0.3)
    fresh = TCAV(model, ["b3"]).score(X, 1, {"c": exemplars}, random)["c", "b3"]
    assert torch.equal(tcav.score(X, 1, {"c": exemplars}, random)["c", "b3"].cavs.vectors, fresh.cavs.vectors)


def test_tools_of_one_network_share_what_they_have_computed():
    model, random, passes = net(5), sets(), []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    cache, x, target = ActivationCache(), images(9, 1), 1
    tools = [{}, {"cav": CAV("mean")}, {"cav": CAV(pool=True)}, {"baseline": "pairs"}, {"score": "logp"}]
    for options in tools:
        for layers in (LAYERS, LAYERS[1:]):
            shared = TCAV(model, layers, cache=cache, **options).score(x, target, CONCEPTS, random)
            alone = TCAV(model, layers, **options).score(x, target, CONCEPTS, random)
            for layer in layers:
                a, b = shared["bars", layer], alone["bars", layer]
                assert torch.equal(a.scores, b.scores) and torch.equal(a.random, b.random)
                assert torch.equal(a.magnitude, b.magnitude)
    passes.clear()
    TCAV(model, LAYERS, cache=cache).score(x, target, CONCEPTS, random)
    assert len(passes) == len(CONCEPTS)  # of the random sets and the class everything is known


def test_what_is_not_kept_is_computed_again():
    model, random, passes = net(6), sets(), []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    tool = TCAV(model, ["b3"])
    for _ in range(2):
        passes.clear()
        tool.score(X, 1, CONCEPTS, random, keep=False)
        assert len(passes) >= len(CONCEPTS) + len(random)


def test_the_model_is_left_as_found():
    model = net(4)
    before = fingerprint(model)
    TCAV(model, LAYERS).score(X, 1, CONCEPTS, RANDOM)
    unchanged(model, before)


def test_a_probe_at_chance_warns_in_the_result():
    many = [images(60, 300 + 2 * i) for i in range(3)]
    result = TCAV(MODEL, ["b3"], cav=CAV("mean")).score(X, 1, {"nothing": images(60, 700)}, many)
    assert "at chance" in result["nothing", "b3"].warning and result.warnings and "at chance" in str(result)
    assert not TCAV(MODEL, ["b3"]).score(X, 1, {"bars": bars(12, 5)}, RANDOM)["bars", "b3"].warning


def test_baselines():
    ring, pairs = (
        TCAV(MODEL, ["b3"], baseline=b).score(X, 0, CONCEPTS, RANDOM)["bars", "b3"].random
        for b in ("ring", "pairs")
    )
    assert len(ring) == 4 and len(pairs) == 6
    torch.testing.assert_close(ring[:3], pairs[[0, 3, 5]])  # sets 0, 1 and 2 against the next


def test_sets_as_the_unit_of_the_test():
    """A concept's mean among those of random sets: scipy's prediction t, by hand for three sets."""
    scores = torch.tensor([0.2, 0.6, 0.9])  # (0, 1), (0, 2), (1, 2)
    torch.testing.assert_close(set_means(scores), torch.tensor([0.4, (0.8 + 0.9) / 2, (0.4 + 0.1) / 2]))
    torch.testing.assert_close(
        set_means(scores, total=0.0), torch.tensor([0.4, (-0.2 + 0.9) / 2, (-0.6 - 0.9) / 2])
    )
    null = torch.tensor([0.4, 0.5, 0.6])
    from scipy.stats import t

    assert set_test(0.9, null) == pytest.approx(2 * t.sf(0.4 / (0.1 * (4 / 3) ** 0.5), 2), rel=1e-4)
    assert math.isnan(set_test(0.9, torch.ones(5)))
    cells = TCAV(MODEL, ["b3"], baseline="pairs", test="sets").score(X, 1, CONCEPTS, RANDOM).cells
    assert len(cells) == 2
    assert [c.p for c in cells] == corrected([c.p_sets for c in cells]) != [c.p_sets for c in cells]
    both = TCAV(MODEL, ["b3"], sets=True).score(X, 1, CONCEPTS, RANDOM).cells
    ring = TCAV(MODEL, ["b3"]).score(X, 1, CONCEPTS, RANDOM).cells
    assert [c.p_sets for c in both] == [c.p_sets for c in cells] and [c.p for c in both] == [
        c.p for c in ring
    ]
    assert all(c.by_sets.p == c.p_sets and c.by_sets.state == state(c.mean, c.p_sets) for c in both)
    assert math.isnan(TCAV(MODEL, ["b3"]).score(X, 1, CONCEPTS, RANDOM)["bars", "b3"].p_sets)


def test_a_set_test_keeps_its_level_and_a_test_over_runs_does_not():
    """Means of sets that share a common part: 2,000 draws of a null concept among 20 null sets."""
    generator = gen(3)
    common = torch.randn(2000, 21, 1, generator=generator)
    runs = 0.5 + 0.1 * common + 0.05 * torch.randn(2000, 21, 20, generator=generator)
    sets = sum(set_test(float(r[0].mean()), r[1:].mean(1)) < 0.05 for r in runs) / 2000
    over = sum(t_test(r[0], r[1:, 0]) < 0.05 for r in runs[:300]) / 300
    assert 0.035 < sets < 0.065 and over > 0.2


def test_verdicts():
    a = torch.tensor([0.9, 0.8, 1.0, 0.9, 0.95])
    b = torch.tensor([0.4, 0.6, 0.5, 0.3, 0.55])
    from scipy.stats import permutation_test as theirs, ttest_ind

    assert t_test(a, b) == pytest.approx(float(ttest_ind(a.double(), b.double()).pvalue), rel=1e-9)
    exact = theirs((a.numpy(), b.numpy()), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True)
    assert permutation_test(a, b) == pytest.approx(float(exact.pvalue), abs=0.004)
    assert (
        math.isnan(t_test(torch.ones(4), torch.zeros(4)))
        and permutation_test(torch.ones(20), torch.zeros(20)) < 1e-3
    )
    assert permutation_test(a, a) == 1.0
    assert corrected([0.01, 0.04, math.nan, 0.03], "holm")[:2] == pytest.approx([0.03, 0.06])
    assert corrected([0.01, 0.6], "bonferroni") == [0.02, 1.0] and corrected([0.01, 0.6], "none") == [
        0.01,
        0.6,
    ]
    assert [state(m, p) for m, p in ((0.9, 0.01), (0.1, 0.01), (0.9, 0.2), (0.9, math.nan))] == [
        "important", "anti-important", "not significant", "not significant",
    ]  # fmt: skip


def test_captum_agrees(tmp_path):
    """Same estimator, same training rows, same layers: captum's sign counts are ours."""
    from captum.attr import LayerGradientXActivation
    from captum.concept import TCAV as Theirs, Classifier, Concept

    class Ours(Classifier):
        """Mean difference of all rows; captum passes them in one loader."""

        def __init__(self):
            pass

        def train_and_eval(self, dataloader, **_):
            rows, y = (torch.cat(t) for t in zip(*dataloader, strict=True))
            self.ids = y.unique().tolist()  # the concept has the smaller id
            w = rows[y == self.ids[0]].mean(0) - rows[y == self.ids[1]].mean(0)
            self.w = torch.stack((w, -w))

        def weights(self):
            return self.w

        def classes(self):
            return self.ids

    def concept(i, x):
        return Concept(i, str(i), torch.utils.data.DataLoader(x, batch_size=6))

    method = LayerGradientXActivation(MODEL, None, multiply_by_inputs=False)
    theirs = Theirs(MODEL, LAYERS, classifier=Ours(), layer_attr_method=method, save_path=str(tmp_path))
    pairs = ((0, CONCEPTS["bars"]), (1, RANDOM[0])), ((2, CONCEPTS["more"]), (3, RANDOM[1]))
    found = theirs.interpret(X, [[concept(i, x) for i, x in pair] for pair in pairs], target=1)
    ours = TCAV(MODEL, LAYERS, cav=CAV("mean", test_share=0)).score(X, 1, CONCEPTS, RANDOM)
    for key, name, run in (("0-1", "bars", 0), ("2-3", "more", 1)):
        for layer in LAYERS:
            assert float(found[key][layer]["sign_count"][0]) == pytest.approx(
                float(ours[name, layer].scores[run])
            )


def test_bad_input(as_shipped):
    tcav = TCAV(MODEL, LAYERS)
    spare = net()
    spare.spare = torch.nn.Identity().eval()
    constant = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(392, 2)
    ).eval()
    with torch.no_grad():
        constant[0].weight.zero_()
    same = bars(1).expand(12, -1, -1, -1)
    for call, message in (
        (
            lambda: TCAV(MODEL, ["b9"]),
            "layer must be a module of the model, got 'b9'; near names are b5, b4,",
        ),
        (lambda: TCAV(MODEL, "b3"), "layers must be a sequence of module names, got 'b3'"),
        (lambda: TCAV(MODEL, []), "layers"),
        (lambda: TCAV(net().train(), LAYERS), "training mode"),
        (lambda: TCAV(MODEL, LAYERS, score="loss"), "score must be one of logit, .*, got 'loss'"),
        (
            lambda: TCAV(MODEL, LAYERS, test="sets"),
            "test must be 'runs', or 'sets' with baseline 'pairs', got 'sets' with baseline 'ring'",
        ),
        (
            lambda: tcav.score(X, 1, CONCEPTS, RANDOM[:1]),
            r"random must hold 2 or more sets of images \(20 are usual\), got 1",
        ),
        (lambda: tcav.score(X, 9, CONCEPTS, RANDOM), r"target must be a class in \[0, 3\], got 9"),
        (
            lambda: tcav.score(X, 1, {"few": bars(4)}, RANDOM),
            r"concept 'few' at layer 'b2': sets must have 5 examples or .*, got 4 in the smallest",
        ),
        (
            lambda: tcav.score(X, 1, {"same": RANDOM[1]}, RANDOM),
            r"concept 'same' at layer 'b2': positive and negative sets .*, got positive equal to negative",
        ),
        (
            lambda: tcav.score(X, 1, {"big": bars(12, size=32)}, RANDOM),
            r"concept 'big' and images must have images of one size, got shapes \(3, 32, 32\) and \(3,",
        ),
        (lambda: tcav.score(X, 1, {"none": bars(12) * math.nan}, RANDOM), "NaN"),
        (lambda: tcav.score(X, 1, {"int": (bars(12) * 255).to(torch.uint8)}, RANDOM), "floating"),
        (
            lambda: tcav.score(X, 1, CONCEPTS, RANDOM, correction="fdr"),
            "correction must be one of holm, bonferroni, none, got 'fdr'",
        ),
        (lambda: TCAV(spare, ["spare"]).score(X, 1, CONCEPTS, RANDOM), "does not run"),
        (
            lambda: TCAV(constant, ["0"]).score(X, 1, CONCEPTS, RANDOM),
            r"random set 0 at layer '0' must be different images with a .*, got the same activations for all",
        ),
        (
            lambda: tcav.score(X, 1, {"one": same}, RANDOM),
            r"concept 'one' at layer 'b2' must be different images with a .*, got the same activations for all",
        ),
        (
            lambda: tcav.score(X, 1, CONCEPTS, [*RANDOM[:2], same]),
            r"random set 2 at layer 'b2' must be different images with a .*, got the same activations for all",
        ),
        (
            lambda: tcav.score(X, 1, {"bytes": bars(12) * 255}, RANDOM),
            r"concept 'bytes' must be images in \[0, 1\], got pixels from 7 to 255",
        ),
        (
            lambda: tcav.score(X - 0.5, 1, CONCEPTS, RANDOM),
            r"images must be images in \[0, 1\], got pixels from -0\.",
        ),
        (lambda: tcav.score(X, 1, CONCEPTS, RANDOM, level=5), r"level must be a number in \(0, 1\), got 5"),
        (
            lambda: tcav.score(X, 1, CONCEPTS, RANDOM, level=math.nan),
            r"level must be a number in \(0, 1\), got nan",
        ),
        (
            lambda: tcav.score(X, 1, CONCEPTS, RANDOM, permutations=0),
            "permutations must be an integer >= 1, got 0",
        ),
        (lambda: TCAV(MODEL, LAYERS, batch_size=0), "batch_size must be an integer >= 1, got 0"),
        (lambda: state(0.9, 0.01, level=5), r"level must be a number in \(0, 1\), got 5"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_layer_without_gradient_to_the_logit_is_refused():
    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Conv2d(3, 2, 3), torch.nn.Linear(392, 2)

        def forward(self, x):
            self.a(x)
            return self.b(torch.ones(len(x), 392))

    with pytest.raises(ValueError, match="no gradient to the logit"):
        TCAV(Cut().eval(), ["a"]).score(X, 1, CONCEPTS, RANDOM)
