"""Pictures beside bars: one bar a row, and names that fit."""

import pytest
import torch

from robustxai import plots


def test_a_row_has_its_pictures_and_its_bar():
    x = torch.rand(3, 3, 8, 8)
    figure = plots.pictures_and_bars(
        {"a": x, "b": x}, {"a": 0.25, "b": 1.0}, xlabel="score", notes=["x", "y"]
    )
    assert len(figure.axes) == 2 * 4
    bars = [axis for axis in figure.axes if axis.patches]
    assert [axis.patches[0].get_width() for axis in bars] == [0.25, 1.0]
    assert [axis.texts[0].get_text() for axis in bars] == ["0.25  x", "1.00  y"]
    assert bars[-1].get_xlabel() == "score" and bars[0].get_xlim() == (0.0, 1.0)


def test_names_and_counts_must_fit():
    x = torch.rand(3, 3, 8, 8)
    with pytest.raises(ValueError, match=r"rows and values must have the same names, .* got a and b"):
        plots.pictures_and_bars({"a": x}, {"b": 1.0}, xlabel="score")
    with pytest.raises(ValueError, match="as many pictures for each"):
        plots.pictures_and_bars({"a": x, "b": x[:2]}, {"a": 0.0, "b": 1.0}, xlabel="score")
