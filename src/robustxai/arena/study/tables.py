"""The tables and the numbers behind the figures of the chapter. Knows findings; draws nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robustxai.arena.cells import ArenaCell
from robustxai.arena.informative import class_dependence, dependence, faith
from robustxai.arena.measures import above_chance, chance, excess, overlap_tolerant
from robustxai.arena.registry import EXPLAINERS, Parts
from robustxai.arena.standing import ranked_values, standings
from robustxai.arena.study.judging import areas, interval_over, quality, rank_agreement, transfers
from robustxai.arena.study.rounds import BUDGETS, MIDDLE, RoundCells
from robustxai.metrics import deletion, energy_inside
from robustxai.records import Row, triple

ATTACKS = ("topk", "topk-twin", "topk-bpda", "topk-eot", "centre", "region")


def board(findings: RoundCells, networks: Sequence[str]) -> list[Row]:
    """A line a row: state, worst P and noise over the networks, rank interval and place; rows without a rank last.

    A row is attacked where its cells on all networks are; else the first other state is shown, with its reason.
    """
    rows = [r for r in dict.fromkeys(c.row for e in findings.evaluations for c in e.cells)]
    rows = [r for r in rows if all(findings.has(r, MIDDLE, n) for n in networks)]
    cells = {r: [findings.cell(r, MIDDLE, n) for n in networks] for r in rows}
    ranked = ranked_values([c for some in cells.values() for c in some], MIDDLE)
    complete = {r: by for r, by in ranked.items() if len(by) == len(networks)}
    lines: list[Row] = []
    for s in standings(complete, images=dict.fromkeys(networks, "the same")):
        some = cells[s.row]
        p = torch.stack([c.worst for c in some])
        lines.append({
            "row": s.row, "state": "attacked", "P": triple(interval_over(p)),
            "noise": triple(interval_over(torch.stack([c.noise for c in some]))),
            "rank": f"{s.rank_low:.0f} to {s.rank_high:.0f}", "place": s.place, "flags": ", ".join(some[0].flags),
        })  # fmt: skip
    for r in rows:
        if r not in complete:
            odd = next((c for c in cells[r] if c.state != "attacked"), cells[r][0])
            lines.append({"row": r, "state": odd.state, "flags": ", ".join(odd.flags), "reason": odd.reason})
    return lines


def by_attack(
    findings: RoundCells, network: str, readout: str = "own"
) -> tuple[list[str], list[str], Tensor]:
    """Rows, columns and the mean Q (rows, columns) of each attack on each row, nan where it was not tried or followed
    nothing; the last columns are the transfers, the worst of all, and noise. A row that was not
    attacked has noise alone.
    """
    found = findings.evaluation("GradCAM", MIDDLE, network)
    cells = [c for c in found.cells if c.readout == readout]
    columns = [a for a in ATTACKS if any(_followed(c, a).isfinite().any() for c in cells)]
    lines = []
    for c in cells:
        known = [_followed(c, a) for a in columns] + [c.transfer, c.worst]
        if c.state not in ("attacked", "weak"):
            known = [torch.full_like(v, torch.nan) for v in known]
        line = torch.stack([v.nanmean() for v in (*known, c.noise)])
        lines.append(above_chance(line, chance(found.clean[c.row])))
    return [c.row for c in cells], [*columns, "images of others", "worst", "noise"], torch.stack(lines)


def _followed(cell: ArenaCell, attack: str) -> Tensor:
    if attack not in cell.by_attack or not cell.followed_by[attack].any():
        return torch.full_like(cell.worst, torch.nan)
    return cell.by_attack[attack]


def robustness_curves(
    findings: RoundCells, networks: Sequence[str], rows: Sequence[str]
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Q over `BUDGETS` of rows, (mean, low, high) over networks and images."""
    found = {}
    for row in rows:
        points = []
        for eps in BUDGETS:
            values = torch.stack(
                [
                    quality(findings.cell(row, eps, n), findings.evaluation(row, eps, n).clean[row])
                    for n in networks
                ]
            )
            points.append(triple(interval_over(values)))
        middle, low, high = (torch.tensor(v, device="cpu") for v in zip(*points, strict=True))
        found[row] = (middle, low, high)
    return found


