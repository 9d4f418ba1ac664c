"""Joining the results of one seed each: intervals over all of them, and nothing that looks surer than it is."""

import json
import math
import sys
from pathlib import Path

import join
import numpy as np
import pytest
from join import joined, joined_claim, joined_interval
from test_claims import entry

from robustxai.claims.ledger import Claim, ledger
from robustxai.metrics import t_interval


@pytest.fixture
def claims(tmp_path: Path) -> dict[str, Claim]:
    """Claims of every form."""
    at_least = {"kind": "at_least", "value": 0.5}
    entries = [
        entry("share", at_least),
        entry("exact", {"kind": "equal", "target": 0, "tol": 0}, unit="exact"),
        entry("parts", at_least, settings=["few", "many"]),
        entry("order", {"kind": "ordering", "order": ["a", "b"]}),
        entry("ratio", {"kind": "ratio_at_least", "of": ["a", "b"], "value": 2}),
    ]
    path = tmp_path / "claims.yml"
    path.write_text(json.dumps({"toy": entries}))
    return ledger(path)


def record(claim: Claim, value: object, interval: object = None, **more: object) -> dict:
    """What one part says of a claim."""
    measured = {"verdict": "undecided", "value": value, "interval": interval, "n": 10, "seeds": 1}
    known = {"id": claim.id, "whose": claim.whose, "unit": claim.unit, "rule": claim.rule_spec}
    return known | {"rule_text": claim.rule.words()} | measured | more


def part(*records: dict, seconds: float = 2.0, **more: object) -> dict:
    """A part's results file."""
    timing = {"seconds": seconds, "peak_memory_mb": 5.0, "date": "2026-01-01"}
    whole = {"chapter": "toy", "profile": "quick", "claims": list(records), "run": {"commit": "abc"}}
    return whole | {"timing": timing, "tables": {"t": [{"x": seconds}]}} | more


def test_an_interval_over_seeds_and_over_what_each_of_them_varies_with() -> None:
    values = [0.6, 0.7, 0.8]
    over = t_interval(values)
    assert joined_interval(values, [None] * 3) == pytest.approx((over.low, over.high))
    low, high = joined_interval(values, [(v - 0.1, v + 0.2) for v in values]) or (0.0, 0.0)
    assert low == pytest.approx(0.7 - math.hypot(0.7 - over.low, 0.1))
    assert high == pytest.approx(0.7 + math.hypot(over.high - 0.7, 0.2))
    assert joined_interval([0.5] * 3, [(0.4, 0.6)] * 3) == pytest.approx((0.4, 0.6)), "it depends on no seed"
    assert joined_interval([0.5], [(0.4, 0.6)]) is None, "one part says nothing of others"


@pytest.mark.parametrize("images", [5, 40])
def test_the_interval_covers_as_often_as_it_says(images: int) -> None:
    """Networks and images vary, every network has the same images: the true mean 0 is inside in 95 % or more."""
    rng, inside, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        table = rng.normal(size=(4, 1)) + rng.normal(size=(1, images)) + rng.normal(size=(4, images))
        own = [t_interval(row) for row in table]
        low, high = joined_interval([i.value for i in own], [(i.low, i.high) for i in own]) or (0.0, 0.0)
        inside += low <= 0 <= high
    assert inside / trials >= 0.93  # three standard errors of 400 trials are 3 %


def test_a_claim_is_judged_on_the_mean_and_its_interval(claims: dict[str, Claim]) -> None:
    claim = claims["toy.share"]
    found = joined_claim([record(claim, v, (v - 0.01, v + 0.01)) for v in (0.8, 0.82, 0.84)], claim)
    assert found["verdict"] == "reproduced" and found["value"] == pytest.approx(0.82)
    assert (found["n"], found["seeds"], found["parts"]) == (10, 3, [0.8, 0.82, 0.84])
    found = joined_claim([record(claim, v) for v in (0.4, 0.8)], claim)
    assert found["verdict"] == "undecided" and found["needs"] is not None
    assert joined_claim([record(claim, 0.9, (0.8, 1))], claim)["verdict"] == "undecided", "one seed"


