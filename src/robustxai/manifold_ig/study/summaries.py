"""From values per image, method and classifier to intervals over seeds: the chapter's statistics in one place.

A seed's number is the mean over its architectures and images; intervals are t intervals over seeds, differences are
paired by seed.
"""

from collections.abc import Mapping, Sequence

import torch

from robustxai.metrics import Interval
from robustxai.records import Row, Rows, over_images, over_seeds, paired, triple

Runs = Mapping[tuple[str, int], Rows]
"""(architecture, seed) -> method -> quantity -> values (n,)."""


def seed_means(runs: Runs, method: str, quantity: str) -> list[float]:
    """One number a seed, in ascending order of seeds; values that are nan are left out, and classifiers without."""
    by_seed: dict[int, list[torch.Tensor]] = {}
    for (_, seed), rows in sorted(runs.items(), key=lambda item: item[0][1]):
        if quantity in rows.get(method, {}):
            by_seed.setdefault(seed, []).append(rows[method][quantity])
    return [float(torch.cat(values).nanmean()) for values in by_seed.values()]


def minus(runs: Runs, method: str, other: str, quantity: str) -> Interval:
    """Mean difference of two methods, seed by seed, with its t interval."""
    return paired(seed_means(runs, method, quantity), seed_means(runs, other, quantity))


def summary(runs: Runs, quantities: Sequence[str]) -> list[Row]:
    """One row a method: every quantity as (mean, low, high) over seeds; None where a method has none."""
    first = next(iter(runs.values()))
    rows = []
    for method, values in first.items():
        row: Row = {"method": method}
        for quantity in quantities:
            known = quantity in values
            row[quantity] = triple(over_seeds(seed_means(runs, method, quantity))) if known else None
        rows.append(row)
    return rows


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
