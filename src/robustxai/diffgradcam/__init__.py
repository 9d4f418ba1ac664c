"""DiffGradCAM, DiffGradCAM++ and SHAM (Piland, Sweet & Czajka, arXiv 2506.08514): CAMs of logit differences
against passive fooling.

To add an explainer write a function in `weightings.py` or a score in `scores.py`; to add an attack subclass
`FoolingLoss` and write `map_loss`.
"""

from robustxai.diffgradcam.cams import CAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM, DiffGradCAM, DiffGradCAMPlusPlus
from robustxai.diffgradcam.fooling import FoolingLoss
from robustxai.diffgradcam.fullgrad import FullGrad
from robustxai.diffgradcam.heo_fooling import (
    HeoActive,
    HeoCenterMass,
    HeoLocation,
    HeoTopK,
    border,
    center_shift,
)
from robustxai.diffgradcam.logit_shift import ShiftAttack, center_head, shift_head, shift_index
from robustxai.diffgradcam.masked_cams import AblationCAM, ScoreCAM
from robustxai.diffgradcam.monitors import EntropyMonitor, score_agreement
from robustxai.diffgradcam.other_cams import (
    CASE,
    CentredGradCAM,
    EigenCAM,
    FinerCAM,
    ReST,
    SigmoidBranch,
    SoftmaxGradCAM,
)
from robustxai.diffgradcam.scores import SCORES, score_coefficients
from robustxai.diffgradcam.sham import ShamLoss, sham_target
from robustxai.diffgradcam.weightings import WEIGHTINGS

__all__ = [
    "CAM",
    "CASE",
    "SCORES",
    "WEIGHTINGS",
    "AblationCAM",
    "CentredGradCAM",
    "ContrastiveCAM",
    "DiffGradCAM",
    "DiffGradCAMPlusPlus",
    "EigenCAM",
    "EntropyMonitor",
    "FinerCAM",
    "FoolingLoss",
    "FullGrad",
    "GradCAM",
    "GradCAMPlusPlus",
    "HeoActive",
    "HeoCenterMass",
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
    "border",
    "center_head",
    "center_shift",
    "score_agreement",
    "score_coefficients",
    "sham_target",
    "shift_head",
    "shift_index",
]
