"""Experiments on defences: which restore the clean verdict of an attacked cell, and which change a clean one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustxai.concepts.cav import CAV
from robustxai.concepts.defences import CLEANERS, detection_rate, noisy_copies, outlier_scores, vote
from robustxai.concepts.experiments import EPS, LAYER, Case, Materials, attacked, judge
from robustxai.concepts.results import Cell
from robustxai.concepts.tcav import TCAV

Cleaner = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Defended:
    """One defence on one cell: score and verdict of clean and of attacked exemplars."""

    name: str
    clean: float
    clean_state: str
    attacked: float
    attacked_state: str

    @property
    def holds(self) -> bool:
        """The attacked exemplars get the verdict of the clean ones."""
        return self.clean_state == self.attacked_state


def _pair(name: str, clean: Cell, hit: Cell) -> Defended:
    return Defended(name, clean.mean, clean.state, hit.mean, hit.state)


def cleaned(
    model: nn.Module,
    given: Materials,
    case: Case,
    moved: Tensor,
    *,
    layer: str = LAYER,
    cav: CAV | None = None,
    cleaners: Mapping[str, Cleaner] | None = None,
) -> list[Defended]:
    """No defence, every cleaner (of exemplars and random pictures alike), noise-averaged and median CAVs."""
    tokens = given.concepts[case.concept]
    images, target = given.scored[case.target], given.index(case.target)
    found = []
    ways: dict[str, tuple[Cleaner, CAV]] = {"none": (lambda x: x, cav or CAV())}
    ways |= {name: (f, cav or CAV()) for name, f in (CLEANERS if cleaners is None else cleaners).items()}
    ways |= {
        "noise-averaged CAV": (lambda x: noisy_copies(x), cav or CAV()),
        "median CAV": (lambda x: x, CAV("median")),
    }
    for name, (clean, probe) in ways.items():
        random = [clean(s) for s in given.random]
        sets = {"clean": clean(tokens), "attacked": clean(moved)}
        r = TCAV(model, [layer], cav=probe).score(images, target, sets, random, correction="none", keep=False)
        found.append(_pair(name, r["clean", layer], r["attacked", layer]))
    return found


def voted(
    models: Sequence[nn.Module],
    given: Materials,
    case: Case,
    moved: Tensor,
    *,
    layers: Sequence[str],
    cav: CAV | None = None,
) -> Defended:
    """The majority over layers of one or more networks; the score is the mean over them."""
    cells: dict[str, list[Cell]] = {"clean": [], "attacked": []}
    for model in models:
        sets = {"clean": given.concepts[case.concept], "attacked": moved}
        for name, by_layer in judge(TCAV(model, layers, cav=cav), given, case.target, sets).items():
            cells[name] += by_layer.values()
    mean = {k: sum(c.mean for c in v) / len(v) for k, v in cells.items()}
    state = {k: vote(c.state for c in v) for k, v in cells.items()}
    name = f"vote of {len(models)} network{'s' * (len(models) > 1)} x {len(layers)} layers"
    return Defended(name, mean["clean"], state["clean"], mean["attacked"], state["attacked"])


def several_sets(
    model: nn.Module,
    given: Materials,
    case: Case,
    moved: Tensor,
    others: Sequence[Tensor],
    *,
    layer: str = LAYER,
    cav: CAV | None = None,
) -> Defended:
    """The majority over independently collected exemplar sets, of which only the first is attacked."""
    sets = {
        "clean": given.concepts[case.concept],
        "attacked": moved,
        **{str(i): x for i, x in enumerate(others)},
    }
    cells = {k: c[layer] for k, c in judge(TCAV(model, [layer], cav=cav), given, case.target, sets).items()}
    rest = [cells[str(i)] for i in range(len(others))]
    clean, hit = ([cells[k], *rest] for k in ("clean", "attacked"))
    return Defended(
        f"vote of {len(rest) + 1} concept sets",
        sum(c.mean for c in clean) / len(clean), vote(c.state for c in clean),
        sum(c.mean for c in hit) / len(hit), vote(c.state for c in hit),
    )  # fmt: skip


def detected(
    model: nn.Module,
    given: Materials,
    case: Case,
    moved: Tensor,
    *,
    layer: str = LAYER,
    false_alarms: float = 0.05,
) -> float:
    """The share of attacked exemplars that an outlier test on activations finds, with clean ones of another source."""
    tokens = given.concepts[case.concept]
    half = len(given.goal[case.concept]) // 2
    trusted, check = given.goal[case.concept][:half], given.goal[case.concept][half:]
    usual = outlier_scores(model, layer, torch.cat((tokens, check)), trusted)
    return detection_rate(outlier_scores(model, layer, moved, trusted), usual, false_alarms=false_alarms)


def moved_tokens(
    model: nn.Module, given: Materials, case: Case, *, attack: str = "gradient", eps: float = EPS
) -> Tensor:
    """The case's attacked tokens, for the functions above."""
    return attacked(model, given, case, attack=attack, eps=eps).x
