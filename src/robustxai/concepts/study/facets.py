"""Experiments on facets: does an attack on the theme's exemplars change the image, and who says so (spec 4.9).

The unit is the patterned cat, which is striped or dotted by construction. A judge that never took part in rendering,
a probe on another network, says which of the two an image shows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.concepts.activations import activation_rows, activations
from robustxai.concepts.attacks import MultiLayerPushing, sign_noise
from robustxai.concepts.cav import CAV
from robustxai.concepts.exemplars import stream, textured
from robustxai.concepts.facet_probes import facet_probe, facet_score
from robustxai.concepts.facets import FacetedVisualization, Rendered
from robustxai.concepts.rendered_classes import SIZE, photographed, turned
from robustxai.concepts.study.cases import EPS, GENERIC, Materials
from robustxai.concepts.study.image_sets import TASKS, Task
from robustxai.concepts.study.imagenet_networks import FOREIGN
from robustxai.concepts.study.measures import alike
from robustxai.concepts.study.study import Member, Study
from robustxai.data.scenes import menagerie, render_menagerie
from robustxai.shapes import Images

FACETS = TASKS["menagerie"].facets
FACET_LAYERS = ("b3",)
STRENGTH = 1000.0  # of the facet term, whose probes have length 1 here
JUDGE_LAYER = "b4"
LESSON = 200  # cats, and swatches, of either texture that a judge learns from
ATTACK_STEPS = 40
AIMS = ("replace", "destroy")
CONTROLS = ("noise", "fresh")
ALSO = (*AIMS, *CONTROLS, "none")
READS = 0.9  # share of clean images that a judge must read right, of either facet


@dataclass(frozen=True)
class FacetSwap:
    """Images by name: "A" and "B" with the clean probes of two facets, "none" without, one an attack on A, and one
    a control: "noise" of the attack's size on A's exemplars, "fresh" exemplars of A that nobody attacked.

    `preference`: the share of a name's images on which the judge prefers A. `margin` (n,): the judge's signed
    distance, positive for A. `cosine`: of another probe to A's and B's, mean over layers. `likeness`: mean SSIM
    of images to those of A, from the same seeds. `score`: mean facet score for the clean probe of A.
    `accuracy`: of the judge, held out.
    """

    pictures: Mapping[str, Rendered]
    preference: Mapping[str, float]
    margin: Mapping[str, Tensor]
    cosine: Mapping[str, tuple[float, float]]
    likeness: Mapping[str, float]
    score: Mapping[str, float]
    accuracy: float

    @property
    def read(self) -> bool:
        """The judge reads the clean images of either facet right: else its word on attacked ones means nothing."""
        return self.preference["A"] >= READS and 1 - self.preference["B"] >= READS

    def way(self, name: str) -> float:
        """How far a name's images went from those of A to those of B, by the judge's mean margins: 0 is A, 1 is B."""
        a, b, here = (float(self.margin[k].mean()) for k in ("A", "B", name))
        return (a - here) / (a - b)

    @property
    def activation(self) -> dict[str, float]:
        """The unit's mean activation on the images."""
        return {name: float(p.activation.mean()) for name, p in self.pictures.items()}


def cats(texture: str, n: int, *, size: int = SIZE, seed: int = 0) -> Images:
    """n images of patterned cats with this texture: what the judge learns from."""
    generator = stream("judge", texture, seed)
    factors = menagerie(n, size=1, classes=(("cat", texture),), generator=generator).factors
    return photographed(render_menagerie(turned(factors, generator), size)[0], generator)


class Judge:
    """Which of two facets does an image show? A logistic probe on another network's mean activations."""

    def __init__(self, model: nn.Module, a: Images, b: Images, *, layer: str = JUDGE_LAYER) -> None:
        self.model, self.layer = model, layer
        fitted = CAV("logistic", test_share=1 / 3).fit(self._rows(a), [self._rows(b)])
        self.vector, self.intercept, self.accuracy = (
            fitted.vectors[0],
            fitted.intercepts[0],
            float(fitted.accuracy),
        )

    def margin(self, x: Images) -> Float[Tensor, " n"]:
        """Signed distance to the boundary: positive for the first facet."""
        return self._rows(x) @ self.vector + self.intercept

    def _rows(self, x: Tensor) -> Tensor:
        return activation_rows(activations(self.model, x, [self.layer])[self.layer], pool=True)


def judge_of(
    model: nn.Module,
    *,
    facets: Sequence[str] = FACETS,
    n: int = LESSON,
    size: int = SIZE,
    layer: str = JUDGE_LAYER,
) -> Judge:
    """A judge that has seen n cats and n swatches of either texture; none of them is an exemplar."""
    device = next(model.parameters()).device
    return Judge(model, *(lesson(f, n, size).to(device) for f in facets), layer=layer)


