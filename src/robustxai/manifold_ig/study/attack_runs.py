"""The chapter's attacks on a `Study`: other images for every classifier, values by classifier.

Images are attacked in parallel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from robustxai.explainers.path_explainer import PathExplainer
from robustxai.explainers.reduce import shares
from robustxai.manifold_ig.attribution_attack import AttributionAttack
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.guides import frozen
from robustxai.manifold_ig.implicit_gradient import implicit
from robustxai.manifold_ig.study.attack_tables import attack_rows
from robustxai.manifold_ig.study.image_sets import Samples
from robustxai.manifold_ig.study.map_runs import RELEASED, SHORT, core, endings
from robustxai.manifold_ig.study.study import Study
from robustxai.metrics import cosine
from robustxai.records import Rows, joined_rows
from robustxai.runtime import side_by_side


@dataclass(frozen=True)
class Campaign:
    """How a study is attacked: `pairs` images for each classifier, each with a target image, after `skip` agreed ones.

    steps, lr, eps: of the attack. looks: how often, during the attack, geodesics are solved again, and the inputs so
    far are judged, for all methods alike. seeds: some of the study's, None for all. wide: classifiers of all
    architectures, not of the first only.
    """

    pairs: int
    steps: int
    skip: int
    lr: float = 8e-3
    looks: int = 4
    eps: float = 16 / 255
    seeds: Sequence[int] | None = None
    wide: bool = False

    def attack(self, wanted: Tensor) -> AttributionAttack:
        """The attack towards the maps of the images `wanted` (n, ...)."""
        every = max(1, self.steps // self.looks)
        return AttributionAttack(
            wanted, eps=self.eps, steps=self.steps, lr=self.lr, refresh=every, look=every
        )

    def jobs(self, study: Study) -> Iterator[tuple[tuple[str, int], Samples, Samples]]:
        """(architecture, seed), attacked images and target images, other images for each classifier; one by one on a
        processor, which gains nothing from a batch, and all of a classifier at once elsewhere."""
        together = 1 if torch.device(study.device).type == "cpu" else self.pairs
        several = study.architectures if self.wide else study.architectures[:1]
        for i, (architecture, seed) in enumerate(product(several, study.seeds)):
            study.classifier(architecture, seed)  # trained here, where need be, and not in a thread
            for k in range(0, self.pairs if self.seeds is None or seed in self.seeds else 0, together):
                first = self.skip + 2 * self.pairs * i + k
                yield (
                    (architecture, seed),
                    study.samples(together, skip=first),
                    study.samples(together, skip=first + self.pairs),
                )


def attack_runs(
    study: Study, campaign: Campaign, *, read: bool = True
) -> dict[tuple[str, int], dict[str, Rows]]:
    """The targeted attack; read: on the first architecture also by the methods of `readers`."""

    def run(job: tuple[tuple[str, int], Samples, Samples]) -> dict[str, Rows]:
        (architecture, seed), victims, wanted = job
        methods = core(study, study.classifier(architecture, seed), **SHORT)
        also = readers(study, seed) if read and architecture == study.architectures[0] else None
        return attack_rows(methods, victims.x, wanted.x, victims.y, attack=campaign.attack, readers=also)

    jobs = list(campaign.jobs(study))
    found: dict[tuple[str, int], list[dict[str, Rows]]] = {}
    for (key, *_), parts in zip(jobs, side_by_side(run, jobs), strict=True):
        found.setdefault(key, []).append(parts)
    return {
        key: {name: joined_rows([one[name] for one in parts]) for name in parts[0]}
        for key, parts in found.items()
    }


def readers(study: Study, seed: int) -> dict[str, PathExplainer]:
    """What reads an attack without being attacked: GuidedIG, EIG and MIG with their ends treated otherwise, and for the
    first seed MIG as released, whose solver takes as long as all the others."""
    model = study.classifier(study.architectures[0], seed)
    methods = study.methods(model, neighbours=True, **SHORT)
    found = {
        name: methods[name] for name in ("GuidedIG", RELEASED) if name != RELEASED or seed == study.seeds[0]
    }
    return found | {n: m for n, m in endings(study, model, **SHORT).items() if m.endpoint != "recon"}


def derivative_rows(study: Study, campaign: Campaign, *, iterations: int = 10) -> Rows:
    """What an attacker on MIG misses who holds the bend of the geodesic fixed: cosine, and ratio of lengths, of the
    gradient of the attack's loss with a frozen bend and with the implicit derivative of the geodesic, at the clean
    images; first architecture and seed. iterations: of `end_gradient`.
    """
    method = core(study, study.classifier(study.architectures[0], study.seeds[0]), **SHORT)["MIG"]
    assert isinstance(method, ManifoldIG)
    pairs = campaign.pairs
    victims, wanted = (study.samples(pairs, skip=campaign.skip + pairs * k) for k in (0, 1))
    goal, slopes = shares(method(wanted.x)), []
    for guide in (frozen(method), implicit(method, iterations=iterations)):
        v = victims.x.clone().requires_grad_()
        off = (shares(guide(victims.x)(v, victims.y)) - goal).square().sum()
        slopes.append(torch.autograd.grad(off, v)[0].flatten(1))
    ratio = slopes[0].norm(dim=1) / slopes[1].norm(dim=1)
    return {"MIG": {"cosine": cosine(*slopes), "length, frozen over implicit": ratio}}
