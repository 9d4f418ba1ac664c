"""What the claims are judged by: one value a network and image, with an interval over both.

All networks of a claim see the same held-out images. An image counts where every network agrees with its honest network
and has a map that is not constant; what is left is n.
"""

from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from robustxai.diffgradcam.contrastive_cams import DiffGradCAMPlusPlus
from robustxai.diffgradcam.study.study import Study
from robustxai.diffgradcam.study.tables import Record
from robustxai.metrics import pearson
from robustxai.metrics.statistics import crossed_interval
from robustxai.records import as_claim, over_both

Values = Float[Tensor, "network image"]
Kept = Float[Tensor, "network kept"]

CONTRASTS = {"lse": "DiffGradCAM", "max": "DiffGradCAM max", "mean": "DiffGradCAM mean"}
"""The contrasts that a claim is judged with, as the paper's own is not known to us, and their names in the tables."""


def on_all(values: Values) -> Kept:
    """The images, columns of (networks, images), that have a value for every network.

    >>> on_all(torch.tensor([[0.0, 1.0], [0.5, torch.nan]])).tolist()
    [[0.0], [0.5]]
    """
    return values[:, ~values.isnan().any(0)]


def values_of(records: Sequence[Record], method: str, metric: str) -> Values:
    """A metric of each image under each of the networks; nan where a network disagrees with its honest one."""
    rows = []
    for r in records:
        value = r.comparison.methods[method][metric]
        row = value.new_full(r.comparison.same.shape, nan)
        row[r.comparison.same] = value
        rows.append(row)
    return torch.stack(rows)


def gains(records: Sequence[Record], method: str = "DiffGradCAM") -> Values:
    """How much closer a method stays to its honest map than GradCAM to its own: the difference of the correlations."""
    return values_of(records, method, "r_base") - values_of(records, "GradCAM", "r_base")


def shares_of_ceiling(values: Values, ceilings: Values) -> Kept:
    """Values whose mean over images is, network by network, the mean of `values` as a share of that of `ceilings`.

    The ratio is linearised at the means, so that an interval of the mean is one of the ratio.

    >>> shares_of_ceiling(torch.tensor([[0.5, 0.25]]), torch.tensor([[1.0, 0.5]])).tolist()
    [[0.5, 0.5]]
    """
    kept = ~(values.isnan() | ceilings.isnan()).any(0)
    a, b = values[:, kept], ceilings[:, kept]
    top, below = a.mean(1, keepdim=True), b.mean(1, keepdim=True)
    return top / below + (a - top / below * b) / below


def for_claim(values: Values | Mapping[str, Values]) -> dict[str, Any]:
    """The arguments of `claims.check` for the mean of values, or for one mean a setting."""
    if isinstance(values, Tensor):
        left = on_all(values)
        return as_claim(over_both(left), n=left.shape[1], seeds=len(left))
    return claimed_by_setting({name: for_claim(v) for name, v in values.items()})


def claimed_by_setting(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments of `claims.check` for a claim with settings, from those of each; n and seeds are the fewest."""
    named = {key: {name: row[key] for name, row in rows.items()} for key in ("value", "interval")}
    return named | {key: min(row[key] for row in rows.values()) for key in ("n", "seeds")}


def extreme_over_both(cells: Mapping[str, Values], *, least: bool = True) -> dict[str, Any]:
    """The arguments of `claims.check` for the smallest (or largest) of several means, with an interval that holds for
    all cells together (Bonferroni): `robustxai.records.extreme` over networks and images.

    Raises ValueError for no cell.

    >>> extreme_over_both({"a": torch.zeros(2, 3), "b": torch.ones(2, 3)})["value"]
    0.0
    """
    if not cells:
        raise ValueError("cells must map names to values, one or more, got none")
    left = [on_all(v) for v in cells.values()]
    found = [crossed_interval(v, confidence=1 - 0.05 / len(cells)) for v in left]
    pick = min if least else max
    value, low, high = (pick(getattr(i, end) for i in found) for end in ("value", "low", "high"))
    open_ = any(isnan(i.low) for i in found)
    interval = (nan, nan) if open_ else (low, high)
    n, seeds = (min(v.shape[axis] for v in left) for axis in (1, 0))
    return {"value": value, "interval": interval, "n": n, "seeds": seeds}


@torch.no_grad()
def right(model: nn.Module, study: Study, *, batch_size: int = 256) -> Bool[Tensor, " image"]:
    """Which of the study's held-out images a network classifies as labelled."""
    found = torch.cat([model(part).argmax(-1) for part in study.x.split(batch_size)])
    return found == study.y


def accuracy_lost(
    study: Study, runs: Mapping[str, Sequence[int]], controls: Mapping[str, str] | None = None
) -> dict[str, Values]:
    """By run, what each image adds to the loss of accuracy: 1 where only the control is right, -1 where only the
    manipulated network is.

    runs: the seeds of each. controls: the run that each is compared with, the honest network where none is named.
    """
    known: dict[tuple[str, int], Tensor] = {}

    def marks(run: str, seed: int) -> Tensor:
        if (run, seed) not in known:
            model = study.honest(seed) if run == "clean" else study.twin(seed, run)
            known[run, seed] = right(model, study).cpu().double()
        return known[run, seed]

    against = {run: (controls or {}).get(run, "clean") for run in runs}
    return {
        run: torch.stack([marks(against[run], s) - marks(run, s) for s in seeds])
        for run, seeds in runs.items()
    }


def exact_plusplus_kept(study: Study, run: str, seeds: Sequence[int]) -> Values:
    """Pearson of the manipulated network's DiffGradCAM++ map with the honest one, with the exact second derivatives."""
    rows = []
    for seed in seeds:
        nets = study.honest(seed), study.twin(seed, run)
        before, after = (net(study.x).detach().argmax(-1) for net in nets)
        maps = [
            DiffGradCAMPlusPlus(net, exact_hess=True, size="native").attribute(study.x, before)
            for net in nets
        ]
        rows.append(torch.where(before == after, pearson(maps[1], maps[0]), nan))
    return torch.stack(rows)
