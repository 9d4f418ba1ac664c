"""The real tables as a study gets them: sizes after encoding, no missing cells, no columns that must not be there."""

import os

import pytest

from robustxai.ranking.prepared_table import load_table

pytestmark = [
    pytest.mark.mirror,
    pytest.mark.skipif("ROBUSTXAI_DATA" not in os.environ, reason="ROBUSTXAI_DATA is not set"),
]


@pytest.mark.parametrize(
    ("name", "d", "n"), [("adult", 104, 45222), ("bank_marketing", 62, 41188), ("compas", 15, 6172)]
)
def test_real_tables(name, d, n):
    t = load_table(name)
    parts = (t.train, t.validation, t.test)
    assert t.d == len(t.features) == d and sum(len(y) for _, y in parts) == n
    assert all(x.isfinite().all() for x, _ in parts)
    assert not {"fnlwgt", "duration", "decile_score"} & set(t.features)
    assert len(t.test[1]) == pytest.approx(0.3 * n, abs=1)
