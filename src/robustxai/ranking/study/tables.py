"""The chapter's experiments as data: studies in, one record per (set, method, seed) out, rows for tables.

A value that depends on training is a mean over seeds with a t interval; it is never a single network. Knows nothing
about notebooks or figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai.metrics import Interval, spearman, t_interval
from robustxai.ranking.study.settings import Measured
from robustxai.ranking.study.study import Study
from robustxai.ranking.training_methods import METHODS
from robustxai.records import Row, extreme, over_seeds, select, triple

SAME_ACTIVATION = ("Vanilla", "WD", "Est-H", "SSR", "AT")
CHOICES = {"R2ET on ReLU": "R2ET", "shipped recipe": "released recipe"}
"""What "R2ET" may mean in the paper's tables, which do not say whether the activation is swapped; its method here."""
RIVALS = {"R2ET on ReLU": SAME_ACTIVATION, "shipped recipe": (*SAME_ACTIVATION, "SP")}
"""The baselines of each choice: those with its activation, and for the recipe all of them."""


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
        Record(study.name, method, seed, measured)
        for method in methods or study.methods
        for seed, measured in zip(seeds, study.measured(seeds, method), strict=True)
    ]


def differences(
    records: Sequence[Record], name: str, method: str, over: str, what: str = "er"
) -> list[float]:
    """How much better `method` is than `over` on a set, one number a seed: of a share or 'accuracy'."""

    def value(r: Record) -> float:
        return r.measured.accuracy if what == "accuracy" else r.measured.mean(what)

    base = {r.seed: value(r) for r in select(records, method=over, name=name)}
    return [value(r) - base[r.seed] for r in select(records, method=method, name=name)]


def gain_over(records: Sequence[Record], name: str, method: str, over: str, what: str = "er") -> Interval:
    """The mean of `differences` with its t interval over seeds."""
    return t_interval(differences(records, name, method, over, what))


def least_gain(
    records: Sequence[Record], names: Iterable[str], method: str, others: Iterable[str], what: str = "er"
) -> Interval:
    """The smallest gain over sets and baselines, with an interval that holds for all of them together."""
    others = tuple(others)
    return extreme({f"{n}, {o}": differences(records, n, method, o, what) for n in names for o in others})


def gain_table(records: Sequence[Record], names: Iterable[str], methods: Sequence[str]) -> list[Row]:
    """Rows sets and baselines, columns methods: the gain in P@k under ERAttack, and the accuracy gained with it."""
    rows: list[Row] = []
    for name in names:
        for over in RIVALS["shipped recipe"]:
            row: Row = {"set": name, "over": over}
            for method in methods:
                row[f"{method}, P@k"] = triple(gain_over(records, name, method, over))
                row[f"{method}, accuracy"] = gain_over(records, name, method, over, "accuracy").value
            rows.append(row)
    return rows


def share_table(records: Sequence[Record], first: str = "er", second: str = "mse") -> list[Row]:
    """Rows methods, columns sets, as in the paper's main table (spec 9.1); cells mean P@k in %, 'first / second', and
    the accuracy that it goes with, 'at 86.9'.

    first, second: names of `Measured`: 'er' for ERAttack, 'mse' for the MSE attack, 'adaptive'.
    """
    rows: list[Row] = []
    for method in dict.fromkeys(r.method for r in records):
        row: Row = {"method": method}
        for name in dict.fromkeys(r.name for r in records):
            these = select(records, method=method, name=name)
            if not these:
                row[name] = None
                continue
            shares = [100 * over_seeds(r.measured.mean(w) for r in these).value for w in (first, second)]
            right = 100 * over_seeds(r.measured.accuracy for r in these).value
            row[name] = " / ".join(f"{share:.1f}" for share in shares) + f" at {right:.1f}"
        rows.append(row)
    return rows


def accuracies(
    records: Sequence[Record], names: Iterable[str], methods: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Mean accuracy over seeds by set and method: what stands beside every comparison of methods."""
    return {
        name: {
            m: over_seeds(r.measured.accuracy for r in select(records, method=m, name=name)).value
            for m in methods
        }
        for name in names
    }


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
    return methods, (torch.tensor(means[0], device="cpu"), torch.tensor(means[1], device="cpu"))


def across(records: Sequence[Record], name: str, *, softplus: bool | None = None) -> list[float]:
    """Spearman's correlation over methods of adversarial thickness and P@k on a set, one number a seed.

    softplus: only the methods of this family; None takes all. Fewer than three methods give no number.
    """
    family = [r for r in records if r.name == name and softplus in (None, r.softplus)]
    found: list[float] = []
    for seed in dict.fromkeys(r.seed for r in family):
        these = select(family, seed=seed)
        a, b = (
            torch.tensor([[r.measured.mean(w) for r in these]], device="cpu") for w in ("adversarial", "er")
        )
        found += [float(spearman(a, b))] if len(these) > 2 else []
    return found


def chance_table(studies: Iterable[Study], records: Sequence[Record]) -> list[Row]:
    """Chance level k / d, the accuracy of always saying the most frequent class, and the plain network under random
    changes of the attack's length.
    """
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
                "accuracy of the most frequent class": over_seeds(
                    float(b.test(r.seed)[1].bincount().max()) / len(b.test(r.seed)[1]) for r in plain
                ).value,
                "random changes": triple(over_seeds(r.measured.mean("random") for r in plain)),
                "ERAttack": triple(over_seeds(r.measured.mean("er") for r in plain)),
            }
        )
    return rows
