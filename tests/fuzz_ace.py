"""Rows of the fuzz registry: counterfactuals through diffusion."""

import functools
import sys
from pathlib import Path
from typing import Any

import torch
from fuzz_rows import LOGITS, NET, X2, Row, T, X, cls, dice, fn

import robustxai.ace as A

OTHER = NET(X).argmin(1)


@functools.cache
def filtered() -> Any:
    sys.path.insert(0, str(Path(__file__).parent / "ace"))
    try:
        from toys import filtered as make
    finally:
        sys.path.pop(0)
    return make(2)


FILTER = filtered()
NOISE = FILTER.noise(X, 0)

ROWS: dict[str, Row] = {
    "ace.ACE": cls(
        A.ACE, "explain", dict(classifier=NET, filter=None, attack="gd", steps=1), x=X, target=OTHER
    ),
    **{
        f"ace.{n}": cls(getattr(A, n), "perturb", dict(steps=1), classifier=NET, x=X, target=OTHER)
        for n in ("PGD", "GD", "CW")
    },
    "ace.DiffusionFilter": cls(
        A.DiffusionFilter,
        "__call__",
        dict(unet=FILTER.unet, scheduler=FILTER.scheduler, steps=100, tau=2),
        x=X,
        generators=0,
    ),
    "ace.change_map": fn(A.change_map, x=X, moved=X2),
    "ace.change_mask": fn(A.change_mask, x=X, moved=X2),
    "ace.class_gradient": fn(A.class_gradient, classifier=NET, filter=None, x=X, target=T),
    "ace.class_loss": fn(A.class_loss, logits=LOGITS, target=T),
    "ace.distance": fn(A.distance, x=X, moved=X2),
    "ace.distance_gradient": fn(A.distance_gradient, x=X, moved=X2),
    "ace.distance_weight": fn(A.distance_weight, step=T, steps=5),
    "ace.draw_noise": fn(A.draw_noise, x=X, generators=[dice(i) for i in range(3)], count=2),
    "ace.fewer": fn(A.fewer, timesteps=(0, 10, 20), steps=2),
    "ace.image_generators": fn(A.image_generators, x=X, seed=0),
    "ace.passes": fn(A.passes, filter=FILTER, route="full"),
    "ace.refine": fn(
        A.refine,
        x=X,
        moved=X2,
        mask=torch.ones(3, 1, 16, 16, dtype=torch.bool),
        filter=FILTER,
        noise=NOISE,
        known=NOISE,
    ),
    "ace.respaced": fn(A.respaced, base=1000, steps=10),
    "ace.target_probability": fn(A.target_probability, logits=LOGITS, target=T),
    "ace.Fast": cls(A.Fast, "filter", {}, filter=FILTER),
}
