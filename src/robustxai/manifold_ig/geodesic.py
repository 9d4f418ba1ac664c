"""Geodesics of the decoder's pull-back metric: `geodesic(decoder, z0, z1)`.

The fast solver minimises the discrete energy over sine coefficients with batched L-BFGS (spec 9.3); the
released algorithm is a mode of the same call. Any callable from codes to images is a decoder. Knows nothing
about classifiers or attributions.
"""

from dataclasses import dataclass, replace
from typing import Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.checks import check_callable, check_count
from robustxai.eval_mode import check_calm
from robustxai.explainers.decoder import Codes, Decoder, Latents, PathImages, decode
from robustxai.manifold_ig import sine_curves
from robustxai.manifold_ig.geodesic_checks import (
    check_batch_size,
    check_ends,
    check_penalty,
    check_points,
    check_start,
)
from robustxai.manifold_ig.geodesic_solver import Solver, SolverOptions
from robustxai.manifold_ig.lbfgs import minimise
from robustxai.manifold_ig.path_energy import PenalisedEnergy, decoded_ends
from robustxai.manifold_ig.pullback_metric import (
    PerCurve,
    curve_energy,
    curve_length,
    norms,
    segments,
    speed_variation,
)
from robustxai.manifold_ig.released_solver import released_geodesic
from robustxai.options import merged, says_options

EVEN = 5e-4


@dataclass(frozen=True)
class Geodesic:
    """Curves in the latent space with their images, points first, and how the solver got there.

    latents: (points, n, *latent). images: (points, n, *image). energy, length: of the images, (n,). trace:
    (evaluations + 1, n), the lowest objective so far, from the starting curve on (fast), or the energy after
    each sweep (released). converged: the stop rule held before the budget ended. finite: False where the
    solver met a number that is not finite; the curve is then the last or best finite one, or, if there is
    none, the straight latent line.

    >>> found = geodesic(lambda z: z.sinh(), torch.zeros(1, 2), torch.ones(1, 2), n_points=5)
    >>> found.latents.shape, found.images.shape, bool(found.finite)
    (torch.Size([5, 1, 2]), torch.Size([5, 1, 2]), True)
    """

    latents: Latents
    images: PathImages
    energy: PerCurve
    length: PerCurve
    trace: Float[Tensor, "evaluations n"]
    converged: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]

    @property
    def bend(self) -> PerCurve:
        """How far the curve leaves the straight latent line, at most, over the distance of its ends."""
        off = self.latents - sine_curves.line(self.latents[0], self.latents[-1], len(self.latents))
        return off.flatten(2).norm(dim=2).amax(0) / norms(self.latents[-1] - self.latents[0])

    @property
    def speed_variation(self) -> PerCurve:
        """Standard deviation of the speed over its mean, 0 for a curve of constant speed."""
        return speed_variation(self.images)


@says_options(Solver)
def geodesic(
    decoder: Decoder,
    z0: Codes,
    z1: Codes,
    n_points: int = 21,
    how: Solver | None = None,
    *,
    start: Tensor | Geodesic | None = None,
    batch_size: int | None = None,
    **options: Unpack[SolverOptions],
) -> Geodesic:
    """The curves of least energy E (spec 3.3) from codes `z0` to codes `z1`, both (n, *latent), side by side.

    how, options: a `Solver`, or its fields by name, such as `evaluations=60`; `Solver` says what each is. start: a
    curve of a similar pair, (points, n, *latent), whose bend is tried as a warm start. batch_size: most codes decoded
    at once; the solver takes a whole curve where that has more.

    Decoder and its parameters are left as they were; the result carries no graph. The images at the ends are those
    that the decoder gives for the codes of all ends alone, to the bit.

    Raises ValueError for codes of different shapes or types or equal ends, fewer than 2 points (3 where released), an
    option out of range, a start or penalty of another shape, a decoder in training mode or without one image a code.

    >>> bowl = lambda z: torch.cat((z, z.square().sum(1, keepdim=True)), 1)
    >>> path = geodesic(bowl, torch.tensor([[-1.0, 0.2]]), torch.tensor([[1.0, 0.2]]), n_points=11)
    >>> path.images.shape, bool(path.energy < path.trace[0])
    (torch.Size([11, 1, 3]), True)
    """
    how = merged(Solver, how, options)
    check_calm("decoder", decoder)
    check_ends(z0, z1)
    check_points(n_points, how.mode)
    check_batch_size(batch_size)
    guess = start.latents if isinstance(start, Geodesic) else start
    check_start(guess, z0)
    z0, z1 = z0.detach(), z1.detach()
    if how.mode == "released":
        path = released_geodesic(
            decoder, z0, z1, nodes=n_points, step=how.step, epsilon=how.epsilon, sweeps=how.sweeps
        )
        ends = decoded_ends(decoder, path.latents[0], path.latents[-1], batch_size)
        return _measured(decoder, path.latents, ends, batch_size, path.trace, path.converged, path.finite)
    check_penalty(how.penalty, z0)
    objective = PenalisedEnergy(decoder, z0, z1, how.penalty, how.weight, batch_size)
    latents, *told = _solve(objective, n_points, guess, how)
    result = _measured(decoder, latents, objective.ends, batch_size, *told)
    even = how.constant_speed and how.evaluations > 0
    return at_constant_speed(decoder, result, batch_size=batch_size) if even else result


