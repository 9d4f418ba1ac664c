"""How long an audit will take and how much memory it needs, from the time of one forward pass.

An attack runs a map and its derivative at every step, and keeps the prediction. How many forward passes that is in time
was measured for each family (quick suite, 16 images of 56 pixels, a ReLU network, one thread: edge 120, GradCAM 210,
Saliency 430, SmoothGrad of four 735, IG of six 1450, noise and everything else included); on other networks it is a
guess within about a factor of two. Knows rows and numbers.
"""

from dataclasses import dataclass

from robustxai.arena.auditing.settings import SUITE_NAMES
from robustxai.arena.registry import ExplainerRow
from robustxai.arena.suite import SUITES

PASSES = {"trivial": 4.0, "cam": 8.0, "pixel": 14.0, "path": 18.0, "forward-only": 18.0, "manifold": 18.0}
"""Forward passes, in time, that a step of an attack on a map of one pass takes."""
ATTACK_STEPS, DEAR = {"quick": 30, "standard": 80}, 0.45
"""Steps of all attacks of a suite on one read-out, and the share of them that a dear map meets."""


@dataclass(frozen=True)
class Estimate:
    """minutes: of all attacks on a row. megabytes: at the batch size of the audit.

    >>> Estimate("GradCAM", 0.5, 120.0).minutes
    0.5
    """

    row: str
    minutes: float | int
    megabytes: float | int


def estimate(
    row: ExplainerRow, *, n: int, seconds: float | int, megabytes: float | int, batch_size: int, suite: str
) -> Estimate:
    """What the attacks on a row take. seconds: of a forward pass of one image; megabytes: that an attack on one needs.

    >>> from robustxai.arena.catalogue import EXPLAINERS
    >>> estimate(EXPLAINERS["GradCAM"], n=32, seconds=0.01, megabytes=10, batch_size=16, suite="quick").minutes
    1.28
    """
    steps = ATTACK_STEPS[suite] * (DEAR if row.cost > SUITES[SUITE_NAMES[suite]].dear else 1)
    minutes = n * seconds * PASSES[row.family] * max(row.cost, 1.0) * steps / 60
    return Estimate(row.name, round(minutes, 4), megabytes * min(batch_size, n))
