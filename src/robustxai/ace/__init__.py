"""Adversarial counterfactual explanations (ACE): attacks through a diffusion filter show what drives a decision."""

from robustxai.ace.ace import ACE, MODES
from robustxai.ace.active_set import Fast
from robustxai.ace.attacks import ATTACKS, CW, GD, PGD, Attack
from robustxai.ace.chunks import Chunks
from robustxai.ace.counterfactual import Counterfactual
from robustxai.ace.ddpm_schedule import VARIANCES, Schedule, fewer, respaced
from robustxai.ace.denoiser import Calls
from robustxai.ace.diffusion_filter import DiffusionFilter
from robustxai.ace.filter_gradients import ROUTES, class_gradient, passes
from robustxai.ace.image_noise import draw, image_generators
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
from robustxai.ace.refinement import change_map, change_mask, refine

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
