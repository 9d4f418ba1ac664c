"""R2ET (Chen et al., NeurIPS 2024, arXiv 2212.14106): explanations whose top-k ranking holds under attack."""

from robustxai.ranking.explainers import GradientTimesInput, IntegratedGradients, Saliency, SmoothGrad
from robustxai.ranking.gaps import PAIRS, pair_count, pair_mean, pair_sum, pair_weights
from robustxai.ranking.gradients import SCORES, explained, gradient, logits_and_gradient, ranked
from robustxai.ranking.smooth import softplus_copy

__all__ = [
    "PAIRS",
    "SCORES",
    "GradientTimesInput",
    "IntegratedGradients",
    "Saliency",
    "SmoothGrad",
    "explained",
    "gradient",
    "logits_and_gradient",
    "pair_count",
    "pair_mean",
    "pair_sum",
    "pair_weights",
    "ranked",
    "softplus_copy",
]
