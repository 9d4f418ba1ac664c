"""claims: rules and verdicts, the ledger's own checks, a run from start to file, coverage of a notebook."""

import json
import math

import jaxtyping
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, strategies as st

from robustxai import claims
from robustxai.claims.rules import RULE_KINDS, parse
from robustxai.claims.verdicts import judge
from robustxai.plots import number


def entry(name, rule, **more):
    """A complete ledger entry of the chapter `toy`."""
    return {
        "id": f"toy.{name}",
        "whose": "paper",
        "paper": "Nobody 2020",
        "where": "abstract",
        "statement": f"The statement of {name}.",
        "paper_value": "not stated",
        "measured": "something",
        "unit": "images",
        "rule": rule,
        "profiles": ["quick", "gpu"],
    } | more


@pytest.fixture(autouse=True)
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def ledger(tmp_path):
    """Write a ledger of the given entries and return its path."""

    def write(*entries, chapter="toy"):
        path = tmp_path / "claims.yml"
        path.write_text(yaml.safe_dump({chapter: list(entries)}))
        return path

    return write


@pytest.fixture
def run(ledger, tmp_path):
    """A run over three claims: a bound, an ordering, and one for the gpu profile only."""
    path = ledger(
        entry("drop", {"kind": "at_least", "value": -0.02}),
        entry("order", {"kind": "ordering", "order": ["clean", "fooled"]}),
        entry("many", {"kind": "at_least", "value": 0.9}, profiles=["gpu"]),
    )
    return claims.Run("toy", path=tmp_path / "out" / "toy.json", ledger=path)


RULES = [
    ({"kind": "at_least", "value": -0.02}, [-0.02, 1], [-0.021], "at least -0.0200"),
    ({"kind": "at_most", "value": 1.15}, [1.15, -3], [1.151], "at most 1.15"),
    ({"kind": "between", "low": 0, "high": 1}, [0, 1, 0.5], [-0.1, 1.1], "between 0.00 and 1.00"),
    ({"kind": "within", "target": 3.33, "tol": 0.05}, [3.3, 3.37], [3.27, 3.39], "within 0.0500 of 3.33"),
    ({"kind": "equal", "target": 200, "tol": 0.01}, [198.5, 201.9], [197, 203], "equal to 200.0 up to"),
    ({"kind": "equal", "target": 0, "tol": 1e-6}, [5e-7, -5e-7], [2e-6], "equal to 0.00 up to rounding"),
    ({"kind": "sign", "sign": "positive"}, [1e-9], [0, -1], "positive"),
    ({"kind": "sign", "sign": "negative"}, [-1e-9], [0, 1], "negative"),
]


@pytest.mark.parametrize(("spec", "good", "bad", "words"), RULES)
def test_scalar_rules(spec, good, bad, words):
    rule = parse(spec)
    assert all(rule.holds(v) for v in good) and not any(rule.holds(v) for v in bad)
    assert rule.words().startswith(words)
    exact = [judge(rule, v, exact=True) for v in (good[0], bad[0])]
    assert exact == ["reproduced", "contradicted"]
    assert judge(rule, good[0]) == judge(rule, bad[0]) == "undecided", "no interval, no verdict"
    assert judge(rule, good[0], interval=(good[0], good[0])) == "reproduced"
    assert judge(rule, bad[0], interval=(bad[0], bad[0])) == "contradicted"
    both = tuple(sorted((good[0], bad[0])))
    assert judge(rule, good[0], interval=both) == judge(rule, bad[0], interval=both) == "undecided"


def test_every_kind_is_tested():
    assert {spec["kind"] for spec, *_ in RULES} | {"ordering", "ratio_at_least"} == set(RULE_KINDS)


def test_ordering_rule():
    rule = parse({"kind": "ordering", "order": ["a", "b", "c"]})
    assert rule.words() == "a > b > c"
    ordered = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert judge(rule, ordered, exact=True) == "reproduced"
    assert judge(rule, ordered | {"c": 2.0}, exact=True) == "contradicted"
    apart = {"a": (2.6, 3.4), "b": (1.6, 2.4), "c": (0.6, 1.4)}
    assert judge(rule, ordered, interval=apart) == "reproduced"
    assert judge(rule, ordered, interval=apart | {"b": (1.4, 2.4)}) == "undecided"
    swapped = {"a": apart["b"], "b": apart["a"], "c": apart["c"]}
    assert judge(rule, {"a": 2.0, "b": 3.0, "c": 1.0}, interval=swapped) == "contradicted"