def rival_of(study: Study, kind: str, seed: int) -> tuple[str, nn.Module]:
    """The kind of the network that judges another one, and a copy of it: another architecture of the study, one of
    ImageNet's where there is one. Raises ValueError when the study has no other.
    """
    rest = [k for k in study.networks if k != kind]
    if not rest:
        raise ValueError(
            "networks must have two architectures or more, as a judge takes no part in drawing, got one"
        )
    other = next((k for k in rest if k in FOREIGN), rest[0])
    return other, deepcopy(study.network(other, study.seed_like(other, seed)))


def taught(study: Study, kind: str, model: nn.Module) -> Judge:
    """A network of this kind as a judge of the study's facets.

    For rendered images it learns from `lesson`. For photographs it learns from the exemplars that the attacker aims at:
    a weakness, as the attack and the judge then know the same images, but the set has no others of these textures.
    """
    if study.name == "menagerie":
        return judge_of(model, facets=study.task.facets)
    a, b = (study.given.goal[f] for f in study.task.facets)
    return Judge(model, a, b, layer=JUDGE_LAYER if kind in FOREIGN else "b3")


@lru_cache(maxsize=8)
def lesson(texture: str, n: int, size: int) -> Images:
    """n cats and n swatches of a texture, shuffled: the same images for every judge, so drawn once."""
    swatches = textured(n, (texture,), size=size, generator=stream("judge", "swatch", texture))
    both = torch.cat((cats(texture, n, size=size), swatches))
    g = stream("judge order")
    return both[torch.randperm(len(both), generator=g, device=g.device)]


def facet_swap(
    model: nn.Module,
    judge: Judge,
    given: Materials,
    task: Task = TASKS["menagerie"],
    *,
    also: Collection[str] = ALSO,
    eps: float = EPS,
    n: int = 8,
    attack_steps: int = ATTACK_STEPS,
    **options,
) -> FacetSwap:
    """Push the tokens of facet A towards B ("replace") or generic images ("destroy") and render with all probes.

    also: what is rendered beside the clean "A" and "B": aims, controls, and "none", without a facet. options: of
    `FacetedVisualization`. Raises ValueError for an unknown name in `also`.
    """
    if unknown := [name for name in also if name not in ALSO]:
        raise ValueError(f"also must be among {', '.join(map(repr, ALSO))}, got {unknown[0]!r}")
    aims, controls = ([name for name in names if name in also] for names in (AIMS, CONTROLS))
    a, b = task.facets
    tokens = given.concepts[a]
    goal = {"replace": given.goal[b], "destroy": given.goal[GENERIC]}
    attack = MultiLayerPushing(FACET_LAYERS, eps=eps, steps=attack_steps)
    noise = sign_noise(tokens, eps, generator=stream("facet noise", a))
    control = {"noise": noise, "fresh": given.goal[a]}
    sets = {"A": tokens, "B": given.concepts[b]} | {name: control[name] for name in controls}
    sets |= {aim: attack.perturb(model, tokens, goal[aim]).x for aim in aims}
    generic = list(given.random[:4])
    probes = {name: facet_probe(model, FACET_LAYERS, x, generic) for name, x in sets.items()}
    options = {"strength": STRENGTH, "steps": 96} | options
    facet = FacetedVisualization(model, given.index(task.unit), size=tokens.shape[-1], **options)
    shown = [*probes.items(), *([("none", None)] if "none" in also else [])]
    pictures = {name: facet.render(probe, n=n) for name, probe in shown}
    margin = {name: judge.margin(p.images) for name, p in pictures.items()}
    return FacetSwap(
        pictures,
        {name: float((m > 0).float().mean()) for name, m in margin.items()},
        margin,
        {k: (_cosine(probes[k], probes["A"]), _cosine(probes[k], probes["B"])) for k in (*controls, *aims)},
        {name: alike(p.images, pictures["A"].images) for name, p in pictures.items()},
        {name: float(facet_score(model, p.images, probes["A"]).mean()) for name, p in pictures.items()},
        judge.accuracy,
    )


def facet_swaps(study: Study, **options) -> dict[Member, FacetSwap]:
    """`facet_swap` on every network, each with its own judge; all aims, the controls and the images without a facet
    on the first of each architecture only. options: of `facet_swap`."""
    task, first = study.task, {kind: study.seeds_of(kind)[0] for kind in study.networks}
    if study.name == "menagerie":
        for texture in task.facets:
            lesson(texture, LESSON, SIZE)  # all judges learn from it
    # before the threads that draw start, so that no network is copied while it runs
    rivals = {member: rival_of(study, *member) for member in study.members}
    judges = dict(zip(study.members, study.on(lambda *member: taught(study, *rivals[member])), strict=True))

    def one(kind: str, seed: int) -> FacetSwap:
        few = {} if seed == first[kind] else {"also": AIMS[:1]}
        return facet_swap(study.network(kind, seed), judges[kind, seed], study.given, task, **few, **options)

    return dict(zip(study.members, study.on(one), strict=True))


def _cosine(p: Mapping[str, Tensor], q: Mapping[str, Tensor]) -> float:
    return float(torch.stack([(p[k] * q[k]).sum() for k in p]).mean())  # of unit maps
