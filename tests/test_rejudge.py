"""workflow/rejudge.py: stored numbers under the ledger of today."""

import dataclasses

import pytest
import rejudge

from robustxai.claims.ledger import Claim
from robustxai.claims.rules import parse

SPEC = {"kind": "at_least", "value": 0.9}
CLAIM = Claim(
    id="toy.a", whose="paper", paper="Nobody 2020", where="abstract", statement="A holds.", paper_value="not stated",
    measured="a", unit="images", rule=parse(SPEC), profiles=("real",), rule_spec=SPEC,
)  # fmt: skip
RECORD = {
    "id": "toy.a",
    "verdict": "partly",
    "rule": SPEC,
    "rule_text": "old",
    "value": 0.95,
    "n": 20,
    "seeds": 3,
}


@pytest.mark.parametrize(
    ("interval", "verdict", "needs"),
    [([0.92, 0.98], "reproduced", None), ([0.85, 1.05], "undecided", 5), (None, "undecided", None)],
)
def test_numbers_stay_and_words_follow_the_rules_of_today(interval, verdict, needs):
    new = rejudge.rejudged(RECORD | {"interval": interval}, CLAIM)
    assert (new["verdict"], new["needs"], new["whose"], new["unit"]) == (verdict, needs, "paper", "images")
    assert (new["value"], new["interval"], new["n"], new["seeds"]) == (0.95, interval, 20, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"history": ("Judged another row until today.",)},
        {"premise": "it does"},
        {"settings": ("one", "two")},
        {"rule": parse(SPEC | {"value": 0.8}), "rule_spec": SPEC | {"value": 0.8}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_not_measured_has_no_verdict(change):
    new = rejudge.rejudged(RECORD | {"interval": [0.92, 0.98]}, dataclasses.replace(CLAIM, **change))
    assert new["verdict"] == "not attempted" and new["reason"] == rejudge.OLDER
    assert not {"value", "interval", "n", "seeds"} & new.keys()
    assert new["earlier"] == {"value": 0.95, "interval": [0.92, 0.98], "n": 20, "seeds": 3, "rule": "old"}
    assert rejudge.rejudged(new, dataclasses.replace(CLAIM, **change)) == new, "twice is as once"


def test_a_skip_stays_a_skip():
    skipped = {
        "id": "toy.a",
        "verdict": "not attempted",
        "reason": "no data",
        "rule": SPEC,
        "rule_text": "old",
    }
    new = rejudge.rejudged(skipped, CLAIM)
    assert (new["verdict"], new["reason"], new["whose"]) == ("not attempted", "no data", "paper")
