"""Attacks on weights against an honest second network, and the exact shift (T4)."""

import math

import pytest
import torch
from torch import nn

from robustxai.arena.measures import overlap
from robustxai.arena.weights import exact_shift, weight_cells
from robustxai.diffgradcam import GradCAM
from robustxai.diffgradcam.study.recipes import TASKS, scenes
from robustxai.nets.zoo import pretrained

TEST = scenes(TASKS["animals4"], "test", 24)
X, Y = TEST.images, TEST.labels


def net(run: str, seed: int = 0) -> nn.Module:
    return pretrained(f"diffgradcam-animals4-s{seed}-{run}")


CELLS = {
    (c.row, c.attack): c
    for c in weight_cells(
        ["GradCAM", "Saliency"], net("clean"), {"sham-top": net("sham-top"), "itself": net("clean")},
        {"s1": net("clean", 1), "s2": net("clean", 2)}, X, labels=Y, network="animals4-s0",
    )
}  # fmt: skip


def test_p_is_that_of_the_honest_map_and_dropped_images_are_counted() -> None:
    t = net("clean")(X).argmax(1)
    same = net("sham-top")(X).argmax(1) == t
    cell = CELLS["GradCAM", "sham-top"]
    assert cell.dropped == int((~same).sum()) and torch.equal(cell.fooled.isnan(), ~same)
    expected = overlap(GradCAM(net("clean"), "body")(X, t),
                       GradCAM(net("sham-top"), "body")(X, t))  # fmt: skip
    assert torch.equal(cell.fooled[same], expected[same])
    assert torch.equal(CELLS["GradCAM", "itself"].fooled, torch.ones(24))


def test_a_hit_is_below_the_honest_second_network() -> None:
    assert CELLS["GradCAM", "sham-top"].hit and CELLS["GradCAM", "sham-top"].difference.high < 0
    for row in ("GradCAM", "Saliency"):
        itself = CELLS[row, "itself"]
        assert not itself.hit and itself.difference.low > 0 and itself.agreement == 1 and itself.within
    controls = {c.control_name for c in CELLS.values()}
    assert controls <= {"s1", "s2"}
    line = CELLS["GradCAM", "sham-top"].line()
    assert line["hit"] is True and line["n"] == CELLS["GradCAM", "sham-top"].difference.n


def test_holm_goes_over_the_table_and_who_left_the_threat_model_is_no_hit() -> None:
    p = sorted(c.p for c in CELLS.values())
    assert min(c.adjusted for c in CELLS.values()) == pytest.approx(min(1, len(p) * p[0]))
    far = weight_cells(["GradCAM"], net("clean"), {"other": net("sham-top", 1)}, {"s2": net("clean", 2)}, X)[
        0
    ]
    clumsy = nn.Sequential(net("clean")).eval()
    clumsy.gap_layer = "0.body"  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        head = next(m for m in clumsy.modules() if isinstance(m, nn.Linear))
        head.weight.copy_(head.weight.roll(1, 0))
    outside = weight_cells(
        ["GradCAM"], net("clean"), {"rolled": clumsy}, {"s1": net("clean", 1)}, X, labels=Y
    )[0]
    assert not outside.within and not outside.hit and outside.dropped > 12 and far.accuracy_lost == 0
    assert outside.accuracy_lost > 0.5


MOVED = {
    "GradCAM": True,
    "DiffGradCAM (lse)": False,
    "DiffGradCAM (mean)": False,
    "Saliency": False,
    "IG (6)": False,
}


@pytest.mark.parametrize(("row", "moved"), MOVED.items())
def test_an_exact_shift_moves_gradcam_alone(row: str, moved: bool) -> None:
    found = exact_shift(row, net("clean"), X[:6])
    assert found.probability < 1e-12
    assert (found.change > 0.1).all() if moved else (found.change < 1e-6).all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"^controls must hold 1 or more honest second networks, got 0$"):
        weight_cells(["GradCAM"], net("clean"), {}, {}, X)
    with pytest.raises(ValueError, match=r"^rows must be one of "):
        weight_cells(["GradCan"], net("clean"), {}, {"s1": net("clean", 1)}, X)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3 * 56 * 56, 2)).eval()
    with pytest.raises(ValueError, match=r"^model must name the layer that enters pooling"):
        exact_shift("Saliency", plain, X[:2])
    few = weight_cells(["GradCAM"], net("clean"), {"sham": net("sham-top")}, {"s1": net("clean", 1)}, X[:5])[
        0
    ]
    assert math.isnan(few.adjusted) and not few.hit
