"""Geodesics of the decoder's pull-back metric: `geodesic(decoder, z0, z1)`.

The fast solver minimises the discrete energy over sine coefficients with batched L-BFGS (spec 9.3); the
released algorithm is a mode of the same call. Any callable from codes to images is a decoder. Knows nothing
about classifiers or attributions.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.manifold_ig import sine
from robustxai.manifold_ig.lbfgs import minimise
from robustxai.manifold_ig.metric import (
    Codes,
    Decoder,
    Images,
    Latents,
    PerCurve,
    check_mode,
    curve_energy,
    curve_length,
    decode,
    norms,
    segments,
    speed_variation,
)
from robustxai.manifold_ig.objective import Objective, Penalty
from robustxai.manifold_ig.released import EPSILON, STEP, SWEEPS, released_geodesic_reference

MODES = ("fast", "released")
EVEN = 5e-4


@dataclass(frozen=True)
class Geodesic:
    """Curves in the latent space with their images, points first, and how the solver got there.

    latents: (points, n, *latent). images: (points, n, *image). energy, length: of the images, (n,). trace:
    (evaluations + 1, n), the lowest objective so far, from the starting curve on (fast), or the energy after
    each sweep (released). converged: the stop rule held before the budget ended. finite: False where the
    solver met a number that is not finite; the curve is then the last or best finite one, or, if there is
    none, the straight latent line.
    """

    latents: Latents
    images: Images
    energy: PerCurve
    length: PerCurve
    trace: Float[Tensor, "evaluations n"]
    converged: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]

    @property
    def bend(self) -> PerCurve:
        """How far the curve leaves the straight latent line, at most, over the distance of its ends."""
        off = self.latents - sine.line(self.latents[0], self.latents[-1], len(self.latents))
        return off.flatten(2).norm(dim=2).amax(0) / norms(self.latents[-1] - self.latents[0])

    @property
    def speed_variation(self) -> PerCurve:
        """Standard deviation of the speed over its mean, 0 for a curve of constant speed."""
        return speed_variation(self.images)


def geodesic(
    decoder: Decoder,
    z0: Codes,
    z1: Codes,
    n_points: int = 21,
    *,
    mode: str = "fast",
    evaluations: int = 40,
    modes: int | None = None,
    history: int = 20,
    tolerance: float | int = 1e-4,
    coarse: int | None = None,
    polish: int | None = None,
    start: Tensor | Geodesic | None = None,
    constant_speed: bool = True,
    penalty: Penalty | None = None,
    weight: float | int = 1.0,
    max_batch: int | None = None,
    step: float | int = STEP,
    epsilon: float | int = EPSILON,
    sweeps: int = SWEEPS,
) -> Geodesic:
    """The curves of least energy E (spec 3.3) from codes `z0` to codes `z1`, both (n, *latent), side by side.

    mode "fast": Z(t) = line + sum_k a_k sin(k pi t)/k, minimised by L-BFGS with its own state for each curve.
    evaluations: budget of decoder passes (forward and backward over all points) after the first. modes:
    number of sines, all N - 1 by default. tolerance: a curve has converged when its energy fell by less than
    this share over 5 evaluations. coarse: points of a coarser curve that is solved first; then `polish` is
    the budget at full resolution (None: `evaluations` again; 0: the sines of the coarse curve, with its
    trace, are the result: the cheapest way to many points). start: a curve of a similar pair, whose bend is
    tried as a warm start. constant_speed: move the points along the curve to equal speed at the end (not
    with 0 evaluations). penalty: codes (m, *latent) to (m,); the objective is then E + `weight` * mean
    penalty of the inner points. max_batch: most codes decoded at once.

    mode "released": the authors' algorithm with `step`, `epsilon`, `sweeps`; its last point is z1 only to
    19/20 for 20 points. Decoder and its parameters are left as they were; the result carries no graph.

    Raises ValueError for codes of different shapes or equal ends, fewer than 2 points, an unknown mode, a
    decoder in training mode or without one image a code.

    >>> bowl = lambda z: torch.cat((z, z.square().sum(1, keepdim=True)), 1)
    >>> path = geodesic(bowl, torch.tensor([[-1.0, 0.2]]), torch.tensor([[1.0, 0.2]]), n_points=11)
    >>> path.images.shape, bool(path.energy < path.trace[0])
    (torch.Size([11, 1, 3]), True)
    """
    _check(decoder, z0, z1, n_points, mode, evaluations, modes)
    z0, z1 = z0.detach(), z1.detach()
    if mode == "released":
        path = released_geodesic_reference(
            decoder, z0, z1, nodes=n_points, step=step, epsilon=epsilon, sweeps=sweeps
        )
        return _measured(decoder, path.latents, path.trace, path.converged, path.finite, max_batch)
    objective = Objective(decoder, z0, z1, penalty, weight, max_batch)
    guess = start.latents if isinstance(start, Geodesic) else start
    if coarse is None or not 2 < coarse < n_points:
        found = _solve(objective, n_points, guess, evaluations, modes, history, tolerance)
    else:
        found = _solve(objective, coarse, guess, evaluations, modes, history, tolerance)
        if polish == 0:
            fine = sine.curve(sine.coefficients(found[0], coarse - 2), z0, z1, n_points)
            found = (fine, *found[1:])
        else:
            found = _solve(objective, n_points, found[0], polish or evaluations, modes, history, tolerance)
    latents, trace, converged, finite = found
    result = _measured(decoder, latents, trace, converged, finite, max_batch)
    even = constant_speed and evaluations > 0
    return at_constant_speed(decoder, result, max_batch=max_batch) if even else result


@torch.no_grad()
def at_constant_speed(
    decoder: Decoder, path: Geodesic, *, rounds: int = 3, max_batch: int | None = None
) -> Geodesic:
    """Move the points along each curve until its images follow at equal steps; the ends stay.

    A curve is changed only where that lowers its energy (E >= L^2/2, equal at constant speed); no more rounds are made
    where less than `EVEN` of it is left to gain.
    """
    for _ in range(rounds if len(path.latents) > 2 else 0):
        if (path.energy <= (1 + EVEN) * path.length.square() / 2).all():
            break
        times = sine.even_times(segments(path.images))
        moved = _measured(
            decoder, sine.at_times(path.latents, times), path.trace, path.converged, path.finite, max_batch
        )
        better = moved.energy < path.energy
        if not better.any():
            break
        path = _choose(better, moved, path)
    return path


def _solve(objective, n_points, guess, evaluations, modes, history, tolerance):
    z0, z1 = objective.z0, objective.z1
    straight = sine.line(z0, z1, n_points)
    count = min(modes or n_points - 2, n_points - 2)
    if count == 0 or evaluations == 0:
        with torch.no_grad():
            energy = curve_energy(decode(objective.decoder, straight, max_batch=objective.max_batch))
        return straight, energy[None], torch.zeros_like(energy, dtype=torch.bool), energy.isfinite()
    d = z0[0].numel()

    def evaluate(a, rows):
        value, gradient = objective(a.reshape(-1, count, d), rows, n_points)
        return value, gradient.flatten(1)

    a = z0.new_zeros(len(z0), count * d)
    if guess is not None:
        rows = torch.arange(len(z0), device=z0.device)
        shared = min(count, len(guess) - 2)
        warm = torch.zeros_like(a)
        warm[:, : shared * d] = sine.coefficients(guess.detach(), shared).flatten(1)
        lower = evaluate(warm, rows)[0] < evaluate(a, rows)[0]
        a = torch.where(lower[:, None], warm, a)
    best = minimise(
        evaluate, a, evaluations=evaluations, first_step=0.1 * norms(z1 - z0), history=history,
        tolerance=tolerance,
    )  # fmt: skip
    latents = sine.curve(best.x.reshape(-1, count, d), z0, z1, n_points)
    return latents, best.trace, best.converged, best.finite


@torch.no_grad()
def _measured(decoder, latents, trace, converged, finite, max_batch) -> Geodesic:
    images = decode(decoder, latents, max_batch=max_batch)
    energy = curve_energy(images)
    return Geodesic(
        latents, images, energy, curve_length(images), trace, converged, finite & energy.isfinite()
    )


def _choose(better: Tensor, moved: Geodesic, path: Geodesic) -> Geodesic:
    """Row by row, the moved curve where `better` and the old one elsewhere."""

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(better.view(1, -1, *[1] * (new.ndim - 2)), new, old)

    latents, images = pick(moved.latents, path.latents), pick(moved.images, path.images)
    return Geodesic(
        latents, images, curve_energy(images), curve_length(images), path.trace, path.converged, path.finite
    )


def _check(decoder, z0, z1, n_points, mode, evaluations, modes) -> None:
    check_mode(decoder, "decoder")
    if z0.shape != z1.shape or z0.ndim < 2 or len(z0) == 0:
        raise ValueError(
            f"z0 and z1 have shapes {tuple(z0.shape)} and {tuple(z1.shape)}; accepted are equal (n, ...)"
        )
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; accepted are {', '.join(MODES)}")
    least = 3 if mode == "released" else 2
    if n_points < least:
        raise ValueError(f"n_points is {n_points}; accepted is {least} or more in mode {mode!r}")
    if evaluations < 0 or (modes is not None and modes < 1):
        raise ValueError(
            f"evaluations and modes are {evaluations} and {modes}; accepted are 0 or more and 1 or more"
        )
    if not (z0.isfinite().all() and z1.isfinite().all()):
        raise ValueError("z0 or z1 holds numbers that are NaN or infinite; accepted are finite codes")
    same = (z0 == z1).flatten(1).all(1)
    if same.any():
        raise ValueError(
            f"z0 and z1 are equal in row {int(same.nonzero()[0])}; accepted are two different ends"
        )
