"""What a diffusers scheduler says about a denoising step: variance and clipping, kept or refused, never overlooked.

Knows names of settings; knows nothing about networks or images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robustxai.ace.denoiser import setting
from robustxai.checks import check_positive

VARIANCE_TYPES = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
    "learned_range": "learned",
}
"""diffusers' `variance_type` -> `VARIANCES`. Both small ones have one standard deviation there. Missing:
"fixed_large_log", the root of a logarithm, and "learned", the network's own number."""


@dataclass(frozen=True)
class StepSettings:
    """The settings of a denoising step.

    variance: one of `VARIANCES`. clip: the estimate of the clean image, in [-1, 1] by right, is kept within +-clip;
    None leaves it as it is.

    >>> StepSettings.of(object())
    StepSettings(variance='small', clip=1.0)
    """

    variance: str = "small"
    clip: float | None = 1.0

    @classmethod
    def of(cls, scheduler: Any, variance: str | None = None) -> StepSettings:
        """The scheduler's settings, `variance` in place of its own; where it is silent, those of the paper.

        Raises ValueError for another `prediction_type` than "epsilon", for `thresholding`, and for a `variance_type`
        that the filter does not have.
        """
        kind = setting(scheduler, "prediction_type") or "epsilon"
        if kind != "epsilon":
            raise ValueError(f"scheduler must have prediction_type 'epsilon', got {kind!r}")
        if setting(scheduler, "thresholding"):
            raise ValueError(
                "scheduler must have thresholding=False, got True: the filter has clip_sample only"
            )
        if variance is None:
            named = setting(scheduler, "variance_type") or "fixed_small"
            if named not in VARIANCE_TYPES:
                raise ValueError(
                    f"scheduler must have a variance_type of {', '.join(VARIANCE_TYPES)}, got {named!r}; "
                    "or pass variance="
                )
            variance = VARIANCE_TYPES[named]
        if setting(scheduler, "clip_sample") is False:
            return cls(variance, None)
        reach = setting(scheduler, "clip_sample_range")
        return cls(
            variance, 1.0 if reach is None else check_positive("the scheduler's clip_sample_range", reach)
        )
