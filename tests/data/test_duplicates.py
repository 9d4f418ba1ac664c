"""Near-duplicates share a group, and a group is never parted."""

import numpy as np
import pytest
import torch

from robustxai.data.duplicates import grouped_split, near_duplicates


def pictures(n=30):
    coarse = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")


def test_brighter_and_noisier_twins_are_found_and_nothing_else():
    x = pictures()
    noise = 0.02 * torch.randn(x[:5].shape, generator=torch.Generator().manual_seed(1))
    groups = near_duplicates(torch.cat((x, 0.7 * x[:5] + 0.2 + noise)))
    assert len(set(groups)) == 30
    assert np.array_equal(groups[30:], groups[:5])


def test_chains_are_one_group():
    a, b = pictures(2)
    steps = torch.stack([a + t * (b - a) for t in torch.linspace(0, 1, 40)])
    assert len(set(near_duplicates(steps))) == 1
    assert len(set(near_duplicates(steps[[0, -1]]))) == 2


def test_a_split_keeps_groups_together_and_everything_once():
    groups = np.repeat(np.arange(50), 3)
    train, test = grouped_split(groups)
    assert sorted([*train, *test]) == list(range(150)) and len(test) == 30
    assert not set(groups[train]) & set(groups[test])
    assert not np.array_equal(train, np.sort(train))


def test_a_threshold_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"^threshold must be a number in \(0, 1\), got 1\.5"):
        near_duplicates(pictures(2), threshold=1.5)
