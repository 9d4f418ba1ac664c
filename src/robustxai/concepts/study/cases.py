"""The chapter's experiments as small functions: which cells are attacked, and what an attack does to a verdict.

Cells and layers are fixed here, before any attack (spec 10.3, step 3). Class images of an attacker and of the
analyst come from different streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustxai.concepts.activation_cache import Memory, fresh
from robustxai.concepts.attacks import ClassGradientPush, Perturbed, TokenPushing, sign_noise
from robustxai.concepts.cav import CAV
from robustxai.concepts.exemplars import CONCEPTS, concept_sets, random_sets, scored_images, stream
from robustxai.concepts.rendered_classes import NAMES
from robustxai.concepts.tcav import TCAV
from robustxai.concepts.tcav_result import Cell, TCAVResult

LAYERS = ("b2", "b3", "b4")
LAYER = "b4"
EPS = 8 / 255
STEPS = 20
GENERIC = "random"
NULL = 8
MORE_NULL = 24  # held-out random sets of rendered images, drawn apart: the others of a run stay as they are


@dataclass(frozen=True)
class Case:
    """An attack's aim: tokens of `concept` shown for class `target`, pushed `towards` another concept or "random".

    sign: +1 to make the concept important, -1 to make it unimportant.
    """

    name: str
    target: str
    concept: str
    towards: str
    sign: int


CASES = (
    Case("polka dots made important for zebra", "zebra", "dotted", "striped", 1),
    Case("chequers made important for zebra", "zebra", "chequered", "striped", 1),
    Case("corgis made important for honeycomb", "honeycomb", "corgi", "honeycombed", 1),
    Case("stripes made unimportant for zebra", "zebra", "striped", "dotted", -1),
    Case("stripes made random for zebra", "zebra", "striped", GENERIC, -1),
)


@dataclass(frozen=True)
class Materials:
    """Everything the analyst has (`concepts`, `random`, `scored`), and what only the attacker has.

    `goal`: other exemplars of the concepts, and generic images, whose centroid an attack aims at. `own`: the
    attacker's class images. `null`: random sets used nowhere else, which no test should call a concept. `names`: of
    the network's classes.
    """

    concepts: Mapping[str, Tensor]
    random: Sequence[Tensor]
    scored: Mapping[str, Tensor]
    goal: Mapping[str, Tensor]
    own: Mapping[str, Tensor]
    null: Sequence[Tensor]
    names: tuple[str, ...] = NAMES

    def index(self, name: str) -> int:
        """The number of a class, in the network's logits."""
        return self.names.index(name)

    def to(self, device: torch.device | str) -> Materials:
        """The same images on another device."""
        named = {
            f: {k: x.to(device) for k, x in getattr(self, f).items()}
            for f in ("concepts", "scored", "goal", "own")
        }
        listed = {f: [x.to(device) for x in getattr(self, f)] for f in ("random", "null")}
        return replace(self, **named, **listed)


def materials(
    n: int = 100,
    *,
    runs: int = 20,
    classes: Sequence[str] = ("zebra", "appaloosa", "honeycomb"),
    size: int = 64,
) -> Materials:
    """n exemplars a concept, `runs` disjoint random sets, n images a class to score and n to attack with."""
    pool = random_sets(runs + NULL + 1, n=n, size=size)
    return Materials(
        concepts=concept_sets(CONCEPTS, n=n, size=size),
        random=pool[:runs],
        scored={c: scored_images(c, n, size=size) for c in classes},
        goal=concept_sets(CONCEPTS, n=n, size=size, split="goal") | {GENERIC: pool[runs]},
        own={c: scored_images(c, n, size=size, split="attack") for c in classes},
        null=[*pool[runs + 1 :], *random_sets(MORE_NULL, n=n, size=size, seed=1)],
    )


def clean_table(
    model: nn.Module,
    given: Materials,
    *,
    cav: CAV,
    layers: Sequence[str] = LAYERS,
    memory: Memory = fresh,
    **options,
) -> dict[str, TCAVResult]:
    """TCAV of all concepts at all layers, bare cells by class; each class is a family of its own for the correction."""
    tcav = TCAV(model, layers, cav=cav, cache=memory(model))
    found = {}
    for c, x in given.scored.items():
        result = tcav.score(x, given.index(c), given.concepts, given.random, **options)
        found[c] = TCAVResult(tuple(cell.bare for cell in result.cells))
    return found


def verdict_cells(
    tcav: TCAV, given: Materials, target: str, exemplars: Mapping[str, Tensor], **options
) -> dict[str, dict[str, Cell]]:
    """Cells by name of the exemplar set and layer. No correction: these are the fixed cells of an attack."""
    found = tcav.score(
        given.scored[target], given.index(target), exemplars, given.random, correction="none", **options
    )
    return {name: {layer: found[name, layer] for layer in tcav.layers} for name in exemplars}


def attack_case(
    model: nn.Module,
    given: Materials,
    case: Case,
    *,
    attack: str = "push",
    layer: str = LAYER,
    eps: float | Sequence[float] = EPS,
    steps: int = STEPS,
) -> Perturbed:
    """The case's tokens attacked by "push" (token pushing) or "gradient" (class-gradient push)."""
    tokens = given.concepts[case.concept]
    if attack == "push":
        return TokenPushing(layer, steps=steps).perturb(model, tokens, given.goal[case.towards], eps=eps)
    if attack != "gradient":
        raise ValueError(f"attack must be one of push, gradient, got {attack!r}")
    push = ClassGradientPush(layer, sign=case.sign, steps=steps)
    return push.perturb(model, tokens, given.own[case.target], given.index(case.target), eps=eps)


def exceeds_controls(cells: Mapping[str, Cell], sign: int) -> bool:
    """The attacked score is beyond every control's by more than one standard deviation over runs, the larger of the
    two: scores that end at 0 or 1 do not vary, and must not make any difference look certain."""
    mine = cells["attacked"]
    others = [c for name, c in cells.items() if name not in ("clean", "attacked")]
    return all(
        sign * (mine.mean - other.mean) > max(float(mine.scores.std()), float(other.scores.std()))
        for other in others
    )


def null_answers(
    model: nn.Module,
    given: Materials,
    target: str,
    *,
    layers: Sequence[str],
    cav: CAV | None = None,
    test: str = "runs",
    memory: Memory = fresh,
) -> list[bool]:
    """Whether a held-out random set is called significant at 5 % (spec A5), for every null set and layer.

    test: "runs" or "sets", as in `TCAV`.
    """
    sets = {str(i): s for i, s in enumerate(given.null)}
    baseline = "ring" if test == "runs" else "pairs"
    tcav = TCAV(model, layers, cav=cav, test=test, baseline=baseline, cache=memory(model))
    found = verdict_cells(tcav, given, target, sets)
    return [c.state != "not significant" for cells in found.values() for c in cells.values()]


def noise_answers(
    tcav: TCAV, given: Materials, *, eps: float = EPS, seed: int = 0
) -> dict[tuple[str, str], bool]:
    """Whether sign noise within `eps` on the exemplars leaves the verdict, for every class and concept, at the layer
    of `tcav`; seed: of the noise."""
    (layer,) = tcav.layers
    kept = {}
    for target in given.scored:
        noisy = {
            name: sign_noise(x, eps, generator=stream("noise", target, name, seed))
            for name, x in given.concepts.items()
        }
        clean, after = (verdict_cells(tcav, given, target, sets) for sets in (given.concepts, noisy))
        kept |= {(target, k): clean[k][layer].state == after[k][layer].state for k in noisy}
    return kept