def test_ratio_rule():
    rule = parse({"kind": "ratio_at_least", "of": ["ours", "theirs"], "value": 2})
    assert judge(rule, {"ours": 4.0, "theirs": 2.0}, interval=(2.0, 2.2)) == "reproduced"
    assert judge(rule, {"ours": 4.2, "theirs": 2.0}, interval=(1.9, 2.3)) == "undecided"
    assert judge(rule, {"ours": 3.0, "theirs": 2.0}, interval=(1.2, 1.8)) == "contradicted"
    assert judge(rule, {"ours": 3.9, "theirs": 2.0}, exact=True) == "contradicted"
    with pytest.raises(ValueError, match=r"theirs must be positive, or the ratio means nothing, got 0\.00"):
        judge(rule, {"ours": 3.9, "theirs": 0.0}, exact=True)


@given(st.floats(-10, 10), st.floats(0, 5), st.floats(0, 5), st.floats(-10, 10))
def test_a_wider_interval_decides_less(value, below, above, bound):
    rule = parse({"kind": "at_least", "value": bound})
    narrow = judge(rule, value, interval=(value - below, value + above))
    wide = judge(rule, value, interval=(value - below - 1, value + above + 1))
    assert wide in (narrow, "undecided")
    assert narrow in (judge(rule, value, exact=True), "undecided")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "at_leest", "value": 1}, "rule must be a mapping with one kind of at_least"),
        ("at_least 3", "rule must be a mapping with one kind of"),
        ({"kind": "at_least"}, "a rule of kind at_least must have value, got"),
        ({"kind": "at_least", "value": 1, "tol": 2}, "must have value, got"),
        ({"kind": "at_least", "value": "1"}, "value in a rule of kind at_least must be a number, got '1'"),
        ({"kind": "sign", "sign": "plus"}, "sign must be one of positive, negative, got 'plus'"),
        ({"kind": "ordering", "order": ["a", "a"]}, "two or more different names"),
        ({"kind": "ratio_at_least", "of": ["a"], "value": 1}, "exactly two names"),
    ],
)
def test_bad_rules(spec, message):
    with pytest.raises(ValueError, match=message):
        parse(spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "other.drop"}, r'an id looks like "toy.some_name"'),
        ({"statment": "typo"}, r"unknown \['statment'\]"),
        ({"profiles": ["fast"]}, "profiles must be a list out of quick, real, gpu, paper"),
        ({"paper_value": None}, "paper_value must be text or a number"),
        ({"statement": ""}, "statement must be text"),
        ({"volatile": "yes"}, "volatile must be true or false"),
        ({"whose": "theirs"}, "whose must be one of paper, ours, pilot, got 'theirs'"),
        ({"unit": ""}, "unit must be text"),
        ({"settings": ["one"]}, "settings are two or more names"),
        ({"settings": ["one", "one"]}, "settings has the same text twice"),
        ({"unknown": "which"}, "unknown says what the paper does not, and settings names the choices"),
        ({"history": "once"}, "history must be a list of texts"),
        ({"rule": {"kind": "at_least"}}, "entry toy.drop: a rule of kind at_least must have value"),
    ],
)
def test_bad_ledger_entries_are_named(ledger, change, message):
    with pytest.raises(ValueError, match=message):
        claims.ledger(ledger(entry("drop", {"kind": "at_least", "value": 0}) | change))


def test_ledger_refuses_twins_and_holes(ledger):
    good = entry("drop", {"kind": "at_least", "value": 0})
    with pytest.raises(ValueError, match=r"toy.drop stands there twice"):
        claims.ledger(ledger(good, good))
    with pytest.raises(ValueError, match=r"missing \['measured'\]"):
        claims.ledger(ledger({k: v for k, v in good.items() if k != "measured"}))
    with pytest.raises(ValueError, match="chapter='absent' has no claim"):
        claims.of_chapter("absent", ledger(good))


def test_the_real_ledger_is_sound():
    known = claims.ledger()
    assert known and all(claim.statement and claim.rule.words() for claim in known.values())


