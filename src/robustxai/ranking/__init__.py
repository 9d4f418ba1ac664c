"""R2ET (Chen et al., NeurIPS 2024, arXiv 2212.14106): explanations whose top-k ranking holds under attack."""

from robustxai.attacks.budget import NORMS
from robustxai.attacks.controls import RandomDirections
from robustxai.attacks.descent import GradientAttack
from robustxai.attacks.ghorbani import MassCentreAttack, TargetRegionAttack, TopKAttack
from robustxai.attacks.keep_prediction import KEEP
from robustxai.attacks.result import Attacked
from robustxai.attacks.target_map import TargetMapAttack
from robustxai.explainers.gradient import GradientTimesInput, IntegratedGradients, Saliency, SmoothGrad
from robustxai.explainers.input_gradient import SCORES, explained, gradient, logits_and_gradient, ranked
from robustxai.nets.softplus import softplus_copy
from robustxai.ranking.certified import Bounds, certified_radius, certified_ratio, thickness_bounds
from robustxai.ranking.counterexample import Counterexample, lp_counterexample
from robustxai.ranking.er_attack import ERAttack, MSEAttack, RankingAttack
from robustxai.ranking.gaps import PAIRS, pair_count, pair_mean, pair_sum, pair_weights
from robustxai.ranking.prepared_table import Table, from_csv, prepare, table
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
from robustxai.ranking.removal import DecisionFlip, comp, dffot, suff
from robustxai.ranking.stability import (
    Sensitivity,
    attacked_precision,
    chance_level,
    precision_at_k,
    pretrained_overlap,
    random_control,
    sensitivity,
)
from robustxai.ranking.steps_to_break import (
    Break,
    common_descent,
    iteration_bound,
    iterations_to_break,
    min_norm_weights,
)
from robustxai.ranking.study.settings import (
    SETTINGS,
    Measured,
    Row,
    Setting,
    evaluate,
    measure,
    prepared,
    pretrain,
)
from robustxai.ranking.synthetic_table import adult_like
from robustxai.ranking.thickness import kept_share, thickness, topk_thickness
from robustxai.ranking.training import Fitted, fit
from robustxai.ranking.training_methods import METHODS, Method, fine_tune
from robustxai.ranking.weight_selection import Score, Selection, select_weights

__all__ = [
    "DIRECTIONS",
    "KEEP",
    "METHODS",
    "NORMS",
    "PAIRS",
    "R2ET",
    "SCORES",
    "SETTINGS",
    "SSR",
    "WEIGHTINGS",
    "AdversarialTraining",
    "Attacked",
    "Bounds",
    "Break",
    "Cache",
    "Counterexample",
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
    "MassCentreAttack",
    "Measured",
    "Method",
    "Objective",
    "RandomDirections",
    "RankingAttack",
    "Regulariser",
    "Row",
    "Saliency",
    "Score",
    "Selection",
    "Sensitivity",
    "Setting",
    "SmoothGrad",
    "Table",
    "TargetMapAttack",
    "TargetRegionAttack",
    "TopKAttack",
    "adult_like",
    "attacked_precision",
    "certified_radius",
    "certified_ratio",
    "chance_level",
    "common_descent",
    "comp",
    "dffot",
    "evaluate",
    "explained",
    "fine_tune",
    "fit",
    "from_csv",
    "gradient",
    "iteration_bound",
    "iterations_to_break",
    "kept_share",
    "logits_and_gradient",
    "lp_counterexample",
    "measure",
    "min_norm_weights",
    "pair_count",
    "pair_mean",
    "pair_sum",
    "pair_weights",
    "precision_at_k",
    "prepare",
    "prepared",
    "pretrain",
    "pretrained_overlap",
    "random_control",
    "ranked",
    "select_weights",
    "sensitivity",
    "softplus_copy",
    "suff",
    "table",
    "thickness",
    "thickness_bounds",
    "topk_thickness",
]
