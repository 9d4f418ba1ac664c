"""What networks are made from and run on: whole numbers, one number a channel, batches of floats.

Each raises one ValueError of one sentence that names the argument. Knows no network.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from robustxai.checks import check_count, check_floats


def check_whole(low: int = -(2**63), /, **sizes: Any) -> None:
    """Every size is a whole number from `low`; widths are a sequence of them.

    >>> check_whole(1, classes=4, widths=(8, 16))
    """
    for name, size in sizes.items():
        if name != "widths":
            check_count(name, size, low)
            continue
        if isinstance(size, (str, bytes)) or not isinstance(size, Sequence):
            raise ValueError(f"widths must be whole numbers, one a layer, got {size!r}")
        for one in size:
            check_count(name, one, low)


def channel_numbers(name: str, values: Any, *, low: float = -math.inf) -> tuple[float, ...]:
    """One finite number above `low` for each channel.

    >>> channel_numbers("std", [0.5, 0.25], low=0)
    (0.5, 0.25)
    """
    try:
        found = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        found = ()
    if isinstance(values, str) or not found or not all(math.isfinite(v) and v > low for v in found):
        above = f" above {low:g}" if low > -math.inf else ""
        raise ValueError(f"{name} must be finite numbers{above}, one a channel, got {values!r:.60}")
    return found


def check_pictures(x: Any) -> Tensor:
    """`x` is images (n, C, H, W) of floats."""
    return check_floats("x", x, "n", "C", "H", "W")