def test_a_run_prints_stable_lines_and_writes_the_file(run, capsys):
    interval = (-0.01, torch.tensor(0.002))
    run.check("toy.drop", torch.tensor(-0.0041), interval=interval, n=500, seeds=3, note="x")
    run.check("toy.order", {"clean": 0.9, "fooled": 0.1}, interval={"clean": (0.8, 1), "fooled": (0, 0.2)})
    run.table("accuracy", [{"model": "clean", "top1": 1 / 3, "maps": torch.ones(2)}])
    run.finish()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "REPRODUCED   drop | The statement of drop. | ours -0.00410 [-0.0100, 0.00200], n=500 images, seeds=3"
        " | rule: at least -0.0200",
        "REPRODUCED   order | The statement of order."
        " | ours clean 0.900 [0.800, 1.00], fooled 0.100 [0.00, 0.200] | rule: clean > fooled",
        "3 of the paper's claims: 2 reproduced, 1 not attempted",
        "(results/quick/toy.json)",
    ]
    content = json.loads(run.path.read_text())
    drop, _, many = content["claims"]
    assert drop["id"] == "toy.drop" and drop["verdict"] == "reproduced" and drop["note"] == "x"
    assert drop["value"] == -0.0041 and drop["interval"] == [-0.01, 0.002] and drop["n"] == 500
    assert drop["rule"] == {"kind": "at_least", "value": -0.02} and drop["rule_text"] == "at least -0.0200"
    assert many["verdict"] == "not attempted" and "only gpu" in many["reason"]
    assert list(content["tables"]["accuracy"][0]) == ["model", "top1", "maps"], "columns keep their order"
    assert content["tables"]["accuracy"] == [{"model": "clean", "top1": 0.333333, "maps": [1, 1]}]
    assert content["run"]["device"] == "cpu" and content["timing"]["seconds"] >= 0
    assert set(content) == {"chapter", "profile", "claims", "tables", "run", "timing"}
    assert [p.name for p in run.path.parent.iterdir()] == ["toy.json"], "nothing half-written is left"


def test_only_timing_differs_between_runs(ledger, tmp_path):
    path = ledger(entry("drop", {"kind": "at_least", "value": 0}))
    texts = []
    for k in range(2):
        run = claims.Run("toy", path=tmp_path / f"{k}.json", ledger=path)
        run.check("toy.drop", 1.0)
        run.finish()
        content = json.loads(run.path.read_text())
        texts.append({key: value for key, value in content.items() if key != "timing"})
    assert texts[0] == texts[1]


def test_volatile_values_stay_off_the_page(ledger, tmp_path, capsys):
    path = ledger(entry("speed", {"kind": "at_least", "value": 2}, volatile=True))
    run = claims.Run("toy", path=tmp_path / "a.json", ledger=path)
    run.check("toy.speed", 2.71)
    run.finish()
    assert "2.71" not in capsys.readouterr().out
    assert json.loads(run.path.read_text())["claims"][0]["value"] == 2.71


def test_a_skip_keeps_its_reason(run, capsys):
    run.check("toy.drop", -0.03, interval=(-0.04, -0.01), n=50)
    run.skip("toy.order", "no fooled model in this profile")
    run.finish()
    out = capsys.readouterr().out
    assert out.startswith("UNDECIDED    drop") and "NOT ATTEMPTED order" in out
    assert json.loads(run.path.read_text())["claims"][1]["reason"] == "no fooled model in this profile"


def test_a_share_of_nothing_is_not_attempted(ledger, tmp_path):
    path = ledger(*(entry(name, {"kind": "at_least", "value": 0.7}) for name in ("many", "none")))
    run = claims.Run("toy", path=tmp_path / "a.json", ledger=path)
    run.share("toy.many", [True, True, False, True], seeds=2, reason="nothing counts")
    run.share("toy.none", [], reason="nothing counts")
    run.finish()
    many, none = json.loads(run.path.read_text())["claims"]
    assert (many["verdict"], many["value"], many["n"], many["seeds"]) == ("undecided", 0.75, 4, 2)
    assert many["interval"] == pytest.approx([0.194120, 0.993691], abs=1e-6), "Clopper and Pearson, 3 of 4"
    assert (none["verdict"], none["reason"]) == ("not attempted", "nothing counts")


