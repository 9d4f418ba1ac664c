"""From values per image, method and classifier to intervals over seeds: the chapter's statistics in one place.

A seed's number is the mean over its architectures and images, with t intervals over seeds and differences paired by
seed. Where all classifiers have the same images, `crossed` and `gain` have intervals over classifiers and images; where
each has its own, the means of the classifiers have t intervals.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from robustxai.metrics import Interval
from robustxai.records import Row, Rows, over_both, over_images, over_seeds, paired, triple

Runs = Mapping[tuple[str, int], Rows]
"""(architecture, seed) -> method -> quantity -> values (n,)."""


def seed_means(runs: Runs, method: str, quantity: str) -> list[float]:
    """One number a seed, in ascending order of seeds; values that are nan are left out, and classifiers without."""
    by_seed: dict[int, list[torch.Tensor]] = {}
    for (_, seed), rows in sorted(runs.items(), key=lambda item: item[0][1]):
        if quantity in rows.get(method, {}):
            by_seed.setdefault(seed, []).append(rows[method][quantity])
    return [float(torch.cat(values).nanmean()) for values in by_seed.values()]


def network_means(runs: Runs, method: str, quantity: str) -> list[float]:
    """One number a classifier, in the order of the runs; values that are nan are left out, and classifiers without."""
    found = [rows[method][quantity] for rows in runs.values() if quantity in rows.get(method, {})]
    return [float(values.nanmean()) for values in found]


Means = Callable[[Runs, str, str], list[float]]
"""`seed_means` or `network_means`."""


def minus(runs: Runs, method: str, other: str, quantity: str, *, means: Means = seed_means) -> Interval:
    """Mean difference of two methods, seed by seed (or as `means` says), with its t interval."""
    return paired(means(runs, method, quantity), means(runs, other, quantity))


def crossed(runs: Runs, method: str, quantity: str) -> Interval:
    """The mean over classifiers and images, the same for all classifiers, with an interval over both."""
    return over_both(_table(runs, method, quantity))


def gain(runs: Runs, method: str, other: str, quantity: str) -> Interval:
    """Mean difference of two methods, image by image and classifier by classifier, with an interval over both."""
    return over_both(_table(runs, method, quantity) - _table(runs, other, quantity))


def _table(runs: Runs, method: str, quantity: str) -> torch.Tensor:
    """(classifiers, images)."""
    return torch.stack([rows[method][quantity] for rows in runs.values()])


def summary(runs: Runs, quantities: Sequence[str], *, means: Means = seed_means) -> list[Row]:
    """One row a method: every quantity as (mean, low, high) over seeds, or as `means` says; None where a method has
    none."""
    return _rows(runs, quantities, lambda *names: over_seeds(means(runs, *names)))


def crossed_rows(runs: Runs, quantities: Sequence[str]) -> list[Row]:
    """One row a method: every quantity as (mean, low, high) over classifiers and images; None where it has none."""
    return _rows(runs, quantities, lambda *names: crossed(runs, *names))


def _rows(runs: Runs, quantities: Sequence[str], interval: Callable[[str, str], Interval]) -> list[Row]:
    return [
        Row(method=method) | {q: triple(interval(method, q)) if q in values else None for q in quantities}
        for method, values in next(iter(runs.values())).items()
    ]


def spread(runs: Runs, quantities: Sequence[str]) -> list[Row]:
    """`summary` over seeds where there are several; of one classifier the bootstrap over its images. Quantities that no
    run has are left out, and so are runs that have none."""
    found = {
        key: {m: {q: row[q] for q in quantities if q in row} for m, row in rows.items()}
        for key, rows in runs.items()
    }
    some = {key: rows for key, rows in found.items() if any(rows.values())}
    if len({seed for _, seed in some}) > 1:
        return summary(some, quantities)
    return over_images(next(iter(some.values())))


def parts(runs: Mapping[tuple[str, int], Mapping[str, Rows]], name: str) -> dict[tuple[str, int], Rows]:
    """The runs of one part of an attack ("transfer", "adaptive", "noise")."""
    return {key: whole[name] for key, whole in runs.items()}


def shifts(runs: Mapping[tuple[str, int], Mapping[str, Rows]]) -> dict[str, Row]:
    """Method -> its shift under each part of the attack as (mean, low, high) over seeds."""
    found: dict[str, Row] = {}
    for part in ("noise", "transfer", "adaptive"):
        for row in summary(parts(runs, part), ["shift"]):
            found.setdefault(str(row["method"]), {})[f"shift, {part}"] = row["shift"]
    return found
