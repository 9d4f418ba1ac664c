"""Measures of counterfactuals, with the definitions of the paper's scripts and of the rendered faces' truth.

Did the decision change (`flips`), what does each changed pixel buy (`counterfactual_transition`), what else changed
(`attributes`, `factors`), how much and at which frequencies (`changes`), how alike and how real (`realism`). They work
on float images in [0, 1], not on saved files. One value per image where that has a meaning, NaN where it has none.
"""

from robustxai.ace.metrics.attributes import CorrelationDifference, attributes_changed, correlation_difference
from robustxai.ace.metrics.changes import (
    changed_pixels,
    changed_share,
    high_frequency_share,
    largest_change,
    mean_change,
)
from robustxai.ace.metrics.counterfactual_transition import Transition, cout
from robustxai.ace.metrics.factors import factor_shift, mask_iou, upper_half
from robustxai.ace.metrics.flips import flips, purified_flips, transfer_flips
from robustxai.ace.metrics.realism import Features, frechet, same_identity, similarity, split_frechet

__all__ = [
    "CorrelationDifference",
    "Features",
    "Transition",
    "attributes_changed",
    "changed_pixels",
    "changed_share",
    "correlation_difference",
    "cout",
    "factor_shift",
    "flips",
    "frechet",
    "high_frequency_share",
    "largest_change",
    "mask_iou",
    "mean_change",
    "purified_flips",
    "same_identity",
    "similarity",
    "split_frechet",
    "transfer_flips",
    "upper_half",
]
