"""Measures of attributions, batched: no loop over images, one value per sample.

Similarity (`pearson`, ..., `topn_iou`), where the mass is (`entropy`, `border_mass`, `energy_inside`,
`pointing_game`), faithfulness (`deletion`, `insertion`, `infidelity`, `information_curves`), stability
(`max_sensitivity`, `optimised_sensitivity`), outputs (`accuracy`, `agreement`, `kl`) and
statistics (`bootstrap_interval`, `mean_ignoring_nan`). Maps are (n, height, width) or (n, 1, height,
width). A measure that has no meaning for a sample returns nan there: skip and count it with
`mean_ignoring_nan`. Classifiers may return whatever `robustxai.models.logits_of` takes; none is ever changed.
"""

from .faithfulness import Curve, deletion, insertion
from .infidelity import Infidelity, gaussian_noise, infidelity, square_removal
from .information import Information, information_curves, median_curve
from .maps import dead, dead_share, maxnorm, minmax
from .predictions import accuracy, agreement, kl
from .sensitivity import Sensitivity, max_sensitivity, optimised_sensitivity
from .similarity import cosine, image_ssim, mae, mse, pearson, spearman, ssim, topk_intersection, topn_iou
from .spread import border_mass, box_masks, energy_inside, entropy, pointing_game, resize
from .statistics import Interval, Mean, bootstrap_interval, mean_ignoring_nan, t_interval

__all__ = [
    "Curve",
    "Infidelity",
    "Information",
    "Interval",
    "Mean",
    "Sensitivity",
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
    "gaussian_noise",
    "image_ssim",
    "infidelity",
    "information_curves",
    "insertion",
    "kl",
    "mae",
    "max_sensitivity",
    "maxnorm",
    "mean_ignoring_nan",
    "median_curve",
    "minmax",
    "mse",
    "optimised_sensitivity",
    "pearson",
    "pointing_game",
    "resize",
    "spearman",
    "square_removal",
    "ssim",
    "t_interval",
    "topk_intersection",
    "topn_iou",
]
