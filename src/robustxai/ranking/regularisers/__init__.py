"""What can be added to the cross-entropy, one small class each: `term(cache)` is the unweighted number, the class is
called as `regulariser(model, x, y, cache)`; `Objective` makes one loss of several, with one shared forward pass.
"""

from robustxai.ranking.regularisers.adversarial import AdversarialTraining
from robustxai.ranking.regularisers.base import Cache, Objective, Regulariser
from robustxai.ranking.regularisers.gap import Gap
from robustxai.ranking.regularisers.hessian import DIRECTIONS, ExactHessian, FDHessian
from robustxai.ranking.regularisers.r2et import R2ET
from robustxai.ranking.regularisers.ssr import SSR
from robustxai.ranking.regularisers.weighting import WEIGHTINGS, weigh

__all__ = [
    "DIRECTIONS",
    "R2ET",
    "SSR",
    "WEIGHTINGS",
    "AdversarialTraining",
    "Cache",
    "ExactHessian",
    "FDHessian",
    "Gap",
    "Objective",
    "Regulariser",
    "weigh",
]
