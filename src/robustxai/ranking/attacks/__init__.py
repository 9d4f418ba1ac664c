"""Attacks on the ranking of an explanation: each has `.perturb(model, x, target, explain=...) -> Attacked`.

To add one, subclass `GradientAttack` and write `objective`.
"""

from robustxai.ranking.attacks.common import NORMS, Attacked
from robustxai.ranking.attacks.control import RandomDirections
from robustxai.ranking.attacks.descent import GradientAttack
from robustxai.ranking.attacks.dombrowski import TargetMapAttack
from robustxai.ranking.attacks.ghorbani import MassCentreAttack, TargetRegionAttack, TopKAttack
from robustxai.ranking.attacks.keeping import KEEP
from robustxai.ranking.attacks.ranking import ERAttack, MSEAttack, RankingAttack

__all__ = [
    "KEEP",
    "NORMS",
    "Attacked",
    "ERAttack",
    "GradientAttack",
    "MSEAttack",
    "MassCentreAttack",
    "RandomDirections",
    "RankingAttack",
    "TargetMapAttack",
    "TargetRegionAttack",
    "TopKAttack",
]
