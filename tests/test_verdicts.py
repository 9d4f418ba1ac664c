"""Verdicts: settings and unknowns, premises, what would decide; intervals whose coverage is simulated."""

import json

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, strategies as st
from scipy.stats import binom

from robustxai import claims, records
from robustxai.claims.forest import MARKS, forest_lines
from robustxai.claims.rules import parse
from robustxai.claims.verdicts import VERDICTS, judge, outcomes_needed, over_settings, samples_needed
from robustxai.metrics.statistics import crossed_interval, share_interval, t_interval

POSITIVE = {"kind": "sign", "sign": "positive"}


@pytest.fixture
def run_of(tmp_path):
    """A run over one claim of the chapter `toy` with these further fields."""

    def make(**more):
        entry = dict(
            id="toy.a", whose="paper", paper="Nobody 2020", where="abstract", statement="A holds.",
            paper_value="not stated", measured="a", unit="images", rule=POSITIVE, profiles=["quick"],
        )  # fmt: skip
        path = tmp_path / "claims.yml"
        path.write_text(yaml.safe_dump({"toy": [entry | more]}))
        return claims.Run("toy", path=tmp_path / "toy.json", ledger=path)

    return make


@pytest.mark.parametrize(
    ("verdicts", "settings", "unknown"),
    [
        (["reproduced", "reproduced"], "reproduced", "reproduced"),
        (["contradicted", "contradicted"], "contradicted", "contradicted"),
        (["undecided", "undecided"], "undecided", "undecided"),
        (["reproduced", "contradicted"], "partly", "depends on an unknown"),
        (["reproduced", "undecided"], "undecided", "undecided"),
        (["contradicted", "undecided"], "undecided", "undecided"),
        (["reproduced", "undecided", "contradicted"], "partly", "depends on an unknown"),
    ],
)
def test_several_settings_have_one_verdict(verdicts, settings, unknown):
    for order in (verdicts, verdicts[::-1]):
        assert over_settings(order) == settings and over_settings(order, unknown=True) == unknown
    assert {settings, unknown} <= set(VERDICTS)


def test_a_claim_over_settings(run_of, capsys):
    run = run_of(settings=["ResNet", "VGG"])
    run.check(
        "toy.a",
        {"ResNet": 0.2, "VGG": -0.3},
        interval={"ResNet": (0.1, 0.3), "VGG": (-0.4, -0.2)},
        n=9,
        seeds=3,
    )
    run.finish()
    out = capsys.readouterr().out
    assert out.startswith(
        "PARTLY       a | A holds. | ours ResNet 0.200 [0.100, 0.300]; VGG -0.300 [-0.400, -0.200], n=9 images, seeds=3"
    )
    (kept,) = json.loads(run.path.read_text())["claims"]
    assert kept["settings"] == {"ResNet": "reproduced", "VGG": "contradicted"}
    assert kept["interval"]["VGG"] == [-0.4, -0.2] and kept["whose"] == "paper" and kept["unit"] == "images"


def test_an_unknown_choice(run_of, capsys):
    run = run_of(settings=["mean", "lse"], unknown="which contrast")
    run.check("toy.a", {"mean": 0.2, "lse": -0.3}, interval={"mean": (0.1, 0.3), "lse": (-0.4, -0.2)})
    assert capsys.readouterr().out.startswith("DEPENDS ON AN UNKNOWN a")


@pytest.mark.parametrize(
    ("value", "interval", "words"),
    [
        (0.1, None, "value of toy.a must map settings among these: ResNet, VGG"),
        ({"ResNet": 0.1}, None, "value of toy.a must map every setting, VGG is missing"),
        ({"ResNet": 0.1, "VGG": 0.1, "more": 1.0}, None, "must map settings among these"),
        ({"ResNet": 0.1, "VGG": 0.1}, (0, 1), "interval of toy.a must map settings among these"),
    ],
)
def test_settings_are_those_of_the_ledger(run_of, value, interval, words):
    run = run_of(settings=["ResNet", "VGG"])
    with pytest.raises(ValueError, match=words):
        run.check("toy.a", value, interval=interval)
    assert not run.done


