"""The decoder's pull-back metric G(z) = J(z)^T J(z) as an operator, and the measures of discrete curves.

A decoder is any callable from codes (n, *latent) to images (n, *image) that treats its samples independently.
A discrete curve has its points first: (points, n, ...), n curves side by side; its N = points - 1 segments
take the time dt = 1/N each.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jvp, vjp

from robustxai.checks import check_callable, check_count, check_generator
from robustxai.explainers.decoder import Codes, Decoder, Latents, decode
from robustxai.explainers.path_checks import check_curve, check_rows, check_same
from robustxai.shapes import Path

Decoded = Float[Tensor, "n *image"]
PerCurve = Float[Tensor, " n"]


def push(decoder: Decoder, z: Codes, u: Codes) -> Decoded:
    """J(z) u: how fast the image changes when the code `z` moves with velocity `u` (one JVP)."""
    check_callable("decoder", decoder)
    check_rows("z", z)
    check_same("u", u, "z", z)
    with warnings.catch_warnings():  # torch's own forward mode announces the end of torch.jit once
        warnings.filterwarnings("ignore", "`torch.jit.script`", FutureWarning)
        return jvp(decoder, (z,), (u,))[1]


def pull(decoder: Decoder, z: Codes, v: Decoded) -> Codes:
    """J(z)^T v: the gradient in the code of the inner product of the image with `v` (one VJP)."""
    check_callable("decoder", decoder)
    check_rows("z", z)
    image, pulled = vjp(decoder, z)[:2]
    check_same("v", v, "the decoder's image", image)
    return pulled(v)[0]


def metric_product(decoder: Decoder, z: Codes, u: Codes) -> Codes:
    """G(z) u = J^T (J u), without J: one JVP and one VJP (spec 3.3, item 1).

    >>> double = lambda z: 2 * z
    >>> metric_product(double, torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))
    tensor([[ 4., 12.]])
    """
    return pull(decoder, z, push(decoder, z, u))


def dense_metric(decoder: Decoder, z: Codes, *, batch_size: int = 256) -> Float[Tensor, "n d d"]:
    """G(z) as a matrix per code, d = numbers in a code: d products, `batch_size` at a time. Only for small d."""
    check_rows("z", z)
    check_count("batch_size", batch_size)
    check_callable("decoder", decoder)
    n, d = len(z), z[0].numel()
    units = torch.eye(d, dtype=z.dtype, device=z.device)
    columns = []
    for some in units.split(max(1, batch_size // n)):
        u = some[:, None].expand(-1, n, -1).reshape(-1, *z.shape[1:])
        columns.append(metric_product(decoder, z.repeat(len(some), *[1] * (z.ndim - 1)), u).reshape(-1, n, d))
    return torch.cat(columns).movedim(0, -1)


def largest_eigenvalue(
    decoder: Decoder, z: Codes, *, iterations: int = 30, generator: torch.Generator | None = None
) -> PerCurve:
    """The largest eigenvalue of G(z) per code, from below, by power iteration.

    Gradient descent on the nodes of a curve is stable for steps below dt / (2 eigenvalue) (spec 9.2). A generator's
    numbers are drawn on its device; NaN where the decoder gives NaN. Raises ValueError for no iterations.
    """
    check_rows("z", z)
    check_count("iterations", iterations)
    check_callable("decoder", decoder)
    check_generator("generator", generator)
    start = torch.Generator(z.device).manual_seed(0) if generator is None else generator
    u = torch.randn(z.shape, dtype=z.dtype, device=start.device, generator=start).to(z.device)
    value = torch.zeros(len(z), dtype=z.dtype, device=z.device)
    for _ in range(iterations):
        u = u / norms(u).clamp_min(torch.finfo(z.dtype).tiny).view(-1, *[1] * (z.ndim - 1))
        u = metric_product(decoder, z, u)
        value = norms(u)
    return value.detach()


def norms(x: Float[Tensor, " n *sample"]) -> PerCurve:
    """The Euclidean norm of each sample."""
    return x.flatten(1).norm(dim=1)


def segments(curve: Path, decoder: Decoder | None = None) -> Float[Tensor, "segments n"]:
    """The length of every segment of the curves; with `decoder`, of the curves that it makes of codes."""
    check_curve("curve", curve)
    points = curve if decoder is None else decode(decoder, curve)
    return points.diff(dim=0).flatten(2).norm(dim=2)


def curve_energy(curve: Path, *, decoder: Decoder | None = None) -> PerCurve:
    """Discrete energy E = 1/(2 dt) sum_i ||y_{i+1} - y_i||^2 of each curve (spec 3.3, item 3).

    curve: images y (points, n, *image); or codes, with the `decoder` that makes images of them.

    >>> curve_energy(torch.tensor([[[0.0]], [[1.0]], [[2.0]]]))
    tensor([2.])
    """
    return segments(curve, decoder).square().sum(0) * ((len(curve) - 1) / 2)


def curve_length(curve: Path, *, decoder: Decoder | None = None) -> PerCurve:
    """Length L = sum_i ||y_{i+1} - y_i|| of each curve; arguments as in `curve_energy`."""
    return segments(curve, decoder).sum(0)


class EnergyBounds(NamedTuple):
    """energy >= half_length = L^2/2 >= half_chord = ||y_N - y_0||^2/2, each (n,) (spec 3.3, item 6).

    >>> curve_bounds(torch.tensor([[[0.0]], [[1.0]], [[4.0]]])).half_chord
    tensor([8.])
    """

    energy: PerCurve
    half_length: PerCurve
    half_chord: PerCurve


def curve_bounds(curve: Path, *, decoder: Decoder | None = None) -> EnergyBounds:
    """The energy and its two lower bounds: reached by constant speed, and by the straight line of images."""
    check_curve("curve", curve)
    points = curve if decoder is None else decode(decoder, curve)
    chord = norms(points[-1] - points[0])
    return EnergyBounds(curve_energy(points), curve_length(points).square() / 2, chord.square() / 2)


def speed_variation(curve: Path, *, decoder: Decoder | None = None) -> PerCurve:
    """Standard deviation of the speed over its mean: 0 for constant speed, nan for a curve of length 0."""
    speed = segments(curve, decoder)
    return speed.std(0, correction=0) / speed.mean(0)


def energy_gradient(decoder: Decoder, latents: Latents) -> Float[Tensor, "inner n *latent"]:
    """dE/dz_i = -(1/dt) J(z_i)^T [y_{i+1} - 2 y_i + y_{i-1}] at the inner points (spec 3.3, item 4).

    Exact, from one decoder pass and one VJP over all points; shape (points - 2, n, *latent).
    """
    check_curve("latents", latents, least=3)
    check_callable("decoder", decoder)
    inner, pulled = vjp(decoder, latents[1:-1].flatten(0, 1))[:2]
    ends = decode(decoder, latents[[0, -1]])
    images = torch.cat((ends[:1], inner.unflatten(0, latents[1:-1].shape[:2]), ends[1:]))
    bend = images.diff(n=2, dim=0) * (len(latents) - 1)
    return -pulled(bend.flatten(0, 1))[0].unflatten(0, latents[1:-1].shape[:2])


def encoder_direction(
    decoder: Decoder, encoder: Callable[[Tensor], Tensor], latents: Latents
) -> Float[Tensor, "inner n *latent"]:
    """Shao's surrogate of `energy_gradient`: the encoder's Jacobian in place of J^T (spec 3.3, item 5).

    -(1/dt) J_h(y_i) [y_{i+1} - 2 y_i + y_{i-1}]: one JVP through the encoder. Not always a descent direction.
    """
    check_curve("latents", latents, least=3)
    check_callable("decoder", decoder)
    images = decode(decoder, latents)
    bend = images.diff(n=2, dim=0) * (len(latents) - 1)
    pushed = push(encoder, images[1:-1].flatten(0, 1), bend.flatten(0, 1))
    return -pushed.unflatten(0, latents[1:-1].shape[:2])
