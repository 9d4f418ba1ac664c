"""Active fooling on pictures of two objects: the pictures, the measure, and an attack that moves the maps."""

import pytest
import torch

from robustxai.diffgradcam.study import active_fooling
from robustxai.diffgradcam.study.study import Study


def test_composites_hold_both_classes_left_and_right_by_turns():
    x = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 2, 2)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    pairs, left = active_fooling.composites(x, y, 0, 2)
    assert pairs.shape == (2, 1, 2, 4)
    assert pairs[:, 0, 0].tolist() == [[0, 0, 2, 2], [5, 5, 3, 3]]
    assert left.tolist() == [True, False]
    with pytest.raises(ValueError, match="both classes 0 and 7"):
        active_fooling.composites(x, y, 0, 7)


def test_an_honest_network_shows_each_class_on_its_own_object():
    study = Study("animals4", n_test=120)
    honest = study.honest(0)
    for row in active_fooling.swapped(study, honest, honest, 0, 1).values():
        assert row["own before"] > 0.8
        assert row["own after"] == row["own before"] and row["r_base"] == pytest.approx(1, abs=1e-5)
        assert row["r_swap"] < 0


def test_the_attack_moves_the_evidence_and_keeps_the_labels():
    study = Study("animals4", n_test=120)
    before = {k: v.clone() for k, v in study.honest(0).state_dict().items()}
    fooled = {0: active_fooling.fool_actively(study, 0, 0, 1, images=300, epochs=6)}
    rows = active_fooling.active_rows(study, fooled, 0, 1)
    for row in rows:
        assert row["own after"][0] < row["own before"][0] - 0.15
        assert row["r_swap"][0] > -0.3 and row["accuracy lost"] < 0.1
    assert all(torch.equal(v, before[k]) for k, v in study.honest(0).state_dict().items())
