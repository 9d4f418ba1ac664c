"""DiffGradCAM, DiffGradCAM++ and SHAM (Piland, Sweet & Czajka, arXiv 2506.08514): CAMs of logit differences
against passive fooling.

To add an explainer write a function in `weightings.py` or a score in `scores.py`; to add an attack subclass
`FoolingLoss` and write `map_loss`.
"""

# CAMs of one logit
from robustxai.diffgradcam.cams import CAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM

# the paper's CAMs of a logit difference
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM, DiffGradCAM, DiffGradCAMPlusPlus

# the base of fooling losses
from robustxai.diffgradcam.fooling import FoolingLoss as FoolingLoss

# FullGrad
from robustxai.diffgradcam.fullgrad import FullGrad

# Guided Grad-CAM
from robustxai.diffgradcam.guided_grad_cam import GuidedGradCAM

# attacks on weights of Heo et al.
from robustxai.diffgradcam.heo_fooling import (
    HeoActive,
    HeoCentreMass,
    HeoLocation,
    HeoTopK,
    border as border,
    centre_shift as centre_shift,
)

# the training-free attack and its index
from robustxai.diffgradcam.logit_shift import ShiftAttack, centre_head, shift_head, shift_index

# CAMs from changed copies
from robustxai.diffgradcam.masked_cams import AblationCAM, ScoreCAM

# detection
from robustxai.diffgradcam.monitors import EntropyMonitor, score_agreement

# neighbouring CAMs
from robustxai.diffgradcam.other_cams import (
    CASE as CASE,
    CentredGradCAM,
    EigenCAM,
    FinerCAM,
    ReST,
    SigmoidBranch,
    SoftmaxGradCAM,
)

# SHAM, the paper's attack on weights
from robustxai.diffgradcam.sham import ShamLoss, sham_target

# weightings of CAMs by name
from robustxai.diffgradcam.weightings import WEIGHTINGS as WEIGHTINGS
from robustxai.scores.explained import score_coefficients

# scores as coefficients of logits
from robustxai.scores.registry import SCORES as SCORES

# names of earlier versions, in the other spelling
HeoCenterMass, center_head, center_shift = HeoCentreMass, centre_head, centre_shift

__all__ = [
    "CAM",
    "AblationCAM",
    "CentredGradCAM",
    "ContrastiveCAM",
    "DiffGradCAM",
    "DiffGradCAMPlusPlus",
    "EigenCAM",
    "EntropyMonitor",
    "FinerCAM",
    "FullGrad",
    "GradCAM",
    "GradCAMPlusPlus",
    "GuidedGradCAM",
    "HeoActive",
    "HeoCentreMass",
    "HeoLocation",
    "HeoTopK",
    "HiResCAM",
    "LayerCAM",
    "ReST",
    "ScoreCAM",
    "ShamLoss",
    "ShiftAttack",
    "SigmoidBranch",
    "SoftmaxGradCAM",
    "XGradCAM",
    "centre_head",
    "score_agreement",
    "score_coefficients",
    "sham_target",
    "shift_head",
    "shift_index",
]
