"""plots.scatter and plots.ranking: what is drawn for known numbers, and what is refused."""

import pytest
import torch
from matplotlib.colors import to_hex

from robustxai import plots
from robustxai.plots.style import BLUE, GRID, VERMILION


def test_scatter_draws_each_point_with_its_name():
    figure = plots.scatter(
        {"a": ([1, 2], [3, 4]), "b": (torch.tensor([5.0]), torch.tensor([6.0]))},
        xlabel="x", ylabel="y", names={"a": ["one", "two"]},
    )  # fmt: skip
    (axis,) = figure.axes
    assert [c.get_offsets().tolist() for c in axis.collections] == [[[1, 3], [2, 4]], [[5, 6]]]
    assert [t.get_text() for t in axis.texts] == ["one", "two"]
    with pytest.raises(ValueError, match="series 'a'"):
        plots.scatter({"a": ([1, 2], [3])}, xlabel="x", ylabel="y")


def test_ranking_fills_the_top_and_marks_what_changed():
    before, after = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([4.0, 1.0, 3.0, 2.0])
    figure = plots.ranking({"net": after}, list("pqrs"), k=2, reference={"net": before})
    (axis,) = figure.axes
    assert [to_hex(bar.get_facecolor()).upper() for bar in axis.patches] == [BLUE, GRID, VERMILION, GRID]
    assert [bar.get_width() for bar in axis.patches] == [1, 0.25, 0.75, 0.5]
    assert [t.get_text() for t in axis.texts] == ["× left", "+ new"]
    assert axis.get_title() == "net: 1 of 2 kept"
    with pytest.raises(ValueError, match="panel 'net'"):
        plots.ranking({"net": after}, list("pq"), k=1)


def test_ranking_without_a_reference_marks_nothing():
    figure = plots.ranking({"a": torch.arange(3.0), "b": torch.ones(3)}, list("xyz"), k=1)
    assert [len(a.texts) for a in figure.axes] == [0, 0]
    assert [a.get_title() for a in figure.axes] == ["a", "b"]
