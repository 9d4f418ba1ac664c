"""The diffusion filter F_tau: noise an image a little and denoise it with a DDPM, gradients through everything.

Knows a denoising network and its schedule; knows nothing about classifiers, attacks or losses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from robustxai.ace.ddpm_schedule import VARIANCES, Schedule, as_timesteps, fewer, respaced
from robustxai.ace.denoiser import Calls, Denoiser
from robustxai.ace.image_noise import Seeds, draw_noise, image_generators
from robustxai.ace.scheduler_plan import StepSettings
from robustxai.checks import check_count, check_finite, check_images, check_name, shown
from robustxai.shapes import Images

NoiseImages = Float[Tensor, "n tau channel height width"]


class DiffusionFilter:
    """F_tau of spec 3.3: images in [0, 1] are noised to step tau of a respaced DDPM and denoised, ancestrally.

    Args:
        unet: predicts the noise of images in [-1, 1], called as unet(z, t) with base timesteps t (n,); returns
            a tensor or an object with `.sample`, as diffusers' `UNet2DModel` does.
        scheduler: anything with `.alphas_cumprod`, such as diffusers' `DDPMScheduler`. What its config says of the
            estimate and its clipping is kept, and refused where the filter has no such thing, see `StepSettings`.
        steps: T', to how many timesteps the schedule is respaced.
        tau: how many of them the filter visits, 0 (the identity) to `steps`.
        variance: of a denoising step, see `VARIANCES`; "learned" needs a network with twice the channels. None is
            that of the scheduler, "small" where it names none.
        checkpoint: True keeps one graph of the network at a time, for a second forward per step; the gradient
            is the same. None is False until memory runs out inside `ACE`.
        bf16: run the network under bfloat16 autocast; all else stays in the dtype of the images.
        timesteps: the visited base timesteps themselves, rising; `steps` and `tau` are then not used.
        seed: of the noise where a call is given none.

    9 parameters, as steps are given by number or one by one, and what memory and speed cost is the caller's choice.
    `calls` counts the queries to the network. Raises ValueError for numbers out of range, and networks and schedulers
    that do not fit.

    >>> class Zero(nn.Module):
    ...     alphas_cumprod = torch.linspace(0.999, 0.5, 100)
    ...     def forward(self, z, t):
    ...         return 0 * z
    >>> unet, x = Zero(), torch.full((1, 1, 4, 4), 0.5)
    >>> filtered = DiffusionFilter(unet, unet, steps=10, tau=2)
    >>> filtered(x, generators=0).shape, filtered.timesteps
    (torch.Size([1, 1, 4, 4]), (0, 11))
    """

    def __init__(
        self,
        unet: nn.Module,
        scheduler: Any,
        steps: int = 100,
        tau: int = 5,
        *,
        variance: str | None = None,
        checkpoint: bool | None = None,
        bf16: bool = False,
        timesteps: tuple[int, ...] | None = None,
        seed: int = 0,
    ):
        bars = getattr(scheduler, "alphas_cumprod", None)
        if bars is None:
            raise ValueError(f"scheduler must be one with alphas_cumprod, got a {type(scheduler).__name__}")
        if variance is not None:
            check_name("variance", variance, VARIANCES)
        plan = StepSettings.of(scheduler, variance)
        variance, self.clip = plan.variance, plan.clip
        if timesteps is None:
            picked = respaced(len(bars), steps)
            tau = check_count("tau", tau, 0)
            if tau > steps:
                raise ValueError(
                    f"tau must be an integer in [0, {steps}], at most the number of steps, got {tau}"
                )
            timesteps = picked[:tau]
        timesteps = as_timesteps(timesteps, len(bars)) if timesteps != () else ()
        self.denoiser = Denoiser(unet, width=2 if variance == "learned" else 1, bf16=bf16)
        self.unet, self.scheduler, self.variance = unet, scheduler, variance
        self.checkpoint, self.bf16, self.steps = checkpoint, bf16, steps
        self.schedule: Schedule | None = Schedule.over(bars, timesteps) if timesteps else None
        trained = getattr(unet, "trained_steps", None)
        if trained is not None and timesteps and timesteps[-1] >= trained:
            raise ValueError(
                f"timesteps must be below {trained}, up to which unet was trained, got {timesteps[-1]}"
            )
        self.calls = Calls()
        self._fewer: dict[int, DiffusionFilter] = {}
        self._twin: DiffusionFilter | None = None
        self._own = torch.Generator().manual_seed(check_count("seed", seed, -(2**63)))

    @classmethod
    def load(
        cls,
        source: str | Path,
        steps: int = 100,
        tau: int = 5,
        *,
        map_location: torch.device | str = "cpu",
        **options: Any,
    ) -> DiffusionFilter:
        """A filter from a shipped network's name, a folder saved by diffusers, or a hub id "owner/name".

        A folder may be a saved `DDPMPipeline` (unet/ and scheduler/) or hold model and scheduler at its top. A
        shipped network brings its schedule as `.alphas_cumprod` or `.scheduler`. `options` are those of the
        class. Raises ValueError when it cannot be read.
        """
        from robustxai.ace.load_denoiser import read_denoiser

        unet, scheduler = read_denoiser(source, map_location=map_location)
        return cls(unet, scheduler, steps, tau, **options)

    @property
    def tau(self) -> int:
        """How many denoising steps a call makes."""
        return 0 if self.schedule is None else len(self.schedule)

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The visited base timesteps, rising."""
        return () if self.schedule is None else self.schedule.timesteps

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise at the noisiest point; with tau the thing to compare (spec 3.2)."""
        return 0.0 if self.schedule is None else self.schedule.sigma(-1)

    def with_(self, **options: Any) -> DiffusionFilter:
        """The same network with other `options`, such as tau, timesteps, checkpoint or bf16; it shares `calls`."""
        kept: dict[str, Any] = dict(
            variance=self.variance, checkpoint=self.checkpoint, bf16=self.bf16, steps=self.steps
        )
        if "tau" not in options and "steps" not in options:
            kept["timesteps"] = self.timesteps
        other = DiffusionFilter(self.unet, self.scheduler, **(kept | options))
        other.calls = self.calls
        return other

    def fewer(self, tau: int) -> DiffusionFilter:
        """The same noise level with `tau` denoising steps; 1 is the one-step estimate (spec 8.3, item 6)."""
        if tau >= self.tau:
            return self
        if tau not in self._fewer:
            self._fewer[tau] = self.with_(timesteps=fewer(self.timesteps, tau))
        return self._fewer[tau]

    def checkpointed(self) -> DiffusionFilter:
        """The same filter with one graph of the network in memory at a time."""
        if self._twin is None:
            self._twin = self.with_(checkpoint=True)
        return self._twin

    def noise(self, x: Images, generators: Seeds = 0) -> NoiseImages:
        """All noise of one call on `x`, each image's own: the forward noise, then one per step but the last."""
        return draw_noise(x, image_generators(x, generators), self.tau)

    def __call__(
        self, x: Images, *, generators: Seeds | None = None, noise: NoiseImages | None = None
    ) -> Images:
        """F_tau(x) in [0, 1], differentiable in `x`; each image's result does not depend on its batch.

        noise: from `noise(x)`. generators: without it, see `image_generators`; when both are missing, the
        filter draws anew at each call from its own seed. Raises ValueError for sizes that do not fit.
        """
        check_images("x", x)
        self.denoiser.check(x)
        if noise is None:
            noise = self.noise(x, self._own if generators is None else generators)
        check_noise(noise, x, self.tau)
        return self.run(x, noise)

    def run(self, x: Images, noise: NoiseImages) -> Images:
        """F_tau(x) with this noise, nothing checked: what loops call."""
        if self.tau == 0:
            return x
        z = self.noised(2 * x - 1, self.tau - 1, noise[:, 0])
        for i in reversed(range(self.tau)):
            z = self.step(z, i, noise[:, self.tau - i] if i else None)
        image = (z + 1) / 2
        return image if self.clip is not None and self.clip <= 1 else image.clamp(0, 1)

    def noised(self, z: Images, i: int, noise: Images) -> Images:
        """Images in [-1, 1] noised to step `i`: sqrt(abar_i) z + sqrt(1 - abar_i) noise."""
        assert self.schedule is not None
        bar = self.schedule.alpha_bar[i]
        return float(bar.sqrt()) * z + float((1 - bar).sqrt()) * noise

    def step(self, z: Images, i: int, noise: Images | None) -> Images:
        """One ancestral step from step `i` to `i` - 1 (spec 3.3, item 3); no noise is added where it is None."""
        if self.checkpoint and torch.is_grad_enabled() and z.requires_grad:
            return recomputed(self._step, z, i, noise, use_reentrant=False, preserve_rng_state=False)
        return self._step(z, i, noise)

    def _step(self, z: Tensor, i: int, noise: Tensor | None) -> Tensor:
        s = self.schedule
        assert s is not None
        out = self.denoiser.ask(z, s.timesteps[i], self.calls)
        bar = s.alpha_bar[i]
        x0 = (z - float((1 - bar).sqrt()) * out[:, : z.shape[1]]) / float(bar.sqrt())
        if self.clip is not None:
            x0 = x0.clamp(-self.clip, self.clip)
        mean = float(s.x0_weight[i]) * x0 + float(s.z_weight[i]) * z
        if noise is None:
            return mean
        if self.variance != "learned":
            return mean + float((s.small if self.variance == "small" else s.beta)[i].sqrt()) * noise
        low, high = s.log_variances(i)
        share = (out[:, z.shape[1] :] + 1) / 2
        return mean + (0.5 * (share * high + (1 - share) * low)).exp() * noise


def check_filter(filter: object, *, needed: bool = False) -> None:
    """`filter` is a `DiffusionFilter`, or None where it is not `needed`. Raises ValueError."""
    if not isinstance(filter, DiffusionFilter) and (needed or filter is not None):
        wanted = "a DiffusionFilter" if needed else "a DiffusionFilter or None"
        raise ValueError(f"filter must be {wanted}, got {type(filter).__name__}")


def check_noise(noise: object, x: Images, tau: int, *, name: str = "noise") -> None:
    """`noise` is finite and as long and wide as a call on `x` with `tau` steps needs it. Raises ValueError."""
    wanted = (len(x), tau, *x.shape[1:])
    if not isinstance(noise, Tensor) or noise.shape != wanted:
        raise ValueError(f"{name} must be a tensor of shape {wanted}, got {shown(noise)}")
    check_finite(name, noise, "noise")
