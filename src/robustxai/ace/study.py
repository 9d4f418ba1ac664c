"""The settings of the chapter's study of drawn faces, and its networks from the zoo.

The noise level was chosen on 600 faces of the "oracle" stream with the shipped classifier of seed 0, lambda on 16 of
them with an earlier classifier. Threshold and dilation were chosen on the first 64 test faces, with an earlier state of
the denoiser: of what refinement does to the number of changed pixels, report other faces than those.

Knows names and numbers; knows nothing about experiments.
"""

from __future__ import annotations

from typing import Any

from robustxai.ace import metrics as M
from robustxai.ace.experiments import at_level
from robustxai.ace.filter import DiffusionFilter
from robustxai.ace.measured import Judges
from robustxai.ace.recipes import zoo_name
from robustxai.nets import pretrained

LEVEL, TAU = 20, 3
"""Largest base timestep of the filter: of 10, 20, 40, 80, ... the noisiest at which it alone changes at most 5 % of the
decisions; and its steps: timesteps 0, 10 and 20, noise of standard deviation 0.08."""
OPTIONS: dict[str, Any] = {"steps": 50, "distance": "l1", "lam": 0.001, "threshold": 0.2, "dilation": 1}
"""Of `ACE`. A mouth's line is one or two pixels wide here, so that dilation redraws more than the attack changed."""


def portrait_filter(level: int = LEVEL, tau: int = TAU, **options: Any) -> DiffusionFilter:
    """The shipped denoiser of drawn faces as a filter up to base timestep `level` in `tau` steps."""
    return at_level(DiffusionFilter.load(zoo_name("ddpm"), **options), level, tau)


def portrait_judges(
    seed: int = 0, *, confounded: bool = False, filter: DiffusionFilter | None = None
) -> Judges:
    """The shipped networks of one seed: the classifier (the plain or the confounded one) and those that judge it.

    Classifier and oracle share neither architecture, initial weights nor training images.
    The reader of factors, whose features measure likeness, is the same for all seeds.
    """
    reader = pretrained(zoo_name("factors"))
    return Judges(
        classifier=pretrained(zoo_name("confounded" if confounded else "smile", seed)),
        oracle=pretrained(zoo_name("oracle", seed)),
        filter=portrait_filter() if filter is None else filter,
        features=M.Features(zoo_name("factors"), reader),
        reader=reader,
    )
