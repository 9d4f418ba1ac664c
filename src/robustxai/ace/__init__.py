"""Adversarial counterfactual explanations (ACE): attacks through a diffusion filter show what drives a decision."""

from robustxai.ace.active import Fast
from robustxai.ace.asking import Calls
from robustxai.ace.attacks import ATTACKS, CW, GD, PGD, Attack
from robustxai.ace.explain import ACE, MODES
from robustxai.ace.filter import DiffusionFilter
from robustxai.ace.gradients import ROUTES, class_gradient, passes
from robustxai.ace.losses import (
    DISTANCES,
    LOSSES,
    SCHEDULES,
    class_loss,
    distance,
    distance_gradient,
    distance_weight,
    target_probability,
)
from robustxai.ace.memory import Chunks
from robustxai.ace.noise import draw, image_generators
from robustxai.ace.refinement import change_map, change_mask, refine
from robustxai.ace.result import Counterfactual
from robustxai.ace.schedule import VARIANCES, Schedule, fewer, respaced

__all__ = [
    "ACE",
    "ATTACKS",
    "CW",
    "DISTANCES",
    "GD",
    "LOSSES",
    "MODES",
    "PGD",
    "ROUTES",
    "SCHEDULES",
    "VARIANCES",
    "Attack",
    "Calls",
    "Chunks",
    "Counterfactual",
    "DiffusionFilter",
    "Fast",
    "Schedule",
    "change_map",
    "change_mask",
    "class_gradient",
    "class_loss",
    "distance",
    "distance_gradient",
    "distance_weight",
    "draw",
    "fewer",
    "image_generators",
    "passes",
    "refine",
    "respaced",
    "target_probability",
]
