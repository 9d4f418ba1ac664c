"""The measure of the rig: stored numbers and figures are changed, and all but a few of the changes are noticed.

A seeded sample of all chapters here, every number and figure with `-m slow`. No notebook runs.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from robustxai.notebook.mutation import CHANGES, Mutation, exchanged_figures, mutations, times, unnoticed

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST = {"by a fifth": 0.02, "double": 0.005, "other sign": 0.005}
"""The share of changes that may pass unnoticed."""
SAMPLE = 800


def share(changed: list[Mutation]) -> tuple[float, Counter[tuple[int, str]]]:
    """The share of mutations that pass, and where they are."""
    passed = unnoticed(changed)
    return len(passed) / len(changed), Counter((m.cell, m.written) for m in passed)


@pytest.fixture(scope="module")
def every() -> dict[str, list[Mutation]]:
    """All mutations of all chapters, by what is changed."""
    return {change: [m for path in NOTEBOOKS for m in mutations(path, change)] for change in CHANGES}


@pytest.mark.parametrize("change", MOST)
def test_a_sample_of_changed_numbers_is_noticed(every: dict[str, list[Mutation]], change: str) -> None:
    assert len(every[change]) > 10_000
    passed, where = share(random.Random(0).sample(every[change], SAMPLE))
    assert passed <= MOST[change], where


@pytest.mark.slow
@pytest.mark.parametrize("change", MOST)
def test_changed_numbers_are_noticed(every: dict[str, list[Mutation]], change: str) -> None:
    passed, where = share(every[change])
    print(f"{change}: {passed:.2%} of {len(every[change])} pass")
    assert passed <= MOST[change], where.most_common(20)


def test_a_sample_of_exchanged_figures_is_noticed() -> None:
    found = [m for path in NOTEBOOKS for m in exchanged_figures(path)]
    assert len(found) > 300 and not unnoticed(random.Random(0).sample(found, 60))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_exchanged_figures_are_noticed(path: Path) -> None:
    assert not unnoticed(exchanged_figures(path))


def test_a_changed_number_is_the_only_change(every: dict[str, list[Mutation]]) -> None:
    for mutation in random.Random(1).sample(every["double"], 50):
        before, after = mutation.stored, mutation.changed
        assert before != after and before.keys() == after.keys()
        kinds = [k for k in before.get("data", {}) if before["data"][k] != after["data"][k]]
        assert kinds == [mutation.kind] * bool(mutation.kind)


def test_how_a_number_changes() -> None:
    assert [times(1.2)(n) for n in ("0.50", "2", "1.0e-07", "−3.0")] == ["0.60", "3", "1.2e-07", "-3.6"]
    assert [times(-1)(n) for n in ("0.50", "7", "-.5")] == ["-0.50", "-7", "0.5"]