def test_misuse_is_one_clear_sentence(run):
    with pytest.raises(ValueError, match=r"'toy.dropp' is not a claim of toy .*did you mean toy.drop\?"):
        run.check("toy.dropp", 1.0)
    with pytest.raises(ValueError, match=r"cannot finish: no check and no skip for toy.drop, toy.order"):
        run.finish()
    assert not run.path.exists()
    with pytest.raises(
        ValueError, match=r"value of toy\.drop must be a finite number, got nan; or use claims\.skip"
    ):
        run.check("toy.drop", math.nan)
    with pytest.raises(ValueError, match=r"interval of toy.drop must be \(low, high\)"):
        run.check("toy.drop", 1.0, interval=(2, 1))
    with pytest.raises(ValueError, match="must map exactly these names to numbers: clean, fooled"):
        run.check("toy.order", {"clean": 1.0})
    with pytest.raises(ValueError, match="must be one number"):
        run.check("toy.drop", {"a": 1.0})
    with pytest.raises(ValueError, match=r"for the profiles gpu, paper, not quick"):
        run.check("toy.many", 1.0)
    with pytest.raises(
        ValueError, match=r"reason for skipping toy.drop must say in a few words why, got none"
    ):
        run.skip("toy.drop", " ")
    run.check("toy.drop", 1.0)
    with pytest.raises(ValueError, match=r"toy.drop was checked already"):
        run.check("toy.drop", 1.0)
    run.table("t", [])
    with pytest.raises(ValueError, match="table 't' was stored already"):
        run.table("t", [])
    with pytest.raises(ValueError, match="a set cannot be stored"):
        run.table("u", [{"a": {1}}])
    with pytest.raises(ValueError, match="profile must be one of quick, real, gpu, paper, got 'fast'"):
        claims.Run("toy", profile="fast")


