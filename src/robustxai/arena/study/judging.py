"""The numbers that the chapter's claims are judged by, each with its interval over networks and images.

Networks of one task see the same images, so values are (networks, images) and the interval is that of
`robustxai.records.over_both`; of one network a bootstrap over its images. Knows findings; measures nothing.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from robustxai.arena.cells import ArenaCell
from robustxai.arena.measures import above_chance, chance, curve_area
from robustxai.arena.registry import EXPLAINERS
from robustxai.arena.standing import order_stability, ranked_values
from robustxai.arena.study.rounds import BUDGETS, MIDDLE, RoundCells
from robustxai.metrics import Interval, bootstrap_interval, spearman
from robustxai.metrics.statistics import crossed_interval
from robustxai.models import logits_of
from robustxai.nets import pretrained
from robustxai.records import as_claim, over_both

Of = Callable[[ArenaCell], Tensor]


def worst(cell: ArenaCell) -> Tensor:
    """Per-image worst P."""
    return cell.worst


def noise(cell: ArenaCell) -> Tensor:
    """P under noise of the attack's size."""
    return cell.noise


def excess_of(cell: ArenaCell) -> Tensor:
    """Noise minus attack."""
    return cell.noise - cell.worst


def under(attack: str) -> Of:
    """P under one attack."""
    return lambda cell: cell.by_attack[attack]


def interval_over(values: Tensor, confidence: float | int = 0.95) -> Interval:
    """Mean and interval of (networks, images): over both, or of one network over its images; images with a nan are
    left out of all networks.

    >>> round(interval_over(torch.tensor([[0.0, 1.0, float("nan")], [0.0, 1.0, 1.0]])).value, 2)
    0.5
    """
    known = values[:, values.isfinite().all(0)]
    return over_both(known) if len(known) > 1 else bootstrap_interval(known[0], confidence=confidence)


def claim(interval: Interval, values: Tensor) -> dict[str, object]:
    """The arguments of `claims.check`: n counts images, seeds networks."""
    return as_claim(interval, n=values.shape[1], seeds=len(values) if len(values) > 1 else None)


def claim_of(values: Tensor) -> dict[str, object]:
    """Value, interval, n and seeds of (networks, images)."""
    return claim(interval_over(values), values)


def outer(values: Sequence[Tensor], *, least: bool) -> dict[str, object]:
    """The smallest (or largest) of several means with the ends of intervals that hold together (Bonferroni).

    >>> two = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.5, 0.6, 0.7]])
    >>> round(outer(two, least=True)["value"], 2)
    0.2
    """
    share = 1 - 0.05 / len(values)
    found = []
    for one in values:
        known = one[:, one.isfinite().all(0)]
        several = len(known) > 1
        found.append(
            crossed_interval(known, confidence=share)
            if several
            else bootstrap_interval(known[0], confidence=share)
        )
    pick = min if least else max
    value, low, high = (pick(getattr(i, end) for i in found) for end in ("value", "low", "high"))
    return claim(Interval(value, low, high, found[0].n, 0, "Bonferroni"), values[0])


def difference(findings: RoundCells, networks: Sequence[str], a: str, b: str, eps: float | int) -> Tensor:
    """P of row a minus P of row b, image by image, (networks, images)."""
    return findings.stacked(networks, a, eps, worst) - findings.stacked(networks, b, eps, worst)


def quality(cell: ArenaCell, maps: Tensor) -> Tensor:
    """Q of the worst image, over chance."""
    return above_chance(cell.worst, chance(maps))


def areas(findings: RoundCells, network: str, row: str) -> Tensor:
    """A of a row on a network for each image, over `BUDGETS`."""
    maps = findings.evaluation(row, MIDDLE, network).clean[row]
    return curve_area(BUDGETS, torch.stack([quality(findings.cell(row, e, network), maps) for e in BUDGETS]))


def runner_up_changed(findings: RoundCells, network: str, row: str) -> Tensor:
    """For which images (n,) the worst image of a row has another second class than the clean one."""
    found = findings.evaluation(row, MIDDLE, network)
    model = pretrained(network).to(found.x.device).eval()
    with torch.no_grad():
        second = [logits_of(model, x).topk(2)[1][:, 1] for x in (found.x, found.adversarials[row, MIDDLE])]
    return second[0] != second[1]


