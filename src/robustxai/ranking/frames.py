"""DataFrames, arrays, lists and tensors as a data set: numbers as they are, categories as codes with their levels.

A DataFrame is anything with `columns` whose `frame[name]` can be made an array, as in pandas and polars; neither is
needed. Knows columns and classes; knows nothing about splits, scaling or models.
"""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai.data import Dataset
from robustxai.data.tabular import NA, column

Column = tuple[np.ndarray, tuple[str, ...]]
"""Numbers or codes (n,) in double precision, and the names that codes stand for (none: it is numeric)."""


def as_dataset(data: Any, *, label: Any = None, dtype: torch.dtype | None = None) -> Dataset:
    """A data set, DataFrame or pair (x, y) as a `Dataset`.

    Args:
        data: a `Dataset`, which stays as it is; a DataFrame with a column `label`; or (x, y) with x a DataFrame, an
            array or a list of rows (n, d) of numbers, strings and missing values (None, NaN, NA), or a tensor of
            tables (n, d) or images (n, C, H, W), and y the n classes: integers, strings or booleans.
        label: name of the column of the classes, for a DataFrame only.
        dtype: of x; None keeps that of a tensor, and gives torch's default otherwise.

    A column is a category where one of its values is no number, or where its type says so; levels are in the order of
    the type, else alphabetical. Raises ValueError for columns of other types (dates), classes that are missing or that
    are no classes, and lengths that do not fit.

    >>> as_dataset(([[1.0, "red"], [None, "blue"]], ["no", "yes"])).levels
    ((), ('blue', 'red'))
    """
    if isinstance(data, Dataset):
        if label is not None:
            raise ValueError(f"label must be None for a Dataset, which knows its classes, got {label!r}")
        return data if dtype is None else _cast(data, dtype)
    if _is_frame(data):
        names = _names(data)
        if label is None or label not in names:
            raise ValueError(f"label must be one of the columns {', '.join(map(str, names))}, got {label!r}")
        parts = {str(name): _column(name, data[name]) for name in names if name != label}
        return _dataset(parts, data[label], f"label column {label!r}", dtype)
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(f"data must be a Dataset, a DataFrame or a pair (x, y), got {type(data).__name__}")
    if label is not None:
        raise ValueError(
            f"label must be None for a pair (x, y), whose second part holds the classes, got {label!r}"
        )
    x, y = data
    if _is_frame(x):
        return _dataset({str(name): _column(name, x[name]) for name in _names(x)}, y, "y", dtype)
    if isinstance(x, Tensor) or np.ndim(_array(x)) == 4:
        return _tensor(x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x)), y, dtype)
    rows = _array(x)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"x must be a table (n, d) or images (n, C, H, W), got shape {rows.shape}")
    parts = {f"x{i}": _column(f"x{i}", rows[:, i]) for i in range(rows.shape[1])}
    return _dataset(parts, y, "y", dtype)


def _is_frame(data: Any) -> bool:
    return (
        hasattr(data, "columns")
        and hasattr(data, "__getitem__")
        and not isinstance(data, (Tensor, np.ndarray))
    )


def _names(frame: Any) -> list[Any]:
    names = list(frame.columns)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"data must have different names of columns, got {twice!r} twice")
    return names


def _array(x: Any) -> np.ndarray:
    """Rows as an array; of mixed types, or of strings, as objects."""
    if isinstance(x, np.ndarray):
        return x
    try:
        found = np.asarray(x)
        return np.asarray(x, object) if found.dtype.kind in "USO" else found
    except ValueError as error:
        raise ValueError(
            "x must have the same number of values in every row, got rows that differ"
        ) from error


def _column(name: Any, values: Any) -> Column:
    """One column as numbers, or as codes and levels."""
    levels = _levels(values)
    cells = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if levels is None and cells.dtype.kind in "biuf":
        return cells.astype(np.float64), ()
    if cells.dtype.kind not in "OUSTbiuf":
        raise ValueError(
            f"column {name!r} must hold numbers, booleans or categories, got dtype {cells.dtype}"
        )
    known = [None if _missing(v) else v for v in cells.tolist()]
    if levels is None and all(v is None or isinstance(v, (Real, np.bool_)) for v in known):
        return np.array([np.nan if v is None else float(v) for v in known]), ()
    if levels is None and cells.dtype.kind in "US":
        codes, found = column([str(v).strip() for v in cells.tolist()], missing=NA)
        return np.array(codes), found
    texts = ["" if v is None else str(v) for v in known]
    codes, found = column(texts, levels or tuple(sorted(set(texts) - {""})), missing=("",))
    return np.array(codes), found


def _levels(values: Any) -> tuple[str, ...] | None:
    """The levels of a column whose type has some, as pandas' Categorical."""
    levels = getattr(getattr(values, "dtype", None), "categories", None)
    return None if levels is None or callable(levels) else tuple(map(str, levels))


def _missing(value: Any) -> bool:
    """None, NaN, and what compares like neither true nor false, as pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:
        return True


def _dataset(parts: dict[str, Column], y: Any, name: str, dtype: torch.dtype | None) -> Dataset:
    codes, classes = _classes(y, name)
    lengths = {len(values) for values, _ in parts.values()}
    if not parts or lengths != {len(codes)} or not len(codes):
        raise ValueError(
            f"{name} must have one class for each row of x, got {len(codes)} for {sorted(lengths)} rows"
        )
    x = torch.from_numpy(np.stack([values for values, _ in parts.values()], 1))
    levels = tuple(levels for _, levels in parts.values())
    wanted = torch.get_default_dtype() if dtype is None else dtype
    return Dataset(x.to(wanted), codes, classes, "data", "train", features=tuple(parts), levels=levels)


def _tensor(x: Tensor, y: Any, dtype: torch.dtype | None) -> Dataset:
    codes, classes = _classes(y, "y")
    if x.ndim not in (2, 4) or len(x) != len(codes) or not x.numel():
        raise ValueError(
            f"x must be a table (n, d) or images (n, C, H, W) with one class each, got shape {tuple(x.shape)} and "
            f"{len(codes)} classes"
        )
    x = x.detach()
    if dtype is not None or not x.is_floating_point():
        x = x.to(torch.get_default_dtype() if dtype is None else dtype)
    return Dataset(x, codes.to(x.device), classes, "data", "train")


def _classes(y: Any, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """Codes (n,) and the names of the classes, in the order of their values."""
    values = (
        y.detach().cpu().numpy() if isinstance(y, Tensor) else y.to_numpy() if hasattr(y, "to_numpy") else y
    )
    cells = np.asarray(values, object) if isinstance(values, Sequence) else np.asarray(values)
    if cells.ndim != 1 or not len(cells):
        raise ValueError(f"{name} must hold one class for each row, got shape {cells.shape}")
    found = cells.tolist()
    if any(_missing(v) or (isinstance(v, str) and v in NA) for v in found):
        raise ValueError(f"{name} must hold a class for each row, got missing ones")
    if wrong := next((v for v in found if isinstance(v, float) and not v.is_integer()), None):
        raise ValueError(f"{name} must hold classes, got the number {wrong}")
    found = [int(v) if isinstance(v, float) else v for v in found]
    kinds = {"text" if isinstance(v, str) else "number" for v in found}
    order = sorted(set(found), key=str if len(kinds) > 1 or kinds == {"text"} else None)
    place = {v: i for i, v in enumerate(order)}
    return torch.tensor([place[v] for v in found], device="cpu"), tuple(map(str, order))


def _cast(data: Dataset, dtype: torch.dtype) -> Dataset:
    return replace(data, x=data.x.to(dtype))
