"""DataFrames, arrays, lists and tensors as tables; missing cells imputed from the training part, and named."""

import numpy as np
import pytest
import torch
from torch import Tensor

from robustxai.data import Dataset
from robustxai.nets import MLP
from robustxai.ranking import fit_regularised, prepare
from robustxai.ranking.frames import as_dataset
from robustxai.ranking.prepared_table import encode

N = 40
AGE = [20.0 + i for i in range(N)]
TOWN = ["Ulm" if i % 3 else "Bonn" for i in range(N)]
BUYS = ["yes" if i % 2 else "no" for i in range(N)]


class Column:
    """As little of a DataFrame's column as is needed."""

    def __init__(self, values):
        self.values = np.asarray(values, object) if isinstance(values, list) else values

    def to_numpy(self):
        return self.values


class Frame:
    """As little of a DataFrame as is needed."""

    def __init__(self, columns, names=None):
        self.data, self.columns = columns, names or list(columns)

    def __getitem__(self, name):
        return Column(self.data[name])


def same(a: Dataset, b: Dataset) -> bool:
    return (
        torch.equal(a.x.nan_to_num(-9), b.x.nan_to_num(-9)) and torch.equal(a.y, b.y) and a.levels == b.levels
    )


def test_a_frame_is_what_the_same_lists_are():
    frame = as_dataset(Frame({"age": AGE, "town": TOWN, "buys": BUYS}), label="buys")
    lists = as_dataset((list(map(list, zip(AGE, TOWN, strict=True))), BUYS))
    assert same(frame, lists) and frame.classes == ("no", "yes") and frame.features == ("age", "town")
    assert frame.levels == ((), ("Bonn", "Ulm")) and frame.x.dtype == torch.float32
    assert torch.equal(frame.x[:, 0], torch.tensor(AGE)) and frame.y[:3].tolist() == [0, 1, 0]
    t = prepare(Frame({"age": AGE, "town": TOWN, "buys": BUYS}), label="buys")
    assert t.features == ("age", "town=Bonn", "town=Ulm") and t.missing == ""
    assert same(as_dataset((Frame({"age": AGE, "town": TOWN}), Column(BUYS))), frame)


