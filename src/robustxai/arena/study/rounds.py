"""Which rows meet which budgets on which networks, and the cells that come of it, to be looked up by name.

The images are new: no seed of the pilot run that sized this experiment is used again, and no network was trained on
them. Knows the arena and the rendered animals; judges nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustxai.arena.catalogue import FAST
from robustxai.arena.cells import ArenaCell, Evaluation
from robustxai.arena.evaluate import evaluate
from robustxai.data.scenes import Scenes, menagerie
from robustxai.nets import pretrained

SIZE = 56
IMAGE_SEED = 20261130
"""Of the images; the pilot had 5, 9, 11, 21, 31, 77 and 2000."""
CORE = ("edge", "GradCAM", "DiffGradCAM (lse)", "DiffGradCAM (mean)", "Saliency", "Gradient x Input")
"""Rows that every network meets."""
CAMS = ("GradCAM++", "LayerCAM", "DiffGradCAM++ (lse)")
DEAR = ("SmoothGrad (4)", "IG (6)", "BlurIG (6)")
BUDGETS = (1 / 255, 2 / 255, 4 / 255, 8 / 255)
MIDDLE = 2 / 255


@dataclass(frozen=True)
class Round:
    """Rows at budgets on one network, over n images; the other arguments are those of `evaluate`."""

    network: str
    rows: tuple[str, ...]
    eps: tuple[float | int, ...]
    n: int
    readout: tuple[str, ...] = ("own",)
    defence: str = "none"
    suite: str = "quick"

    @property
    def task(self) -> str:
        """The label set of the network: `diffgradcam-<task>-s<seed>-<run>`."""
        return self.network.split("-")[1]


def honest(task: str, seed: int) -> str:
    """The name of a network that nobody manipulated."""
    return f"diffgradcam-{task}-s{seed}-clean"


def fresh_images(task: str, n: int) -> Scenes:
    """Images of a task, the same for every network of it; the first of more are those of fewer.

    >>> fresh_images("animals4", 2).images.shape
    torch.Size([2, 3, 56, 56])
    """
    return menagerie(
        max(n, 64), classes=task, size=SIZE, generator=torch.Generator().manual_seed(IMAGE_SEED)
    ).subset(torch.arange(n, device="cpu"))


def planned(
    seeds: Sequence[int], tasks: Sequence[str], *, n: int, n_dear: int, n_masked: int, suite: str = "quick"
) -> list[Round]:
    """The rounds of the chapter: all cheap rows in both read-outs on the first network, the core on every other.

    n: images of the cheap rows; n_dear of those that cost several passes a map; n_masked of Score-CAM, whose map is one
    pass a channel. tasks: the first has all seeds, the others the first seed. suite: a name of `SUITES`.
    """
    first, *others = (honest(tasks[0], seed) for seed in seeds)
    rest = [*others, *(honest(task, seeds[0]) for task in tasks[1:])]
    outer = (BUDGETS[0], *BUDGETS[2:])
    rounds = [
        Round(first, FAST, (MIDDLE,), n, ("own", "grid")),
        Round(first, (*CORE, *CAMS), outer, n),
        *(Round(name, (*CORE, *CAMS), (MIDDLE,), n) for name in rest),
        *(Round(name, ("edge", "GradCAM", "Saliency", "Gradient x Input"), outer, n) for name in others),
        *(Round(name, ("Saliency",), (MIDDLE,), n, ("own", "grid")) for name in others),
        Round(first, DEAR, (MIDDLE,), n_dear),
        Round(first, ("GradCAM", "Score-CAM"), (MIDDLE,), n_masked),
        *(
            Round(first, ("Saliency",), (MIDDLE,), n_dear, defence=d)
            for d in ("softplus(2)", "SmoothGrad(16)")
        ),
    ]
    return [Round(r.network, r.rows, r.eps, r.n, r.readout, r.defence, suite) for r in rounds]


@dataclass
class RoundCells:
    """Evaluations and their rounds; cells are looked up by name."""

    rounds: list[Round] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    def cell(
        self,
        row: str,
        eps: float | int,
        network: str,
        readout: str = "own",
        defence: str = "none",
        n: int | None = None,
    ) -> ArenaCell:
        """One cell, of the first round that has it, with n images where it is given. ValueError where none has."""
        for one, found in zip(self.rounds, self.evaluations, strict=True):
            if one.network != network or one.defence != defence or (n is not None and one.n != n):
                continue
            for cell in found.cells:
                if (cell.row, cell.readout) == (row, readout) and abs(cell.eps - eps) < 1e-9:
                    return cell
        raise ValueError(
            f"cell must be measured, got {row}, {eps * 255:.3g}/255, {network}, {readout}, {defence}"
        )

    def has(self, row: str, eps: float | int, network: str, readout: str = "own") -> bool:
        """Whether there is such a cell."""
        return any(
            (c.row, c.readout, c.network, c.defence) == (row, readout, network, "none")
            and abs(c.eps - eps) < 1e-9
            for found in self.evaluations
            for c in found.cells
        )

    def evaluation(self, row: str, eps: float | int, network: str) -> Evaluation:
        """The evaluation, without a defence, that has the images crafted on a row. ValueError where none has."""
        for one, found in zip(self.rounds, self.evaluations, strict=True):
            if one.network == network and one.defence == "none":
                for name, at in found.adversarials:
                    if name == row and abs(at - eps) < 1e-9:
                        return found
        raise ValueError(f"row must be attacked on {network} at {eps * 255:.3g}/255, got {row}")

    def stacked(
        self,
        networks: Iterable[str],
        row: str,
        eps: float | int,
        of: Callable[[ArenaCell], Tensor],
        readout: str = "own",
    ) -> Tensor:
        """One value a network and image, (networks, images), of the cells of a row."""
        return torch.stack([of(self.cell(row, eps, name, readout)).cpu().double() for name in networks])


def run_rounds(
    rounds: Sequence[Round],
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    tell: Callable[[str], Any] | None = None,
) -> RoundCells:
    """Evaluate all rounds. tell: called with a line before each."""
    findings = RoundCells()
    for one in rounds:
        if tell is not None:
            tell(f"{one.network}, {len(one.rows)} rows, {len(one.eps)} budgets, {one.n} images")
        model, scenes = pretrained(one.network).to(device).eval(), fresh_images(one.task, one.n)
        found = evaluate(
            model, scenes.images.to(device), rows=one.rows, eps=one.eps, suite=one.suite, readout=one.readout,
            defence=one.defence, network=one.network, seed=seed,
        )  # fmt: skip
        findings.rounds.append(one)
        findings.evaluations.append(found)
    return findings
