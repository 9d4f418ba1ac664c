"""SmoothGradIG and GradientSHAP: the two neighbours that average over noisy copies of the image (spec 3.8, item 6).

The noise is the same for every image and every call: a map depends on its image and on the seed, never on its batch.
It comes in pairs +e and -e, so that its mean is 0 for an even number of samples and a linear network is explained
exactly; what is estimated is the same.
"""

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.checks import check_count, check_generator, check_number
from robustxai.explainers.baselines import as_baseline
from robustxai.explainers.integrated_gradients import IntegratedGradients, PathExplainer, PathIntegral
from robustxai.explainers.path_integral import Integral, line_integral, made_gradients
from robustxai.shapes import Target


class _Noisy(PathExplainer):
    """Holds the number of noisy copies, the size of the noise, and where its numbers come from."""

    def __init__(
        self,
        model: nn.Module,
        *,
        samples: int,
        std: float | int,
        generator: torch.Generator | None,
        **options: Any,
    ):
        super().__init__(model, **options)
        self.samples, self.std = check_count("samples", samples), check_number("std", std)
        check_generator("generator", generator)
        self.generator = (generator or torch.Generator().manual_seed(0)).clone_state()

    def _noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """(samples, 1, *sample), in pairs of opposite signs."""
        size = ((self.samples + 1) // 2, 1, *x.shape[1:])
        e = self.std * torch.randn(size, generator=generator, device=generator.device, dtype=x.dtype)
        return torch.stack((e, -e), 1).flatten(0, 1)[: self.samples].to(x.device)


class SmoothGradIG(_Noisy):
    """The mean of Integrated Gradients over noisy copies of the image (Smilkov et al. 2017; spec 3.8, item 6).

    Args:
        samples: noisy copies; each costs one map of IntegratedGradients.
        std: standard deviation of the noise in units of the image, for images in [0, 1]; 0 is IntegratedGradients.
        generator: its state when the explainer is made is where the noise of every call begins; it is left as it is.
            None: seed 0. Numbers are drawn on its device.
        options: n_steps, rule, score, batch_size, as of IntegratedGradients.

    Noise is added to the image and not to the baseline. With `target=None` the class is that of the image without
    noise, and `explain` compares with F there, so its `delta` holds what the noise changes in F.

    >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> x = torch.rand(2, 3, 2, 2)
    >>> torch.allclose(SmoothGradIG(linear)(x, 1), IntegratedGradients(linear)(x, 1), atol=1e-5)
    True
    """

    rules = IntegratedGradients.rules

    def __init__(
        self,
        model: nn.Module,
        *,
        samples: int = 20,
        std: float | int = 0.1,
        generator: torch.Generator | None = None,
        **options: Any,
    ):
        super().__init__(model, samples=samples, std=std, generator=generator, **options)

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        index = self._target(x, target)
        values, scores = torch.zeros_like(x), x.new_zeros(())
        for noise in self._noise(x, self.generator.clone_state()):
            found = line_integral(
                self.model, start, x + noise, index, steps=self.n_steps, rule=self.rule, score=self.score,
                batch_size=self.batch_size,
            )  # fmt: skip
            values, scores = values + found.values / self.samples, found.scores / self.samples + scores
        ends = torch.stack((start, x))
        return PathIntegral(ends, Integral(values, scores), index, ends.flatten(2).isfinite().all(2).all(0))


class GradientSHAP(_Noisy):
    """The mean of (x - b) * grad F(b + a (x - b)) over random baselines b, places a in U(0, 1) and noise on x
    (Lundberg & Lee 2017; spec 3.8, item 6).

    Args:
        samples: draws of b, a and noise; each costs one gradient.
        std, generator: as of SmoothGradIG.
        score, batch_size: as of PathExplainer.

    `baselines` is a set (m, *sample) that b is drawn from, the same draws for every image; or one image, a number, or
    None for black. `explain` compares with F at the mean of the set; points are in the order of a.

    >>> linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> x = torch.rand(2, 3, 2, 2)
    >>> torch.allclose(GradientSHAP(linear)(x, 1), IntegratedGradients(linear)(x, 1), atol=1e-5)
    True
    """

    rules = ("random",)

    def __init__(
        self,
        model: nn.Module,
        *,
        samples: int = 50,
        std: float | int = 0.1,
        generator: torch.Generator | None = None,
        score: str = "logit",
        batch_size: int | None = 64,
    ):
        super().__init__(
            model, samples=samples, std=std, generator=generator, rule="random", score=score,
            batch_size=batch_size,
        )  # fmt: skip

    def _baseline(self, baselines: Tensor | float | None, x: Tensor) -> Tensor:
        if not isinstance(baselines, Tensor) or baselines.ndim != x.ndim:
            return as_baseline(baselines, x[:1])
        if baselines.shape[1:] != x.shape[1:] or len(baselines) == 0:
            raise ValueError(
                f"baselines must be a number, one image {tuple(x.shape[1:])} or a set "
                f"(m, {', '.join(map(str, x.shape[1:]))}) to draw from, got shape {tuple(baselines.shape)}"
            )
        return as_baseline(baselines, baselines.to(x))

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        index, generator = self._target(x, target), self.generator.clone_state()
        how: dict[str, Any] = dict(generator=generator, device=generator.device)
        which = torch.randint(len(start), (self.samples,), **how).to(x.device)
        place = torch.rand(self.samples, dtype=x.dtype, **how).sort().values.to(x.device)
        place, noise = place.view(-1, *[1] * x.ndim), self._noise(x, generator)

        def part(times: slice, rows: slice) -> tuple[Tensor, Tensor]:
            begin = start[which[times], None]
            way = x[rows] + noise[times] - begin
            return begin + place[times] * way, way / self.samples

        integral = made_gradients(
            self.model, part, self.samples, index, score=self.score, batch_size=self.batch_size
        )  # fmt: skip
        ends = torch.stack((start.mean(0).expand_as(x), x))
        return PathIntegral(ends, integral, index, ends.flatten(2).isfinite().all(2).all(0))
