"""Measures of attributions, batched: no loop over images, one value per sample.

Similarity (`pearson`, ..., `topn_iou`), where the mass is (`entropy`, `border_mass`, `energy_inside`,
`pointing_game`), faithfulness (`deletion`, `insertion`), outputs (`accuracy`, `agreement`, `kl`) and
statistics (`bootstrap_interval`, `mean_ignoring_nan`). Maps are (n, height, width) or (n, 1, height,
width). A measure that has no meaning for a sample returns nan there: skip and count it with
`mean_ignoring_nan`. Imports nothing else of this package.
"""

from .faithfulness import Curve, deletion, insertion
from .maps import dead, dead_share, maxnorm, minmax
from .predictions import accuracy, agreement, kl
from .similarity import cosine, mae, mse, pearson, spearman, ssim, topk_intersection, topn_iou
from .spread import border_mass, box_masks, energy_inside, entropy, pointing_game, resize
from .statistics import Interval, Mean, bootstrap_interval, mean_ignoring_nan, t_interval

__all__ = [
    "Curve",
    "Interval",
    "Mean",
    "accuracy",
    "agreement",
    "bootstrap_interval",
    "border_mass",
    "box_masks",
    "cosine",
    "dead",
    "dead_share",
    "deletion",
    "energy_inside",
    "entropy",
    "insertion",
    "kl",
    "mae",
    "maxnorm",
    "mean_ignoring_nan",
    "minmax",
    "mse",
    "pearson",
    "pointing_game",
    "resize",
    "spearman",
    "ssim",
    "t_interval",
    "topk_intersection",
    "topn_iou",
]