def test_pandas_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": AGE, "town": TOWN, "ok": [i % 4 == 0 for i in range(N)], "buys": BUYS})
    frame.loc[3, "age"], frame.loc[5, "town"] = np.nan, None
    found = as_dataset(frame, label="buys")
    assert found.x[3, 0].isnan() and found.x[5, 1].isnan() and set(found.x[:, 2].tolist()) == {0, 1}
    frame["size"] = pd.Categorical(["S", "L"] * (N // 2), categories=["S", "M", "L"], ordered=True)
    frame["count"] = pd.array([None, *range(1, N)], dtype="Int64")
    found = as_dataset(frame, label="buys")
    assert found.levels[3] == ("S", "M", "L") and found.x[:2, 3].tolist() == [0, 2]
    assert found.x[0, 4].isnan() and found.x[5, 4] == 5 and found.levels[4] == ()
    frame["when"] = pd.Timestamp("2020-01-01")
    with pytest.raises(
        ValueError, match=r"^column 'when' must hold numbers, booleans or categories, got dtype datetime64"
    ):
        as_dataset(frame, label="buys")


@pytest.mark.parametrize(
    "x",
    [
        np.array([AGE, [1.0] * N]).T,
        torch.tensor([AGE, [1.0] * N], dtype=torch.float64).T,
        np.array([AGE, [1.0] * N]).T.astype(object),
        np.array([AGE, [1.0] * N]).T.astype(str),
        [[a, 1] for a in AGE],
    ],
)
def test_arrays_of_numbers_keep_a_tensors_dtype_and_else_get_the_default(x):
    t = prepare((x, BUYS))
    assert t.features == ("x0", "x1") and t.numeric == (True, True)
    assert t.train[0].dtype == (torch.float64 if isinstance(x, Tensor) else torch.float32)
    assert prepare((x, BUYS), dtype=torch.float64).train[0].dtype == torch.float64
    assert fit_regularised(MLP(2).to(t.train[0].dtype), t, epochs=1).kept == 0


def test_double_precision_holds_what_single_does_not():
    x = torch.tensor([[1e9 + i, float(i % 2)] for i in range(N)], dtype=torch.float64)
    t = prepare((x, np.arange(N) % 2))
    assert t.mean is not None and t.std is not None and t.std.dtype == torch.float64
    back = torch.cat([part[0] for part in (t.train, t.validation, t.test)]) * t.std + t.mean
    torch.testing.assert_close(back[:, 0].sort().values, x[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([i % 2 for i in range(N)], ("0", "1")),
        (np.arange(N) % 3 + 4, ("4", "5", "6")),
        (np.array([float(i % 2) for i in range(N)]), ("0", "1")),
        (np.arange(N) % 2 == 0, ("False", "True")),
        (torch.arange(N) % 2, ("0", "1")),
        (np.array([9, 10] * (N // 2)), ("9", "10")),
        (BUYS, ("no", "yes")),
    ],
)
def test_classes_of_any_kind(y, classes):
    found = as_dataset((np.array([AGE]).T, y))
    assert found.classes == classes and found.y.dtype == torch.int64
    values = y.tolist() if hasattr(y, "tolist") else y
    assert [classes[i].removesuffix(".0") for i in found.y] == [str(v).removesuffix(".0") for v in values]


def test_images_are_split_only():
    x = np.random.default_rng(0).random((N, 1, 4, 4))
    t = prepare((x, BUYS))
    assert t.train[0].shape[1:] == (1, 4, 4) and t.mean is None and t.d == 16


def test_missing_cells_are_imputed_from_the_training_part_and_named():
    rows = [[a, t] for a, t in zip(AGE, TOWN, strict=True)]
    clean = prepare((rows, BUYS))
    holes = [list(r) for r in rows]
    for i in (1, 7, 22):
        holes[i][0] = None
    holes[4][1] = float("nan")
    with pytest.raises(
        ValueError,
        match=r"^data must have whole rows, got missing cells \(NaN\) in 4 of 40 rows; .*'drop' or 'impute'$",
    ):
        prepare((holes, BUYS))
    t = prepare((holes, BUYS), missing="impute")
    assert "x0 (3: " in t.missing and "x1 (1: Ulm)" in t.missing
    assert sum(len(y) for _, y in (t.train, t.validation, t.test)) == N
    assert all(
        x.isfinite().all() and (x[:, 1:].sum(1) == 1).all() for x, _ in (t.train, t.validation, t.test)
    )
    assert torch.equal(t.train[1], clean.train[1]), "the split is that of the whole table"
    data = as_dataset((holes, BUYS))
    raw = encode(data)[0][:, 0]
    filled = torch.cat([p[0] for p in (t.train, t.validation, t.test)])[:, 0] * t.std[0] + t.mean[0]
    missing = [v for v in filled.tolist() if not any(abs(v - a) < 1e-3 for a in raw.nan_to_num(-9).tolist())]
    assert len(set(round(v, 2) for v in missing)) <= 1, "one value, the mean, for all"
    drop = prepare((holes, BUYS), missing="drop")
    assert drop.missing == "4 of 40 rows dropped, with missing cells in x0, x1"
    assert sum(len(y) for _, y in (drop.train, drop.validation, drop.test)) == N - 4


def test_what_is_missing_everywhere_in_training_cannot_be_imputed():
    x = np.full((N, 2), np.nan)
    x[:, 0] = AGE
    with pytest.raises(ValueError, match=r"^data has no value of column 'x1' in its training part"):
        prepare((x, BUYS), missing="impute")
    with pytest.raises(ValueError, match=r"^data has missing cells in all of its 40 rows"):
        prepare((x, BUYS), missing="drop")
    x[:, 1] = np.inf
    with pytest.raises(ValueError, match=r"^data must be finite numbers, got infinite cells in x1"):
        prepare((x, BUYS))


def test_bad_input_is_one_sentence(as_shipped):
    frame = Frame({"age": AGE, "buys": BUYS})
    rows = np.array([AGE]).T
    for call, words in (
        (lambda: prepare(frame), "label must be one of the columns age, buys, got None"),
        (lambda: prepare(frame, label="sells"), "label must be one of the columns age, buys, got 'sells'"),
        (
            lambda: prepare(Frame({"a": AGE}, ["a", "a"]), label="a"),
            "data must have different names of columns",
        ),
        (lambda: prepare((rows, BUYS), label="x0"), r"label must be None for a pair \(x, y\)"),
        (lambda: prepare(rows), r"data must be a Dataset, a DataFrame or a pair \(x, y\), got ndarray"),
        (lambda: prepare((rows, BUYS[:5])), "y must have one class for each row of x, got 5"),
        (lambda: prepare((torch.tensor(rows), BUYS[:5])), "x must be a table"),
        (lambda: prepare((np.array(AGE), BUYS)), "x must be a table"),
        (lambda: prepare(([[1, 2], [3]], [0, 1])), "x must have the same number of values in every row"),
        (lambda: prepare((rows, [None, *BUYS[1:]])), "y must hold a class for each row, got missing ones"),
        (lambda: prepare((rows, np.linspace(0, 1, N))), "y must hold classes, got the number"),
        (lambda: prepare((rows, rows)), "y must hold one class for each row"),
        (lambda: prepare((rows.astype(complex), BUYS)), "column 'x0' must hold numbers"),
        (lambda: prepare((rows, BUYS), seed=-1), "seed must be an integer >= 0, got -1"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
