"""The derivative of a geodesic in its end, for attackers who differentiate through the solver (spec 4.4, item 3).

A frozen bend lets the path move with its end but never bend otherwise. At a curve of least energy the gradient in the
inner points is zero and stays so when the end moves, which gives the rest: dZ/dz_N = -H^-1 d2E/(dZ dz_N), with H the
Hessian of the energy in the inner points. Products with it come from conjugate gradients, without a matrix.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count
from robustxai.explainers.baselines import as_baseline
from robustxai.explainers.decoder import Codes, Decoder, Latents, decode
from robustxai.explainers.path_explainer import PathIntegral
from robustxai.manifold_ig.geodesic_path import ManifoldIG
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.pullback_metric import curve_energy
from robustxai.manifold_ig.sine_curves import line
from robustxai.shapes import Target


def end_gradient(
    decoder: Decoder, latents: Latents, slopes: Float[Tensor, "inner n *latent"], *, iterations: int = 10
) -> Codes:
    """sum_i (dz_i/dz_N)^T slopes_i over the inner points of geodesics `latents`: what a loss with these slopes in the
    inner points feels of a move of the end, (n, *latent).

    iterations: of conjugate gradients, preconditioned in time; each costs a Hessian product (decoder forward once,
    then two passes backward). 0 is the derivative of the straight line, with a frozen bend; it takes as many as a code
    has numbers to be exact. Where the curvature along a search direction is not positive, a curve stops there.
    Raises ValueError for fewer than 3 points or slopes of another shape than the inner points.
    """
    check_count("iterations", iterations, 0)
    if len(latents) < 3 or slopes.shape != latents[1:-1].shape:
        raise ValueError(
            "latents and slopes must be curves of 3 points or more and a slope for each inner point, "
            f"got shapes {tuple(latents.shape)} and {tuple(slopes.shape)}"
        )
    count = len(latents) - 1
    times = torch.arange(1, count, device=latents.device).to(latents) / count
    with torch.enable_grad():
        inner, end = (v.detach().clone().requires_grad_() for v in (latents[1:-1], latents[-1:]))
        images = decode(decoder, torch.cat((latents[:1].detach(), inner, end)))
        force = torch.autograd.grad(curve_energy(images).sum(), inner, create_graph=True)[0]

    def product(w: Tensor) -> tuple[Tensor, Tensor]:
        """H w, and the mixed derivative times w."""
        with torch.enable_grad():
            asked = (force * w).sum()
        straight, mixed = torch.autograd.grad(asked, (inner, end), retain_graph=True)
        return straight, mixed[0]

    one = torch.ones(count - 2, dtype=torch.float64, device="cpu")
    stiff = (
        2 * torch.eye(count - 1, dtype=torch.float64, device="cpu") - torch.diag(one, 1) - torch.diag(one, -1)
    )
    soften = torch.linalg.inv(stiff).to(latents)
    w = _conjugate_gradients(lambda v: product(v)[0], slopes, soften, iterations)
    along, mixed = product(w)
    left = torch.einsum("k,k...->...", times, slopes - along)  # what w leaves open moves with the line
    return left - mixed


def _conjugate_gradients(
    product: Callable[[Tensor], Tensor], goal: Tensor, soften: Tensor, iterations: int
) -> Tensor:
    """About H^-1 goal for every curve, from zero."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(0).flatten(1).sum(1)

    def spread(values: Tensor) -> Tensor:
        return values.view(1, -1, *[1] * (goal.ndim - 2))

    w, rest = torch.zeros_like(goal), goal.clone()
    way = soft = torch.einsum("ij,j...->i...", soften, rest)
    size, active = dot(rest, soft), torch.ones(goal.shape[1], dtype=torch.bool, device=goal.device)
    for _ in range(iterations):
        bent = product(way)
        curvature = dot(way, bent)
        active = active & (curvature > 0) & (size > 0)
        step = torch.where(active, size / torch.where(active, curvature, 1), 0)
        w, rest = w + spread(step) * way, rest - spread(step) * bent
        soft = torch.einsum("ij,j...->i...", soften, rest)
        new = dot(rest, soft)
        way = soft + spread(torch.where(active, new / torch.where(active, size, 1), 0)) * way
        size = new
    return w


class _Path(torch.autograd.Function):
    """line(z0, z1) + bend, with the derivative of the geodesic in z1."""

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z0: Tensor, bend: Tensor, decoder: Decoder, iterations: int) -> Tensor:
        latents = line(z0, z1, len(bend)) + bend
        ctx.save_for_backward(latents)
        ctx.decoder, ctx.iterations = decoder, iterations
        return latents

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (latents,) = ctx.saved_tensors
        moved = end_gradient(ctx.decoder, latents, slopes[0][1:-1], iterations=ctx.iterations)
        return moved + slopes[0][-1], None, None, None, None


class ImplicitPathIG(LatentPathIG):
    """LatentPathIG along a frozen geodesic whose derivative is that of the geodesic; made by `implicit`."""

    iterations = 10

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        assert self.decoder is not None and self.bend is not None
        z0, z1 = self._codes(x, start)
        latents = _Path.apply(z1, z0.detach(), self.bend, self.decoder, self.iterations)
        return self._decoded(latents, x, start, target)  # pyright: ignore[reportArgumentType]


def implicit(
    method: ManifoldIG, baselines: Tensor | float | int | None = None, *, iterations: int = 10
) -> Callable[[Tensor], LatentPathIG]:
    """The guide of an attack on ManifoldIG that feels how the geodesic bends, as `frozen` is one that does not.

    iterations: as in `end_gradient`. Raises ValueError in mode "released", whose path has no least energy.

    >>> attack.perturb(model, x, explain=method, guide=implicit(method))  # doctest: +SKIP
    """
    if not isinstance(method, ManifoldIG):
        raise ValueError(f"method must be a ManifoldIG, got {type(method).__name__}")
    check_count("iterations", iterations, 0)

    def guide(x: Tensor) -> LatentPathIG:
        held = method.freeze(x, as_baseline(method.baselines if baselines is None else baselines, x))
        assert held.encoder is not None and held.decoder is not None
        found = ImplicitPathIG(
            held.model, held.encoder, held.decoder, endpoint=held.endpoint, bend=held.bend,
            bridge_points=held.bridge_points, n_steps=held.n_steps, rule=held.rule, score=held.score,
            batch_size=held.batch_size,
        )  # fmt: skip
        found.iterations = iterations
        return found

    return guide
