"""How long an audit will take and how much memory it needs, from the time of one forward pass.

An attack runs a map and its derivative at every step, and keeps the prediction. How many forward passes that is was
measured for each family (10 steps on a ReLU network of 56 pixels, one thread); on other networks it is a guess within
about a factor of two. Knows rows and numbers.
"""

from dataclasses import dataclass

from robustxai.arena.registry import ExplainerRow

PASSES = {"trivial": 3.0, "cam": 7.0, "pixel": 18.0, "path": 11.0, "forward-only": 7.0, "manifold": 12.0}
"""Forward passes, in time, that a step of an attack on a map of one pass takes."""
SUITE_STEPS = {"quick": 30, "standard": 80}
"""Steps of all attacks of a suite on one read-out."""


@dataclass(frozen=True)
class Estimate:
    """minutes: of all attacks on a row. megabytes: at the batch size of the audit.

    >>> Estimate("GradCAM", 0.5, 120.0).minutes
    0.5
    """

    row: str
    minutes: float
    megabytes: float


def estimate(
    row: ExplainerRow, *, n: int, seconds: float, megabytes: float, batch_size: int, suite: str
) -> Estimate:
    """What the attacks on a row take. seconds: of a forward pass of one image; megabytes: that an attack on one needs.

    >>> from robustxai.arena.catalogue import EXPLAINERS
    >>> estimate(EXPLAINERS["GradCAM"], n=32, seconds=0.01, megabytes=10, batch_size=16, suite="quick").minutes
    1.12
    """
    maps = max(row.cost, 1.0)
    minutes = n * seconds * PASSES[row.family] * maps * SUITE_STEPS[suite] / 60
    return Estimate(row.name, round(minutes, 4), megabytes * min(batch_size, n))
