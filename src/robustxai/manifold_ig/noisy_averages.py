"""SmoothGradIG and GradientSHAP: the two neighbours that average over noisy copies of the image (spec 3.8, item 6).

The noise is that of `robustxai.explainers.noise`: the same for every image and every call, in pairs +e and -e.
"""

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.explainers.baselines import as_baseline
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.noise import Noise
from robustxai.explainers.path_explainer import PathExplainer, PathIntegral
from robustxai.explainers.path_integral import Integral, line_integral, made_gradients
from robustxai.shapes import Target


class _Noisy(PathExplainer):
    """Holds the noise."""

    def __init__(
        self,
        model: nn.Module,
        *,
        samples: int,
        std: float | int | Tensor,
        generator: torch.Generator | None,
        **options: Any,
    ):
        super().__init__(model, **options)
        self.noise = Noise(samples, std, generator)
        self.samples = self.noise.samples


class SmoothGradIG(_Noisy):
    """The mean of Integrated Gradients over noisy copies of the image (Smilkov et al. 2017; spec 3.8, item 6).

    Args:
        samples: noisy copies; each costs one map of IntegratedGradients.
        std, generator: as of `robustxai.explainers.noise.Noise`, for images in [0, 1]; std 0 is IntegratedGradients.
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
        std: float | int | Tensor = 0.1,
        generator: torch.Generator | None = None,
        **options: Any,
    ):
        super().__init__(model, samples=samples, std=std, generator=generator, **options)

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        index = self._target(x, target)
        values, scores = torch.zeros_like(x), x.new_zeros(())
        for noise in self.noise.draw(x):
            found = line_integral(
                self.model, start, x + noise, index, n_steps=self.n_steps, rule=self.rule, score=self.score,
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
        std: float | int | Tensor = 0.1,
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
        index, generator = self._target(x, target), self.noise.begin()
        how: dict[str, Any] = dict(generator=generator, device=generator.device)
        which = torch.randint(len(start), (self.samples,), **how).to(x.device)
        place = torch.rand(self.samples, dtype=x.dtype, **how).sort().values.to(x.device)
        place, noise = place.view(-1, *[1] * x.ndim), self.noise.draw(x, generator)

        def part(times: slice, rows: slice) -> tuple[Tensor, Tensor]:
            begin = start[which[times], None]
            way = x[rows] + noise[times] - begin
            return begin + place[times] * way, way / self.samples

        integral = made_gradients(
            self.model, part, self.samples, index, score=self.score, batch_size=self.batch_size
        )  # fmt: skip
        ends = torch.stack((start.mean(0).expand_as(x), x))
        return PathIntegral(ends, integral, index, ends.flatten(2).isfinite().all(2).all(0))
