"""What can be added to the cross-entropy, one small class each: `terms(cache)` is the unweighted number of each sample,
the class is called as `regulariser(model, x, y, cache)`; `RegularisedLoss` makes one loss of several, with one shared
forward pass.
"""

from robustxai.ranking.regularisers.adversarial import AdversarialTraining
from robustxai.ranking.regularisers.base import CachedBatch, RegularisedLoss, Regulariser
from robustxai.ranking.regularisers.gap import Gap
from robustxai.ranking.regularisers.hessian import DIRECTIONS, ExactHessian, FDHessian
from robustxai.ranking.regularisers.r2et import R2ET
from robustxai.ranking.regularisers.ssr import SSR
from robustxai.ranking.regularisers.weighting import LOSS_WEIGHTINGS, weigh

__all__ = [
    "DIRECTIONS",
    "LOSS_WEIGHTINGS",
    "R2ET",
    "SSR",
    "AdversarialTraining",
    "CachedBatch",
    "ExactHessian",
    "FDHessian",
    "Gap",
    "RegularisedLoss",
    "Regulariser",
    "weigh",
]
