"""Random streams that follow from a few numbers, so that none of them has to be stored.

Knows numbers; knows nothing about training.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai.checks import check_generator


def mix(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator_of(*numbers: int) -> torch.Generator:
    """A generator on the CPU, seeded with `mix`."""
    return torch.Generator().manual_seed(mix(*numbers))


def seed_default(device: torch.device, seed: int) -> None:
    """Seed torch's default generator of this device, for dropout and for losses that draw from it."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(seed)


@torch.no_grad()
def draw_into(
    weight: Tensor,
    rule: Callable[..., Any],
    *numbers: float,
    generator: torch.Generator | None,
    **options: Any,
) -> None:
    """Fill a weight by a rule of `torch.nn.init`, drawn on the generator's own device, wherever the weight is."""
    check_generator("generator", generator)
    if generator is None or generator.device.type == weight.device.type:
        rule(weight, *numbers, generator=generator, **options)
        return
    drawn = torch.empty_like(weight, device=generator.device)
    rule(drawn, *numbers, generator=generator, **options)
    weight.copy_(drawn)
