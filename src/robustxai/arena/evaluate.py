"""The double loop: every row at every budget under the suite, each in its own read-outs, as cells.

Clean maps, the softplus twin and readings of an image are made once and shared between cells; cheap rows come first.
What happens on one row is in `contest`, what is tried in `suite`.
"""

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.arena.catalogue import DEFENCES, find_rows
from robustxai.arena.cells import ArenaCell, Evaluation, nothing
from robustxai.arena.contest import Contest
from robustxai.arena.entries import EnteredRow, enter_row
from robustxai.arena.readouts import READOUTS, explained_layer, grid_of
from robustxai.arena.realised_noise import NoiseDraws
from robustxai.arena.registry import ExplainerRow, Parts
from robustxai.arena.suite import SUITES, TWIN_BETA, VERSION, Crafted, Threat
from robustxai.checks import (
    as_target,
    check_count,
    check_images,
    check_module,
    check_name,
    check_positive,
    check_sequence,
)
from robustxai.eval_mode import check_calm
from robustxai.models import logits_of
from robustxai.nets.softplus import has_kinks, softplus_copy
from robustxai.shapes import Images, Target

ARENA_NORMS = ("linf", "l2")
OnCell = Callable[[ArenaCell], object]


def evaluate(
    model: nn.Module,
    x: Images,
    *,
    rows: Sequence[str | ExplainerRow] | None = None,
    eps: Sequence[float | int] = (2 / 255,),
    norm: str = "linf",
    suite: str = "quick",
    readout: Sequence[str] = ("own", "grid"),
    layer: nn.Module | str | None = None,
    autoencoder: tuple[nn.Module, nn.Module] | None = None,
    masks: Tensor | None = None,
    target: Target = None,
    network: str = "model",
    defence: str = "none",
    seed: int = 0,
    batch_size: int = 32,
    on_cell: OnCell | None = None,
    memory: MutableMapping[str, Crafted] | None = None,
) -> Evaluation:
    """Cells of all rows on one network: worst-case overlap of maps under the suite, its noise control, its state.

    The attacker changes x within eps, knows network, explainer and defence, and must keep the predicted class. 17
    parameters, as each is one line of the threat model or of the protocol.

    Args:
        model: images (n, C, H, W) in [0, 1] to logits, in eval mode.
        x: the images, on the device of the model.
        rows: names of the registry or rows; None for all. A row that needs what is not there has a cell "n/a".
        eps: budgets, above 0. norm: "linf" or "l2". suite: a name of `SUITES`. readout: some of "own", "grid".
        layer: what CAM rows explain; None asks the network for its `gap_layer`.
        autoencoder: (encoder, decoder) for rows on a manifold. masks: (n, 1, H, W) of the objects.
        target: explained classes; None is the class predicted on x.
        network: its name in cells. defence: a name of `DEFENCES`; "n/a" on rows whose family it does not fit.
        seed: of the noise and the random networks. batch_size: images at once; changes memory, not results.
        on_cell: called with each cell when the row's own attacks are done, and with its last form when the images of
            all rows have been read; when it returns True the loop ends.
        memory: searches that ended in an earlier call with the same network, x, target and seed, which are not made
            again; new ones are put there. All else is computed again, so the result is the same.

    Raises ValueError for bad images, names, numbers, a layer that is not there, a model in training mode.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Tanh(), nn.Linear(8, 2)).eval()
    >>> found = evaluate(net, torch.rand(8, 3, 8, 8), rows=["Saliency", "constant"], eps=(0.1,), readout=("own",))
    >>> [(cell.row, cell.state) for cell in found.cells]
    [('constant', 'proof'), ('Saliency', 'attacked')]
    """
    budgets = _checked(model, x, eps, norm, suite, readout, defence)
    batch_size = check_count("batch_size", batch_size)
    layer = explained_layer(model, layer)
    grid, gap = grid_of(model, layer, x)
    with torch.no_grad():
        t = as_target(target, torch.cat([logits_of(model, part) for part in x.split(batch_size)]))
    how = _How(
        model, softplus_copy(model, TWIN_BETA) if has_kinks(model) else None, x.detach(), t, norm, suite,
        tuple(readout), network, defence, seed, batch_size, grid, memory,
    )  # fmt: skip
    parts = Parts(layer=layer, autoencoder=autoencoder, masks=masks, gap=gap)
    entries, cells = [], dict[tuple[str, float, str], ArenaCell]()
    for row in find_rows(None if rows is None else list(rows)):
        if reason := _lacking(row, parts, defence):
            _emit([_empty(row, how, e, r, reason) for e in budgets for r in readout], cells, on_cell)
        else:
            entries.append(enter_row(row, parts, how.threat(budgets[0]), defence, grid=grid, seed=seed))
    worst: dict[tuple[str, float], Tensor] = {}
    for e in budgets:
        contests, ended = _budget(entries, how, e, cells, on_cell)
        worst |= {(c.name, e): c.worst_images(readout[0]).x for c in contests}
        if ended:
            break
    settings = {
        "norm": norm, "eps": tuple(budgets), "scalar": "logit", "shares": dict(READOUTS), "grid": grid,
        "suite": suite, "version": VERSION, "steps": SUITES[suite].steps, "seed": seed, "n": len(x),
        "network": network, "defence": defence, "layer": layer, "keeps": "the predicted class",
    }  # fmt: skip
    clean = {one.row.name: one.clean for one in entries}
    return Evaluation(list(cells.values()), clean, worst, how.x, t, settings)


