"""What keeps two outputs apart: numbers by their labels, lines of claims by their rules, pictures, digests of data."""

import json
from pathlib import Path

import numpy as np
import pytest

from robustxai.claims import judge, ledger
from robustxai.claims.lines import said
from robustxai.claims.rules import parse
from robustxai.notebook.cell_outputs import labelled_numbers, outputs_difference, printed_difference
from robustxai.notebook.claim_lines import misjudged
from robustxai.notebook.closeness import ANY, Tolerance, Tolerances, text_difference, tolerances
from robustxai.notebook.figure_data import digest_difference
from robustxai.notebook.labels import labels_of_html, labels_of_lines, labels_of_table
from robustxai.plots.numbers import DIGEST_TYPE, coarse
from robustxai.plots.output import digests

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LEDGER = ledger()


def apart(a, b, allowed=None):
    """What keeps two printed texts apart."""
    return printed_difference(a, b, allowed or Tolerances(), {})


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("8x7x7, min 0.1", "8x7x7, min 0.1005", True),
        ("8x7x7", "8x7x8", False),
        ("[0.10, 0.20]", "[0.1001, 0.1999]", True),
        ("conv1 0.5", "conv2 0.5", False),
        ("from 3-4", "from 3-5", False),
        ("1e-3", "0.001", True),
        ("a\nb", "a b", False),
        ("nan", "0.0", False),
        ("−0.5", "-0.5", True),
    ],
)
def test_texts(a, b, same):
    assert (apart(a, b) is None) is same and (apart(b, a) is None) is same


def test_about_how_many_would_decide_is_compared_where_it_must_be_the_same():
    line = "UNDECIDED    a | A holds. | ours 0.100 [-0.100, 0.300], n=9 images | rule: positive | "
    stored, more = line + "about 40 images would decide", line + "about 70 images would decide"
    assert apart(stored, stored) is None and "what would decide differs" in str(apart(stored, more))
    moved = more.replace("0.300", "0.301")
    assert apart(stored, moved) is None
    assert apart(stored, moved.replace("about 70 images", "it is open how many")) is None
    assert apart(stored, moved.replace("UNDECIDED", "REPRODUCED")) is not None
    assert apart(stored, moved.replace("0.301", "0.400")) is not None


def test_tags_and_tables_are_checked():
    found = tolerances(
        {"tags": ["nbval-rtol-1e-1", "nbval-atol-0.5", "hide-cell"], "nbval": {"a": {"of": 4}}}
    )
    assert found.of("b") == Tolerance(rtol=0.1, atol=0.5, integers=True)
    assert found.of("a") == Tolerance(atol=0.25)
    assert tolerances({"nbval": {"*": {"count": 1}}}).of("anything") == Tolerance(count=1.0)
    with pytest.raises(ValueError, match="tag 'nbval-rtol-lots' is not understood"):
        tolerances({"tags": ["nbval-rtol-lots"]})
    for wrong in ({}, {"about": 1}, {"rtol": -1}, {"rtol": True}, {"of": 0}, {"of": 9, "atol": 1}, 0.1):
        with pytest.raises(
            ValueError, match="nbval of 'a' must map rtol, atol, count, or of in place of atol"
        ):
            tolerances({"nbval": {"a": wrong}})
    with pytest.raises(ValueError, match="must map labels to tolerances"):
        tolerances({"nbval": [1]})


def test_a_number_is_compared_by_its_label():
    allowed = Tolerances(labelled={"x": Tolerance(atol=0.2)})
    assert text_difference("0.5 and 0.5", "0.6 and 0.5", lambda _: ["x", "y"], allowed) is None
    assert "(y)" in (text_difference("0.5 and 0.5", "0.5 and 0.6", lambda _: ["x", "y"], allowed) or "")


def test_labels_of_a_table_are_the_same_as_html_and_as_text():
    columns = ["set", "P@k", "loss, mean"]
    markup = "<caption>of 3</caption><tr><th>set</th><th>P@k</th><th>loss, mean</th></tr>"
    markup = f"<table>{markup}<tr><th>8 bit</th><td>0.5 [0.4, 0.6]</td><td>2 of 3</td></tr></table>"
    plain = "of 3\nset    P@k             loss, mean\n8 bit  0.5 [0.4, 0.6]  2 of 3"
    bounds = "bounds of P@k"
    assert labels_of_table(plain, columns) == ["", "set", "P@k", bounds, bounds, "loss, mean", "loss, mean"]
    assert labels_of_html(markup) == labels_of_table(plain, columns)
    assert labels_of_html("<p>3 <b>4</b></p>") == ["", ""]


def test_a_cell_of_words_belongs_to_its_column():
    assert labels_of_table("a  b  c\n1     2.0", ["a", "b", "c"]) == ["a", "c"]


def test_the_rule_of_a_claim_is_compared_word_by_word():
    line = "REPRODUCED   a | Two of 3. | ours 0.50 [0.40, 0.60], n=9 images | rule: at least 0.300\n"
    bounds = "bounds of claim a"
    assert labels_of_lines(line) == ["words", "claim a", bounds, bounds, "claim a", "words"]
    wide = Tolerances(labelled={"*": Tolerance(rtol=0.5, count=5.0)})
    assert apart(line, line.replace("0.50", "0.60").replace("n=9", "n=8"), wide) is None
    assert apart(line, line.replace("0.300", "0.301"), wide) and apart(
        line, line.replace("of 3", "of 4"), wide
    )


