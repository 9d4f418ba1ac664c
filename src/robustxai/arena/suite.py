"""The fixed suite: what is tried on every row, tuned by nobody; and noise of the size that an attack really had.

`craft` finds images against one explainer in one read-out; which of them count on which row is `evaluate`'s business.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robustxai.arena.catalogue import ATTACKS
from robustxai.arena.readouts import Expected
from robustxai.attacks.budget import Budget, draw
from robustxai.attacks.controls import Control
from robustxai.attacks.result import Attacked
from robustxai.explainers.base import Explainer
from robustxai.metrics.perturbation import per_sample, unit
from robustxai.shapes import Guide, Images, Inputs, PerSample

VERSION = "1"
TWIN_BETA = 20.0
NOISE_DRAWS = 5


@dataclass(frozen=True)
class Suite:
    """steps: T. objectives: those that follow `topk`, with the better of its derivatives. dear: a map that costs more
    forward passes than this meets `topk` alone. halves: the second half of the steps begins at the best iterate, with
    steps of twice the length. every_transfer: rows read every image that was crafted on another one, else the worst.
    """

    name: str
    steps: int
    objectives: tuple[str, ...]
    dear: float
    halves: bool = False
    every_transfer: bool = False


SUITES = {
    "quick": Suite("quick", 10, ("centre",), dear=3),
    "real": Suite("real", 20, ("centre", "region"), dear=30, halves=True, every_transfer=True),
}


@dataclass(frozen=True, kw_only=True)
class Threat:
    """Who attacks what: the `model` whose class is kept, its softplus `twin` (None for a smooth one), clean inputs x in
    [0, 1], explained classes (n,), the budget, the suite, and how many inputs are attacked at once."""

    model: nn.Module
    twin: nn.Module | None
    x: Images
    target: Tensor
    eps: float
    norm: str
    suite: Suite
    batch_size: int = 32


@dataclass(frozen=True)
class Crafted:
    """Images that an attack found, whether it followed a gradient for each (n,), and whether their class is the clean."""

    name: str
    x: Images
    followed: Bool[Tensor, " n"]
    kept: Bool[Tensor, " n"]


def craft(
    threat: Threat,
    explain: Explainer,
    k: int,
    score: Callable[[Tensor], PerSample],
    *,
    cost: float = 1.0,
    random: bool = False,
) -> list[Crafted]:
    """What the suite finds against an explainer that is read as it is.

    k: its top, in values. score: from images to the P of each, which says whose derivatives were the better. cost:
    forward passes of one map. Without a derivative of its own the explainer's guide is followed ("topk-bpda"); of one
    whose map is `random`, the mean of several draws ("topk-eot").
    """
    ways: dict[str, Guide | None]
    if random:
        ways = {"topk-eot": lambda _: Expected(explain)}
    elif explain.differentiable:
        ways = {"topk": None}
        if threat.twin is not None and (twin := _on_twin(explain, threat)) is not None:
            ways["topk-twin"] = lambda _: twin
    else:
        ways = {"topk-bpda": lambda x: explain.guide(x, beta=TWIN_BETA)}
    found = [searched(threat, explain, k, name, "topk", guide) for name, guide in ways.items()]
    if cost > threat.suite.dear or not any(one.followed.any() for one in found):
        return found
    best = min(found, key=lambda one: (not bool(one.followed.any()), float(score(one.x).nanmean())))
    for objective in threat.suite.objectives:
        first = best.x if objective == "centre" else None
        found.append(searched(threat, explain, k, objective, objective, ways[best.name], first))
    return found


def searched(
    threat: Threat,
    explain: Explainer,
    k: int,
    name: str,
    column: str,
    guide: Guide | None = None,
    first: Images | None = None,
) -> Crafted:
    """What one objective finds, begun at `first`: in one go, or in two halves. An image that was not moved from a
    clean input begins as the attack itself would (P8: a jittered centre of mass has no slope on a piecewise linear map).
    """
    steps, make = threat.suite.steps, ATTACKS[column].make

    def go(n: int, step: float, begin: Images | None) -> Attacked:
        attack = make(
            k, threat.eps, norm=threat.norm, steps=n, step=step, clip=(0, 1), batch_size=threat.batch_size
        )
        if begin is not None:
            still = (begin == threat.x).flatten(1).all(1)
            begin = torch.where(per_sample(still, begin), attack.start(threat.x, None), begin)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "explain has no gradient in x")  # the state of the cell says so
            return attack.perturb(
                threat.model, threat.x, threat.target, explain=explain, guide=guide, first=begin
            )

    step = 2.5 * threat.eps / steps
    if not threat.suite.halves or steps < 2:
        found = go(steps, step, first)
    else:
        before = go(steps // 2, step, first)
        found = go(steps - steps // 2, 2 * step, before.x)
        found = replace(found, followed=found.followed | before.followed)
    return Crafted(name, found.x, found.followed, found.kept)


def _on_twin(explain: Explainer, threat: Threat) -> Explainer | None:
    """The explainer of the softplus twin; None where it explains another network than the attacked one."""
    return explain.on(threat.twin) if explain.model is threat.model and threat.twin is not None else None


class RealisedNoise(Control):
    """Noise that keeps the class and is of the size that each change of `changed` has: signs times its largest value, or
    a Gaussian direction of its length. Where nothing changed, of size eps. Clipping to [0, 1] shortens it.

    changed, x: inputs (n, ...) of one shape. eps: above 0. norm: "linf" or "l2".

    >>> x = torch.full((2, 1, 2, 2), 0.5)
    >>> noise = RealisedNoise(x + 0.1, x, 0.2, "linf")
    >>> noise.perturb(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), x, 0).linf.round(decimals=4)
    tensor([0.1000, 0.1000])
    """

    def __init__(self, changed: Inputs, x: Inputs, eps: float, norm: str, *, tries: int = 20):
        change = (changed - x).flatten(1)
        size = change.norm(dim=1) if norm == "l2" else change.abs().amax(1)
        self.size = torch.where(size > 0, size, eps)
        self.budget, self.tries = Budget(tuple(self.size.tolist()), norm, (0, 1)), tries

    def candidate(self, x: Inputs, generator: torch.Generator) -> Inputs:
        noise = draw(x, generator)
        direction = unit(noise) if self.budget.norm == "l2" else noise.sign()
        return self.budget.project(x + per_sample(self.size, x) * direction, x)
