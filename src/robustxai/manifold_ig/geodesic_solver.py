"""How a geodesic is solved for: the options of both solvers, checked once.

Knows numbers and names; knows nothing about decoders or curves.
"""

from dataclasses import dataclass
from typing import TypedDict

from robustxai.checks import check_count, check_name, check_number, shown
from robustxai.manifold_ig.geodesic_checks import SOLVER_MODES, check_budget, check_sweeps
from robustxai.manifold_ig.path_energy import Penalty
from robustxai.manifold_ig.released_solver import EPSILON, STEP, SWEEPS


@dataclass(frozen=True, kw_only=True)
class Solver:
    """The options of `geodesic`.

    Args:
        mode: "fast": Z(t) = line + sum_k a_k sin(k pi t)/k, minimised by L-BFGS with its own state for each curve.
            "released": the authors' algorithm with `step`, `epsilon`, `sweeps`; its last point is z1 only to 19/20 for
            20 points.
        evaluations: budget of decoder passes (forward and backward over all points) after the first.
        modes: number of sines, all N - 1 by default.
        history: pairs of steps and gradients that L-BFGS keeps.
        tolerance: a curve has converged when its energy fell by less than this share over 5 evaluations.
        coarse: points of a coarser curve that is solved first, where that is fewer than `n_points`; then
        polish: is the budget at full resolution (None: `evaluations` again; 0: the sines of the coarse curve, with its
            trace, are the result: the cheapest way to many points).
        constant_speed: move the points along the curve to equal speed at the end (not with 0 evaluations).
        penalty: codes (m, *latent) to (m,); the objective is then E + `weight` * mean penalty of the inner points.
        step, epsilon, sweeps: of the released algorithm, see `released_geodesic`.

    Raises ValueError for an unknown mode and numbers out of range.

    >>> Solver(coarse=8, polish=0).evaluations
    40
    """

    mode: str = "fast"
    evaluations: int = 40
    modes: int | None = None
    history: int = 20
    tolerance: float | int = 1e-4
    coarse: int | None = None
    polish: int | None = None
    constant_speed: bool = True
    penalty: Penalty | None = None
    weight: float | int = 1.0
    step: float | int = STEP
    epsilon: float | int = EPSILON
    sweeps: int = SWEEPS

    def __post_init__(self) -> None:
        check_name("mode", self.mode, SOLVER_MODES)
        check_budget(self.evaluations, self.modes)
        check_count("history", self.history)
        check_number("tolerance", self.tolerance)
        check_number("weight", self.weight)
        for name, value, low in (("coarse", self.coarse, 3), ("polish", self.polish, 0)):
            if value is not None:
                check_count(name, value, low)
        check_sweeps(step=self.step, epsilon=self.epsilon, sweeps=self.sweeps)
        if not (self.penalty is None or callable(self.penalty)):
            raise ValueError(
                f"penalty must be None or a function from codes to numbers, got {shown(self.penalty)}"
            )


class SolverOptions(TypedDict, total=False):
    """The fields of `Solver` as keywords of `geodesic`."""

    mode: str
    evaluations: int
    modes: int | None
    history: int
    tolerance: float | int
    coarse: int | None
    polish: int | None
    constant_speed: bool
    penalty: Penalty | None
    weight: float | int
    step: float | int
    epsilon: float | int
    sweeps: int
