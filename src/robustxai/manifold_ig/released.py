"""The released geodesic algorithm: Gauss-Seidel descent on the nodes, as the authors' code runs it.

Kept for comparison, with its peculiarities: a fixed step, a stop rule that depends on units, and a last node
at (T - 1)/T of the way, so that the path never reaches its end. Knows nothing about better ways.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robustxai.checks import check_count
from robustxai.manifold_ig.contracts import check_sweeps
from robustxai.manifold_ig.metric import Codes, Decoder, Latents, curve_energy, decode, pull

STEP, EPSILON, SWEEPS, NODES = 5e-5, 1000.0, 300, 20


class ReleasedPath(NamedTuple):
    """Nodes (T, n, *latent), discrete energy before and after each sweep (sweeps + 1, n), and how it ended.

    converged: the stop rule S <= epsilon held. finite: the energy stayed finite; else the nodes are those of
    the last sweep where it was. sweeps: how many the slowest curve made.
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


@torch.no_grad()
def released_geodesic_reference(
    decoder: Decoder,
    z0: Codes,
    z1: Codes,
    *,
    nodes: int = NODES,
    step: float | int = STEP,
    epsilon: float | int = EPSILON,
    sweeps: int = SWEEPS,
) -> ReleasedPath:
    """Algorithm 1 as released (spec 3.4): z_i <- z_i - step * eta_i, node after node, curves side by side.

    Before each sweep S = sum_i ||eta_i||^2 is computed; a curve stops when S <= `epsilon` and never moves
    again; an `epsilon` of 0 is no stop rule. Node i sees the already moved node i - 1. `sweeps` is the budget: 300 in
    the released settings, 2 in the released demonstration, 0 the line. The end nodes never move. Raises ValueError for
    fewer than 3 nodes, a step that is not above 0, or a negative `epsilon` or `sweeps`.
    """
    check_count("nodes", nodes, 3)
    check_sweeps(step=step, epsilon=epsilon, sweeps=sweeps)
    z = released_line(z0, z1, nodes)
    active = torch.ones(len(z0), dtype=torch.bool, device=z0.device)
    converged, done = ~active, 0
    trace = [curve_energy(decode(decoder, z))]
    finite = trace[0].isfinite()
    while active.any():
        square = z.new_full((len(z0),), torch.inf)
        if epsilon > 0:
            square = sum(
                (node_gradient(decoder, z, i).flatten(1).square().sum(1) for i in range(1, nodes - 1)),
                z.new_zeros(len(z0)),
            )
        converged |= active & (square <= epsilon)
        active &= finite & (square > epsilon)
        if done >= sweeps or not active.any():
            break
        moved = z.clone()
        for i in range(1, nodes - 1):
            eta = node_gradient(decoder, moved, i)
            moved[i] -= step * torch.where(active.view(-1, *[1] * (z0.ndim - 1)), eta, 0)
        energy = curve_energy(decode(decoder, moved))
        finite &= energy.isfinite()
        sound = finite.view(1, -1, *[1] * (z0.ndim - 1))
        z = torch.where(sound, moved, z)
        trace.append(torch.where(finite, energy, trace[-1]))
        done += 1
    return ReleasedPath(z, torch.stack(trace), converged, finite, done)
