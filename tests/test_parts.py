"""Parts of a study: made once for a commit and its settings, whole or not at all."""

import json

import pytest

from robustxai import parts
from robustxai.parts import part


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Asks for a part in a folder and counts how often it was made."""
    calls = []

    def make(most):
        calls.append(most)
        return [{"n": n, "square": n * n} for n in range(most)]

    def ask(most=3, *, commit="0123456789ab", name="squares"):
        monkeypatch.setattr(parts, "commit", lambda: commit)
        found = part(tmp_path, name, lambda: make(most), settings={"most": most, "kinds": ("a", "b")})
        return found, len(calls)

    return ask


def test_a_part_is_made_once(made, tmp_path):
    first, count = made()
    again, same = made()
    assert count == same == 1 and again == first
    assert first.rows[2] == {"n": 2, "square": 4} and first.commit == "0123456789ab" and first.seconds >= 0
    assert [f.name for f in tmp_path.iterdir()] == ["squares.json"]


@pytest.mark.parametrize("change", [{"most": 4}, {"commit": "ba9876543210"}])
def test_another_setting_or_commit_makes_it_again(made, change):
    made()
    found, count = made(**change)
    assert count == 2 and len(found.rows) == change.get("most", 3)


def test_a_changed_checkout_never_reads_a_part(made):
    for expected in (1, 2):
        assert made(commit="0123456789ab-dirty")[1] == expected


def test_a_part_that_fails_leaves_nothing_and_numbers_are_finite(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        part(tmp_path, "bad", lambda: [{"x": float("nan")}], settings={})
    assert not [f for f in tmp_path.iterdir() if f.suffix == ".json"]
    with pytest.raises(ValueError, match=r"^name must be a file name, got '../up'$"):
        part(tmp_path, "../up", list, settings={})


def test_a_part_says_what_it_cost(made, tmp_path):
    found, _ = made()
    stored = json.loads((tmp_path / "squares.json").read_text())
    assert stored["seconds"] == found.seconds and stored["settings"] == {"most": 3, "kinds": ["a", "b"]}