def test_what_is_exact_must_hold_in_each_part(claims: dict[str, Claim]) -> None:
    claim = claims["toy.exact"]
    assert joined_claim([record(claim, 0), record(claim, 0)], claim)["verdict"] == "reproduced"
    found = joined_claim([record(claim, 0), record(claim, 2), record(claim, 0)], claim)
    assert (found["verdict"], found["value"]) == ("contradicted", 2)


def test_settings_orders_and_ratios_are_joined_by_name(claims: dict[str, Claim]) -> None:
    claim = claims["toy.parts"]
    values = [{"few": 0.9 + s / 100, "many": 0.1 + s / 100} for s in range(3)]
    found = joined_claim([record(claim, v) for v in values], claim)
    assert found["verdict"] == "partly" and found["settings"] == {"few": "reproduced", "many": "contradicted"}
    claim = claims["toy.order"]
    each = [{"a": 0.9 + s / 100, "b": 0.1 + s / 100} for s in range(3)]
    found = joined_claim([record(claim, v, {"a": (0.8, 1), "b": (0, 0.2)}) for v in each], claim)
    assert found["verdict"] == "reproduced" and found["interval"]["b"][1] < found["interval"]["a"][0]
    claim = claims["toy.ratio"]
    found = joined_claim([record(claim, {"a": 3.0 + s, "b": 1.0}) for s in range(3)], claim)
    over = t_interval([3.0, 4.0, 5.0])
    assert found["interval"] == pytest.approx((over.low, over.high)) and found["value"] == {
        "a": 4.0,
        "b": 1.0,
    }


def test_what_a_part_could_not_attempt_is_not_attempted(claims: dict[str, Claim]) -> None:
    claim = claims["toy.share"]
    missing = record(claim, None, verdict="not attempted", reason="needs people")
    found = joined_claim([record(claim, 0.9), missing], claim)
    assert found["verdict"] == "not attempted" and found["reason"] == "in 1 of 2 parts: needs people"
    assert joined_claim([missing, missing], claim)["reason"] == "needs people"


def test_a_joined_file_has_the_parts_in_it_and_refuses_strangers(claims: dict[str, Claim]) -> None:
    claim = claims["toy.share"]
    a, b = (part(record(claim, v), seconds=s) for v, s in ((0.8, 2.0), (0.9, 3.0)))
    whole = joined({"seed 0": a, "seed 1": b}, claims)
    assert whole["timing"]["seconds"] == 5.0 and whole["parts"]["seed 1"]["seconds"] == 3.0
    assert whole["tables"]["t"] == [{"part": "seed 0", "x": 2.0}, {"part": "seed 1", "x": 3.0}]
    for stranger, what in [
        (b | {"run": {"commit": "def"}}, "commit"),
        (b | {"profile": "gpu"}, "profile"),
        (b | {"chapter": "other"}, "chapter"),
        (b | {"claims": []}, "set of claims"),
    ]:
        with pytest.raises(ValueError, match=f"^parts must be of one {what}, got "):
            joined({"seed 0": a, "seed 1": stranger}, claims)


def test_the_command_writes_one_file_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"seed-{s}" / "results" / "toy.json" for s in (0, 1)]
    for path, commit in zip(paths, ("abc", "def"), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(part(run={"commit": commit})))
    out = tmp_path / "seeds-0-1" / "results" / "toy.json"
    monkeypatch.setattr(sys, "argv", ["join.py", "--results", str(out), *map(str, paths)])
    with pytest.raises(SystemExit, match="join: parts must be of one commit, got abc, def"):
        join.main()
    assert not out.exists()
    paths[1].write_text(paths[0].read_text())
    join.main()
    assert list(json.loads(out.read_text())["parts"]) == ["seed 0", "seed 1"]
