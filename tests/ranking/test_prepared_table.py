"""Preparation of tables and the drawn table: shares, scaling on the training part, names, known truth, bad input."""

from dataclasses import replace

import pytest
import torch

from robustxai.data import Dataset, NotAvailable
from robustxai.ranking.prepared_table import encode, from_csv, load_table, prepare
from robustxai.ranking.synthetic_table import FEATURES, adult_like, coefficients, important, log_odds

NAN = torch.nan


def small(n: int = 60) -> Dataset:
    g = torch.Generator().manual_seed(3)
    x = torch.stack((5 + 3 * torch.randn(n, generator=g), torch.arange(n) % 3, torch.full((n,), 7.0)), 1)
    return Dataset(
        x, torch.arange(n) % 2, ("no", "yes"), "small", "train", features=("age", "town", "same"),
        levels=((), ("Bonn", "Köln", "Ulm"), ()),
    )  # fmt: skip


def test_parts_are_a_stratified_partition_that_the_seed_decides():
    data = adult_like()
    t, again, other = prepare(data), prepare(data), prepare(data, seed=1)
    assert repr(t) == "Table(synth: 1680 + 420 + 900 samples of 28, 2 classes)"
    assert torch.equal(t.train[0], again.train[0]) and not torch.equal(t.test[0], other.test[0])
    rows = torch.cat([x for x, _ in (t.train, t.validation, t.test)]) * t.std + t.mean
    torch.testing.assert_close(rows.sort(0).values, encode(data)[0].sort(0).values, atol=1e-5, rtol=0)
    for _, y in (t.train, t.validation, t.test):
        assert y.float().mean().item() == pytest.approx(data.y.float().mean().item(), abs=0.002)


def test_the_validation_part_can_join_the_training_part():
    t = prepare(small())
    whole = t.without_validation()
    assert torch.equal(whole.train[0], torch.cat((t.train[0], t.validation[0])))
    assert torch.equal(whole.train[1], torch.cat((t.train[1], t.validation[1])))
    assert torch.equal(whole.test[0], t.test[0]) and torch.equal(whole.mean, t.mean)


def test_a_table_goes_to_another_device():
    there = prepare(small()).to("meta")
    assert {v.device.type for v in (*there.train, *there.validation, *there.test, there.mean)} == {"meta"}


def test_numbers_are_scaled_on_the_training_part_and_categories_stay_zero_or_one():
    t = prepare(small())
    x, held = t.train[0], t.test[0]
    assert t.features == ("age", "town=Bonn", "town=Köln", "town=Ulm", "same")
    assert t.column == (0, 1, 1, 1, 2) and t.numeric == (True, False, False, False, True)
    torch.testing.assert_close(x[:, 0].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(x[:, 0].std(correction=0), torch.tensor(1.0))
    assert abs(held[:, 0].mean()) > 1e-4  # scaled with the training part's numbers, not its own
    for part in (x, held):
        assert set(part[:, 1:4].flatten().tolist()) == {0, 1} and (part[:, 1:4].sum(1) == 1).all()
        assert (part[:, 4] == 0).all()  # a constant column has no unit
    codes = small().x[:, 1]
    assert torch.equal(encode(small())[0][:, 1:4].argmax(1), codes.long())


def test_images_are_split_only():
    x = torch.rand(40, 1, 3, 3)
    t = prepare(Dataset(x, torch.arange(40) % 2, ("a", "b"), "images", "train"))
    assert t.d == 9 and t.mean is None and t.train[0].shape[1:] == (1, 3, 3)
    assert 0 <= t.train[0].min() and t.train[0].max() <= 1
    with pytest.raises(
        ValueError, match=r"^data must be a table \(n, columns\), got samples of shape \(1, 3, 3\)"
    ):
        encode(Dataset(x, torch.arange(40) % 2, ("a", "b"), "images", "train"))


def test_rows_with_missing_cells_are_refused_or_dropped():
    data = small()
    x = data.x.clone()
    x[0, 0], x[7, 1] = NAN, NAN
    holes = replace(data, x=x)
    with pytest.raises(
        ValueError,
        match=r"^data must have whole rows, got missing cells \(NaN\) in 2 of 60 rows; .* missing='drop' or 'impute'$",
    ):
        prepare(holes)
    t = prepare(holes, missing="drop")
    assert sum(len(y) for _, y in (t.train, t.validation, t.test)) == 58
    assert all(part[0].isfinite().all() for part in (t.train, t.validation, t.test))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            dict(y=torch.ones(60, dtype=torch.int64)),
            {},
            r"^data must have labels of two classes or more, got one only, \[1\]",
        ),
        (
            dict(y=(torch.arange(60) < 3).long()),
            {},
            r"^data must have 4 samples or more of each class, got 3 of class 1$",
        ),
        ({}, dict(test=1.0), r"^test must be a share in \(0, 1\), got 1.0$"),
        ({}, dict(validation=0), r"^validation must be a share in \(0, 1\), got 0$"),
        ({}, dict(missing="guess"), r"^missing must be one of refuse, drop, impute, got 'guess'$"),
    ],
)
def test_bad_input_is_one_sentence(as_shipped, change, options, message):
    with pytest.raises(ValueError, match=message):
        prepare(replace(small(), **change), **options)


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "people.csv"
    body = "\n".join(f"{30 + i}, {'red' if i % 3 else 'blue'}, {'yes' if i % 2 else 'no'}" for i in range(20))
    path.write_text(f"age,colour,buys\n{body}\n,red,no\n\n", encoding="utf-8")
    data = from_csv(path, label="buys")
    assert data.features == ("age", "colour") and data.levels == ((), ("blue", "red"))
    assert data.classes == ("no", "yes") and data.y[:3].tolist() == [0, 1, 0] and data.x[-1, 0].isnan()
    assert prepare(data, missing="drop").d == 3
    with pytest.raises(ValueError, match=r"^label must be one of age, colour, buys, got 'sells'$"):
        from_csv(path, label="sells")
    with pytest.raises(
        ValueError, match=r"^label must name a whole column, got 'age', which has missing cells"
    ):
        from_csv(path, label="age")