def by_runner_up(findings: RoundCells, networks: Sequence[str], row: str) -> dict[str, object]:
    """P of images whose runner-up stayed minus P of those where it changed; bootstrap over images of all networks."""
    p = torch.cat([findings.cell(row, MIDDLE, name).worst for name in networks])
    changed = torch.cat([runner_up_changed(findings, name, row) for name in networks])
    stayed, moved = p[~changed], p[changed]
    if min(len(stayed), len(moved)) < 2:
        raise ValueError(f"row must have images of both kinds, got {len(stayed)} and {len(moved)} for {row}")
    a, b = bootstrap_interval(stayed), bootstrap_interval(moved)
    g = torch.Generator().manual_seed(0)
    draws = [
        torch.stack(
            [v[torch.randint(len(v), (len(v),), generator=g, device="cpu")].mean() for _ in range(2000)]
        )
        for v in (stayed, moved)
    ]
    gap = (draws[0] - draws[1]).quantile(draws[0].new_tensor([0.025, 0.975]))
    return {
        "value": a.value - b.value, "interval": (float(gap[0]), float(gap[1])), "n": len(p), "seeds": len(networks),
        "stayed": len(stayed), "changed": len(moved),
    }  # fmt: skip


def transfers(findings: RoundCells, network: str) -> dict[tuple[str, str], Tensor]:
    """(crafted on, read on) -> P (n,), of the rows of the first network at 2/255 that were attacked."""
    found = findings.evaluation("GradCAM", MIDDLE, network)
    cells = {c.row: c for c in found.cells if c.readout == "own" and c.state == "attacked"}
    return {
        (source, row): cell.by_attack[f"from {source}"]
        for row, cell in cells.items()
        for source in cells
        if f"from {source}" in cell.by_attack
    }


def family_blocks(findings: RoundCells, network: str) -> Tensor:
    """Mean excess of images crafted within a row's family minus that of images crafted across, (1, images)."""
    found = findings.evaluation("GradCAM", MIDDLE, network)
    still = {c.row: c.noise for c in found.cells if c.readout == "own"}
    inside: list[Tensor] = []
    across: list[Tensor] = []
    for (source, row), p in transfers(findings, network).items():
        families = {EXPLAINERS[source].family, EXPLAINERS[row].family}
        if "trivial" not in families:
            (inside if len(families) == 1 else across).append(still[row] - p)
    return (torch.stack(inside).nanmean(0) - torch.stack(across).nanmean(0))[None]


def orders(findings: RoundCells, rows: Iterable[str], networks: Sequence[str]) -> dict[str, object]:
    """Mean Spearman of the orders of rows over pairs of networks, with a bootstrap over images."""
    cells = [findings.cell(row, MIDDLE, name) for row in rows for name in networks]
    values = ranked_values(cells, MIDDLE)
    n = min(len(v) for by_network in values.values() for v in by_network.values())
    g, draws = torch.Generator().manual_seed(0), []
    for _ in range(500):
        pick = torch.randint(n, (n,), generator=g, device="cpu")
        again = {row: {name: v[pick] for name, v in by.items()} for row, by in values.items()}
        draws.append(order_stability(again).mean)
    found = order_stability(values)
    low, high = torch.tensor(draws, dtype=torch.float64, device="cpu").quantile(
        torch.tensor([0.025, 0.975], dtype=torch.float64, device="cpu")
    )
    return {
        "value": found.mean, "interval": (float(low), float(high)), "n": n, "seeds": found.networks,
        "least": found.least,
    }  # fmt: skip


def rank_agreement(a: Sequence[float | int], b: Sequence[float | int]) -> float:
    """Spearman of two lists.

    >>> rank_agreement([1.0, 2.0, 3.0], [2.0, 4.0, 9.0])
    1.0
    """
    return round(float(spearman(torch.tensor(a, device="cpu")[None], torch.tensor(b, device="cpu")[None])), 6)
