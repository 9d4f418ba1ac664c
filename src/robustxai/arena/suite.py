"""The fixed suite: what is tried on every row, tuned by nobody.

`craft` finds images against one explainer in one read-out; which of them count on which row is `evaluate`'s business.
"""

import warnings
import zlib
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from robustxai.arena.black_box import SquareSearch
from robustxai.arena.catalogue import ATTACK_COLUMNS
from robustxai.arena.readouts import Expected
from robustxai.attacks.result import Attacked
from robustxai.explainers.base import Explainer
from robustxai.metrics.perturbation import per_sample
from robustxai.shapes import Guide, Images, PerSample

VERSION = "1"
TWIN_BETA = 20.0


@dataclass(frozen=True)
class Suite:
    """steps: T. objectives: those that follow `topk`, with the better of its derivatives. dear: a map that costs more
    forward passes than this meets `topk` alone. halves: the second half of the steps begins at the best iterate, with
    steps of twice the length. every_transfer: rows read every image that was crafted on another one, else the worst.
    queries: of a search by squares on rows without a derivative. cam_twin: also CAMs whose weights are those of a
    linear head are attacked through the twin, which they hardly need.
    """

    name: str
    steps: int
    objectives: tuple[str, ...]
    dear: float | int
    halves: bool = False
    every_transfer: bool = False
    queries: int = 50
    cam_twin: bool = False


SUITES = {
    "quick": Suite("quick", 10, ("centre",), dear=3),
    "real": Suite(
        "real",
        20,
        ("centre", "region"),
        dear=30,
        halves=True,
        every_transfer=True,
        cam_twin=True,
        queries=200,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Threat:
    """Who attacks what: the `model` whose class is kept, its softplus `twin` (None for a smooth one), clean inputs x in
    [0, 1], explained classes (n,), the budget, the suite, and how many inputs are attacked at once.

    memory: searches that ended before, by `key`; label: the row and read-out that are attacked, a part of that key.
    """

    model: nn.Module
    twin: nn.Module | None
    x: Images
    target: Tensor
    eps: float | int
    norm: str
    suite: Suite
    batch_size: int = 32
    memory: "MutableMapping[str, Crafted] | None" = None
    label: str = ""

    def key(self, name: str, column: str, k: int, first: Images | None) -> str:
        """What a search is found by in a memory of this network, these inputs and this seed."""
        begun = (
            "" if first is None else f"{zlib.crc32(first.detach().cpu().contiguous().numpy().tobytes()):08x}"
        )
        return f"{self.label}|{name}|{column}|{k}|{self.eps:.8g}|{self.norm}|{self.suite.name}|{begun}"


@dataclass(frozen=True)
class Crafted:
    """Images that an attack found, whether it followed a gradient for each (n,), and whether they kept the class."""

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
    cost: float | int = 1.0,
    random: bool = False,
) -> list[Crafted]:
    """What the suite finds against an explainer that is read as it is.

    k: its top, in values. score: from images to the P of each, which says whose derivatives were the better. cost:
    forward passes of one map. random: two calls differ.
    """
    ways = derivatives(threat, explain, random)
    found = [searched(threat, explain, k, name, "topk", guide) for name, guide in ways.items()]
    if cost > threat.suite.dear or not any(one.followed.any() for one in found):
        return found
    best = min(found, key=lambda one: (not bool(one.followed.any()), float(score(one.x).nanmean())))
    for objective in threat.suite.objectives:
        one = searched(threat, explain, k, objective, objective, ways[best.name])
        if not one.followed.all():  # P8: off a clean input, a jittered start may lie on the same linear piece
            again = searched(threat, explain, k, objective, objective, ways[best.name], best.x)
            one = joint(objective, one, again)
        found.append(one)
    return found


def derivatives(threat: Threat, explain: Explainer, random: bool = False) -> dict[str, Guide | None]:
    """Whose derivatives `topk` may follow, by the name that it then has: the map's own (None) and those of the softplus
    twin; the guide of an explainer that has none of its own; the mean of several draws of one whose map is random.
    """
    if random:
        return {"topk-eot": lambda _: Expected(explain)}
    if not explain.differentiable:
        return {"topk-bpda": lambda x: explain.guide(x, beta=TWIN_BETA)}
    if (
        threat.twin is None or explain.model is not threat.model
    ):  # of a softplus defence there is nothing to smooth
        return {"topk": None}
    twin = explain.on(threat.twin)
    return {"topk": None, "topk-twin": lambda _: twin}


def searched(
    threat: Threat,
    explain: Explainer,
    k: int,
    name: str,
    column: str,
    guide: Guide | None = None,
    first: Images | None = None,
) -> Crafted:
    """What one objective finds, begun at `first`, None where the attack itself begins: in one go, or in two halves. An
    image that does not differ from its clean input begins as the attack would.
    """
    steps, make = threat.suite.steps, ATTACK_COLUMNS[column].make
    key, memory = threat.key(name, column, k, first), threat.memory
    if memory is not None and key in memory:
        return memory[key]

    def go(n: int, step: float | int, begin: Images | None) -> Attacked:
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
        crafted = Crafted(name, found.x, found.followed, found.kept)
    else:
        before = go(steps // 2, step, first)
        after = go(steps - steps // 2, 2 * step, before.x)
        crafted = joint(name, after, before)
    if memory is not None:
        memory[key] = crafted
    return crafted


def searched_by_squares(threat: Threat, explain: Explainer, k: int) -> Crafted:
    """What a search without derivatives finds with the objective `topk`."""
    key = threat.key("black box", "squares", k, None)
    if threat.memory is not None and key in threat.memory:
        return threat.memory[key]
    like = ATTACK_COLUMNS["topk"].make(k, threat.eps, norm=threat.norm, clip=(0, 1))
    search = SquareSearch(like, queries=threat.suite.queries, batch_size=threat.batch_size)
    found = search.perturb(threat.model, threat.x, threat.target, explain=explain)
    crafted = Crafted("black box", found.x, found.followed, found.kept)
    if threat.memory is not None:
        threat.memory[key] = crafted
    return crafted


def joint(name: str, one: Attacked | Crafted, other: Attacked | Crafted) -> Crafted:
    """The images of one search, and of the other where the first followed nothing: there it returned clean inputs."""
    mine = one.followed
    x = torch.where(per_sample(mine, one.x), one.x, other.x)
    return Crafted(name, x, mine | other.followed, torch.where(mine, one.kept, other.kept))
