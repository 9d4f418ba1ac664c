"""R2ET (Chen et al., NeurIPS 2024, arXiv 2212.14106): explanations whose top-k ranking holds under attack."""

from robustxai.ranking.attacks import (
    KEEP,
    NORMS,
    Attacked,
    ERAttack,
    GradientAttack,
    MSEAttack,
    RandomDirections,
    RankingAttack,
)
from robustxai.ranking.explainers import GradientTimesInput, IntegratedGradients, Saliency, SmoothGrad
from robustxai.ranking.gaps import PAIRS, pair_count, pair_mean, pair_sum, pair_weights
from robustxai.ranking.gradients import SCORES, explained, gradient, logits_and_gradient, ranked
from robustxai.ranking.measures import (
    attacked_precision,
    chance_level,
    precision_at_k,
    pretrained_overlap,
    random_control,
)
from robustxai.ranking.smooth import softplus_copy

__all__ = [
    "KEEP",
    "NORMS",
    "PAIRS",
    "SCORES",
    "Attacked",
    "ERAttack",
    "GradientAttack",
    "GradientTimesInput",
    "IntegratedGradients",
    "MSEAttack",
    "RandomDirections",
    "RankingAttack",
    "Saliency",
    "SmoothGrad",
    "attacked_precision",
    "chance_level",
    "explained",
    "gradient",
    "logits_and_gradient",
    "pair_count",
    "pair_mean",
    "pair_sum",
    "pair_weights",
    "precision_at_k",
    "pretrained_overlap",
    "random_control",
    "ranked",
    "softplus_copy",
]
