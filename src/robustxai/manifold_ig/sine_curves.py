"""Curves between fixed ends as a straight line plus sines: Z(t) = line(t) + sum_k a_k sin(k pi t) / k.

The factor 1/k whitens the time direction of the energy: with a flat decoder its Hessian in `a` is the same
for every k (spec 9.3).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.explainers.decoder import Codes, Latents
from robustxai.shapes import Path


def line(z0: Codes, z1: Codes, n_points: int) -> Latents:
    """The straight line of codes, both ends exact: (n_points, n, *latent)."""
    t = torch.linspace(0, 1, n_points, dtype=z0.dtype, device=z0.device).view(-1, *[1] * z0.ndim)
    points = torch.lerp(z0.expand(n_points, *z0.shape), z1.expand(n_points, *z1.shape), t)
    return torch.cat((z0[None], points[1:-1], z1[None]))


def basis(n_points: int, modes: int, *, like: Tensor) -> Float[Tensor, "inner modes"]:
    """sin(k pi t_i) / k at the inner points t_i = i/N, for k = 1 ... modes <= N - 1."""
    segments = n_points - 1
    i = torch.arange(1, segments, dtype=torch.float64, device="cpu")
    k = torch.arange(1, modes + 1, dtype=torch.float64, device="cpu")
    return (torch.sin(math.pi * i[:, None] * k / segments) / k).to(like)


def sine_coefficients(latents: Path, modes: int) -> Float[Tensor, "n modes d"]:
    """The a_k of the curve's bend: exact for modes = N - 1, else the best approximation at the points."""
    n_points = len(latents)
    bend = (latents - line(latents[0], latents[-1], n_points))[1:-1].flatten(2)
    s = basis(n_points, modes, like=latents)
    k = torch.arange(1, modes + 1, device=latents.device, dtype=latents.dtype)
    return torch.einsum("ik,ind->nkd", s * k.square(), bend) * (2 / (n_points - 1))


def curve(a: Float[Tensor, "n modes d"], z0: Codes, z1: Codes, n_points: int) -> Latents:
    """The curve with coefficients `a`, at n_points equal times; its ends are z0 and z1 to the bit."""
    straight = line(z0, z1, n_points)
    bend = torch.einsum("ik,nkd->ind", basis(n_points, a.shape[1], like=a), a)
    inner = straight[1:-1] + bend.reshape(straight[1:-1].shape)
    return torch.cat((straight[:1], inner, straight[-1:]))


def at_times(latents: Path, times: Float[Tensor, "new n"]) -> Float[Tensor, "new n *sample"]:
    """The curve, linear between its points, at `times` in [0, N] (unit: segments), one row a curve."""
    low = times.floor().long().clamp(0, len(latents) - 2)
    index = low.view(*low.shape, *[1] * (latents.ndim - 2)).expand(-1, -1, *latents.shape[2:])
    part = (times - low).view(*low.shape, *[1] * (latents.ndim - 2))
    points = torch.lerp(latents.gather(0, index), latents.gather(0, index + 1), part)
    return torch.cat((latents[:1], points[1:-1], latents[-1:]))


def even_times(lengths: Float[Tensor, "segments n"]) -> Float[Tensor, "points n"]:
    """Times, in segments, at which a polygon with these segment lengths has gone equal shares of its way."""
    gone = torch.cat((torch.zeros_like(lengths[:1]), lengths.cumsum(0))).T.contiguous()
    shares = torch.linspace(0, 1, len(lengths) + 1, dtype=lengths.dtype, device=lengths.device)
    goal = gone[:, -1:] * shares
    low = (torch.searchsorted(gone, goal, right=True) - 1).clamp(0, len(lengths) - 1)
    span = lengths.T.gather(1, low)
    part = (goal - gone.gather(1, low)) / torch.where(span > 0, span, 1)
    return (low + part.clamp(0, 1)).T
