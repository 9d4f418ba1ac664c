"""Missing cells of a table: refused, dropped with their rows, or imputed from the training part; and what was done.

Knows data sets; knows nothing about where they come from.
"""

from dataclasses import replace

import torch
from torch import Tensor

from robustxai.data import Dataset

MISSING = ("refuse", "drop", "impute")
"""What can be done about missing cells."""


def whole(data: Dataset, missing: str) -> tuple[Dataset, str]:
    """The data set without the rows that have missing cells, and a sentence that says how many were dropped.

    With 'impute' a table stays as it is, for `fill_missing`. ValueError for missing cells that are to be refused,
    infinite cells, images with missing values, and where no row is left.
    """
    if bool(data.x.isinf().any()):
        raise ValueError("data must be finite numbers, got infinite cells in " + _named(data, data.x.isinf()))
    holes = data.x.isnan()
    full = ~holes.flatten(1).any(1)
    if bool(full.all()) or (missing == "impute" and data.x.ndim == 2):
        return data, ""
    if missing != "drop":
        raise ValueError(
            f"data must have whole rows, got missing cells (NaN) in {int((~full).sum())} of {len(data)} rows; "
            "pass missing='drop'" + (" or 'impute'" if data.x.ndim == 2 else "")
        )
    if not bool(full.any()):
        raise ValueError(
            f"data has missing cells in all of its {len(data)} rows, so dropping them leaves nothing"
        )
    done = f"{int((~full).sum())} of {len(data)} rows dropped, with missing cells in {_named(data, holes)}"
    return data.subset(full.nonzero()[:, 0]), done


def fill_missing(data: Dataset, train: Tensor) -> tuple[Dataset, str]:
    """Every missing cell of a table filled from the rows `train`, and a sentence that names the columns.

    A number gets the mean, a category the most frequent level, the first of several. ValueError for a column whose
    cells are all missing there.
    """
    x, done = data.x.clone(), []
    for i in data.x.isnan().any(0).nonzero()[:, 0].tolist():
        cells, category = x[train, i], bool(data.levels and data.levels[i])
        known = cells[~cells.isnan()]
        name, holes = _title(data, i), x[:, i].isnan()
        if not len(known):
            raise ValueError(
                f"data has no value of column {name!r} in its training part, so none can be imputed"
            )
        value = torch.bincount(known.long()).argmax().to(x) if category else known.mean()
        x[holes, i] = value
        done.append(
            f"{name} ({int(holes.sum())}: {data.levels[i][int(value)] if category else f'{float(value):.4g}'})"
        )
    return replace(data, x=x), f"missing cells imputed in {', '.join(done)}" if done else ""


def _named(data: Dataset, where: Tensor) -> str:
    if data.x.ndim != 2:
        return "images"
    return ", ".join(_title(data, i) for i in where.any(0).nonzero()[:, 0].tolist())


def _title(data: Dataset, i: int) -> str:
    return data.features[i] if data.features else f"x{i}"
