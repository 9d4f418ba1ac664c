"""From a data set to what a study trains and tests on: split, z-scored, one-hot encoded, with named features.

The preparation of spec 7: 70 to 30 stratified, a validation part inside the 70, numbers z-scored with the
training part's mean and deviation, categories as 0/1 columns. Images are split only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.model_selection import train_test_split
from torch import Tensor

from robustxai.checks import check_count, check_name
from robustxai.data import Dataset, NotAvailable, load
from robustxai.data.tabular import NA, columns, labels, sheet
from robustxai.ranking.frames import as_dataset
from robustxai.ranking.missing_cells import MISSING, fill_missing, whole
from robustxai.ranking.synthetic_table import adult_like

Part = tuple[Tensor, Tensor]
SETS = ("synth", "breast_cancer", "digits", "adult", "bank_marketing", "compas", "mnist", "cifar10")
NO_PROPERTY = ("fnlwgt",)
"""Columns that `load_table` leaves out: a survey weight says nothing about the person."""


@dataclass(frozen=True)
class Table:
    """Three parts (x, y) of a data set: x (n, d) encoded and scaled, or images (n, C, H, W); y (n,) classes.

    `features`: names of the d columns, such as "age" and "sex=Female". `column`: which column of the source
    each came from. `numeric`: whether it was z-scored with `mean` and `std` (0 and 1 elsewhere). `missing`: what was
    done about missing cells, empty if there were none.

    >>> prepare(adult_like(200)).train[0].shape
    torch.Size([112, 28])
    """

    name: str
    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    features: tuple[str, ...] = ()
    column: tuple[int, ...] = ()
    numeric: tuple[bool, ...] = ()
    mean: Tensor | None = None
    std: Tensor | None = None
    note: str = ""
    missing: str = ""

    @property
    def d(self) -> int:
        """The number of features that an explanation ranks: columns, or positions of an image."""
        shape = self.train[0].shape[1:]
        return int(np.prod(shape[1:] if len(shape) == 3 else shape))

    def to(self, device: torch.device | str) -> Table:
        """The same on another device."""
        parts = {name: getattr(self, name) for name in ("train", "validation", "test")}
        moved: dict[str, Part] = {name: (x.to(device), y.to(device)) for name, (x, y) in parts.items()}
        mean, std = (None if v is None else v.to(device) for v in (self.mean, self.std))
        return replace(self, mean=mean, std=std, **moved)

    def without_validation(self) -> Table:
        """The same with the validation part added to the training part, for runs whose weights are fixed beforehand.

        The validation part stays readable, but measures nothing any more.
        """
        x, y = (torch.cat(both) for both in zip(self.train, self.validation, strict=True))
        return replace(self, train=(x, y))

    def __repr__(self) -> str:
        counts = " + ".join(str(len(part[1])) for part in (self.train, self.validation, self.test))
        return f"Table({self.name}: {counts} samples of {self.d}, {len(self.classes)} classes)"


def encode(data: Dataset) -> tuple[Float[Tensor, "n d"], tuple[str, ...], tuple[int, ...], tuple[bool, ...]]:
    """Categories as 0/1 columns, numbers unchanged: (x, names, source column, is it a number).

    A row with a missing category has 0 in all its columns. Raises ValueError for images.
    """
    if data.x.ndim != 2:
        raise ValueError(f"data must be a table (n, columns), got samples of shape {tuple(data.x.shape[1:])}")
    parts, names, source = [], [], []
    titles = data.features or tuple(f"x{i}" for i in range(data.x.shape[1]))
    levels = data.levels or ((),) * len(titles)
    for i, (title, known) in enumerate(zip(titles, levels, strict=True)):
        cells = data.x[:, i]
        one_hot = cells[:, None] == torch.arange(len(known), device=cells.device).to(cells)
        parts.append(one_hot.to(cells) if known else cells[:, None])
        names += [f"{title}={level}" for level in known] or [title]
        source += [i] * max(1, len(known))
    return torch.cat(parts, 1), tuple(names), tuple(source), tuple(not levels[i] for i in source)


def prepare(
    data: Any,
    *,
    label: Any = None,
    seed: SupportsIndex = 0,
    test: float = 0.3,
    validation: float = 0.2,
    missing: str = "refuse",
    dtype: torch.dtype | None = None,
) -> Table:
    """Split, encode and scale a data set (spec 7).

    Args:
        data: a `Dataset`; a DataFrame, whose column `label` holds the classes; or a pair (x, y) of arrays, lists,
            tensors, or a DataFrame and a column, see `as_dataset`.
        label: name of the column of the classes; for a DataFrame only.
        seed: of the stratified split.
        test: share of all samples. validation: share of the rest.
        missing: 'refuse' rows with missing cells; 'drop' them; or 'impute': the training part's mean of a number, its
            most frequent level of a category. What was done is in `Table.missing`.
        dtype: of x; None keeps that of a tensor, and gives torch's default for arrays and DataFrames.

    Raises ValueError for missing cells, for labels of one class or with a class of fewer than 4 samples, and for shares
    outside (0, 1).

    >>> rows, classes = [[20.0 + i, "red" if i % 3 else "blue"] for i in range(40)], [i % 2 for i in range(40)]
    >>> prepare((rows, classes)).features
    ('x0', 'x1=blue', 'x1=red')
    """
    check_name("missing", missing, MISSING)
    for name, share in (("test", test), ("validation", validation)):
        if isinstance(share, str) or not isinstance(share, SupportsFloat) or not 0 < float(share) < 1:
            raise ValueError(f"{name} must be a share in (0, 1), got {share!r}")
    seed = check_count("seed", seed, 0)
    data = as_dataset(data, label=label, dtype=dtype)
    data, done = whole(data, missing)
    sides = _split(data.y, seed=seed, test=test, validation=validation)
    if data.x.ndim == 4:
        train, val, held = ((data.x[i], data.y[i]) for i in sides)
        return Table(data.name, train, val, held, data.classes, note=data.note, missing=done)
    if missing == "impute":
        data, done = fill_missing(data, sides[0])
    x, names, column, numeric = encode(data)
    is_number = torch.tensor(numeric, device=x.device)
    std, mean = torch.std_mean(x[sides[0]], 0, correction=0)
    mean = torch.where(is_number, mean, 0)
    std = torch.where(is_number & (std > 0), std, 1)  # a constant column stays 0
    train, val, held = (((x[i] - mean) / std, data.y[i]) for i in sides)
    return Table(
        data.name, train, val, held, data.classes, names, column, numeric, mean, std, data.note, done
    )


def load_table(
    name: str, *, seed: SupportsIndex = 0, limit: SupportsIndex | None = None, fallback: bool = False
) -> Table:
    """A prepared set by name, one of `SETS`.

    All rows of the source are split anew at `seed`, rows with missing cells are dropped, and so is Adult's
    survey weight. limit: at most so many rows, drawn once for all seeds. fallback: give `synth`, and say so in
    the note, where the set is not on this machine; otherwise NotAvailable is raised.

    >>> load_table("breast_cancer")
    Table(breast_cancer: 318 + 80 + 171 samples of 30, 2 classes)
    """
    check_name("name", name, SETS)
    try:
        data = adult_like() if name == "synth" else _whole(name)
    except NotAvailable:
        if not fallback:
            raise
        data = replace(adult_like(), note=f"synth in place of {name}, which is not on this machine")
    if limit is not None:
        g = torch.Generator().manual_seed(0)
        order = torch.randperm(len(data), generator=g, device=g.device)
        data = data.subset(order[: check_count("limit", limit)])
    return prepare(_leave_out(data, NO_PROPERTY), seed=seed, missing="drop")


def from_csv(path: str | Path, *, label: str, delimiter: str = ",") -> Dataset:
    """A CSV file with a header as a data set; `label` names the column of the classes.

    Columns whose cells are all numbers are numeric, others get levels; empty cells, `?` and what pandas takes for
    missing (NA, NaN, null, ...) are missing. Raises ValueError when there is no such column, a label is missing, or a
    row has more or fewer cells than the header.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "people.csv")
    ...     _ = file.write_text("age,colour,rich\\n31,red,no\\n58,blue,yes\\n")
    ...     from_csv(file, label="rich").classes
    ('no', 'yes')
    """
    header, lines = sheet(Path(path).read_bytes(), name=Path(path).name, delimiter=delimiter)
    check_name("label", label, header)
    at = header.index(label)
    target = [line.pop(at) for line in lines]
    classes = tuple(sorted(set(target)))
    if set(classes) & NA:
        raise ValueError(f"label must name a whole column, got {label!r}, which has missing cells")
    features = tuple(name for i, name in enumerate(header) if i != at)
    if not features:
        raise ValueError(f"{Path(path).name} must have a column besides label {label!r}")
    x, levels = columns(lines, missing=NA)
    return Dataset(
        x, labels(target, classes), classes, Path(path).stem, "train", features=features, levels=levels
    )


def _whole(name: str) -> Dataset:
    """Both splits of a set of the data room, one after the other."""
    train, test = (load(name, split) for split in ("train", "test"))
    return replace(train, x=torch.cat((train.x, test.x)), y=torch.cat((train.y, test.y)))


def _leave_out(data: Dataset, names: tuple[str, ...]) -> Dataset:
    keep = [i for i, name in enumerate(data.features) if name not in names]
    if len(keep) == len(data.features):
        return data
    features, levels = (tuple(part[i] for i in keep) for part in (data.features, data.levels))
    return replace(data, x=data.x[:, keep], features=features, levels=levels)


def _split(y: Int[Tensor, " n"], *, seed: int, test: float, validation: float) -> list[Tensor]:
    """Stratified indices of the training, validation and test part."""
    found, counts = y.unique(return_counts=True)
    if len(found) < 2:
        raise ValueError(f"data must have labels of two classes or more, got one only, {found.tolist()}")
    if counts.min() < 4:
        least = int(found[counts.argmin()])
        raise ValueError(
            f"data must have 4 samples or more of each class, got {int(counts.min())} of class {least}"
        )
    classes = y.cpu().numpy()
    rest, held = train_test_split(np.arange(len(y)), test_size=test, random_state=seed, stratify=classes)
    train, val = train_test_split(rest, test_size=validation, random_state=seed, stratify=classes[rest])
    return [torch.from_numpy(part).to(y.device) for part in (train, val, held)]
