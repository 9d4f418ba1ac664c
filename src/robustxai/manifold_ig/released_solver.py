"""The released geodesic algorithm: Gauss-Seidel descent on the nodes, as the authors' code runs it.

Kept for comparison, with its peculiarities: a fixed step, a stop rule that depends on units, and a last node
at (T - 1)/T of the path, so that the path never reaches its end.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import vjp

from robustxai.checks import check_count
from robustxai.eval_mode import check_calm
from robustxai.explainers.decoder import Codes, Decoder, Latents, PathImages, decode
from robustxai.manifold_ig.geodesic_checks import check_ends, check_sweeps
from robustxai.manifold_ig.pullback_metric import PerCurve, curve_energy, energy_gradient, pull

STEP, EPSILON, SWEEPS, NODES = 5e-5, 1000.0, 300, 20
Square = Callable[[Decoder, Latents], PerCurve]
Sweep = Callable[[Decoder, Latents, PathImages, Tensor], tuple[Latents, PathImages]]


class ReleasedPath(NamedTuple):
    """Nodes (T, n, *latent), discrete energy before and after each sweep (sweeps + 1, n), and how it ended.

    converged: the stop rule S <= epsilon held. finite: the energy stayed finite; else the nodes are those of
    the last sweep where it was. sweeps: how many the slowest curve made.

    >>> path = released_geodesic(lambda z: z.sinh(), torch.zeros(1, 2), torch.ones(1, 2), sweeps=3, epsilon=0)
    >>> path.latents.shape, path.trace.shape, path.sweeps
    (torch.Size([20, 1, 2]), torch.Size([4, 1]), 3)
    """

    latents: Latents
    trace: Float[Tensor, "sweeps n"]
    converged: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]
    sweeps: int


def released_line(z0: Codes, z1: Codes, nodes: int) -> Latents:
    """z_i = z0 + (i / T) (z1 - z0), i = 0 ... T - 1: the released start, which stops short of z1."""
    t = torch.arange(nodes, dtype=z0.dtype, device=z0.device) / nodes
    return z0 + t.view(-1, *[1] * z0.ndim) * (z1 - z0)


def node_gradient(decoder: Decoder, latents: Latents, i: int) -> Codes:
    """eta_i = -(1/dt) J(z_i)^T [y_{i+1} - 2 y_i + y_{i-1}], dt = 1/T: three decoder passes and one VJP."""
    before, here, after = (decoder(latents[j]) for j in (i - 1, i, i + 1))
    return -len(latents) * pull(decoder, latents[i], after - 2 * here + before)


def reference_square(decoder: Decoder, z: Latents) -> PerCurve:
    """S = sum_i ||eta_i||^2 of each curve, node after node."""
    parts = (node_gradient(decoder, z, i).flatten(1).square().sum(1) for i in range(1, len(z) - 1))
    return sum(parts, z.new_zeros(z.shape[1]))


def reference_sweep(
    decoder: Decoder, z: Latents, _images: PathImages, step: Tensor
) -> tuple[Latents, PathImages]:
    """One sweep from codes `z`, and the images of the moved codes; step: of each curve."""
    moved = z.clone()
    for i in range(1, len(z) - 1):
        moved[i] -= step * node_gradient(decoder, moved, i)
    return moved, decode(decoder, moved)


def square(decoder: Decoder, z: Latents) -> PerCurve:
    """As `reference_square`, all nodes at once; dt is 1 / T there and 1 / (T - 1) in `energy_gradient`."""
    slope = energy_gradient(decoder, z) * (len(z) / (len(z) - 1))
    return slope.transpose(0, 1).flatten(1).square().sum(1)


def cached_sweep(
    decoder: Decoder, z: Latents, images: PathImages, step: Tensor
) -> tuple[Latents, PathImages]:
    """As `reference_sweep`, with the `images` of z at hand: a node is decoded where it was and where it went."""
    moved, seen = z.clone(), images.clone()
    for i in range(1, len(z) - 1):
        here, pulled = vjp(decoder, moved[i].clone())[:2]
        moved[i] += step * len(z) * pulled(seen[i + 1] - 2 * here + seen[i - 1])[0]
        seen[i] = decoder(moved[i])
    return moved, seen


def released_geodesic_reference(decoder: Decoder, z0: Codes, z1: Codes, **options: Any) -> ReleasedPath:
    """`released_geodesic`, decoding as often as the released code does."""
    return released_geodesic(decoder, z0, z1, steps=(reference_square, reference_sweep), **options)


@torch.no_grad()
def released_geodesic(
    decoder: Decoder,
    z0: Codes,
    z1: Codes,
    *,
    nodes: int = NODES,
    step: float | int = STEP,
    epsilon: float | int = EPSILON,
    sweeps: int = SWEEPS,
    steps: tuple[Square, Sweep] = (square, cached_sweep),
) -> ReleasedPath:
    """Algorithm 1 as released (spec 3.4): z_i <- z_i - step * eta_i, node after node, curves side by side.

    Before each sweep S = sum_i ||eta_i||^2 is computed; a curve stops when S <= `epsilon` and never moves
    again; an `epsilon` of 0 is no stop rule. Node i sees the already moved node i - 1. `sweeps` is the budget: 300 in
    the released settings, 2 in the released demonstration, 0 the line. The end nodes never move. steps: how S and a
    sweep are computed. Raises ValueError for fewer than 3 nodes, a step that is not above 0, or a negative `epsilon`
    or `sweeps`.
    """
    check_calm("decoder", decoder)
    check_ends(z0, z1)
    nodes = check_count("nodes", nodes, 3)
    check_sweeps(step=step, epsilon=epsilon, sweeps=sweeps)
    z = released_line(z0, z1, nodes)
    active = torch.ones(len(z0), dtype=torch.bool, device=z0.device)
    converged, done = ~active, 0
    images = decode(decoder, z)
    trace, flat = [curve_energy(images)], (-1, *[1] * (z0.ndim - 1))
    finite = trace[0].isfinite()
    while active.any():
        left = steps[0](decoder, z) if epsilon > 0 else z.new_full((len(z0),), torch.inf)
        converged |= active & (left <= epsilon)
        active &= finite & (left > epsilon)
        if done >= sweeps or not active.any():
            break
        moved, seen = steps[1](decoder, z, images, step * active.to(z).view(flat))
        energy = curve_energy(seen)
        finite &= energy.isfinite()
        z = torch.where(finite.view(1, *flat), moved, z)
        images = torch.where(finite.view(1, -1, *[1] * (images.ndim - 2)), seen, images)
        trace.append(torch.where(finite, energy, trace[-1]))
        done += 1
    return ReleasedPath(z, torch.stack(trace), converged, finite, done)
