"""ManifoldIG: Integrated Gradients along a geodesic of the decoder's metric.

ManifoldIG with no evaluations is LatentPathIG. Encoder and decoder are any callables, x -> code -> image.
"""

from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import check_count, check_name
from robustxai.explainers.attribution import Attribution
from robustxai.explainers.base import Explainer
from robustxai.explainers.baselines import as_baseline
from robustxai.explainers.decoder import Decoder, Latents, decode
from robustxai.explainers.path_explainer import PathIntegral
from robustxai.manifold_ig.geodesic import Geodesic, geodesic
from robustxai.manifold_ig.geodesic_checks import SOLVER_MODES
from robustxai.manifold_ig.geodesic_solver import Solver
from robustxai.manifold_ig.latent_path import LatentPathIG
from robustxai.manifold_ig.sine_curves import line
from robustxai.shapes import Inputs, Target

FIRST = ("line", "encoded")
FURTHER = tuple(f.name for f in fields(Solver) if f.name not in ("mode", "evaluations"))


class ManifoldIG(LatentPathIG):
    """Manifold Integrated Gradients: the geodesic of the decoder's metric (form A of spec 3.6 by default).

    Args:
        evaluations: budget of the geodesic solver; 0 is LatentPathIG.
        first: where the solver begins: "line", the line of codes, or "encoded", the codes of the pixel line between
            the reconstructions, which a geodesic is drawn to, where that has less energy.
        mode: "fast", or "released" for the authors' algorithm with `n_steps` nodes.
        solver: further options of `geodesic`: modes, history, tolerance, coarse, polish, constant_speed, penalty,
            weight; and step, epsilon, sweeps for the released algorithm.
        geometry: another map from codes whose metric is used in place of the decoder's, such as
            `VarianceDecoder`; the images of the path are the decoder's.

    Raises ValueError for an unknown mode or first guess, a negative budget, or an option of `solver` that is unknown
    or out of range.

    Where `x` requires a gradient, the bend of the geodesic is held fixed while its ends move with the codes
    (spec 4.4, item 2); `freeze` gives the explainer with that bend alone.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> encode, decode = (lambda x: x.flatten(1)[:, :4]), (lambda z: z.repeat(1, 3).sigmoid().unflatten(1, (3, 2, 2)))
    >>> explain = ManifoldIG(net, encode, decode, n_steps=4, evaluations=3)
    >>> found = explain.explain(torch.rand(2, 3, 2, 2), target=1)
    >>> found.values.shape, bool(found.geodesic.finite.all())
    (torch.Size([2, 3, 2, 2]), True)
    """

    def __init__(
        self,
        model: nn.Module,
        encoder: Decoder,
        decoder: Decoder,
        *,
        evaluations: int = 40,
        first: str = "line",
        mode: str = "fast",
        solver: dict[str, Any] | None = None,
        geometry: Decoder | None = None,
        **options: Any,
    ):
        super().__init__(model, encoder, decoder, **options)
        check_name("mode", mode, SOLVER_MODES)
        check_name("first", first, FIRST)
        evaluations = check_count("evaluations", evaluations, 0)
        if mode == "released" and self.n_steps < 3:
            raise ValueError(f"n_steps must be an integer >= 3 in mode 'released', got {self.n_steps}")
        solver = dict(solver or {})
        if unknown := [name for name in solver if name not in FURTHER]:
            raise ValueError(f"solver must have options among {', '.join(FURTHER)}, got {unknown[0]!r}")
        self.how = Solver(mode=mode, evaluations=evaluations, **solver)
        self.evaluations, self.mode, self.solver, self.first = evaluations, mode, solver, first
        self.geometry = geometry

    @classmethod
    def released(
        cls, model: nn.Module, encoder: Decoder, decoder: Decoder, *, sweeps: int = 2, **options: Any
    ) -> "ManifoldIG":
        """As the released code runs it: 20 nodes, Gauss-Seidel, form B, the softmax probability.

        sweeps: 2 in the released demonstration, 300 in its settings. The path ends at 19/20 of the way, and
        form B is not complete (spec 3.6, 9.1).
        """
        solver = dict(sweeps=sweeps) | options.pop("solver", {})
        settings: dict[str, Any] = dict(n_steps=20, rule="released", score="prob", mode="released") | options
        return cls(model, encoder, decoder, solver=solver, **settings)

    def explain(
        self,
        x: Inputs,
        target: Target = None,
        baselines: Float[Tensor, "*baseline"] | float | int | None = None,
        *,
        warm: Latents | Geodesic | None = None,
    ) -> Attribution:
        """The attribution with its diagnostics; `warm` is a geodesic of similar images to start from."""
        return self._diagnose(x, self._with_diagnostics()._attribute(x, target, baselines, warm=warm))

    def geodesic(self, x: Tensor, start: Tensor, *, warm: Tensor | Geodesic | None = None) -> Geodesic:
        """The geodesics between the codes of `start` and of `x`, with `warm` as in `geodesic(start=...)`."""
        assert self.decoder is not None
        with torch.no_grad():
            z0, z1 = self._codes(x, start)
        n_points = self.n_steps + (self.mode == "fast")

        def find() -> Geodesic:
            assert self.decoder is not None
            guess = self._encoded(z0, z1, n_points) if warm is None and self.first == "encoded" else warm
            return geodesic(
                self.geometry or self.decoder, z0, z1, n_points, self.how, start=guess, batch_size=self.batch_size
            )  # fmt: skip

        name = f"geodesic {self.first} {n_points} {self.how}"
        return find() if warm is not None else self._recalled(name, find, z0, z1)

    @torch.no_grad()
    def _encoded(self, z0: Tensor, z1: Tensor, n_points: int) -> Tensor | None:
        """The codes of the pixel line between the decoded ends: where a geodesic would like to be."""
        if self.mode != "fast" or self.evaluations == 0:
            return None
        assert self.encoder is not None and self.decoder is not None
        points = min(n_points, self.how.coarse or n_points)
        ends = decode(self.decoder, torch.stack((z0, z1)), batch_size=self.batch_size)
        return decode(self.encoder, line(ends[0], ends[1], points), batch_size=self.batch_size)

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> Explainer:
        """The path with the bend of the geodesics at `x` from black, and softplus in place of the network's ReLUs.

        In mode "released" it goes all the way to the code. For other baselines: `guides.frozen`.
        """
        held = self.held(self.geodesic(x.detach(), as_baseline(None, x)))
        return held.guide(x, beta=beta)

    def freeze(self, x: Tensor, start: Tensor) -> LatentPathIG:
        """LatentPathIG with the bend of the geodesics at `x`, for attackers who differentiate through it.

        Raises ValueError in mode "released", whose path does not end at the code of x.
        """
        if self.mode != "fast":
            raise ValueError(f"mode must be 'fast' for freeze, got {self.mode!r}")
        return self.held(self.geodesic(x.detach(), start))

    def held(self, found: Geodesic) -> LatentPathIG:
        """LatentPathIG with the bend of `found`; in mode "released" it goes on to the code of x."""
        assert self.encoder is not None and self.decoder is not None
        return LatentPathIG(
            self.model, self.encoder, self.decoder, endpoint=self.endpoint, bridge_points=self.bridge_points,
            bend=_bend(found), n_steps=len(found.latents) - 1, rule=self.rule, score=self.score,
            batch_size=self.batch_size,
        )  # fmt: skip

    def _integrate(
        self, x: Tensor, start: Tensor, target: Target, warm: Tensor | Geodesic | None = None
    ) -> PathIntegral:
        found = self.geodesic(x.detach(), start, warm=warm)
        latents = found.latents
        if torch.is_grad_enabled():
            z0, z1 = self._codes(x, start)
            end = torch.lerp(z0, z1, (len(latents) - 1) / len(latents)) if self.mode == "released" else z1
            latents = line(z0, end, len(latents)) + _bend(found)
        return self._decoded(latents, x, start, target, found)


def _bend(found: Geodesic) -> Tensor:
    return found.latents - line(found.latents[0], found.latents[-1], len(found.latents))
