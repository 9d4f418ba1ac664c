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
from robustxai.ranking.bounds import Bounds, certified_radius, certified_ratio, thickness_bounds
from robustxai.ranking.explainers import GradientTimesInput, IntegratedGradients, Saliency, SmoothGrad
from robustxai.ranking.faithfulness import DecisionFlip, comp, dffot, suff
from robustxai.ranking.gaps import PAIRS, pair_count, pair_mean, pair_sum, pair_weights
from robustxai.ranking.gradients import SCORES, explained, gradient, logits_and_gradient, ranked
from robustxai.ranking.measures import (
    Sensitivity,
    attacked_precision,
    chance_level,
    precision_at_k,
    pretrained_overlap,
    random_control,
    sensitivity,
)
from robustxai.ranking.regularisers import (
    DIRECTIONS,
    R2ET,
    SSR,
    WEIGHTINGS,
    AdversarialTraining,
    Cache,
    ExactHessian,
    FDHessian,
    Gap,
    Objective,
    Regulariser,
)
from robustxai.ranking.smooth import softplus_copy
from robustxai.ranking.synth import adult_like
from robustxai.ranking.tables import Table, from_csv, prepare, table
from robustxai.ranking.thickness import kept_share, thickness, topk_thickness
from robustxai.ranking.training import Fitted, fit

__all__ = [
    "DIRECTIONS",
    "KEEP",
    "NORMS",
    "PAIRS",
    "R2ET",
    "SCORES",
    "SSR",
    "WEIGHTINGS",
    "AdversarialTraining",
    "Attacked",
    "Bounds",
    "Cache",
    "DecisionFlip",
    "ERAttack",
    "ExactHessian",
    "FDHessian",
    "Fitted",
    "Gap",
    "GradientAttack",
    "GradientTimesInput",
    "IntegratedGradients",
    "MSEAttack",
    "Objective",
    "RandomDirections",
    "RankingAttack",
    "Regulariser",
    "Saliency",
    "Sensitivity",
    "SmoothGrad",
    "Table",
    "adult_like",
    "attacked_precision",
    "certified_radius",
    "certified_ratio",
    "chance_level",
    "comp",
    "dffot",
    "explained",
    "fit",
    "from_csv",
    "gradient",
    "kept_share",
    "logits_and_gradient",
    "pair_count",
    "pair_mean",
    "pair_sum",
    "pair_weights",
    "precision_at_k",
    "prepare",
    "pretrained_overlap",
    "random_control",
    "ranked",
    "sensitivity",
    "softplus_copy",
    "suff",
    "table",
    "thickness",
    "thickness_bounds",
    "topk_thickness",
]
