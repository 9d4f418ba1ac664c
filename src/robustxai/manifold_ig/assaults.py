"""The chapter's attacks on a `Study`: the first architecture, other images for every seed, values by classifier.

Images are attacked side by side. Knows nothing about figures or claims.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from robustxai.manifold_ig.adaptive import frozen
from robustxai.manifold_ig.attacks import AttributionAttack
from robustxai.manifold_ig.decoded import ManifoldIG
from robustxai.manifold_ig.experiments import joined
from robustxai.manifold_ig.explainers import PathExplainer
from robustxai.manifold_ig.implicit import implicit
from robustxai.manifold_ig.maps import shares
from robustxai.manifold_ig.robustness import Rows, attack_rows
from robustxai.manifold_ig.study import Study
from robustxai.manifold_ig.surveys import RELEASED, SHORT, core, endings
from robustxai.manifold_ig.tasks import Samples
from robustxai.metrics import cosine
from robustxai.runtime import side_by_side


def attack_runs(
    study: Study,
    *,
    pairs: int,
    steps: int,
    skip: int,
    lr: float = 8e-3,
    looks: int = 4,
    eps: float = 16 / 255,
    seeds: Sequence[int] | None = None,
    read: bool = True,
) -> dict[tuple[str, int], dict[str, Rows]]:
    """The targeted attack on the first architecture: `pairs` images for each seed, each with a wanted one.

    skip: agreed images that are left out before. steps, lr, eps: of the attack. looks: how often, on the way, geodesics
    are solved again, and the inputs so far are judged, for all methods alike. seeds: some of the study's. read: also
    by the methods of `readers`.
    """
    every = max(1, steps // looks)
    attack = partial(AttributionAttack, eps=eps, steps=steps, lr=lr, refresh=every, look=every)

    def run(job: tuple[int, Samples, Samples]) -> dict[str, Rows]:
        seed, victims, wanted = job
        methods = core(study, study.classifier(study.architectures[0], seed), **SHORT)
        return attack_rows(
            methods,
            victims.x,
            wanted.x,
            victims.y,
            attack=attack,
            readers=readers(study, seed) if read else None,
        )

    jobs = list(attacked_pairs(study, pairs=pairs, skip=skip, seeds=seeds))
    found: dict[int, list[dict[str, Rows]]] = {}
    for (seed, *_), parts in zip(jobs, side_by_side(run, jobs), strict=True):
        found.setdefault(seed, []).append(parts)
    return {
        (study.architectures[0], seed): {name: joined([one[name] for one in parts]) for name in parts[0]}
        for seed, parts in found.items()
    }


def attacked_pairs(
    study: Study, *, pairs: int, skip: int, seeds: Sequence[int] | None = None
) -> Iterator[tuple[int, Samples, Samples]]:
    """Seed, attacked images and wanted ones: `pairs` for each of the study's seeds (or of some of them), other images
    for each; one by one on a processor, which gains nothing from a batch, and all of a seed at once elsewhere."""
    together = 1 if torch.device(study.device).type == "cpu" else pairs
    for i, seed in enumerate(study.seeds):
        study.classifier(study.architectures[0], seed)  # trained here, where need be, and not in a thread
        for k in range(0, pairs if seeds is None or seed in seeds else 0, together):
            first = skip + 2 * pairs * i + k
            yield seed, study.samples(together, skip=first), study.samples(together, skip=first + pairs)


def readers(study: Study, seed: int) -> dict[str, PathExplainer]:
    """What reads an attack without being attacked: GuidedIG, EIG and MIG with their ends treated otherwise, and for the
    first seed MIG as released, whose solver takes as long as all the others."""
    model = study.classifier(study.architectures[0], seed)
    methods = study.methods(model, neighbours=True, **SHORT)
    found = {
        name: methods[name] for name in ("GuidedIG", RELEASED) if name != RELEASED or seed == study.seeds[0]
    }
    return found | {n: m for n, m in endings(study, model, **SHORT).items() if m.endpoint != "recon"}


def derivative_rows(study: Study, *, pairs: int, skip: int, iterations: int = 10) -> Rows:
    """What an attacker on MIG misses who holds the bend of the geodesic fixed: cosine, and ratio of lengths, of the
    gradient of the attack's loss with a frozen bend and with the implicit derivative of the geodesic, at the clean
    images; first architecture and seed. Arguments as in `attack_runs` and `end_gradient`.
    """
    method = core(study, study.classifier(study.architectures[0], study.seeds[0]), **SHORT)["MIG"]
    assert isinstance(method, ManifoldIG)
    victims, wanted = (study.samples(pairs, skip=skip + pairs * k) for k in (0, 1))
    goal, slopes = shares(method(wanted.x)), []
    for guide in (frozen(method), implicit(method, iterations=iterations)):
        v = victims.x.clone().requires_grad_()
        off = (shares(guide(victims.x)(v, victims.y)) - goal).square().sum()
        slopes.append(torch.autograd.grad(off, v)[0].flatten(1))
    ratio = slopes[0].norm(dim=1) / slopes[1].norm(dim=1)
    return {"MIG": {"cosine": cosine(*slopes), "length, frozen over implicit": ratio}}