def test_module_functions_follow_the_current_run(ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTXAI_RESULTS", str(tmp_path / "elsewhere"))
    path = ledger(entry("drop", {"kind": "at_least", "value": 0}))
    with pytest.raises(ValueError, match=r"call claims.start"):
        claims.check("toy.drop", 1.0)
    claims.start("toy", profile="gpu", ledger=path)
    claims.check("toy.drop", 1.0)
    claims.table("t", [{"a": 1}])
    claims.finish()
    assert (tmp_path / "elsewhere" / "gpu" / "toy.json").is_file()
    with pytest.raises(ValueError, match=r"call claims.start"):
        claims.finish()


def test_results_outside_a_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("ROBUSTXAI_RESULTS", raising=False)
    monkeypatch.setattr("robustxai.runtime.checkout", lambda: None)
    assert claims.results_path("toy", "quick").as_posix() == "results/quick/toy.json"
    monkeypatch.setattr("robustxai.runtime.checkout", lambda: tmp_path)
    assert claims.results_path("toy", "real") == tmp_path / "results" / "real" / "toy.json"


def notebook(path, *sources):
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_coverage_compares_notebook_and_ledger(ledger, tmp_path):
    rule = {"kind": "at_least", "value": 0}
    path = ledger(entry("a", rule), entry("b", rule), entry("c", rule))
    book = notebook(tmp_path / "toy.ipynb", '%time\nclaims.check("toy.a", 1)', 'claims.skip("toy.d", "why")')
    found = claims.coverage(book, ledger=path)
    assert found.unchecked == ("toy.b", "toy.c") and found.unknown == ("toy.d",) and not found.complete
    book = notebook(book, 'for _ in [0]:\n    claims.check(id="toy.a", value=1)', 'claims.check("toy.b", 1)')
    assert claims.coverage(book, ledger=path).unchecked == ("toy.c",)
    book = notebook(
        book,
        'claims.check("toy.a", 1, interval=(0, 2), n=3)',
        'claims.check("toy.b", **told(found))\nclaims.share("toy.c", hits, reason="none")',
    )
    assert claims.coverage(book, ledger=path).complete
    book = notebook(
        book, 'claims.check("toy.a", 1, n=3)', 'claims.skip("toy.b", "why")', 'claims.share("toy.c", [])'
    )
    assert claims.coverage(book, ledger=path).unbounded == ("toy.a",)
    exact = ledger(entry("a", rule, unit="exact"), entry("b", rule), entry("c", rule))
    assert claims.coverage(book, ledger=exact).complete
    book = notebook(book, 'claims.check(f"toy.{name}", 1)')
    with pytest.raises(ValueError, match=r"toy.ipynb, cell 0: write the id of a claim as literal text"):
        claims.coverage(book, ledger=path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (1.0, "1.00"),
        (99.97, "100.0"),
        (123.44, "123.4"),
        (1.234567e6, "1.23e+06"),
        (5.123e-7, "5.12e-07"),
        (7, "7"),
        (True, "yes"),
        (torch.tensor(3), "3"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_as_text(value, text):
    assert number(value) == text


def test_the_undefined_interval_of_a_single_seed_is_none(run):
    run.check("toy.drop", 0.0, interval=(math.nan, math.nan), seeds=1)
    assert run.done["toy.drop"]["interval"] is None and run.done["toy.drop"]["verdict"] == "undecided"


def test_stored_results_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr("robustxai.runtime.checkout", lambda: tmp_path)
    monkeypatch.setenv("ROBUSTXAI_RESULTS", str(tmp_path / "elsewhere"))
    for profile in ("real", "bench"):
        assert claims.stored("toy", profile) is None
        file = tmp_path / "results" / profile / "toy.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"profile": profile}))
        assert claims.stored("toy", profile) == {"profile": profile}
    monkeypatch.setattr("robustxai.runtime.checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert claims.stored("toy", "real") == {"profile": "real"}
    with pytest.raises(ValueError, match="profile must be one of quick, real, gpu, paper, bench, got 'slow'"):
        claims.stored("toy", "slow")
    for broken in ("[1]", "{"):
        (tmp_path / "results" / "real" / "toy.json").write_text(broken)
        with pytest.raises(ValueError, match=r"results/real/toy\.json is not a JSON object"):
            claims.stored("toy", "real")


def test_stored_benchmarks_are_rows_of_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr("robustxai.runtime.checkout", lambda: tmp_path)
    rows, words = claims.benchmarks("toy")
    assert rows == [] and words.endswith("run `make bench` there")
    ratio = {"name": "a / b", "group": "small", "ratio": 2.0, "low": 1.9, "high": 2.2, "n": 5, "target": None}
    content = {"machine": {"timer": "time.process_time"}, "ratios": [ratio | {"reference_ms": 3.0}]}
    (tmp_path / "results" / "bench").mkdir(parents=True)
    (tmp_path / "results" / "bench" / "toy.json").write_text(json.dumps(content))
    rows, words = claims.benchmarks("toy")
    assert rows == [
        {
            "time of … over time of …": "a / b",
            "setting": "small",
            "ratio": (2.0, 1.9, 2.2),
            "rounds": 5,
            "target": None,
        }
    ]
    assert words.startswith("Benchmarks, processor seconds")


# --- bad input becomes a sentence, never a verdict


@pytest.mark.parametrize(
    "hits",
    [[1, 2], [True, None], [0.5], [math.nan], "yes", ["True"], 3, [True, -1], [torch.ones(2)]],
    ids=repr,
)
def test_hits_that_are_not_yes_or_no_get_no_verdict(run, capsys, hits):
    with pytest.raises(ValueError, match=r"^hits of toy\.drop must be .*yes or no"):
        run.share("toy.drop", hits, reason="none")
    assert not run.done and not capsys.readouterr().out


@pytest.mark.parametrize(
    "hits", [[True, False], [1, 0], np.array([True, False]), torch.tensor([True, False])], ids=repr
)
def test_yes_and_no_of_every_library_count(run, hits):
    run.share("toy.drop", hits, reason="none")
    assert run.done["toy.drop"]["value"] == 0.5 and run.done["toy.drop"]["n"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(n=-1), r"^n of toy\.drop must be an integer >= 0, got -1"),
        (dict(n=2.5), r"^n of toy\.drop must be an integer >= 0, got 2\.5"),
        (dict(seeds=-3), r"^seeds of toy\.drop must be an integer >= 0, got -3"),
        (dict(seeds=True), r"^seeds of toy\.drop must be an integer >= 0, got True"),
        (dict(value="high"), r"^value of toy\.drop must be one finite number, got 'high'"),
        (dict(value=None), r"^value of toy\.drop must be one finite number, got None"),
        (dict(value=math.inf), r"^value of toy\.drop must be a finite number, got inf; or use claims\.skip"),
        (
            dict(value=torch.ones(2)),
            r"^value of toy\.drop must be one finite number, got tensor\(\[1\., 1\.\]\)",
        ),
        (
            dict(interval=(0.0, math.nan)),
            r"^interval of toy\.drop must be a finite number, got nan; or use claims\.skip",
        ),
        (dict(interval=(0, 1, 2)), r"^interval of toy\.drop must be \(low, high\)"),
        (dict(interval=0.5), r"^interval of toy\.drop must be \(low, high\)"),
        (dict(interval=()), r"^interval of toy\.drop must be \(low, high\)"),
    ],
)
def test_bad_measurements_get_no_verdict(run, capsys, options, words):
    with pytest.raises(ValueError, match=words):
        run.check("toy.drop", **(dict(value=1.0) | options))
    assert not run.done and not capsys.readouterr().out
    run.check("toy.drop", 1.0, n=np.int64(3), seeds=0)
    assert run.done["toy.drop"]["n"] == 3


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("spec", [spec for spec, *_ in RULES], ids=lambda spec: spec["kind"])
def test_no_rule_judges_what_is_not_finite(spec, bad):
    rule = parse(spec)
    with pytest.raises(ValueError, match="value must be a finite number, got"):
        judge(rule, bad)
    with pytest.raises(ValueError, match="interval must be a finite number, got"):
        judge(rule, 0.5, interval=(0.0, bad))
    for key in set(spec) - {"kind", "sign"}:
        with pytest.raises(ValueError, match=f"^{key} must be a finite number, got"):
            parse(spec | {key: bad})


def test_no_rule_of_names_judges_what_is_not_finite():
    rule = parse({"kind": "ordering", "order": ["a", "b"]})
    for bad in ({"a": 1.0, "b": math.nan}, {"a": 1.0}, 3.0, {"a": 1.0, "b": 0.0, "c": 2.0}):
        with pytest.raises(ValueError, match="value"):
            judge(rule, bad)
    with pytest.raises(ValueError, match="interval must map these names"):
        judge(rule, {"a": 1.0, "b": 0.0}, interval=(0, 1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "between", "low": 1, "high": 0}, "low must be at most high=0, got 1"),
        ({"kind": "within", "target": 1, "tol": -1}, "tol must be a number from 0, got -1"),
        ({"kind": "equal", "target": 1, "tol": -1}, "tol must be a number from 0, got -1"),
        (
            {"kind": "ordering", "order": "ab"},
            "order in a rule of kind ordering must be a list of names, got 'ab'",
        ),
        ({"kind": "ordering", "order": 3}, "order in a rule of kind ordering must be a list of names, got 3"),
    ],
)
def test_rules_that_nothing_can_satisfy_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        parse(spec)


