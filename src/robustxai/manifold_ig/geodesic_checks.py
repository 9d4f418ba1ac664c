"""What curves and geodesic solvers accept, and the sentences that say so: checked once, at a public entry point.

Knows shapes and the names of options, and nothing about what is done with them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from robustxai.checks import check_count, check_number, check_positive, shown

SOLVER_MODES = ("fast", "released")


def check_ends(z0: Tensor, z1: Tensor) -> None:
    """The ends are finite codes (n, *latent) of one floating type and one device, and differ in every row."""
    for name, z in (("z0", z0), ("z1", z1)):
        if not isinstance(z, Tensor):
            raise ValueError(f"{name} must be codes (n, ...), got {type(z).__name__}")
    if z0.shape != z1.shape or z0.ndim < 2 or len(z0) == 0:
        raise ValueError(
            f"z0 and z1 must have one shape (n, ...), got {tuple(z0.shape)} and {tuple(z1.shape)}"
        )
    if z0.dtype != z1.dtype or not z0.is_floating_point():
        raise ValueError(f"z0 and z1 must have one floating dtype, got {z0.dtype} and {z1.dtype}")
    if z0.device != z1.device:
        raise ValueError(f"z0 and z1 must be on one device, got {z0.device} and {z1.device}")
    if not (z0.isfinite().all() and z1.isfinite().all()):
        raise ValueError("z0 and z1 must be finite codes, got NaN or infinite numbers")
    same = (z0 == z1).flatten(1).all(1)
    if same.any():
        raise ValueError(
            f"z0 and z1 must be two different ends, got equal ones in row {int(same.nonzero()[0])}"
        )


def check_points(n_points: int, mode: str) -> None:
    """A curve has 2 points or more; the released algorithm needs one between its ends."""
    least = 3 if mode == "released" else 2
    if not is_count(n_points, least):
        raise ValueError(f"n_points must be an integer >= {least} in mode {mode!r}, got {n_points!r}")


def check_budget(evaluations: int, modes: int | None) -> None:
    """Evaluations are 0 or more, and modes 1 or more where they are given."""
    if not is_count(evaluations, 0) or not (modes is None or is_count(modes, 1)):
        raise ValueError(
            f"evaluations must be an integer >= 0 and modes None or >= 1, got {evaluations!r} and {modes!r}"
        )


def check_batch_size(batch_size: int | None) -> None:
    """Codes decoded at once: None for all, or 1 or more."""
    if batch_size is not None:
        check_count("batch_size", batch_size)


def check_sweeps(*, step: float | int = 1.0, epsilon: float | int = 0.0, sweeps: int = 0) -> None:
    """The numbers that steer the released algorithm."""
    check_positive("step", step)
    check_number("epsilon", epsilon)
    check_count("sweeps", sweeps, 0)


def check_start(start: Tensor | None, z0: Tensor) -> None:
    """A warm start is curves (points, n, *latent) between codes like `z0`."""
    if start is None:
        return
    if not start.is_floating_point() or start.shape[1:] != z0.shape or len(start) < 2:
        raise ValueError(
            f"start must be floats (points, {', '.join(map(str, z0.shape))}), 2 points or more, got {shown(start)}"
        )


@torch.no_grad()
def check_penalty(penalty: Callable[[Tensor], Tensor] | None, z0: Tensor) -> None:
    """A penalty gives one number for each code; it is called once, on `z0`."""
    if penalty is None:
        return
    paid = penalty(z0)
    if not isinstance(paid, Tensor) or paid.shape != z0.shape[:1]:
        raise ValueError(
            f"penalty must give ({len(z0)},), one number a code, got {shown(paid)} for codes of shape {tuple(z0.shape)}"
        )


def is_count(value: object, low: int) -> bool:
    """Whether a value is a whole number, `low` or more."""
    try:
        check_count("value", value, low)
    except ValueError:
        return False
    return True
