"""Tables from bytes made here, with known content: cells, levels, filters, what is left out."""

import gzip
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robustxai.data import ChecksumError, DownloadError, fetch, load, surveys, tabular
from robustxai.data.catalog import ENTRIES, entry
from robustxai.data.files import IDENTIFIERS

LINES = [["1", "red", "0.5"], ["2", "?", ""], ["-3", "blue", "1e2"]]


def test_rows_are_the_same_gzipped_and_leave_out_comments_and_empty_lines():
    data = b'|1x3 a comment\n39, State-gov, "a, b"\r\n\n 7 ,?,\n'
    expected = [["39", "State-gov", "a, b"], ["7", "?", ""]]
    assert tabular.csv_rows(data) == tabular.csv_rows(gzip.compress(data)) == expected
    assert tabular.csv_rows(b'"a";"b;c"\n', ";") == [["a", "b;c"]]


def test_columns_are_numbers_or_codes_and_missing_cells_are_nan():
    x, levels = tabular.columns(LINES)
    assert levels == ((), ("blue", "red"), ())
    expected = torch.tensor([[1, 1, 0.5], [2, torch.nan, torch.nan], [-3, 0, 100]])
    torch.testing.assert_close(x, expected, equal_nan=True)
    again, _ = tabular.columns(LINES, ((), ("green", "blue", "red"), ()))
    assert again[:, 1].nan_to_num(-1).tolist() == [2, -1, 1]
    with pytest.raises(ValueError, match=r"^cells must be of the levels blue, got 'red'$"):
        tabular.columns(LINES, ((), ("blue",), ()))


def test_of_two_columns_with_one_name_the_first_is_taken_and_named_ones_can_be_dropped():
    data = b'id,name,score,score\n1,"Doe, Ann",3,4\n2,Roe,5,6\n'
    assert tabular.chosen(tabular.csv_rows(data), ("score", "id")) == [["3", "1"], ["5", "2"]]
    assert tabular.without(data, ("name",)) == b"id,score,score\n1,3,4\n2,5,6\n"


