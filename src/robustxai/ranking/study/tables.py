"""The chapter's experiments as data: studies in, one record per (set, method, seed) out, rows for tables.

A value that depends on training is a mean over seeds with a t interval; it is never a single network. Knows nothing
about notebooks or figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai.metrics import Interval
from robustxai.ranking.study.settings import Measured, measure
from robustxai.ranking.study.study import Study
from robustxai.ranking.training_methods import METHODS
from robustxai.records import Row, over_seeds, paired, select, triple

SAME_ACTIVATION = ("Vanilla", "WD", "Est-H", "SSR", "AT")
R2ET_ON_RELU = (r"R2ET_\H", r"R2ET-mm_\H", "R2ET", "R2ET-mm")


@dataclass(frozen=True)
class Record:
    """One network of one set: what `study.measure` found on the attacked test samples."""

    name: str
    method: str
    seed: int
    measured: Measured

    @property
    def softplus(self) -> bool:
        """Whether the method swaps ReLU for softplus."""
        return "beta" in METHODS[self.method].options


def sweep(study: Study, seeds: Sequence[int], methods: Sequence[str] | None = None) -> list[Record]:
    """Measure every method's network of every seed."""
    return [
        Record(study.name, method, seed, measure(study.network(seed, method), study.test(seed), study.setting,
                                                 points=study.n_test))
        for method in methods or study.methods
        for seed in seeds
    ]  # fmt: skip


def gain(records: Sequence[Record], name: str, method: str, over: str, what: str = "er") -> Interval:
    """How much better `method` is than `over` on a set: paired by seed, of a share or 'accuracy'."""

    def value(r: Record) -> float:
        return r.measured.accuracy if what == "accuracy" else r.measured.mean(what)

    base = {r.seed: value(r) for r in select(records, method=over, name=name)}
    ours = select(records, method=method, name=name)
    return paired(map(value, ours), (base[r.seed] for r in ours))


def share_table(records: Sequence[Record], first: str = "er", second: str = "mse") -> list[Row]:
    """Rows methods, columns sets, as in the paper's main table (spec 9.1); cells mean P@k in %, 'first / second'.

    first, second: names of `Measured`: 'er' for ERAttack, 'mse' for the MSE attack, 'adaptive'.
    """
    rows: list[Row] = []
    for method in dict.fromkeys(r.method for r in records):
        row: Row = {"method": method}
        for name in dict.fromkeys(r.name for r in records):
            these = select(records, method=method, name=name)
            shares = [over_seeds(r.measured.mean(w) for r in these) for w in (first, second) if these]
            row[name] = " / ".join(f"{100 * share.value:.1f}" for share in shares) or None
        rows.append(row)
    return rows


def quality_table(records: Sequence[Record]) -> list[Row]:
    """Clean accuracy / AUC in %, and normalised local thickness, beside the main table (spec 9.2 a, b)."""
    rows: list[Row] = []
    names = list(dict.fromkeys(r.name for r in records))
    for method in dict.fromkeys(r.method for r in records):
        row: Row = {"method": method}
        for name in names:
            these = select(records, method=method, name=name)
            if not these:
                row[name] = None
                continue
            accuracy, auc = (
                100 * over_seeds(getattr(r.measured, what) for r in these).value
                for what in ("accuracy", "auc")
            )
            row[name] = f"{accuracy:.1f} / {auc:.1f}"
            row[f"thickness, {name}"] = over_seeds(r.measured.mean("local") for r in these).value
        rows.append(row)
    return rows


def cloud(records: Sequence[Record], name: str, *, softplus: bool) -> tuple[list[str], tuple[Tensor, Tensor]]:
    """The methods of one family on a set: their names, and their mean adversarial thickness and P@k under ERAttack."""
    family = [r for r in records if r.name == name and r.softplus is softplus]
    methods = list(dict.fromkeys(r.method for r in family))
    means = [
        [over_seeds(r.measured.mean(w) for r in select(family, method=m)).value for m in methods]
        for w in ("adversarial", "er")
    ]
    return methods, (torch.tensor(means[0]), torch.tensor(means[1]))


def chance_table(studies: Iterable[Study], records: Sequence[Record]) -> list[Row]:
    """Chance level k / d, and the plain network under random changes of the attack's length."""
    rows: list[Row] = []
    for b in studies:
        plain = select(records, method="Vanilla", name=b.name)
        rows.append(
            {
                "set": b.name,
                "k": b.setting.k,
                "features": b.d,
                "eps": b.setting.eps,
                "chance P@k": b.setting.k / b.d,
                "random changes": triple(over_seeds(r.measured.mean("random") for r in plain)),
                "ERAttack": triple(over_seeds(r.measured.mean("er") for r in plain)),
            }
        )
    return rows
