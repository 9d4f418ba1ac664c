"""Adversarial counterfactual explanations (ACE): attacks through a diffusion filter show what drives a decision."""

# the paper's method
from robustxai.ace.ace import ACE, MODES as MODES

# fast mode
from robustxai.ace.active_set import Fast

# the attacks by name
from robustxai.ace.attacks import ATTACKS, CW, GD, PGD, Attack

# chunks that shrink when memory runs out
from robustxai.ace.chunks import Chunks

# what ACE returns
from robustxai.ace.counterfactual import Counterfactual

# respaced schedules
from robustxai.ace.ddpm_schedule import (
    VARIANCES as VARIANCES,
    Schedule as Schedule,
    fewer as fewer,
    respaced as respaced,
)

# calls of a denoiser
from robustxai.ace.denoiser import Calls as Calls

# the diffusion filter
from robustxai.ace.diffusion_filter import DiffusionFilter

# gradients through the filter
from robustxai.ace.filter_gradients import ROUTES as ROUTES, class_gradient, passes as passes

# noise that belongs to an image
from robustxai.ace.image_noise import draw_noise as draw_noise, image_generators

# losses and distances
from robustxai.ace.losses import (
    DISTANCES as DISTANCES,
    LOSSES as LOSSES,
    SCHEDULES as SCHEDULES,
    class_loss,
    distance,
    distance_gradient as distance_gradient,
    distance_weight,
    target_probability,
)

# refinement
from robustxai.ace.refinement import change_map, change_mask, refine

# names of earlier versions
draw = draw_noise

__all__ = [
    "ACE",
    "ATTACKS",
    "CW",
    "GD",
    "PGD",
    "Attack",
    "Chunks",
    "Counterfactual",
    "DiffusionFilter",
    "Fast",
    "change_map",
    "change_mask",
    "class_gradient",
    "class_loss",
    "distance",
    "distance_weight",
    "image_generators",
    "refine",
    "target_probability",
]
