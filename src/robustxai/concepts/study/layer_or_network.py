"""Is it the layer or the network? Each case attacked at each layer of each network, beside noise of the same size.

One row a network, layer, case and attack, in parts of one network and layer each, so that hours of work survive an
interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustxai.concepts.attacks import sign_noise
from robustxai.concepts.exemplars import stream
from robustxai.concepts.study.cases import LAYERS, Case, attack_case
from robustxai.concepts.study.measures import remaining_distance
from robustxai.concepts.study.outcomes import Flip
from robustxai.concepts.study.study import Study
from robustxai.parts import KeptPart, PartRow, part


@dataclass(frozen=True)
class Try:
    """An attack, "push" or "gradient", with its budget in 255ths and its number of steps."""

    attack: str
    level: int
    steps: int

    @property
    def words(self) -> str:
        """As a table says it: "push, 8/255, 20 steps"."""
        return f"{self.attack}, {self.level}/255, {self.steps} steps"


TRIES = (Try("push", 8, 20), Try("gradient", 8, 20), Try("push", 16, 100))
"""In this order; the last one only where the first one left the verdict as it was."""


def place_rows(
    study: Study, kind: str, layer: str, cases: Sequence[Case], *, tries: Sequence[Try] = TRIES
) -> list[PartRow]:
    """The cases attacked at one layer of one network and judged there, one row a case and try.

    "left": share of the squared distance to the goal that token pushing leaves; None for another attack. "flipped":
    None where the clean verdict leaves nothing to attack; later pushes are left out there, and after a push that
    flipped the verdict.
    """
    rows: list[PartRow] = []
    for case in cases:
        done = False
        for each in tries:
            if each.attack == "push" and done:
                continue
            found = _row(study, kind, layer, case, each)
            rows.append(found)
            done = done or (each.attack == "push" and found["flipped"] is not False)
    return rows


def _row(study: Study, kind: str, layer: str, case: Case, each: Try) -> PartRow:
    model, given, seed = study.network(kind, study.seeds_of(kind)[0]), study.given, study.seeds_of(kind)[0]
    eps = each.level / 255
    p = attack_case(model, given, case, attack=each.attack, layer=layer, eps=eps, steps=each.steps)
    noise = sign_noise(p.clean, eps, generator=stream("noise", case.name, seed))
    cells = study.judged(kind, seed, case, {"clean": p.clean, "noise": noise, "attacked": p.x}, layer=layer)
    flip = Flip(case=case, cells=cells)
    push = each.attack == "push"
    return {
        "network": kind,
        "layer": layer,
        "case": case.name,
        "attack": each.words,
        "clean": cells["clean"].mean,
        "noise": cells["noise"].mean,
        "attacked": cells["attacked"].mean,
        "verdict, clean": cells["clean"].state,
        "verdict, attacked": cells["attacked"].state,
        "flipped": flip.flipped if flip.counts else None,
        "left": remaining_distance(model, layer, p.clean, p.x, given.goal[case.towards]) if push else None,
        "accuracy, attacked": float(cells["attacked"].accuracy),
    }


def layer_or_network(
    study: Study,
    *,
    folder: str | Path,
    layers: Sequence[str] = LAYERS,
    tries: Sequence[Try] = TRIES,
) -> list[KeptPart]:
    """`place_rows` of every network and layer of the study, a part each, in `folder`; parts there are not made again.

    folder: of parts, see `robustxai.parts.part`. tries: the attacks on every case.
    """
    return [
        part(
            folder,
            f"{kind}-{layer}",
            lambda kind=kind, layer=layer: place_rows(study, kind, layer, study.task.cases, tries=tries),
            settings={
                "set": study.name, "n": study.n, "runs": study.runs, "cases": [c.name for c in study.task.cases],
                "tries": [t.words for t in tries],
            },
        )
        for kind in study.networks
        for layer in layers
    ]  # fmt: skip