def test_labels_of_lines():
    assert labels_of_lines("data behind a map: x 8x7, min 0.1\nsaid 3\n") == ["data behind a map"] * 2 + [""]


def labelled_figures(outputs) -> set[str]:
    return {f"data of {name}" for o in outputs for name in o.get("data", {}).get(DIGEST_TYPE, {})}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_declared_labels_stand_in_the_outputs(path):
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    declared = [
        (c["id"], label, c) for c in cells for label in c["metadata"].get("nbval", {}) if label != ANY
    ]
    missing = [
        (i, label)
        for i, label, c in declared
        if label not in {x for x, _ in labelled_numbers(c["outputs"])} | labelled_figures(c["outputs"])
    ]
    assert not missing, "a column that was renamed, or is gone"


# Claims


def test_stored_lines_of_claims_follow_from_their_rules():
    judged = 0
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            lines = "".join("".join(o.get("text", "")) for o in cell.get("outputs", [])).splitlines()
            for line in lines:
                claim = LEDGER.get(f"{path.stem}.{line[13:].partition(' | ')[0]}")
                if (
                    claim is not None and f"rule: {claim.rule.words()}" in line
                ):  # else stored before the rule changed
                    judged += 1
                    assert misjudged(line, claim) is None
    assert judged > 100


def line_of(claim, verdict, values, intervals):
    ours, rule = said(claim, values, intervals, 9, None)
    return f"{verdict.upper():<12} {claim.id.partition('.')[2]} | {claim.statement} | {ours} | {rule}"


@pytest.mark.parametrize(
    "id", [i for i, c in LEDGER.items() if not c.rule.named and not c.volatile and not c.settings]
)
def test_every_other_verdict_is_wrong(id):
    claim = LEDGER[id]
    verdict = judge(claim.rule, 0.3, interval=(0.29, 0.31))
    for other in ("reproduced", "contradicted", "undecided"):
        found = misjudged(line_of(claim, other, {"": 0.3}, {"": (0.29, 0.31)}), claim)
        assert (found is None) is (other == verdict)


def test_a_verdict_within_the_rounding_is_right():
    claim = next(c for c in LEDGER.values() if c.id == "concepts.gate")
    assert claim.rule == parse({"kind": "at_least", "value": 0.97})
    line = line_of(claim, "reproduced", {"": 0.9704}, {"": (0.97004, 0.98)})
    assert "[0.970, 0.980]" in line and misjudged(line, claim) is None
    assert misjudged(line.replace("REPRODUCED", "UNDECIDED"), claim) is None, (
        "a bound of 0.9698 prints so, too"
    )
    assert misjudged(line.replace("[0.970", "[0.969"), claim) is not None


def test_fresh_lines_are_judged_and_stored_ones_are_not():
    claim = LEDGER["concepts.gate"]
    right = line_of(claim, "reproduced", {"": 0.99}, {"": (0.98, 1.0)})
    wrong = right.replace("ours 0.990", "ours 0.960")
    wide = Tolerances(labelled={"claim gate": Tolerance(atol=0.1)})
    assert printed_difference(right, wrong, wide, {}) is None
    assert "its rule (at least 0.970) says" in (printed_difference(right, wrong, wide, {"gate": claim}) or "")


# Figures


def digest(data):
    """What a figure's output holds about data without names."""
    return digests(data, label="a")["a"]


def test_digests_see_another_order_and_another_shape():
    data = np.random.default_rng(0).random((8, 1, 7, 7))
    stored = {"a": digest(data)}
    assert digest_difference(stored, {"a": digest(data + 0.005)}, Tolerances()) is None
    for other in (data[::-1], 1 - data, data * 1.2, data[:7], data.reshape(8, 49), data + 0.05):
        assert digest_difference(stored, {"a": digest(other)}, Tolerances()) is not None
    assert digest_difference(stored, {"b": digest(data)}, Tolerances()) is not None
    wide = Tolerances(labelled={"data of a": Tolerance(rtol=0.2)})
    assert digest_difference(stored, {"a": digest(data + 0.05)}, wide) is None


def test_digests_of_what_is_not_finite():
    holes = {"a": digest([1.0, np.nan, 3.0])}
    assert json.loads(holes["a"])["grid"] == [1.0, None, 3.0]
    assert digest_difference(holes, holes, Tolerances()) is None
    assert digest_difference(holes, {"a": digest([1.0, 2.0, 3.0])}, Tolerances()) is not None
    empty = {"a": digest([np.inf])}
    assert digest_difference(empty, empty, Tolerances()) is None
    with pytest.raises(ValueError, match="values must be numbers"):
        coarse(["a"])


def test_kinds_of_output_are_compared():
    def shown(**data):
        return [{"output_type": "display_data", "data": {k.replace("_", "/"): v for k, v in data.items()}}]

    assert outputs_difference(shown(text_plain="a"), shown(text_plain="a"), Tolerances()) is None
    assert "kinds of output differ" in str(
        outputs_difference(shown(text_plain="a"), shown(text_html="a"), Tolerances())
    )
    assert "1 outputs are stored, 0 came out" in str(
        outputs_difference(shown(text_plain="a"), [], Tolerances())
    )