def test_a_premise_is_checked_first(run_of, capsys):
    run = run_of(premise="the classifier follows the confounder")
    with pytest.raises(ValueError, match=r"^premise of toy\.a must be given"):
        run.check("toy.a", 0.5, interval=(0.4, 0.6))
    run.check("toy.a", 0.5, interval=(0.4, 0.6), premise=False)
    run.finish()
    (kept,) = json.loads(run.path.read_text())["claims"]
    assert kept["verdict"] == "not attempted"
    assert kept["reason"] == "the premise does not hold here: the classifier follows the confounder"
    other = run_of(premise="it does")
    other.check("toy.a", 0.5, interval=(0.4, 0.6), premise=True)
    assert other.done["toy.a"]["verdict"] == "reproduced"
    with pytest.raises(ValueError, match="where the ledger states one, which states none"):
        run_of().check("toy.a", 0.5, premise=True)


def test_an_undecided_line_says_what_would_decide(run_of, capsys):
    run = run_of()
    run.check("toy.a", 0.1, interval=(-0.1, 0.3), n=100, seeds=3)
    line = capsys.readouterr().out
    assert line.startswith("UNDECIDED    a") and line.rstrip().endswith("| about 5 seeds would decide")
    assert run.done["toy.a"]["needs"] == 5
    on_images = run_of()
    on_images.check("toy.a", 0.01, interval=(-0.02, 0.04), n=20)
    assert capsys.readouterr().out.rstrip().endswith("images would decide")
    without = run_of()
    without.check("toy.a", 0.1)
    assert capsys.readouterr().out.rstrip().endswith("it is open how many would decide")


@given(st.floats(0.05, 3.0), st.integers(2, 30), st.integers(0, 1000))
def test_the_needed_number_is_the_first_that_decides(effect, n, seed):
    """A sample of this mean and spread and of the size that is asked for decides; a somewhat smaller one does not."""
    rule = parse(POSITIVE)
    x = np.random.default_rng(seed).standard_normal(n)
    x = (x - x.mean()) / x.std(ddof=1) + effect
    found = t_interval(x)
    if judge(rule, found.value, interval=(found.low, found.high)) != "undecided":
        return
    more = samples_needed(rule, found.value, (found.low, found.high), n)
    assert more is not None and more > n

    def decided(size: int) -> bool:
        y = np.linspace(-1, 1, size)
        y = (y - y.mean()) / y.std(ddof=1) + effect
        i = t_interval(y)
        return judge(rule, i.value, interval=(i.low, i.high)) == "reproduced"

    assert decided(more)
    coarse = 10 ** (len(str(more)) - 1)  # it is rounded up to one digit
    assert not decided(max(2, int((more - coarse) * 0.97) - 1)) or more - coarse - 1 <= n


@pytest.mark.parametrize(
    ("hits", "n", "bound", "needs"), [(6, 6, 0.9, 40), (24, 24, 0.9, 40), (0, 3, 0.3, 20), (3, 6, 0.5, None)]
)
def test_the_needed_number_of_outcomes_is_that_of_the_exact_interval(hits, n, bound, needs):
    rule = parse({"kind": "at_least", "value": bound})
    assert outcomes_needed(rule, hits, n) == needs
    if needs:
        again = round(hits / n * needs)
        assert judge(rule, again / needs, interval=share_interval(again, needs)) != "undecided"


def test_a_share_says_how_many_outcomes_would_decide(run_of, capsys):
    run = run_of(rule={"kind": "at_least", "value": 0.9}, unit="attacks")
    run.share("toy.a", [True] * 24, seeds=3, reason="none")
    assert (
        capsys.readouterr()
        .out.rstrip()
        .endswith("n=24 attacks, seeds=3 | rule: at least 0.900 | about 40 attacks would decide")
    )


@pytest.mark.parametrize("n", [1, 4, 6, 30])
def test_the_interval_of_a_share_covers(n):
    for p in np.linspace(0.01, 0.99, 25):
        inside = [low <= p <= high for low, high in (share_interval(k, n) for k in range(n + 1))]
        assert float(binom.pmf(range(n + 1), n, p) @ inside) >= 0.95 - 1e-9


RATIOS = [
    (0, 0, 1),
    (0.1, 1, 1),
    (1, 1, 1),
    (1, 0.3, 1),
    (0.3, 0.3, 1),
    (1, 1, 0.1),
    (0, 1, 0.1),
    (1, 0, 0.1),
]


