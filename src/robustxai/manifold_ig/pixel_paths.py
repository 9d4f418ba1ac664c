"""BlurIG and GuidedIG: the two explainers that bend the path in pixel space, without an autoencoder."""

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.checks import check_positive, shown
from robustxai.explainers.base import Explainer
from robustxai.explainers.gradient_steadiness import Turning
from robustxai.explainers.input_gradient import score_and_gradient
from robustxai.explainers.integrated_gradients import IntegratedGradients
from robustxai.explainers.path_explainer import PathExplainer, PathIntegral
from robustxai.explainers.path_integral import Integral, made_gradients
from robustxai.explainers.precision import widened
from robustxai.explainers.quadrature_rules import RULES
from robustxai.manifold_ig import paths
from robustxai.manifold_ig.guides import BPDA
from robustxai.shapes import Target

TINY_BLUR = 0.01


class BlurIG(PathExplainer):
    """Blur Integrated Gradients (Xu et al. 2020): from the blurred image to the image (spec 3.8, item 4).

    Args:
        sigma_max: standard deviation of the strongest blur in pixels; None is a quarter of the shorter side.
        spacing: scales evenly in sigma ("linear") or in sigma^2 ("sqrt").
        rule: "derivative", the definition: gradient at sigma_i times the change of the image per sigma (from
            sigma_i to sigma_i + 0.01) times the step; or a rule of form A.

    The path's start is the blurred image, so `baselines` must be None. With "derivative" the blurred images are
    made for each pass; with a rule of form A those of the whole path are in memory. Blurs and their differences are
    float32 for images of half precision.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()
    >>> BlurIG(net, n_steps=4).attribute(torch.rand(2, 3, 8, 8), target=1).shape
    torch.Size([2, 3, 8, 8])
    """

    black_start = False
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
        paths.blur_scales(1.0, 1, spacing=spacing)
        self.sigma_max = None if sigma_max is None else check_positive("sigma_max", sigma_max)
        self.spacing = spacing

    def _check(self, x: Tensor, baselines: Tensor | float | None) -> None:
        if baselines is not None:
            raise ValueError(
                f"baselines must be None for BlurIG, which starts from the blurred image, got {shown(baselines)}"
            )
        super()._check(x, baselines)
        if x.ndim != 4:
            raise ValueError(f"x must be images (n, C, H, W), got shape {tuple(x.shape)}")

    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        sigma_max = min(x.shape[2:]) / 4 if self.sigma_max is None else self.sigma_max
        scales = paths.blur_scales(sigma_max, self.n_steps, spacing=self.spacing)
        if self.rule != "derivative":
            return self._along(paths.blur_path(x, scales), target, kind=x.dtype)
        index = self._target(x, target)
        widths = torch.tensor(scales, dtype=torch.float64, device="cpu").diff().tolist()

        def part(times: slice, rows: slice) -> tuple[Tensor, Tensor]:
            points = [paths.blur(x[rows], sigma) for sigma in scales[:-1][times]]
            more = [paths.blur(x[rows], sigma + TINY_BLUR) for sigma in scales[:-1][times]]
            own = zip(widths[times], points, more, strict=True)
            return torch.stack(points).to(x), torch.stack([-w * (b - a) / TINY_BLUR for w, a, b in own])

        integral = made_gradients(
            self.model, part, self.n_steps, index, score=self.score,
            batch_size=self.batch_size, steady=self.steady,
        )  # fmt: skip
        integral = Integral(
            integral.values, integral.scores.flip(0), integral.noise
        )  # from the blurred end, as the path goes
        ends = torch.stack((paths.blur(x, sigma_max).to(x), x))
        return PathIntegral(ends, integral, index, ends.flatten(2).isfinite().all(2).all(0))


class GuidedIG(PathExplainer):
    """Guided Integrated Gradients (Kapishnikov et al. 2021): small gradients first (spec 3.8, item 5).

    Args:
        n_steps, fraction, max_dist: as in `paths.guided_path`.

    The path depends on comparisons of gradients, so the attribution carries no graph; `guide` has the derivative of
    IntegratedGradients. The gradient at the start of each step is used, which is the rule "left". Of the path, one
    step is in memory, in float32 for images of half precision.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> explain = GuidedIG(net, n_steps=10)
    >>> explain.attribute(torch.rand(2, 3, 2, 2), target=1).shape, explain.differentiable
    (torch.Size([2, 3, 2, 2]), False)
    """

    differentiable = False
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
        paths.check_guiding(fraction, max_dist)
        self.fraction, self.max_dist = fraction, max_dist

    def guide(self, x: Tensor, *, beta: float | int = 10.0) -> Explainer:
        """These values with the derivative of IntegratedGradients (BPDA), of a softplus copy where there are ReLUs."""
        behind = IntegratedGradients(
            self.model, n_steps=self.n_steps, score=self.score, batch_size=self.batch_size
        )
        return BPDA(self, behind.guide(x, beta=beta))

    @torch.no_grad()
    def _integrate(self, x: Tensor, start: Tensor, target: Target) -> PathIntegral:
        x, kind = x.detach(), x.dtype
        index = self._target(x, target)
        size, scores = self.batch_size or len(x), []

        def slope(images: Tensor) -> Tensor:
            pairs = zip(images.to(kind).split(size), index.split(size), strict=True)
            parts = [score_and_gradient(self.model, some, classes, self.score) for some, classes in pairs]
            scores.append(torch.cat([f for f, _ in parts]))
            return widened(torch.cat([gradient for _, gradient in parts]))

        x, start = widened(x), widened(start)
        turning, values = Turning(self.steady), torch.zeros_like(x)
        finite, after = torch.ones_like(index, dtype=torch.bool), start
        for before, gradient, after in paths.guided_steps(
            slope, start, x, n_steps=self.n_steps, fraction=self.fraction, max_dist=self.max_dist
        ):
            turning.see(gradient[None])
            values += (after - before) * gradient
            finite &= after.flatten(1).isfinite().all(1)
        integral = Integral(values.to(kind), torch.stack(scores), turning.mean())
        return PathIntegral(torch.stack((start, after)).to(kind), integral, index, finite)
