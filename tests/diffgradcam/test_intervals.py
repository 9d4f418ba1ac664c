"""Intervals of the chapter's claims: over networks and the images that all of them share."""

from math import nan

import pytest
import torch

from robustxai.diffgradcam.study import intervals
from robustxai.diffgradcam.study.compare import Comparison
from robustxai.diffgradcam.study.study import Study
from robustxai.diffgradcam.study.tables import Record, sweep
from robustxai.metrics.statistics import crossed_interval


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def record_of(values, same):
    methods = {name: {"r_base": torch.tensor(v)} for name, v in values.items()}
    comparison = Comparison((1.0, 1.0), 1.0, 0.0, methods, torch.tensor(same))
    return Record("task", "run", 0, comparison, 0.0)


def test_an_image_counts_where_every_network_has_a_value():
    one = record_of({"GradCAM": [0.1, 0.2, 0.3]}, [True, True, True, False])
    two = record_of({"GradCAM": [0.5, 0.6, nan]}, [True, False, True, True])
    found = intervals.values_of([one, two], "GradCAM", "r_base")
    assert found.isnan().tolist() == [[False, False, False, True], [False, True, False, True]]
    assert found[1, 2] == torch.tensor(0.6)
    assert torch.equal(intervals.on_all(found), torch.tensor([[0.1, 0.3], [0.5, 0.6]]))
    row = intervals.for_claim(found)
    assert row["n"] == 2 and row["seeds"] == 2 and row["value"] == pytest.approx(0.375)


def test_gains_are_differences_image_by_image():
    both = {"DiffGradCAM": [0.5, 0.25], "DiffGradCAM max": [1.0, 1.0], "GradCAM": [0.0, 0.5]}
    records = [record_of(both, [True, True])]
    assert intervals.gains(records).tolist() == [[0.5, -0.25]]
    assert intervals.gains(records, "DiffGradCAM max").tolist() == [[1.0, 0.5]]


def test_a_share_is_the_ratio_of_the_means_of_each_network(rng):
    top, below = torch.rand(3, 40, generator=rng), 1 + torch.rand(3, 40, generator=rng)
    top[0, 3] = nan
    found = intervals.shares_of_ceiling(top, below)
    kept = torch.arange(40) != 3
    assert found.shape == (3, 39)
    assert torch.allclose(found.mean(1), top[:, kept].mean(1) / below[:, kept].mean(1))
    same = intervals.shares_of_ceiling(below, below)
    assert torch.allclose(same, torch.ones(3, 40))


def test_the_interval_of_a_share_covers_the_ratio():
    """The linearised ratio: of 200 studies of a known ratio, about 95 % cover it."""
    generator, hits = torch.Generator().manual_seed(0), 0
    for _ in range(200):
        networks = torch.randn(3, 1, generator=generator, dtype=torch.float64) * 0.05
        below = 1 + 0.2 * torch.randn(3, 50, generator=generator, dtype=torch.float64)
        top = (0.5 + networks) * below + 0.1 * torch.randn(3, 50, generator=generator, dtype=torch.float64)
        found = crossed_interval(intervals.shares_of_ceiling(top, below))
        hits += found.low <= 0.5 <= found.high
    assert 180 <= hits <= 199


def test_an_extreme_takes_the_correction_of_all_cells(rng):
    cells = {name: level + torch.rand(3, 20, generator=rng) for name, level in (("low", 0), ("high", 1))}
    least = intervals.extreme_over_both(cells)
    alone = crossed_interval(cells["low"])
    assert least["value"] == pytest.approx(alone.value) and least["interval"][0] < alone.low
    largest = intervals.extreme_over_both(cells, least=False)
    assert largest["value"] == pytest.approx(crossed_interval(cells["high"]).value)
    one = intervals.extreme_over_both({"low": cells["low"]})
    assert one["interval"] == pytest.approx((alone.low, alone.high))
    assert least["n"] == 20 and least["seeds"] == 3
    with pytest.raises(ValueError, match="one or more"):
        intervals.extreme_over_both({})


def test_a_single_network_gives_no_interval(rng):
    row = intervals.extreme_over_both({"a": torch.rand(1, 20, generator=rng)})
    assert all(bound != bound for bound in row["interval"])


def test_settings_are_joined_with_the_fewest_images():
    rows = {name: intervals.for_claim(torch.rand(2, n)) for name, n in (("lse", 9), ("max", 7))}
    joined = intervals.claimed_by_setting(rows)
    assert set(joined["value"]) == set(joined["interval"]) == {"lse", "max"} and joined["n"] == 7


def test_accuracy_lost_is_counted_image_by_image():
    study = Study("animal_colour100", n_test=50)
    found = intervals.accuracy_lost(study, {"sham-scratch": [0, 1]})["sham-scratch"]
    assert found.shape == (2, 50) and set(found.unique().tolist()) <= {-1.0, 0.0, 1.0}
    for row, record in zip(found, sweep(study, ["sham-scratch"], [0, 1]), strict=True):
        assert float(row.mean()) == pytest.approx(record.lost)


def test_accuracy_is_lost_against_the_control_that_is_named():
    study = Study("animal_colour100", n_test=50)
    runs = {"sham-scratch": [0], "sham-full": [0]}
    alone = intervals.accuracy_lost(study, runs)
    against = intervals.accuracy_lost(study, runs, {"sham-scratch": "sham-full"})
    assert torch.equal(against["sham-full"], alone["sham-full"])
    assert torch.equal(against["sham-scratch"], alone["sham-scratch"] - alone["sham-full"])
    itself = intervals.accuracy_lost(study, {"sham-full": [0]}, {"sham-full": "sham-full"})
    assert not itself["sham-full"].any()