@pytest.mark.parametrize("images", [4, 20, 50])
@pytest.mark.parametrize("networks", [3, 5, 10])
def test_intervals_over_networks_and_images_cover(networks, images):
    """1,000 studies for each ratio of the standard deviations of networks, images and what is left."""
    rng = np.random.default_rng(networks * 100 + images)
    for a, b, e in RATIOS:
        shape = (1000, networks, images)
        y = a * rng.standard_normal((1000, networks, 1)) + b * rng.standard_normal((1000, 1, images))
        y = y + e * rng.standard_normal(shape)
        found = [crossed_interval(study) for study in y]
        covered = np.mean([i.low <= 0 <= i.high for i in found])
        assert 0.92 <= covered <= 0.995, (a, b, e, covered)


def test_the_interval_over_both_is_t_where_images_agree():
    rows = torch.tensor([0.1, 0.5, 0.2], dtype=torch.float64)
    both = records.over_both(rows[:, None].expand(3, 8))
    alone = t_interval(rows)
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high))
    with pytest.raises(ValueError, match=r"^values must be finite numbers or nan \(networks, images\)"):
        crossed_interval([1.0, 2.0])
    assert np.isnan(crossed_interval([[1.0, 2.0]]).low), "one network says nothing about others"


@pytest.mark.parametrize("cells", [1, 4, 9])
def test_the_extreme_of_several_means_covers(cells):
    rng = np.random.default_rng(cells)
    truth = np.linspace(0, 0.5, cells)
    hits = []
    for _ in range(500):
        x = truth[:, None] + rng.standard_normal((cells, 5))
        i = records.extreme({str(k): row for k, row in enumerate(x)})
        hits.append(i.low <= truth.min() <= i.high)
    assert np.mean(hits) >= 0.94
    largest = records.extreme({"a": [1.0, 2.0], "b": [3.0, 4.0]}, least=False)
    assert largest.value == 3.5
    with pytest.raises(ValueError, match=r"^cells must map names to values, one or more, got none"):
        records.extreme({})


NUMBERS = st.floats(-10, 10)
RULES = st.one_of(
    st.builds(lambda v: {"kind": "at_least", "value": v}, NUMBERS),
    st.builds(lambda v: {"kind": "at_most", "value": v}, NUMBERS),
    st.builds(lambda a, b: {"kind": "between", "low": min(a, b), "high": max(a, b)}, NUMBERS, NUMBERS),
    st.builds(lambda t, tol: {"kind": "within", "target": t, "tol": abs(tol)}, NUMBERS, NUMBERS),
    st.sampled_from([{"kind": "sign", "sign": s} for s in ("positive", "negative")]),
)


@given(RULES, NUMBERS, NUMBERS, NUMBERS)
def test_a_margin_is_positive_where_the_rule_holds_and_its_ends_tell_the_verdict(spec, a, b, c):
    rule, (low, value, high) = parse(spec), sorted((a, b, c))
    margin, least, largest = rule.margins(value, (low, high))
    assert least <= margin <= largest
    if margin:
        assert (margin > 0) == rule.holds(value)
    if least > 0:
        assert judge(rule, value, interval=(low, high)) == "reproduced"
    if rule.excluded((low, high)):
        assert largest <= 0


def test_an_ordering_and_a_ratio_have_margins_too():
    order = parse({"kind": "ordering", "order": ["a", "b", "c"]})
    bounds = {"a": (0.8, 1.0), "b": (0.4, 0.6), "c": (0.3, 0.5)}
    got = order.margins({"a": 0.9, "b": 0.5, "c": 0.4}, bounds)
    assert got == pytest.approx((0.1, -0.1, 0.3))
    assert np.isnan(order.distance({"a": 0.9, "b": 0.5, "c": 0.4}))
    ratio = parse({"kind": "ratio_at_least", "of": ["a", "b"], "value": 2})
    assert ratio.margins({"a": 3.0, "b": 1.0}, (2.5, 3.5)) == (1.0, 0.5, 1.5)


def test_a_forest_has_a_line_a_value_in_half_widths_of_its_interval():
    record = dict(
        id="toy.a", value={"x": 0.3, "y": -0.1}, interval={"x": [0.1, 0.5], "y": [None, None]}, rule=POSITIVE,
        rule_text="positive", verdict="undecided", whose="paper",
    )  # fmt: skip
    x, y = forest_lines([record, record | {"value": None}])
    assert (x.setting, x.bar.value, x.bar.low, x.bar.high) == ("x", *map(pytest.approx, (1.5, 0.5, 2.5)))
    assert y.bar.value == -np.inf and np.isnan(y.bar.low) and y.kind == "open"
    assert tuple(MARKS) == VERDICTS