@pytest.mark.parametrize(
    "chapter", ["../../x", "..", "", "a/b", "a\\b", "/etc/x", "a.b", "toy\n", None, 3], ids=repr
)
def test_a_chapter_is_a_name_and_no_path(chapter):
    for call in (claims.results_path, claims.stored):
        with pytest.raises(
            ValueError, match=r"^chapter must be a name of letters, digits and underscores, got"
        ):
            call(chapter, "quick")
    with pytest.raises(ValueError, match=r"^chapter must be a name"):
        claims.benchmarks(chapter)


@pytest.mark.parametrize("profile", ["../../x", "", "slow", None])
def test_a_profile_is_a_folder_of_results(profile):
    for call in (claims.results_path, claims.stored):
        with pytest.raises(ValueError, match="profile must be one of quick, real, gpu, paper, bench, got"):
            call("toy", profile)


def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    bad = tmp_path / "bad.yml"
    bad.write_text("toy: [")
    with pytest.raises(ValueError, match=r"^bad\.yml is not YAML"):
        claims.ledger(bad)
    bad.write_text("toy: 3")
    with pytest.raises(ValueError, match=r"^bad\.yml must map each chapter to a list of claims, toy to 3"):
        claims.ledger(bad)
    with pytest.raises(ValueError, match=r"^ledger .*absent\.yml cannot be read"):
        claims.ledger(tmp_path / "absent.yml")
    for book in (tmp_path / "absent.ipynb", bad):
        with pytest.raises(ValueError, match="cannot be read as a notebook"):
            claims.coverage(book, chapter="diffgradcam")
    monkeypatch.setattr("robustxai.runtime.checkout", lambda: tmp_path)
    (tmp_path / "results" / "bench").mkdir(parents=True)
    (tmp_path / "results" / "bench" / "toy.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^results/bench/toy\.json holds no benchmarks"):
        claims.benchmarks("toy")


def test_tables_and_devices_that_are_none(run):
    for rows in ({"a": 1}, [1], "rows", [[1, 2]], 3):
        with pytest.raises(ValueError, match=r"^rows of the table 't' must be mappings"):
            run.table("t", rows)
    with pytest.raises(ValueError, match=r"^name of a table must be text"):
        run.table(3, [])
    run.table("t", ({"a": k} for k in range(2)))
    assert run.tables["t"] == [{"a": 0}, {"a": 1}]
    with pytest.raises(ValueError, match=r"^device must be a device such as cpu or cuda, got 'fast'"):
        claims.Run("toy", device="fast")
