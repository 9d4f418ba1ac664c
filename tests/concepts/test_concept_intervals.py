"""Intervals of the chapter's claims: extremes for all cells together, shares that vary with networks and sets."""

import math

import pytest
import torch

from robustxai.concepts.study.intervals import (
    counted,
    least_of,
    least_share,
    most_changed,
    of_networks,
    setting_shares,
    share_of_cells,
)
from robustxai.metrics.statistics import share_interval


def test_the_largest_change_is_one_in_size_and_its_interval_is_wider_than_that_of_one():
    up = torch.tensor([0.1, 0.2, 0.3, 0.2])
    down = torch.tensor([-0.5, -0.3, -0.4, -0.4])
    found = most_changed({"up": up, "down": down})
    alone = most_changed({"down": down})
    assert found["value"] == pytest.approx(0.4) == alone["value"] and found["n"] == 4
    low, high = found["interval"]
    assert 0 <= low < alone["interval"][0] and high > alone["interval"][1]


def test_a_share_of_alike_answers_has_the_exact_interval_and_never_leaves_its_range():
    none = share_of_cells([[False] * 10] * 3)
    assert none["value"] == 0 and none["interval"] == share_interval(0, 30) and none["n"] == 3
    apart = share_of_cells([[True] * 10, [False] * 10, [True] * 10])
    assert apart["interval"] == (0, 1)  # networks that disagree, whatever the number of sets
    assert all(math.isnan(end) for end in share_of_cells([[True, False]])["interval"])


def test_the_least_share_leaves_out_what_nobody_answered():
    found = least_share([counted([True] * 6), counted([]), counted([True] * 3 + [False] * 3)])
    assert found["value"] == 0.5 and found["n"] == 6
    assert found["interval"][0] == share_interval(3, 6, confidence=0.975)[0]
    assert least_share([(0, 0)])["n"] == 0 and math.isnan(least_share([])["value"])


def test_networks_settings_and_the_least_mean():
    assert of_networks(v for v in (0.1, 0.3))["n"] == 2
    assert least_of({"a": [0.4, 0.6], "b": [0.9, 0.9]})["value"] == 0.5
    found = setting_shares({"small": [False] * 6, "large": [True] * 3 + [False] * 3})
    assert found["value"] == {"small": 0, "large": 0.5} and found["interval"]["small"][0] == 0
    with pytest.raises(ValueError, match="n must be an integer >= 1"):
        setting_shares({"small": []})
