"""BlurIG and GuidedIG: the two explainers that bend the path in pixel space, without an autoencoder."""

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.manifold_ig import paths
from robustxai.manifold_ig.explainers import PathExplainer, Target, Way
from robustxai.manifold_ig.integrate import RULES, Integral, gradients, made_gradients
from robustxai.manifold_ig.turning import Turning

TINY_BLUR = 0.01


class BlurIG(PathExplainer):
    """Blur Integrated Gradients (Xu et al. 2020): from the blurred image to the image (spec 3.8, item 4).

    Args:
        sigma_max: standard deviation of the strongest blur in pixels; None is a quarter of the shorter side.
        spacing: scales evenly in sigma ("linear") or in sigma^2 ("sqrt").
        rule: "derivative", the definition: gradient at sigma_i times the change of the image per sigma (from
            sigma_i to sigma_i + 0.01) times the step; or a rule of form A.

    The path's start is the blurred image, so `baselines` must be None. With "derivative" the blurred images are
    made for each pass; with a rule of form A those of the whole path are in memory.
    """

    rules = ("derivative", *RULES)

    def __init__(
        self,
        model: nn.Module,
        *,
        sigma_max: float | int | None = None,
        spacing: str = "linear",
        rule: str = "derivative",
        **options: Any,
    ):
        super().__init__(model, rule=rule, **options)
        if sigma_max is not None and not sigma_max > 0:
            raise ValueError(f"sigma_max is {sigma_max}; accepted is a blur above 0 pixels")
        paths.blur_scales(1.0, 1, spacing=spacing)
        self.sigma_max, self.spacing = sigma_max, spacing

    def _check(self, x: Tensor, baselines: Tensor | float | None) -> None:
        if baselines is not None:
            raise ValueError("baselines is given; BlurIG starts from the blurred image and accepts only None")
        if x.ndim != 4:
            raise ValueError(f"x has shape {tuple(x.shape)}; accepted is a batch of images (n, c, h, w)")
        super()._check(x, baselines)

    def _way(self, x: Tensor, start: Tensor, target: Target) -> Way:
        sigma_max = min(x.shape[2:]) / 4 if self.sigma_max is None else self.sigma_max
        scales = paths.blur_scales(sigma_max, self.n_steps, spacing=self.spacing)
        if self.rule != "derivative":
            return self._along(paths.blur_path(x, scales), target)
        index = self._target(x, target)
        widths = torch.tensor(scales, dtype=torch.float64).diff().tolist()

        def part(times: slice, rows: slice) -> tuple[Tensor, Tensor]:
            points = [paths.blur(x[rows], sigma) for sigma in scales[:-1][times]]
            more = [paths.blur(x[rows], sigma + TINY_BLUR) for sigma in scales[:-1][times]]
            own = zip(widths[times], points, more, strict=True)
            return torch.stack(points), torch.stack([-w * (b - a) / TINY_BLUR for w, a, b in own])

        integral = made_gradients(
            self.model, part, self.n_steps, index, score=self.score,
            internal_batch_size=self.internal_batch_size, steady=self.steady,
        )  # fmt: skip
        integral = Integral(
            integral.values, integral.scores.flip(0), integral.noise
        )  # from the blurred end, as the path goes
        ends = torch.stack((paths.blur(x, sigma_max), x))
        return Way(ends, integral, index, ends.flatten(2).isfinite().all(2).all(0))


class GuidedIG(PathExplainer):
    """Guided Integrated Gradients (Kapishnikov et al. 2021): small gradients first (spec 3.8, item 5).

    Args:
        n_steps, fraction, max_dist: as in `paths.guided_path`.

    The path depends on comparisons of gradients, so the attribution carries no graph. The gradient at the
    start of each step is used, which is the rule "left". Of the path, one step is in memory.
    """

    rules = ("left",)

    def __init__(
        self,
        model: nn.Module,
        *,
        n_steps: int = 200,
        fraction: float | int = 0.25,
        max_dist: float | int = 0.02,
        **options: Any,
    ):
        super().__init__(model, n_steps=n_steps, rule=options.pop("rule", "left"), **options)
        if not (0 < fraction <= 1 and 0 <= max_dist <= 1):
            raise ValueError(
                f"fraction and max_dist are {fraction} and {max_dist}; accepted are (0, 1] and [0, 1]"
            )
        self.fraction, self.max_dist = fraction, max_dist

    @torch.no_grad()
    def _way(self, x: Tensor, start: Tensor, target: Target) -> Way:
        x = x.detach()
        index = self._target(x, target)
        size, scores = self.internal_batch_size or len(x), []

        def slope(images: Tensor) -> Tensor:
            pairs = zip(images.split(size), index.split(size), strict=True)
            parts = [gradients(self.model, some, classes, self.score) for some, classes in pairs]
            scores.append(torch.cat([f for _, f in parts]))
            return torch.cat([gradient for gradient, _ in parts])

        turning, values = Turning(self.steady), torch.zeros_like(x)
        finite, after = torch.ones_like(index, dtype=torch.bool), start
        for before, gradient, after in paths.guided_steps(
            slope, start, x, steps=self.n_steps, fraction=self.fraction, max_dist=self.max_dist
        ):
            turning.see(gradient[None])
            values += (after - before) * gradient
            finite &= after.flatten(1).isfinite().all(1)
        integral = Integral(values, torch.stack(scores), turning.mean())
        return Way(torch.stack((start, after)), integral, index, finite)