def worth(findings: RoundCells, network: str, masks: Tensor, model: torch.nn.Module) -> dict[str, Row]:
    """What the clean map of every row of the first round says: faithfulness, dependence on network and class, mass on
    the object; and A where all budgets were measured. masks: (n, H, W)."""
    found = findings.evaluation("GradCAM", MIDDLE, network)
    parts, like, lines = Parts(layer=str(found.settings["layer"]), gap=True), None, {}
    for row, maps in found.clean.items():
        explain = EXPLAINERS[row].explainer(model, parts)
        like = faith(model, found.x, maps, found.target, masks=masks, like=like)
        g = torch.Generator().manual_seed(0)
        measured = all(findings.has(row, e, network) for e in BUDGETS)
        lines[row] = {
            "row": row, "family": EXPLAINERS[row].family, "faith": like.value,
            "deletion": float(like.deletion.nanmean()), "insertion": float(like.insertion.nanmean()),
            "dependence": float(dependence(explain, found.x, found.target, maps, generator=g).nanmean()),
            "class": float(class_dependence(explain, found.x, found.target, maps).nanmean()),
            "mass on the object": float(energy_inside(maps, masks).nanmean()),
            "A": float(areas(findings, network, row).nanmean()) if measured else None,
        }  # fmt: skip
    return lines


def transfer_matrix(findings: RoundCells, network: str) -> tuple[list[str], Tensor]:
    """Rows, and the excess (crafted on, read on): how much less than under noise stays of a map."""
    pairs = transfers(findings, network)
    rows = list(dict.fromkeys(row for _, row in pairs))
    noise = {r: findings.cell(r, MIDDLE, network).noise for r in rows}
    own = {r: findings.cell(r, MIDDLE, network) for r in rows}
    table = torch.full((len(rows), len(rows)), torch.nan, device="cpu")
    for i, source in enumerate(rows):
        for j, row in enumerate(rows):
            p = own[row].by_attack.get("topk") if source == row else pairs.get((source, row))
            if p is not None:
                table[i, j] = float(excess(noise[row], p).nanmean())
    return rows, table


def tolerant(findings: RoundCells, network: str, model: torch.nn.Module) -> dict[str, float]:
    """P after a small blur, of the worst images of each row: what is left when a shift that nobody sees is forgiven."""
    found = findings.evaluation("GradCAM", MIDDLE, network)
    parts, values = Parts(layer=str(found.settings["layer"]), gap=True), {}
    for row, maps in found.clean.items():
        explain = EXPLAINERS[row].explainer(model, parts)
        with torch.no_grad():
            attacked = explain(found.adversarials[row, MIDDLE], found.target)
        values[row] = float(overlap_tolerant(maps, attacked).nanmean())
    return values


def faith_gap(
    findings: RoundCells, network: str, masks: Tensor, model: torch.nn.Module, rows: Sequence[str]
) -> Row:
    """Faithfulness of the edge filter minus the median of rows, with a bootstrap over images: arguments of a claim."""
    found = findings.evaluation("GradCAM", MIDDLE, network)
    like, faiths = None, {}
    for row in ("edge", *rows):
        like = faiths[row] = faith(model, found.x, found.clean[row], found.target, masks=masks, like=like)

    def gap(pick: Tensor) -> float:
        values = {
            row: replace(f, **{k: v[pick] for k, v in vars(f).items()}).value for row, f in faiths.items()
        }
        return values["edge"] - float(
            torch.tensor([values[r] for r in rows], dtype=torch.float64, device="cpu").median()
        )

    return _resampled(gap, len(found.x))


def robust_and_faithful(
    findings: RoundCells, network: str, masks: Tensor, model: torch.nn.Module, rows: Sequence[str], n: int
) -> Row:
    """Spearman of worst P at 2/255 and deletion area over rows, with a bootstrap over the first n images."""
    areas_of, stays = [], []
    for row in rows:
        found = findings.evaluation(row, MIDDLE, network)
        maps, x, t = found.clean[row][:n], found.x[:n], found.target[:n]
        areas_of.append(deletion(model, x, maps, t).auc.cpu().double())
        stays.append(findings.cell(row, MIDDLE, network).worst[:n].cpu().double())
    removed, p = torch.stack(areas_of), torch.stack(stays)

    def agreement(pick: Tensor) -> float:
        return rank_agreement(p[:, pick].nanmean(1).tolist(), removed[:, pick].nanmean(1).tolist())

    return _resampled(agreement, n)


def _resampled(of: Callable[[Tensor], float], n: int, draws: int = 500) -> Row:
    g = torch.Generator().manual_seed(0)
    again = torch.tensor(
        [of(torch.randint(n, (n,), generator=g, device="cpu")) for _ in range(draws)],
        dtype=torch.float64,
        device="cpu",
    )
    low, high = (
        again[again.isfinite()]
        .quantile(torch.tensor([0.025, 0.975], dtype=torch.float64, device="cpu"))
        .tolist()
    )
    return {"value": of(torch.arange(n, device="cpu")), "interval": (low, high), "n": n, "seeds": None}
