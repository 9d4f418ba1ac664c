"""Numbers as text: the one way this book rounds them, so that printed lines stay the same from run to run.

Knows nothing about figures. A float always shows a point or an exponent and an integer never does: the
notebook tests compare floats with a tolerance and integers exactly.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

DIGEST_TYPE = "application/vnd.robustxai.digest+json"
"""Under which a figure's output holds the digest of its data: no page shows it, notebook tests compare it."""
QUANTILES = (0, 0.25, 0.5, 0.75, 1)
BLOCKS = 16


def number(value: Any) -> str:
    """`value` to three significant digits: 0.500, 12.3, 123.4, 1.23e-07, 7 (an integer), yes, nan."""
    if hasattr(value, "item"):
        value = value.item()  # a 0-d tensor or a NumPy scalar
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        raise ValueError(f"value must be a number, got {type(value).__name__}")
    if not math.isfinite(value):
        return str(value)
    value += 0.0  # -0.0 becomes 0.0
    return f"{value:.1f}" if 99.95 <= abs(value) < 99999.95 else f"{value:#.3g}"


def interval(value: Any, bounds: Sequence[Any] | None) -> str:
    """A value with its interval: `0.820 [0.780, 0.860]`; without one (None, or nan from a single value, which a stored
    result holds as None), the value alone.
    """
    return (
        number(value)
        if bounds is None or all(b is None or b != b for b in bounds)
        else f"{number(value)} [{number(bounds[0])}, {number(bounds[1])}]"
    )


def array(data: Any) -> np.ndarray:
    """A tensor, array, list or number as a NumPy array on the CPU, without gradient."""
    if hasattr(data, "detach"):
        data = data.detach().cpu()
        data = data.float() if data.dtype.is_floating_point else data  # bfloat16 has no NumPy twin
    return np.asarray(data)


def digest(data: Any) -> str:
    """Shape, least, greatest and mean of the data: `8x7x7, min 0.000, max 1.00, mean 0.342`; NaNs are
    counted.
    """
    values = array(data)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"values must be numbers, got an array of {values.dtype}")
    if values.ndim == 0:
        return number(values)
    shape = "x".join(map(str, values.shape))
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return f"{shape}, no finite value"
    parts = [shape] + [f"{name} {number(getattr(finite, name)())}" for name in ("min", "max", "mean")]
    if finite.size < values.size:
        parts.append(f"{values.size - finite.size} not finite")
    return ", ".join(parts)


def coarse(data: Any) -> dict[str, Any]:
    """The data of a figure in some twenty numbers, to four digits: shape, mean, quantiles, and the means of (at most)
    16 blocks of the data in the order in which they lie, so that data in another order differ. What is not finite is
    left out; a block of nothing else is None. Raises ValueError for what are no numbers.

    >>> coarse([[0.0, 1.0], [2.0, 3.0]])["quantiles"]
    [0.0, 0.75, 1.5, 2.25, 3.0]
    """
    values = array(data)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"values must be numbers, got an array of {values.dtype}")
    flat = values.astype(float).reshape(-1)
    finite = flat[np.isfinite(flat)]
    blocks = [block[np.isfinite(block)] for block in np.array_split(flat, min(BLOCKS, max(1, flat.size)))]
    return {
        "shape": "x".join(map(str, values.shape)),
        "mean": _short(finite.mean()) if finite.size else None,
        "quantiles": [_short(q) for q in np.quantile(finite, QUANTILES)] if finite.size else [],
        "grid": [_short(block.mean()) if block.size else None for block in blocks],
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
