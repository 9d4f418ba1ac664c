"""R2ET (Chen et al., NeurIPS 2024, arXiv 2212.14106): explanations whose top-k ranking holds under attack."""

# budgets of attacks
from robustxai.attacks.budget import NORMS as NORMS

# controls: changes of an attack's size that know nothing
from robustxai.attacks.controls import RandomDirections

# attacks of Ghorbani et al.: top k, region, centre of mass
from robustxai.attacks.ghorbani import MassCentreAttack, TargetRegionAttack, TopKAttack

# how a prediction is kept
from robustxai.attacks.keep_prediction import KEEP as KEEP

# the base of gradient attacks
from robustxai.attacks.map_attack import GradientAttack

# what an attack found
from robustxai.attacks.result import Attacked

# the attack of Dombrowski et al.: a given map
from robustxai.attacks.target_map import TargetMapAttack

# explainers made of input gradients
from robustxai.explainers.gradient import GradientTimesInput, Saliency, SmoothGrad

# the explained scalar and its input gradient
from robustxai.explainers.input_gradient import (
    explained as explained,
    gradient as gradient,
    logits_and_gradient as logits_and_gradient,
    ranked as ranked,
)
from robustxai.explainers.integrated_gradients import IntegratedGradients

# the smooth stand-in of a ReLU network
from robustxai.nets.softplus import softplus_copy

# guarantees: bounds on thickness, certified radius
from robustxai.ranking.certified import ThicknessBounds, certified_radius, certified_ratio, thickness_bounds

# small distance, other top k
from robustxai.ranking.counterexample import Counterexample, lp_counterexample

# the attacks of the paper
from robustxai.ranking.er_attack import MSEAttack, RankingAttack

# gaps between top and rest
from robustxai.ranking.gaps import (
    PAIRS as PAIRS,
    pair_count as pair_count,
    pair_mean as pair_mean,
    pair_sum as pair_sum,
    pair_weights as pair_weights,
)

# tables: split, scaled, encoded
from robustxai.ranking.prepared_table import Table, from_csv, load_table, prepare

# terms of the loss: R2ET and its rivals
from robustxai.ranking.regularisers import (
    DIRECTIONS as DIRECTIONS,
    LOSS_WEIGHTINGS as LOSS_WEIGHTINGS,
    R2ET,
    SSR,
    AdversarialTraining,
    CachedBatch as CachedBatch,
    ExactHessian,
    FDHessian,
    Gap,
    RegularisedLoss as RegularisedLoss,
    Regulariser,
)

# faithfulness by removal of features
from robustxai.ranking.removal import DecisionFlip, comp, dffot, suff

# how stable a ranking is
from robustxai.ranking.stability import (
    SensitivityEstimates,
    attacked_precision,
    chance_level,
    precision_at_k,
    pretrained_overlap as pretrained_overlap,
    random_control,
    sensitivity,
)

# steps until the top k breaks
from robustxai.ranking.steps_to_break import (
    Break as Break,
    common_descent as common_descent,
    iteration_bound as iteration_bound,
    iterations_to_break,
    min_norm_weights as min_norm_weights,
)

# the study of the notebook, exported since the first version
from robustxai.ranking.study.settings import (
    SETTINGS as SETTINGS,
    Measured as Measured,
    Setting as Setting,
    SettingRow as SettingRow,
    evaluate_setting as evaluate_setting,
    measure as measure,
    prepared as prepared,
    pretrain as pretrain,
)

# a table with a known truth
from robustxai.ranking.synthetic_table import adult_like

# thickness
from robustxai.ranking.thickness import kept_share as kept_share, thickness, topk_thickness

# training
from robustxai.ranking.training import Fitted as Fitted, fit_regularised

# the paper's methods by name
from robustxai.ranking.training_methods import METHODS, Method as Method, fine_tune

# choice of weights on validation data
from robustxai.ranking.weight_selection import (
    Selection as Selection,
    SelectionScore as SelectionScore,
    select_weights,
)
from robustxai.scores.registry import SCORES as SCORES

# names of earlier versions; ERAttack is the paper's
Bounds, Cache, Objective, Sensitivity = ThicknessBounds, CachedBatch, RegularisedLoss, SensitivityEstimates
ERAttack, Row, Score, WEIGHTINGS = RankingAttack, SettingRow, SelectionScore, LOSS_WEIGHTINGS
fit, table = fit_regularised, load_table

evaluate = evaluate_setting  # its earlier name

__all__ = [
    "METHODS",
    "R2ET",
    "SSR",
    "AdversarialTraining",
    "Attacked",
    "Counterexample",
    "DecisionFlip",
    "ExactHessian",
    "FDHessian",
    "Gap",
    "GradientAttack",
    "GradientTimesInput",
    "IntegratedGradients",
    "MSEAttack",
    "MassCentreAttack",
    "RandomDirections",
    "RankingAttack",
    "Regulariser",
    "Saliency",
    "SensitivityEstimates",
    "SmoothGrad",
    "Table",
    "TargetMapAttack",
    "TargetRegionAttack",
    "ThicknessBounds",
    "TopKAttack",
    "adult_like",
    "attacked_precision",
    "certified_radius",
    "certified_ratio",
    "chance_level",
    "comp",
    "dffot",
    "fine_tune",
    "fit_regularised",
    "from_csv",
    "iterations_to_break",
    "load_table",
    "lp_counterexample",
    "precision_at_k",
    "prepare",
    "random_control",
    "select_weights",
    "sensitivity",
    "softplus_copy",
    "suff",
    "thickness",
    "thickness_bounds",
    "topk_thickness",
]
