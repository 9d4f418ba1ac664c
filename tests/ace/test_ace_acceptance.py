"""Acceptance tests 16 to 21 of the specification, on the shipped networks of rendered faces. Minutes: `-m slow`."""

import pytest
import torch

from robustxai.ace.metrics import high_frequency_share
from robustxai.ace.study.faces import edit_region, faces, redrawn
from robustxai.ace.study.filter_experiments import bare_filter, with_and_without
from robustxai.ace.study.study import OPTIONS, Study, unseen
from robustxai.metrics import energy_inside
from robustxai.metrics.statistics import mean_ignoring_nan

pytestmark = pytest.mark.slow
N = 64


@pytest.fixture(scope="module")
def judges():
    return Study().judges(0)


@pytest.fixture(scope="module")
def results(judges):
    return with_and_without(judges, unseen(N).images, **OPTIONS)


@pytest.fixture(scope="module")
def means(results):
    rows, _ = results
    return {name: {q: mean_ignoring_nan(v).mean for q, v in row.items()} for name, row in rows.items()}


def test_16_the_bare_filter_keeps_the_decision_and_the_image(judges):
    found = bare_filter(judges, unseen(256).images, judges.filter)
    assert found["agreement"].mean() >= 0.95
    assert found["shift"].mean() < 0.05


def test_17_filtered_attacks_flip(means):
    assert means["filtered"]["flip"] >= 0.9
    assert means["refined"]["flip"] >= 0.8


def test_18_filtered_attacks_transfer(means):
    assert means["filtered"]["transfer"] - means["no filter"]["transfer"] >= 0.3


def test_19_filtered_changes_are_where_a_true_smile_changes(results):
    """In place of half the high frequencies: at 32 pixels a mouth is a line, and a true edit has more than noise."""
    scenes, found = unseen(N), results[1]
    x, region = scenes.images, edit_region(scenes, "smile")
    true = high_frequency_share(x, redrawn(scenes, "smile")).mean()
    assert true > 1.5 * high_frequency_share(x, found["no filter"].pre).nanmean()
    inside = {k: energy_inside((v.pre - x).abs().sum(1), region).nanmean() for k, v in found.items()}
    assert inside["filtered"] >= 2 * inside["no filter"]


def test_20_refinement_changes_fewer_pixels_at_little_cost(means):
    assert means["refined"]["l0"] <= 0.7 * means["filtered"]["l0"]
    assert means["refined"]["flip"] >= means["filtered"]["flip"] - 0.1


def test_21_only_filtered_attacks_survive_purification(means):
    assert means["no filter"]["purified"] <= 0.3
    assert means["filtered"]["purified"] >= 0.8


def test_the_networks_are_left_as_they_were(judges):
    net = judges.classifier
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with_and_without(judges, faces("test", 4).images, **(OPTIONS | {"steps": 3}))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
