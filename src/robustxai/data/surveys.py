"""Three tables about persons, from verified bytes: which columns, which rows, which label.

It knows what each column of these files means for the task, and nothing about files, splits or encodings.
"""

from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor

from . import tabular

ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country"),
)
COMPAS_COLUMNS = (
    *("age", "sex", "race", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count"),
    "c_charge_degree",
)
NO_YES = ("no", "yes")


class Survey(NamedTuple):
    """A table with codes for categories, its labels, and the names of columns, levels and classes."""

    x: Float[Tensor, "n feature"]
    y: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    features: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]


def adult(train: bytes, test: bytes | None = None) -> Survey:
    """All 14 columns of the training file, or of `test`, whose codes are those of the training file."""
    lines = tabular.csv_rows(train)
    x, levels = tabular.columns([line[:-1] for line in lines])  # every level occurs in the training file
    if test is not None:
        lines = tabular.csv_rows(test)
        x, _ = tabular.columns([line[:-1] for line in lines], levels)
    classes = ("<=50K", ">50K")
    return Survey(
        x, tabular.labels([line[-1].rstrip(".") for line in lines], classes), classes, ADULT_COLUMNS, levels
    )


def bank_marketing(data: bytes) -> Survey:
    """All columns but `duration`, which is known only after the call and gives the label away."""
    lines = tabular.csv_rows(data, ";")
    features = tuple(name for name in lines[0] if name not in ("duration", "y"))
    x, levels = tabular.columns(tabular.chosen(lines, features))
    target = [cell for (cell,) in tabular.chosen(lines, ("y",))]
    return Survey(x, tabular.labels(target, NO_YES), NO_YES, features, levels)


def compas(data: bytes) -> Survey:
    """Age, sex, race, earlier charges and the degree of this one, for the rows that ProPublica's filter
    leaves; the scores of the COMPAS software itself are left out.
    """
    lines = tabular.csv_rows(data)
    rules = ("days_b_screening_arrest", "is_recid", "c_charge_degree", "score_text")
    kept = [
        days not in tabular.MISSING_CELLS
        and abs(float(days)) <= 30
        and (again != "-1" and charge != "O" and score != "N/A")
        for days, again, charge, score in tabular.chosen(lines, rules)
    ]
    lines = [lines[0], *(line for line, keep in zip(lines[1:], kept, strict=True) if keep)]
    x, levels = tabular.columns(tabular.chosen(lines, COMPAS_COLUMNS))
    again = [NO_YES[int(cell)] for (cell,) in tabular.chosen(lines, ("two_year_recid",))]
    return Survey(x, tabular.labels(again, NO_YES), NO_YES, COMPAS_COLUMNS, levels)
