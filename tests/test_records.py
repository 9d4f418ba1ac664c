"""Rows and numbers over seeds and images: what they reduce, in which order, and what they refuse."""

import math
from math import isnan

import pytest
import torch

from robustxai.metrics import Interval, bootstrap_interval, t_interval
from robustxai.records import Rows, as_claim, joined_rows, over_images, over_seeds, paired, select, triple

NAN = float("nan")
SEEDS = [0.1, 0.7, 0.30000000000000004]


def rows(*values: float) -> Rows:
    return {"a": {"q": torch.tensor(values)}, "b": {"q": -torch.tensor(values), "r": torch.ones(len(values))}}


def test_over_seeds_is_the_t_interval_of_the_values_in_their_order() -> None:
    expected = t_interval(SEEDS)
    assert over_seeds(SEEDS) == over_seeds(v for v in SEEDS) == over_seeds(iter(SEEDS)) == expected
    mean, sd = sum(SEEDS) / 3, math.sqrt(sum((v - sum(SEEDS) / 3) ** 2 for v in SEEDS) / 2)
    assert expected.high - mean == pytest.approx(4.302652729911275 * sd / math.sqrt(3))
    assert (expected.method, expected.n, expected.skipped) == ("t", 3, 0)


@pytest.mark.parametrize(
    ("values", "n", "skipped"), [([], 0, 0), ([0.5], 1, 0), ([0.5, NAN], 1, 1), ([NAN, NAN], 0, 2)]
)
def test_fewer_than_two_seeds_have_no_bounds(values: list[float], n: int, skipped: int) -> None:
    found = over_seeds(values)
    assert (found.n, found.skipped, found.method) == (n, skipped, "none")
    assert math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(found.value) is (n == 0)


def test_whole_numbers_are_numbers() -> None:
    assert over_seeds([1, 2, 3]) == over_seeds([1.0, 2.0, 3.0])
    assert paired([1, 2], [0, 3]) == paired([1.0, 2.0], [0.0, 3.0])


def test_an_infinite_value_is_refused() -> None:
    with pytest.raises(ValueError, match="infinit"):
        over_seeds([0.5, math.inf])
    with pytest.raises(ValueError, match="infinit"):
        over_images(rows(1.0, math.inf))


def test_a_difference_is_paired_seed_by_seed() -> None:
    ours, theirs = [0.9, 0.8, 0.4], [0.5, 0.6, 0.1]
    expected = t_interval([a - b for a, b in zip(ours, theirs, strict=True)])
    assert paired(ours, theirs) == paired(iter(ours), (v for v in theirs)) == expected
    alone = over_seeds(ours).value - over_seeds(theirs).value
    assert expected.value == pytest.approx(alone)
    assert expected.high - expected.low < over_seeds(ours).high - over_seeds(ours).low


def test_pairs_need_as_many_seeds() -> None:
    for ours, theirs in ((SEEDS, SEEDS[:2]), (SEEDS[:2], SEEDS)):
        with pytest.raises(ValueError, match="zip"):
            paired(ours, theirs)


def test_a_triple_is_value_low_high() -> None:
    assert triple(Interval(2.0, 1.0, 4.0, 9, 0, "t")) == (2.0, 1.0, 4.0)


def test_rows_join_in_order_and_keep_every_value() -> None:
    whole = joined_rows([rows(1.0, NAN), rows(2.0), rows(3.0, 4.0)])
    assert whole["a"]["q"].nan_to_num(-1).tolist() == [1.0, -1.0, 2.0, 3.0, 4.0]
    assert whole["b"]["q"].nan_to_num(-1).tolist() == [-1.0, -1.0, -2.0, -3.0, -4.0]
    assert whole["b"]["r"].shape == (5,) and list(whole) == ["a", "b"] and list(whole["b"]) == ["q", "r"]


def test_rows_of_different_kinds_do_not_join() -> None:
    with pytest.raises(KeyError, match="'b'"):
        joined_rows([rows(1.0), {"a": {"q": torch.ones(1)}}])
    with pytest.raises(KeyError, match="'r'"):
        joined_rows([rows(1.0), {"a": {"q": torch.ones(1)}, "b": {"q": torch.ones(1)}}])
    with pytest.raises(IndexError):
        joined_rows([])


def test_lines_over_images_have_the_bootstrap_interval_of_every_quantity() -> None:
    values = (0.25, 1.0, 0.5, NAN, 0.75)
    first, second = over_images(rows(*values), "start")
    assert list(first) == ["start", "q"] and list(second) == ["start", "q", "r"]
    assert (first["start"], second["start"]) == ("a", "b")
    assert first["q"] == triple(bootstrap_interval(torch.tensor(values)))
    assert second["r"] == (1.0, 1.0, 1.0)
    (line,) = over_images({"x": {}})
    assert line == {"method": "x"}


def test_a_claim_is_told_what_it_takes() -> None:
    found = over_seeds(SEEDS)
    told = as_claim(found, n=100, seeds=3, arm="control")
    assert told == {
        "value": found.value, "interval": (found.low, found.high), "n": 100, "seeds": 3, "arm": "control"
    }  # fmt: skip
    assert as_claim(found, n=None, seeds=None)["seeds"] is None


def test_a_claim_of_one_seed_has_bounds_that_decide_nothing() -> None:
    assert all(map(isnan, as_claim(over_seeds([0.5]), n=10, seeds=1)["interval"]))
    assert as_claim(over_seeds([0.5, 0.5]), n=10, seeds=2)["interval"] == (0.5, 0.5)


def test_records_are_selected_by_the_values_that_are_given() -> None:
    numbers = [1 + 2j, 1 - 2j, 3j]
    assert select(numbers, real=1.0) == [1 + 2j, 1 - 2j]
    assert select(numbers, real=1.0, imag=-2.0) == [1 - 2j]
    assert select(numbers, real=None) == select(numbers) == numbers
    with pytest.raises(AttributeError, match=r"'colour'$"):
        select(numbers, colour="red")