@torch.no_grad()
def at_constant_speed(
    decoder: Decoder, path: Geodesic, *, rounds: int = 3, batch_size: int | None = None
) -> Geodesic:
    """Move the points along each curve until its images follow at equal steps; the ends stay.

    A curve is changed only where that lowers its energy (E >= L^2/2, equal at constant speed), and stays as it is
    where less than `EVEN` of it is left to gain, whatever the curves beside it do. Raises ValueError for negative
    `rounds` or a `batch_size` below 1.
    """
    check_callable("decoder", decoder)
    check_count("rounds", rounds, 0)
    check_batch_size(batch_size)
    active = torch.ones_like(path.energy, dtype=torch.bool)
    for _ in range(rounds if len(path.latents) > 2 else 0):
        active &= path.energy > (1 + EVEN) * path.length.square() / 2
        rows = active.nonzero()[:, 0]
        if len(rows) == 0:
            break
        images = path.images[:, rows]
        latents = sine_curves.at_times(path.latents[:, rows], sine_curves.even_times(segments(images)))
        own = path.trace[:, rows], path.converged[rows], path.finite[rows]
        moved = _measured(decoder, latents, images[[0, -1]], batch_size, *own)
        better = moved.energy < path.energy[rows]
        active[rows] = better
        path = _replaced(path, rows[better], moved, better)
    return path


def _solve(objective, n_points, guess, how):
    """The codes of the curves, the trace, and how it ended; first on a coarser curve where `how` says so."""
    if how.coarse is None or how.coarse >= n_points:
        return _solve_at(objective, n_points, guess, how)
    found = _solve_at(objective, how.coarse, guess, how)
    if how.polish == 0:
        sines = sine_curves.sine_coefficients(found[0], how.coarse - 2)
        return sine_curves.curve(sines, objective.z0, objective.z1, n_points), *found[1:]
    fine = replace(how, evaluations=how.polish or how.evaluations)
    return _solve_at(objective, n_points, found[0], fine)


def _solve_at(objective, n_points, guess, how):
    """The same on curves of `n_points`."""
    z0, z1 = objective.z0, objective.z1
    straight = sine_curves.line(z0, z1, n_points)
    count = min(how.modes or n_points - 2, n_points - 2)
    if count == 0 or how.evaluations == 0:
        with torch.no_grad():
            energy = curve_energy(decode(objective.decoder, straight, batch_size=objective.batch_size))
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
        warm[:, : shared * d] = sine_curves.sine_coefficients(guess.detach(), shared).flatten(1)
        lower = evaluate(warm, rows)[0] < evaluate(a, rows)[0]
        a = torch.where(lower[:, None], warm, a)
    best = minimise(
        evaluate, a, evaluations=how.evaluations, first_step=0.1 * norms(z1 - z0), history=how.history,
        tolerance=how.tolerance,
    )  # fmt: skip
    latents = sine_curves.curve(best.x.reshape(-1, count, d), z0, z1, n_points)
    return latents, best.trace, best.converged, best.finite


@torch.no_grad()
def _measured(decoder, latents, ends, batch_size, trace, converged, finite) -> Geodesic:
    """The curves with their images, of which those at the ends are known."""
    inner = [decode(decoder, latents[1:-1], batch_size=batch_size)] if len(latents) > 2 else []
    images = torch.cat((ends[:1], *inner, ends[1:]))
    energy = curve_energy(images)
    return Geodesic(
        latents, images, energy, curve_length(images), trace, converged, finite & energy.isfinite()
    )


def _replaced(path: Geodesic, rows: Tensor, moved: Geodesic, better: Tensor) -> Geodesic:
    """The curves with those of `moved` that are `better` in place of `rows`."""
    return replace(
        path,
        latents=path.latents.index_copy(1, rows, moved.latents[:, better]),
        images=path.images.index_copy(1, rows, moved.images[:, better]),
        energy=path.energy.index_copy(0, rows, moved.energy[better]),
        length=path.length.index_copy(0, rows, moved.length[better]),
    )