@dataclass(frozen=True)
class _How:
    """What all rows of an evaluation share."""

    model: nn.Module
    twin: nn.Module | None
    x: Images
    target: Tensor
    norm: str
    suite: str
    readouts: tuple[str, ...]
    network: str
    defence: str
    seed: int
    batch_size: int
    grid: int
    memory: MutableMapping[str, Crafted] | None = None

    def threat(self, eps: float | int) -> Threat:
        return Threat(
            model=self.model, twin=self.twin, x=self.x, target=self.target, eps=eps, norm=self.norm,
            suite=SUITES[self.suite], batch_size=self.batch_size, memory=self.memory,
        )  # fmt: skip

    def cells(self, contest: Contest) -> list[ArenaCell]:
        """The row's cells, of what it has read so far."""
        cells = [contest.cell(r, self.network, self.defence) for r in self.readouts]
        differ = len({cell.state for cell in cells}) > 1
        return (
            [replace(cell, flags=(*cell.flags, "differs by read-out")) for cell in cells] if differ else cells
        )


def _budget(
    entries: Sequence[EnteredRow],
    how: _How,
    eps: float | int,
    cells: dict[Any, ArenaCell],
    on_cell: OnCell | None,
) -> tuple[list[Contest], bool]:
    """All rows at one budget, each attacked on its own, then each with the images of all others; whether it ended."""
    contests, threat = list[Contest](), how.threat(eps)
    draws = NoiseDraws(threat, how.seed)
    for entry in entries:
        contest = Contest(entry, threat, draws)
        for readout in how.readouts:
            contest.attack(readout)
        if entry.plain is not None:
            contest.attack_undefended()
        contests.append(contest)
        if _emit(how.cells(contest), cells, on_cell):
            return contests, True
    handed = {contest.name: list(_handed(contest, how)) for contest in contests}
    for contest in contests:
        for name, images in handed.items():
            for one in images if name != contest.name else ():
                contest.read(one, name, None)
        for readout in how.readouts:
            contest.begin_again(readout)
        if _emit(how.cells(contest), cells, on_cell):
            return contests, True
    return contests, False


def _handed(contest: Contest, how: _How) -> Iterable[Crafted]:
    """The images of a row that others read: all that it crafted or the worst in each read-out, where any moved."""
    if SUITES[how.suite].every_transfer:
        images = [r.crafted for r in contest.readings if r.source == contest.name]
    else:
        images = [contest.worst_images(readout, own=True) for readout in how.readouts]
    return (one for one in images if not torch.equal(one.x, how.x))


def _lacking(row: ExplainerRow, parts: Parts, defence: str) -> str:
    """Why a row cannot be evaluated, or nothing."""
    if defence != "none" and row.family not in DEFENCES[defence].families:
        return f"{defence} is no defence of rows of the family {row.family}."
    needs = dict.fromkeys((*row.needs, *(DEFENCES[defence].needs if defence != "none" else ())))
    if lacking := parts.lacks(needs):
        return f"It needs {' and '.join(lacking)}, and there is none."
    return ""


def _empty(row: ExplainerRow, how: _How, eps: float | int, readout: str, reason: str) -> ArenaCell:
    n = len(how.x)
    none, nan = torch.zeros(n, dtype=torch.bool, device="cpu"), nothing(n)
    return ArenaCell(
        row=row.name, family=row.family, network=how.network, defence=how.defence, eps=eps, norm=how.norm,
        readout=readout, state="n/a", reason=reason, worst=nan, noise=nan, transfer=nan, by_attack={}, by_grid=nan,
        worst_attack=[""] * n, followed=none, kept=none, dead=0, dropped=0,
    )  # fmt: skip


def _emit(found: Iterable[ArenaCell], cells: dict[Any, ArenaCell], on_cell: OnCell | None) -> bool:
    """Keep cells, later ones in the place of earlier; True where the caller wants to end."""
    ended = False
    for cell in found:
        cells[cell.row, cell.eps, cell.readout] = cell
        ended |= on_cell is not None and on_cell(cell) is True
    return ended


def _checked(
    model: nn.Module, x: Tensor, eps: object, norm: str, suite: str, readout: object, defence: str
) -> list[float]:
    """The budgets, when the call is in order."""
    check_module("model", model)
    check_calm("model", model)
    check_images("x", x)
    check_name("norm", norm, ARENA_NORMS)
    check_name("suite", suite, SUITES)
    check_sequence("eps", eps, "budgets")
    check_sequence("readout", readout, "read-outs")
    for one in readout:  # pyright: ignore[reportGeneralTypeIssues]
        check_name("readout", one, READOUTS)
    if defence != "none":
        check_name("defence", defence, DEFENCES)
    return [check_positive("eps", e) for e in eps]  # pyright: ignore[reportGeneralTypeIssues]
