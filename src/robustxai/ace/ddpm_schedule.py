"""The respaced DDPM schedule: which base timesteps a filter visits, and the numbers of each step (spec 3.2).

Double precision throughout.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_count, shown

VARIANCES = ("small", "large", "learned")
"""Of a denoising step: the posterior's, the step's own beta, or between both as the network says."""

Steps = Float[Tensor, " step"]


@dataclass(frozen=True)
class Schedule:
    """A DDPM schedule over some base timesteps, in double precision, from the cleanest step to the noisiest.

    timesteps: the base timesteps s_i, rising, with which the network is called. alpha_bar: the share of signal
    variance at each. beta: 1 - alpha_bar_i / alpha_bar_{i-1}. x0_weight, z_weight: the posterior mean is
    x0_weight * x0 + z_weight * z. small: the posterior's variance, 0 at the first step.

    >>> schedule = Schedule.over(torch.tensor([0.9, 0.5]), (0, 1))
    >>> len(schedule), round(schedule.sigma(-1), 4)
    (2, 0.7071)
    """

    timesteps: tuple[int, ...]
    alpha_bar: Steps
    beta: Steps
    x0_weight: Steps
    z_weight: Steps
    small: Steps

    @classmethod
    def over(cls, alphas_cumprod: Float[Tensor, " base"], timesteps: tuple[int, ...]) -> Schedule:
        """The schedule that visits only `timesteps` of the one with these alphas_cumprod (spec 3.2, items 3 to 5).

        alphas_cumprod: falling, inside (0, 1), such as that of diffusers' `DDPMScheduler`. timesteps: rising.
        Raises ValueError for others.
        """
        try:
            bars = torch.as_tensor(alphas_cumprod, device="cpu").detach().double()
        except (TypeError, ValueError, RuntimeError):
            bars = torch.empty(0, device="cpu")
        if (
            bars.ndim != 1
            or len(bars) == 0
            or not ((bars > 0) & (bars < 1)).all()
            or (bars.diff() >= 0).any()
        ):
            raise ValueError(f"alphas_cumprod must be falling numbers in (0, 1), got {shown(alphas_cumprod)}")
        timesteps = as_timesteps(timesteps, len(bars))
        bar = bars[list(timesteps)]
        previous = torch.cat((bar.new_ones(1), bar[:-1]))
        beta = 1 - bar / previous
        return cls(
            timesteps,
            alpha_bar=bar,
            beta=beta,
            x0_weight=previous.sqrt() * beta / (1 - bar),
            z_weight=(1 - beta).sqrt() * (1 - previous) / (1 - bar),
            small=beta * (1 - previous) / (1 - bar),
        )

    def __len__(self) -> int:
        return len(self.timesteps)

    def sigma(self, i: int) -> float:
        """Standard deviation of the noise at step `i`, sqrt(1 - alpha_bar_i), with signal scaled by sqrt(alpha_bar)."""
        return float((1 - self.alpha_bar[self._place(i)]).sqrt())

    def log_variances(self, i: int) -> tuple[float, float]:
        """The logarithms between which a learned variance lies: of the posterior's, and of beta.

        The posterior's at the first step is 0, so the second step's is used there.
        """
        i = self._place(i)
        small = self.small[max(i, min(1, len(self) - 1))]
        return float(small.clamp_min(1e-20).log()), float(self.beta[i].log())

    def _place(self, i: int) -> int:
        """Step `i`, from 0 or backwards from -1, counted from 0."""
        if not -len(self) <= i < len(self):
            raise ValueError(f"i must be a step in [{-len(self)}, {len(self) - 1}], got {i}")
        return i % len(self)


def as_timesteps(timesteps: Iterable[Any], base: int) -> tuple[int, ...]:
    """Base timesteps below `base` as Python ints, one or more, rising. Raises ValueError."""
    wrong = ValueError(f"timesteps must be rising integers in [0, {base - 1}], got {timesteps}")
    try:
        found = tuple(operator.index(t) for t in timesteps)
    except TypeError:
        raise wrong from None
    if not found or found[0] < 0 or found[-1] >= base or any(a >= b for a, b in pairwise(found)):
        raise wrong
    return found


def respaced(base: int, steps: int) -> tuple[int, ...]:
    """`steps` of `base` timesteps, evenly from 0 to the last: s_i = round(i (base - 1) / (steps - 1)) (spec 3.2).

    The stride is added up in floats and rounded half to even, as the released code does. Raises ValueError
    unless 1 <= steps <= base.

    >>> respaced(500, 50)[:5]
    (0, 10, 20, 31, 41)
    """
    base, count = check_count("base", base), _count(steps)
    if count is None or not 1 <= count <= base:
        raise ValueError(
            f"steps must be an integer in [1, {base}], at most the trained timesteps, got {steps}"
        )
    stride, place, out = (base - 1) / max(count - 1, 1), 0.0, []
    for _ in range(count):
        out.append(round(place))
        place += stride
    return tuple(out)


def fewer(timesteps: tuple[int, ...], steps: int) -> tuple[int, ...]:
    """`steps` timesteps with the same last one, hence the same noise: round((j + 1) last / steps), j from 0.

    One step is the one-step estimate. Unlike `respaced` it does not visit timestep 0, where nothing is left
    to do. Raises ValueError unless there is room for as many.

    >>> fewer((0, 10, 20, 30, 40), 2)
    (20, 40)
    """
    last, count = as_timesteps(timesteps, 2**62)[-1], _count(steps)
    if count is None or not 1 <= count <= max(last, 1):
        raise ValueError(f"steps must be an integer in [1, {max(last, 1)}], got {steps}")
    return tuple(round((j + 1) * last / count) for j in range(count))


def _count(value: Any) -> int | None:
    """A whole number as a Python int, None for what is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