def test_files_of_other_programs(tmp_path):
    """A byte-order mark, missing cells as pandas knows them, and rows of the wrong length."""
    path = tmp_path / "f.csv"
    body = "\n".join(f"{i % 2},{'NA' if i == 3 else i},{'x' if i % 3 else 'null'}" for i in range(40))
    path.write_bytes(b"\xef\xbb\xbfy,a,b\n" + body.encode())
    data = from_csv(path, label="y")
    assert data.levels == ((), ("x",)) and data.x[3, 0].isnan() and data.x[0, 1].isnan() and data.x[4, 0] == 4
    t = prepare(data, missing="impute")
    assert t.missing.startswith("missing cells imputed in a (1: ") and "b (14: x)" in t.missing
    path.write_text("a,y\n1,0\n2\n")
    with pytest.raises(
        ValueError, match=r"^f\.csv must have 2 cells in every row, as its header, got 1 in line 3$"
    ):
        from_csv(path, label="y")
    path.write_text("y\n1\n2\n")
    with pytest.raises(ValueError, match=r"^f\.csv must have a column besides label 'y'$"):
        from_csv(path, label="y")


def test_synth_is_one_table_and_its_truth_is_a_gradient():
    data = adult_like()
    assert torch.equal(data.x, adult_like().x) and data.features == FEATURES
    assert not torch.equal(data.x, adult_like(generator=torch.Generator().manual_seed(1)).x)
    assert (data.y == 1).float().mean().item() == pytest.approx(0.5, abs=0.02)
    x = encode(data)[0].requires_grad_()
    (g,) = torch.autograd.grad(log_odds(x).sum(), x)
    assert ((g != 0).any(0)).tolist() == list(important()) and sum(important()) == 24
    assert torch.corrcoef(data.x[:, :2].T)[0, 1].item() == pytest.approx(0.5, abs=0.05)


def test_the_score_is_the_formula():
    x = torch.zeros(1, 28)
    x[0, [2, 3, 4, 5, 6]] = torch.tensor([0.5, 2.0, 0.3, 1.5, -2.0])
    x[0, [8, 12, 17, 20, 24]] = 1  # the first level of every category
    w = coefficients()
    linear = 0.5 * w[2] + 2 * w[3] + 0.3 * w[4] + 1.5 * w[5] - 2 * w[6] + w[[8, 12, 17, 20, 24]].sum()
    curved = 1.2 * torch.tanh(torch.tensor(1.0)) + torch.sin(torch.tensor(0.6)) + 1.5 - 0.8 * 4
    torch.testing.assert_close(log_odds(x), (linear + curved)[None])
    assert not torch.equal(w, coefficients(1)) and torch.equal(coefficients(1), coefficients(1))
    assert not torch.equal(adult_like(50).y, adult_like(50, draw=1).y)


def test_names_sizes_and_what_is_said_where_a_set_is_missing(monkeypatch, tmp_path):
    from robustxai.data import fetch

    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    monkeypatch.setattr(fetch, "cache", lambda: tmp_path)
    assert (load_table("breast_cancer").d, load_table("digits").d, load_table("synth", limit=200).d) == (
        30,
        64,
        28,
    )
    assert len(load_table("synth", limit=200).test[1]) == 60
    with pytest.raises(NotAvailable, match=r"^adult is not on this machine"):
        load_table("adult")
    assert "in place of adult" in load_table("adult", fallback=True).note
    with pytest.raises(ValueError, match=r"^name must be one of synth, .*, got 'iris'"):
        load_table("iris")
    with pytest.raises(ValueError, match=r"^n must be an integer >= 2, got 1$"):
        adult_like(1)
