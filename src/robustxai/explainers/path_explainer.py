"""What all integrals along a path share, with one call: `Method(model, ...).attribute(x, target)`.

Captum's convention: images (n, C, H, W) in [0, 1] (or samples of any shape) come in, signed attributions of the same
shape go out; calling the object gives their map. Where `x` requires a gradient the attribution is differentiable in
it, so that it can be attacked.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import as_target, check_batch, check_count, check_name
from robustxai.eval_mode import check_calm
from robustxai.explainers.attribution import Attribution
from robustxai.explainers.base import Explainer, GradientExplainer
from robustxai.explainers.baselines import as_baseline, check_baselines, warn_outside
from robustxai.explainers.decoder import Decoder, decode, like, run_network
from robustxai.explainers.path_integral import Integral, node_integral
from robustxai.explainers.quadrature_rules import RULES, quadrature
from robustxai.models import logits_of
from robustxai.scores.explained import check_score, scored
from robustxai.shapes import Inputs, Target

Baselines = Float[Tensor, "*baseline"] | float | int | None


@dataclass
class PathIntegral:
    """A path and the integral along it: its ends, the attribution, the class, whether it is finite, the geodesic."""

    ends: Tensor
    integral: Integral
    target: Tensor
    finite: Tensor
    geodesic: Any = None


class PathExplainer(GradientExplainer):
    """What all methods share; a method adds `_integrate`: from images, baselines and target to a path and its sum.

    Args:
        model: samples (n, ...) to logits (n, classes), in eval mode.
        n_steps: segments of the path.
        rule: quadrature along the path, see `quadrature_rules.quadrature`.
        score: the explained scalar, a name of `robustxai.scores`: the target's "logit", its probability "prob", ...
        baselines: where paths start in calls that do not say: a number, one image, or None for black.
        batch_size: most images in one pass of a network; None for no limit. It bounds passes, not paths:
            the images of decoded paths are in memory, n_steps + 1 for each sample.

    Raises ValueError for an unknown rule or score, fewer than 1 step, or passes of fewer than 1 image.

    >>> from robustxai.explainers.integrated_gradients import IntegratedGradients
    >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> explain = IntegratedGradients(linear, n_steps=3)
    >>> isinstance(explain, PathExplainer), explain(torch.rand(1, 3, 2, 2), target=0).shape
    (True, torch.Size([1, 1, 2, 2]))
    """

    encoder: Decoder | None = None
    decoder: Decoder | None = None
    rules: tuple[str, ...] = RULES
    black_start = True  # baselines=None is 0, which is black for images in [0, 1]
    steady = False  # also measure the noise of the gradients

    def __init__(
        self,
        model: nn.Module,
        *,
        n_steps: int = 50,
        rule: str = "midpoint",
        score: str = "logit",
        baselines: Baselines = None,
        batch_size: int | None = 64,
    ):
        check_name("rule", rule, self.rules)
        check_baselines(baselines)
        check_score("score", score)
        self.model, self.n_steps, self.rule, self.score = model, check_count("n_steps", n_steps), rule, score
        self.baselines = baselines
        self.batch_size = None if batch_size is None else check_count("batch_size", batch_size)

    @overload
    def attribute(self, x: Inputs, target: Target = None, baselines: Baselines = None) -> Inputs: ...

    @overload
    def attribute(
        self, x: Inputs, target: Target = None, baselines: Baselines = None, *, return_convergence_delta: bool
    ) -> tuple[Inputs, Float[Tensor, " n"]]: ...

    def attribute(
        self,
        x: Inputs,
        target: Target = None,
        baselines: Baselines = None,
        return_convergence_delta: bool = False,
    ) -> Inputs | tuple[Inputs, Float[Tensor, " n"]]:
        """Attributions of the shape of `x`, and with `return_convergence_delta` also Captum's delta (n,).

        Images outside [0, 1] without baselines get one warning: 0 is not their black.

        Args:
            x: samples, finite.
            target: class index, tensor (n,), or None for the class predicted where the path ends.
            baselines: where the path starts: a batch like `x`, one image, a number, or None for that of the
                explainer.

        Raises:
            ValueError: bad images, baselines or target, a network in training mode, a decoder that does not
                give images like `x`.
        """
        path = self._attribute(x, target, baselines)
        if not return_convergence_delta:
            return path.integral.values
        return path.integral.values, self._diagnose(x, path).delta

    def explain(self, x: Inputs, target: Target = None, baselines: Baselines = None) -> Attribution:
        """The attribution with its diagnostics; arguments as in `attribute`."""
        return self._diagnose(x, self._with_diagnostics()._attribute(x, target, baselines))

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> Explainer:
        """The same explainer of a softplus copy of a network with ReLUs; itself where there are none to replace."""
        return super().guide(x, beta=beta) if isinstance(self.model, nn.Module) else self

    def _with_diagnostics(self) -> "PathExplainer":
        again = copy.copy(self)
        again.steady = True
        return again

    def _attribute(
        self, x: Tensor, target: Target, baselines: Tensor | float | None, **more: Any
    ) -> PathIntegral:
        """The attribution without its diagnostics, which cost passes that an attack need not pay."""
        baselines = self.baselines if baselines is None else baselines
        self._check(x, baselines)
        if baselines is None and self.black_start:
            warn_outside(x, stacklevel=3)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            return self._integrate(x, self._baseline(baselines, x), target, **more)

    def _baseline(self, baselines: Tensor | float | None, x: Tensor) -> Tensor:
        return as_baseline(baselines, x)

    def _diagnose(self, x: Tensor, path: PathIntegral) -> Attribution:
        with torch.no_grad():
            start, end = (scored(self._logits(e), path.target, self.score) for e in path.ends)
            changed = torch.zeros_like(path.finite)
            if self.encoder is not None and self.decoder is not None:
                rebuilt = self._rebuilt(x)
                changed = as_target(None, self._logits(rebuilt)) != as_target(None, self._logits(x))
            finite = path.finite & path.integral.values.flatten(1).isfinite().all(1)
        return Attribution(
            path.integral.values, path.target, start, end, path.integral.scores.detach(), path.ends.detach(),
            changed, finite, path.geodesic, path.integral.noise,
        )  # fmt: skip

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        raise NotImplementedError

    def _in_passes(self, network: Decoder, x: Tensor) -> Tensor:
        """What a network gives for all samples, `batch_size` of them at a time."""
        parts = x.split(self.batch_size or len(x))
        return network(x) if len(parts) == 1 else torch.cat([network(part) for part in parts])

    def _logits(self, x: Tensor) -> Tensor:
        return self._in_passes(partial(logits_of, self.model), x)

    def _target(self, end: Tensor, target: Target) -> Tensor:
        """Class indices; one image tells how many classes there are where they are given."""
        with torch.no_grad():
            logits = self._logits(end if target is None else end[:1])
            return as_target(target, logits.expand(len(end), -1))

    def _along(
        self, images: Tensor, target: Target, found: Any = None, kind: torch.dtype | None = None
    ) -> PathIntegral:
        """Integrate along a path that is there as images; kind: the type that the network takes, if it is another."""
        kind = kind or images.dtype
        index = self._target(images[-1].to(kind), target)
        points, weights = quadrature(images, self.rule)
        integral = node_integral(
            self.model, points.to(kind), weights, index, score=self.score,
            batch_size=self.batch_size, steady=self.steady,
        )  # fmt: skip
        finite = images.flatten(2).isfinite().all(2).all(0)
        return PathIntegral(
            images[[0, -1]].to(kind),
            integral,
            index,
            finite if found is None else finite & found.finite,
            found,
        )

    def _rebuilt(self, x: Tensor) -> Tensor:
        assert self.encoder is not None and self.decoder is not None
        codes = self._encoded_in_passes(x)
        return like(decode(self.decoder, codes[None], batch_size=self.batch_size), x)[0]

    def _encoded_in_passes(self, x: Tensor) -> Tensor:
        assert self.encoder is not None
        return self._in_passes(partial(run_network, self.encoder, name="encoder"), x)

    def _check(self, x: Tensor, baselines: Tensor | float | None) -> None:
        for part, name in ((self.model, "model"), (self.encoder, "encoder"), (self.decoder, "decoder")):
            if part is not None:
                check_calm(name, part)
        check_batch("x", x)