def test_a_users_file_is_read_as_pandas_reads_it():
    found = tabular.sheet(b'\xef\xbb\xbfage, town\r\n39, "Ulm, old"\n\nNA,?\n')
    assert found.header == ["age", "town"] and found.rows == [["39", "Ulm, old"], ["NA", "?"]]
    assert tabular.sheet(gzip.compress(b"a\n1\n")).rows == [["1"]]
    x, levels = tabular.columns([["1", "a"], ["NA", "n/a"], ["2.5", "b"], ["null", "NA"]], missing=tabular.NA)
    assert levels == ((), ("a", "b")) and x[:, 0].nan_to_num(-1).tolist() == [1, -1, 2.5, -1]
    assert x[:, 1].nan_to_num(-1).tolist() == [0, -1, 1, -1]
    assert tabular.column(["1_000", "2"])[1] == ("1_000", "2"), "no number, though Python reads it as one"
    assert tabular.column(["NA", "x"])[1] == ("NA", "x"), "published files say what their missing cells hold"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a,y\n1,0\n2\n", r"^f\.csv must have 2 cells in every row, as its header, got 1 in line 3$"),
        (b"a,y\n1,0,7\n", r"^f\.csv must have 2 cells in every row, as its header, got 3 in line 2$"),
        (b"", r"^f\.csv must have a header and one row or more, got 0 lines$"),
        (b"a,y\n", r"got 1 lines$"),
        (b"a,y\n\xff\xfe,0\n", r"^f\.csv must be a CSV file in UTF-8, gzipped or not: "),
        (b"\x1f\x8bnothing", r"^f\.csv must be a CSV file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(data, words):
    with pytest.raises(ValueError, match=words):
        tabular.sheet(data, name="f.csv")
    with pytest.raises(ValueError, match=r"^delimiter must be one character, got ',,'$"):
        tabular.sheet(data, delimiter=",,")


def archive(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr(name, content)
    return file.getvalue()


def test_a_member_of_an_archive():
    data = archive("folder/a.csv", b"1,2")
    assert tabular.member(data, "folder/a.csv") == b"1,2"
    for broken, name in ((data[:20], "folder/a.csv"), (data, "b.csv")):
        with pytest.raises(ValueError, match=rf"^data is not a whole zip archive with {name}$"):
            tabular.member(broken, name)


PERSON = "39, State-gov, 7, Bachelors, 13, Single, Clerk, Alone, White, Male, 0, 0, 40, Cuba, "


def test_adult_codes_of_the_test_file_are_those_of_the_training_file():
    train = (PERSON + "<=50K\n" + PERSON.replace("State-gov", "Private") + ">50K\n").encode()
    test = ("|comment\n" + PERSON.replace("Bachelors", "?") + ">50K.\n").encode()
    first, second = surveys.adult(train), surveys.adult(train, test)
    assert first.y.tolist() == [0, 1] and first.x[:, 1].tolist() == [1, 0]
    assert second.y.tolist() == [1] and second.x[0, 1] == 1 and second.x[0, 3].isnan()
    assert second.levels == first.levels and len(first.features) == first.x.shape[1] == 14


def test_bank_marketing_leaves_duration_out():
    survey = surveys.bank_marketing(b'"age";"job";"duration";"y"\n30;"maid";99;"no"\n40;"cook";1;"yes"\n')
    assert survey.features == ("age", "job") and survey.y.tolist() == [0, 1]
    assert survey.x.tolist() == [[30, 1], [40, 0]]


def test_compas_keeps_the_rows_of_the_published_filter():
    header = [*surveys.COMPAS_COLUMNS, "days_b_screening_arrest", "is_recid", "score_text", "two_year_recid"]
    good = ["25", "Male", "Other", "0", "0", "0", "2", "F", "-30", "0", "Low", "1"]
    changes = [{}, {8: "31"}, {8: ""}, {9: "-1"}, {7: "O"}, {10: "N/A"}, {0: "60", 11: "0"}]
    lines = [[change.get(i, cell) for i, cell in enumerate(good)] for change in changes]
    data = "\n".join(",".join(line) for line in [header, *lines]).encode()
    survey = surveys.compas(data)
    assert survey.x[:, 0].tolist() == [25, 60] and survey.y.tolist() == [1, 0]
    assert not set(survey.features) & set(IDENTIFIERS)


def local(monkeypatch, name: str, content: bytes, accepted: bytes):
    """A catalog entry whose download is `content` and whose checksum is that of `accepted`."""
    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    (file,) = entry(name).files
    file = replace(file, sha256=(fetch.sha256(accepted),))

    def download(url, path, _):
        Path(path).write_bytes(content)

    monkeypatch.setattr(fetch.pooch, "HTTPDownloader", lambda **_: download)
    return replace(entry(name), files=(file,)), file


def test_a_download_with_names_is_stored_without_them(monkeypatch, tmp_path):
    content, kept = b"id,name,dob,age\n1,Ann,1990,30\n", b"id,age\n1,30\n"
    e, file = local(monkeypatch, "compas", content, kept)
    assert fetch.read_file(e, file, root=tmp_path, download=True) == kept
    assert [p.read_bytes() for p in (tmp_path / "compas").iterdir()] == [kept]


@pytest.mark.parametrize(("content", "error"), [(b"no archive", DownloadError), (None, ChecksumError)])
def test_a_download_that_cannot_be_unpacked_leaves_nothing(monkeypatch, tmp_path, content, error):
    content = content or archive("bank-additional/bank-additional-full.csv", b"altered")
    e, file = local(monkeypatch, "bank_marketing", content, b"whole")
    with pytest.raises(error, match=r"bank-additional"):
        fetch.read_file(e, file, root=tmp_path, download=True)
    assert not list((tmp_path / "bank_marketing").iterdir())


def test_catalog_has_the_three_tables():
    names = {e.name for e in ENTRIES}
    assert {"adult", "bank_marketing", "compas"} <= names
    with pytest.raises(ValueError, match=r"^size must be None for adult, which has one resolution, got 8"):
        load("adult", size=8)
